"""Rates, batches and parameter groups; the published recipe."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from visage_lite.model import Visage
from visage_lite.optimisation import (
    TrainingConfig,
    batch_indices,
    clip_gradients,
    learning_rate,
    make_optimizer,
    published,
)
from visage_lite.presets import ModelConfig

TINY = ModelConfig(d_model=16, heads=2, ffn=32, encoder_layers=1, decoder_layers=1, codebooks=2, vocab=12, clip_dim=6)


def test_no_weight_decay_on_biases_and_norms():
    model = Visage(TINY, seed=0)
    optimizer = make_optimizer(model, replace(TrainingConfig(), weight_decay=0.5))
    decayed, plain = optimizer.param_groups
    assert decayed["weight_decay"] == 0.5 and plain["weight_decay"] == 0.0
    plain_ids = {id(weight) for weight in plain["params"]}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert (id(weight) in plain_ids) == (weight.ndim < 2 or name.endswith("bias")), name
    wanted = sum(weight.requires_grad for weight in model.parameters())
    assert wanted == len(decayed["params"]) + len(plain["params"])


def test_every_epoch_shows_every_clip_once():
    seen = np.concatenate([batch_indices(10, 4, 7, step) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])
    with pytest.raises(ValueError, match="no clips"):
        batch_indices(0, 4, 7, 0)


def test_learning_rate_goes_up_stays_and_goes_down():
    config = TrainingConfig(steps=100, learning_rate=2.0, warmup_steps=10, decay_steps=20)
    assert [learning_rate(config, step) for step in (0, 4, 9, 50, 80)] == pytest.approx([0.2, 1.0, 2.0, 2.0, 2.0])
    assert learning_rate(config, 99) == pytest.approx(0.1)
    assert {learning_rate(TrainingConfig(), step) for step in (0, 50_000, 101_999)} == {1e-4}  # the published stage


def test_the_published_stages():
    ambisonic, mono = published("ambisonic", 81_594), published("mono", 64_000, dtype="bfloat16")
    assert ambisonic.steps == 101_993 and ambisonic.warmup_steps == 0  # "about 102 k"
    assert mono.steps == 50_000 and mono.warmup_steps == 4000 and mono.dtype == "bfloat16"
    assert published("mono", 64_000, epochs=0.5).steps == 500
    with pytest.raises(ValueError, match="mono, ambisonic"):
        published("stereo", 10)


@pytest.mark.parametrize("limit", [0.5, 1e9])
def test_gradients_are_clipped_by_their_common_norm(limit):
    models = [Visage(TINY, seed=0) for _ in range(2)]
    for model in models:
        generator = torch.Generator().manual_seed(1)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.grad = torch.randn(weight.shape, generator=generator)
    wanted = torch.nn.utils.clip_grad_norm_(models[0].parameters(), limit)
    torch.testing.assert_close(clip_gradients(models[1], limit), wanted, rtol=1e-5, atol=0)
    for one, other in zip(*(model.parameters() for model in models)):
        if one.requires_grad:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-9)
