"""The loss of the code heads, a few heads at a time: the scores of all heads never stand in memory together.

The scores (logits) of one head are rows x 1024 numbers, and there are 36 heads. Cross-entropy needs them once, and its
gradient is as simple as it gets: softmax(scores) - 1 at the right answer. So the gradient is taken at once, while the
scores are still there, and they are thrown away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from visage_lite.pattern import IGNORE

CHUNK = 2**22  # scores at a time: 16 MiB in float32


def head_loss(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The sum over streams of the mean cross-entropy, the gradient of which is made in the same pass.

    Even and odd steps are scored apart, each only with the heads that have a label there: half of the scores.

    Args:
        hidden: [B, S, D], what the heads read.
        weight: [Q, V, D], and bias: [Q, V], of the heads. Under autocast their products are in its number type.
        labels: int64 [B, S, Q], -100 where there is nothing to predict.
    Returns: (total, a scalar; per_stream [Q], without gradient). Float32; a stream without a label counts 0.
    Raises: RuntimeError if the gradient of one total is asked for twice.
    Source: ViSAGe (arXiv 2506.12199), training. Notebook: 04_training.
    """
    return HeadLoss.apply(hidden, weight, bias, labels, torch.is_grad_enabled())


class HeadLoss(torch.autograd.Function):
    """`head_loss` with its gradient; `learn` says whether to make one."""

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, learn: bool):
        """The loss, and, if wanted, the gradients of hidden, weight and bias, kept for `backward`."""
        count = (labels != IGNORE).sum(dim=(0, 1))  # [Q]
        per_stream = weight.new_zeros(len(count), dtype=torch.float32)
        ctx.gradients = [torch.zeros_like(x) for x in (hidden, weight, bias)] if learn else None
        for parity in (0, 1):
            rows = hidden[:, parity::2].flatten(0, 1).to(number_type(weight))
            answers = labels[:, parity::2].flatten(0, 1)
            of_rows = torch.zeros_like(rows, dtype=torch.float32)
            streams = (answers != IGNORE).any(0).nonzero().flatten()
            for some in streams.split(max(1, CHUNK // max(1, len(rows) * weight.shape[1]))):
                heads = weight[some].flatten(0, 1).to(rows.dtype)  # [q V, D]
                scores = (rows @ heads.T).float().unflatten(1, bias[some].shape) + bias[some].float()  # [N, q, V]
                per_stream[some] = per_stream[some] + cross_entropy_(scores, answers[:, some], count[some])
                if learn:
                    scores = scores.flatten(1)  # now their gradient
                    of_rows += scores.to(rows.dtype) @ heads
                    change = (scores.T.to(rows.dtype) @ rows).to(weight.dtype)
                    ctx.gradients[1].index_add_(0, some, change.view(len(some), *weight.shape[1:]))
                    ctx.gradients[2].index_add_(0, some, scores.sum(0).view_as(bias[some]).to(bias.dtype))
            if learn:
                ctx.gradients[0][:, parity::2] = of_rows.view_as(hidden[:, parity::2])
        ctx.mark_non_differentiable(per_stream)
        return per_stream.sum(), per_stream

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor, _):
        """The kept gradients, times the gradient of the total."""
        if ctx.gradients is None:
            raise RuntimeError("the gradient of this loss was taken before: compute the loss again")
        gradients, ctx.gradients = ctx.gradients, None
        return *(gradient.mul_(upstream) for gradient in gradients), None, None


def cross_entropy_(scores: Tensor, answers: Tensor, count: Tensor) -> Tensor:
    """Each stream's part of the mean cross-entropy [q]; `scores` [N, q, V] become its gradient, in place.

    Args: answers: int64 [N, q], -100 where there is none. count: [q], of how many labels the mean is taken.
    """
    share = (answers != IGNORE) / count  # [N, q], what each place weighs in the mean
    answers = answers.clamp(min=0)[..., None]
    chosen, total = scores.gather(2, answers), scores.logsumexp(2, keepdim=True)
    scores.sub_(total).exp_()  # the softmax
    scores.scatter_add_(2, answers, -torch.ones_like(chosen)).mul_(share[..., None])
    return ((total - chosen).squeeze(2) * share).sum(0)


def number_type(weight: Tensor) -> torch.dtype:
    """The type of the products: what autocast asks for, else that of the weights."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
