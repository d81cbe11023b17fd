"""The compiled parts of a layer against PyTorch's: sizes that fill no block, several pieces, few and many rows."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from visage_lite import kernels
from visage_lite.decoding import STEP_PARTS
from visage_lite.layers import Layer, attention
from visage_lite.packing import as_array, pack, pack_linear
from visage_lite.presets import ModelConfig


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def stored(weight, dtype):
    """The weight as float64, rounded as the number type rounds it."""
    if dtype == "int8":
        scale = weight.abs().amax(1, keepdim=True) / 127
        return (weight / scale).round().double() * scale
    return weight.to(getattr(torch, dtype)).double()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("shape", [(3, 7), (40, 33), (130, 96), (20, 2048), (9, 3000)])
@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-6), ("bfloat16", 1e-6), ("int8", 2e-4)])
def test_linear(rows, shape, dtype, error):
    weight, bias, x = random(*shape), random(shape[0]), random(rows, shape[1])
    packed = pack_linear(weight, bias, dtype)
    wanted = F.linear(x.double(), stored(weight, dtype), bias.double())
    got = torch.from_numpy(kernels.linear(x.numpy(), packed, 2))
    assert got.shape == wanted.shape and got.dtype == torch.float32
    assert (got - wanted).abs().max() < error * max(1, wanted.abs().max())
    for n in range(rows):  # a row does not depend on the others, in int8 neither
        assert np.allclose(kernels.linear(x[n : n + 1].numpy(), packed, 1)[0], got[n], atol=1e-4)


def test_a_linear_layer_without_outputs():
    nothing = pack_linear(torch.empty(0, 48), torch.empty(0), "int8")
    assert kernels.linear(np.ones((2, 48), np.float32), nothing, 2).shape == (2, 0)


def test_weights_are_stored_in_their_number_type_and_float32_is_shared():
    weight = random(6, 128)
    packed = {dtype: pack_linear(weight, torch.zeros(6), dtype) for dtype in ("float32", "bfloat16", "int8")}
    assert [p.weight.nbytes for p in packed.values()] == [4 * weight.numel(), 2 * weight.numel(), weight.numel()]
    assert np.shares_memory(packed["float32"].weight, weight.numpy())
    assert np.abs(packed["int8"].weight).reshape(6, 128).max(1).tolist() == [127] * 6


def test_infinite_and_undefined_numbers_stay_visible():
    x = np.array([[math.inf], [math.nan]], np.float32)
    got = kernels.linear(x, pack_linear(torch.ones(1, 1), torch.zeros(1), "float32"), 1)
    assert math.isinf(got[0, 0]) and math.isnan(got[1, 0])


def test_gelu_is_pytorchs():
    x = torch.linspace(-9, 9, 20001)
    assert np.abs(kernels.gelu(x.numpy().copy()[None])[0] - F.gelu(x.double()).numpy()).max() < 5e-7


def test_softmax_weights_are_exponentials():
    scores = np.linspace(-40, 3, 4001).astype(np.float32)
    weights = scores.copy()
    total = kernels.to_weights(weights)
    wanted = np.exp(scores.astype(np.float64) - 3)
    assert np.allclose(weights, wanted, rtol=4e-6, atol=1e-30) and total == pytest.approx(wanted.sum(), rel=1e-6)


def test_normalised_is_layer_norm_of_the_sum():
    norm = torch.nn.LayerNorm(40)
    norm.weight.data, norm.bias.data = random(40), random(40, seed=1)
    x, y = random(3, 40) * 5 + 2, random(3, 40, seed=1)
    got = kernels.normalised(x.numpy(), y.numpy(), pack(norm, "int8"))
    assert np.allclose(got, norm(x + y).detach().numpy(), atol=2e-6)


@pytest.mark.parametrize("places", [1, 4, 11])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attended_is_attention_to_the_first_places(places, dtype):
    query, (keys, values) = random(3, 2 * 8), random(2, 3, 2, 11, 8).to(dtype)
    flat = [x[:, :, :places].float().transpose(1, 2).flatten(2) for x in (keys, values)]
    wanted = attention(query[:, None], *flat, heads=2)[:, 0]
    got = kernels.attended(query.numpy(), as_array(keys), as_array(values), places, 2)
    assert np.allclose(got, wanted.numpy(), atol=2e-6)


def test_what_is_remembered_is_rounded_as_pytorch_rounds():
    qkv = torch.cat([random(2, 3 * 6), random(2, 3 * 6, seed=1) * 1e-3], dim=1)[:, : 3 * 6]
    past = torch.zeros(2, 2, 3, 5, 2, dtype=torch.bfloat16)
    kernels.remember(qkv.numpy(), as_array(past), 4)
    wanted = qkv.view(2, 3, 3, 2)[:, 1:].transpose(0, 1).bfloat16()  # [2, N, heads, D / heads]
    assert torch.equal(past[:, :, :, 4], wanted) and past[:, :, :, :4].abs().sum() == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_layer_step_repeats_the_layer_for_the_newest_place(threads):
    torch.manual_seed(0)
    layer = Layer(ModelConfig(d_model=48, heads=6, ffn=80, dropout=0.0), cross=True).eval()
    x, memory = random(3, 7, 48), random(3, 5, 48)
    packed = tuple(pack(getattr(layer, name), "float32") for name in STEP_PARTS)
    with torch.no_grad():
        wanted = layer(x, memory, causal=True).numpy()
        pair = layer.cross_kv(memory).unflatten(-1, (2, 6, 8)).permute(2, 0, 3, 1, 4).contiguous().numpy()
    past = np.zeros((2, 3, 6, 7, 8), np.float32)
    for place in range(7):
        got = kernels.layer_step(x[:, place].contiguous().numpy(), packed, past, pair, place, threads)
        assert np.allclose(got, wanted[:, place], atol=5e-6)


def test_code_kept_from_before_a_change_is_forgotten(tmp_path, monkeypatch):
    kept = tmp_path / "__pycache__"
    kept.mkdir()
    old, new = kept / "kernels.linear-1.py311.nbi", kept / "kernels.linear-2.py311.nbi"
    for path in (old, new, tmp_path / "kernels.py"):
        path.touch()
    os.utime(old, (1, 1))
    monkeypatch.setattr(kernels, "__file__", str(tmp_path / "kernels.py"))
    kernels.forget_older_code()
    assert not old.exists() and new.exists()


def test_generating_leaves_torchs_threads_alone():
    text = (
        "import torch; torch.set_num_threads(1); from visage_lite.decoding import _use_threads; _use_threads(1); "
        "print(torch.get_num_threads())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.split() == ["1"], done.stderr
