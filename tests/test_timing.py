"""The aligned start: before any training, each step attends to the pictures of its own time."""

import math
from dataclasses import replace

import pytest
import torch

from visage_lite import presets
from visage_lite.model import Visage
from visage_lite.timing import align_time, waves

torch.set_num_threads(1)
SIZES = presets.toy().model


def attention_by_frame(model, steps):
    """Attention of the first decoder layer to the 20 frames: [steps, 20], mean over heads."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        memory = model.encode(torch.randn(1, 20, 64, generator=generator))
        codes = torch.randint(256, (1, 501, SIZES.streams), generator=generator)
        x = model.decoder_entry(model.embed(codes), 0)[:, steps]
        layer = model.decoder_layers[0]
        query, key = layer.cross_q(x), layer.cross_kv(memory)[..., : SIZES.d_model]
        query, key = (each.unflatten(-1, (SIZES.heads, -1)).transpose(1, 2) for each in (query, key))
        weights = (query @ key.transpose(-1, -2) / math.sqrt(SIZES.d_model // SIZES.heads)).softmax(-1)
    return weights[0].mean(0)[:, 1:21]


def test_waves_are_alike_when_times_are_near():
    rows = waves(torch.tensor([1.0, 1.1, 1.5, 4.0]), 128)
    near, later, far = (torch.cosine_similarity(rows[0], row, dim=0).item() for row in rows[1:])
    assert near > 0.85 > later > far
    assert rows.shape == (4, 128) and rows.abs().max() <= 1


@pytest.mark.parametrize("aligned", [True, False])
def test_steps_look_at_their_own_time(aligned):
    model = Visage(replace(SIZES, dropout=0.0), seed=0).eval()
    if aligned:
        align_time(model, video_rate=4.0, code_rate=50.0)
    steps = torch.arange(0, 500, 20)  # a step lasts 10 ms, a frame 250 ms
    weights = attention_by_frame(model, steps)
    near = (torch.arange(20)[None] / 4 - steps[:, None] / 100).abs() <= 0.26
    share = (weights * near).sum(1).mean().item()
    assert share > 0.6 if aligned else share < 0.15, share


def test_only_the_start_is_set_and_the_seed_decides():
    plain, one, other = (Visage(SIZES, seed=0) for _ in range(3))
    align_time(one, 4.0, 50.0, seed=1)
    align_time(other, 4.0, 50.0, seed=1)
    changed = {name for name, weight in one.named_parameters() if not torch.equal(weight, plain.get_parameter(name))}
    wanted = {f"decoder_layers.{i}.cross_{part}.weight" for i in range(4) for part in ("q", "kv")}
    assert changed == wanted | {"encoder_positions", "decoder_positions"}
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))
    width = SIZES.d_model
    assert torch.equal(one.decoder_layers[0].cross_kv.weight[width:], plain.decoder_layers[0].cross_kv.weight[width:])
