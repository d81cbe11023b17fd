"""The loss of the heads against PyTorch's cross-entropy of all scores at once: values, gradients, number types."""

import pytest
import torch
import torch.nn.functional as F

from visage_lite import losses
from visage_lite.losses import head_loss

torch.set_num_threads(1)


def example(dtype=torch.float32, streams=6, steps=9):
    """hidden, weight, bias and labels: the first streams at even steps, the others at odd, stream 0 at both."""
    random = torch.Generator().manual_seed(1)
    hidden = torch.randn(2, steps, 16, generator=random).to(dtype).requires_grad_()
    weight = torch.randn(streams, 40, 16, generator=random).to(dtype).requires_grad_()
    bias = torch.randn(streams, 40, generator=random).to(dtype).requires_grad_()
    labels = torch.randint(0, 40, (2, steps, streams), generator=random)
    odd = torch.arange(steps)[:, None] % 2 == 1
    nothing_due = (odd != (torch.arange(streams) >= streams // 2)).expand(2, -1, -1).clone()
    nothing_due[..., 0] = False
    nothing_due[1, :4] = True  # a clip that begins later
    return hidden, weight, bias, labels.masked_fill(nothing_due, -100)


def at_once(hidden, weight, bias, labels):
    """The same from all scores."""
    scores = torch.einsum("bsd,qvd->bsqv", hidden, weight) + bias
    means = [F.cross_entropy(scores[:, :, q].flatten(0, 1), labels[..., q].flatten()) for q in range(len(weight))]
    return sum(means), torch.stack(means)


@pytest.mark.parametrize("chunk", [1, 800, 10**9], ids=["one head", "some heads", "all heads"])
def test_equals_all_scores_at_once(monkeypatch, chunk):
    monkeypatch.setattr(losses, "CHUNK", chunk)
    *inputs, labels = example()
    (total, per_stream), (expected, each) = head_loss(*inputs, labels), at_once(*inputs, labels)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(per_stream, each.detach())
    assert not per_stream.requires_grad
    torch.testing.assert_close(torch.autograd.grad(3 * total, inputs), torch.autograd.grad(3 * expected, inputs))


def test_the_gradient_is_that_of_differences():
    *inputs, labels = example(streams=3, steps=5)
    torch.manual_seed(0)
    total, _ = head_loss(*inputs, labels)
    gradients, way = torch.autograd.grad(total, inputs), [torch.randn_like(x) for x in inputs]
    with torch.no_grad():
        ahead, behind = (
            head_loss(*(x + sign * 1e-2 * w for x, w in zip(inputs, way)), labels)[0] for sign in (1, -1)
        )
    slope = sum((g * w).sum() for g, w in zip(gradients, way))
    assert (ahead - behind).item() / 2e-2 == pytest.approx(slope.item(), rel=0.01)


def test_without_gradient_and_without_labels():
    *inputs, labels = example()
    with torch.no_grad():
        total, per_stream = head_loss(*inputs, labels)
    assert not total.requires_grad
    torch.testing.assert_close(total, head_loss(*inputs, labels)[0].detach())
    torch.testing.assert_close(total, per_stream.sum())
    nothing, each = head_loss(*inputs, torch.full_like(labels, -100))
    assert nothing == 0 and each.tolist() == [0] * 6
    nothing.backward()
    assert all(x.grad.abs().max() == 0 for x in inputs)


def test_a_second_way_back_is_refused():
    *inputs, labels = example()
    total, _ = head_loss(*inputs, labels)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="compute the loss again"):
        total.backward()


@pytest.mark.parametrize("way", ["autocast", "bfloat16 weights"])
def test_in_bfloat16(way):
    *inputs, labels = example(torch.bfloat16 if way == "bfloat16 weights" else torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
        total, per_stream = head_loss(*inputs, labels)
    assert total.dtype == per_stream.dtype == torch.float32
    gradients = torch.autograd.grad(total, inputs)
    assert [x.dtype for x in gradients] == [x.dtype for x in inputs]
    exact = [x.detach().float().requires_grad_() for x in inputs]
    expected, _ = at_once(*exact, labels)
    torch.testing.assert_close(total, expected, rtol=0.02, atol=0)
    for got, wanted in zip(gradients, torch.autograd.grad(expected, exact)):
        assert (got.float() - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu():
    *inputs, labels = example()
    moved = [x.detach().cuda().requires_grad_() for x in inputs]
    total, _ = head_loss(*moved, labels.cuda())
    expected, _ = head_loss(*inputs, labels)
    torch.testing.assert_close(total.cpu(), expected)
    for got, wanted in zip(torch.autograd.grad(total, moved), torch.autograd.grad(expected, inputs)):
        torch.testing.assert_close(got.cpu(), wanted, rtol=1e-4, atol=1e-5)
