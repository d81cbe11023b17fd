"""The training loop: it learns, stops and goes on as if nothing had happened, and says which clips broke it."""

import csv
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from visage_lite.model import Visage
from visage_lite.presets import ModelConfig
from visage_lite.training import (
    COLUMNS,
    TrainingConfig,
    batch_indices,
    learning_rate,
    make_optimizer,
    resume,
    train,
    train_step,
)  # fmt: skip

torch.set_num_threads(1)  # tiny tensors: a second thread only waits
TINY = ModelConfig(
    d_model=16, heads=2, ffn=32, encoder_layers=1, decoder_layers=1, channels=4, codebooks=2, vocab=12, clip_dim=6,
    patches=9, max_frames=8, max_steps=32, dropout=0.1,
)  # fmt: skip
CONFIG = TrainingConfig(steps=12, batch_size=4, learning_rate=3e-3, save_every=5, log_every=1, seed=3)


class Clips:
    """Random clips held in memory; `on_batch` is called with the count of batches given."""

    def __init__(self, count=10, on_batch=None, channels=4):
        rng = np.random.default_rng(0)
        self.data = {
            "clip": torch.from_numpy(rng.standard_normal((count, 3, 6), dtype=np.float32)),
            "energy_map": torch.from_numpy(rng.random((count, 3, 9), dtype=np.float32)),
            "direction": torch.from_numpy(rng.standard_normal((count, 3), dtype=np.float32)),
            "codes": torch.from_numpy(rng.integers(0, 12, (count, channels, 2, 6))),
        }
        if channels == 1:
            del self.data["energy_map"], self.data["direction"]
        self.given, self.on_batch = 0, on_batch

    def __len__(self):
        return len(self.data["codes"])

    def batch(self, indices, rng):
        self.given += 1
        if self.on_batch:
            self.on_batch(self.given)
        noise = torch.from_numpy(rng.standard_normal((len(indices), 3, 6), dtype=np.float32))
        batch = {key: value[indices] for key, value in self.data.items()}
        return {**batch, "clip": batch["clip"] + 0.01 * noise}  # uses the generator, as augmentation does


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_stopped_and_resumed_run_equals_the_unbroken_one(tmp_path):
    whole = Visage(TINY, seed=0)
    train(whole, Clips(), CONFIG, tmp_path / "whole", progress=False)

    def stop(given):
        if given == 8:
            raise OSError("power cut")  # between checkpoints: steps 6 and 7 are lost and trained again

    with pytest.raises(OSError):
        train(Visage(TINY, seed=0), Clips(on_batch=stop), CONFIG, tmp_path / "parts", progress=False)
    torch.manual_seed(99)  # nothing depends on the global generator
    parts = Visage(TINY, seed=1)  # its own weights are replaced by the checkpoint's
    clips = Clips()
    train(parts, clips, CONFIG, tmp_path / "parts", progress=False)
    assert clips.given == 7
    assert torch.equal(weights(whole), weights(parts))
    for one, other in zip(rows(tmp_path / "whole/log.csv"), rows(tmp_path / "parts/log.csv"), strict=True):
        assert [one[key] for key in COLUMNS[:-1]] == [other[key] for key in COLUMNS[:-1]]


def test_ctrl_c_ends_the_step_and_saves(tmp_path):
    def press(given):
        if given == 3:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="step 3"):
        train(Visage(TINY, seed=0), Clips(on_batch=press), CONFIG, tmp_path, progress=False)
    assert signal.getsignal(signal.SIGINT) is before
    model = Visage(TINY, seed=5)
    assert resume(tmp_path / "checkpoint.pt", model, make_optimizer(model, CONFIG)) == 3
    train(model, Clips(), CONFIG, tmp_path, progress=False)
    whole = Visage(TINY, seed=0)
    train(whole, Clips(), CONFIG, tmp_path / "whole", progress=False)
    assert torch.equal(weights(whole), weights(model))


def test_it_learns_a_small_set_by_heart(tmp_path):
    model = Visage(replace(TINY, dropout=0.0), seed=0)
    config = replace(CONFIG, steps=150, learning_rate=1e-2, visual_dropout=0.0, direction_dropout=0.0)
    log = rows(train(model, Clips(4), config, tmp_path, progress=False))
    assert float(log[0]["loss"]) > 0.9 * 8 * np.log(12)  # eight streams, nothing known
    assert float(log[-1]["loss"]) < 0.5 * float(log[0]["loss"])
    assert not model.training


def test_a_mono_model_trains_with_the_same_loop(tmp_path):
    model = Visage(replace(TINY, channels=1), seed=0)
    log = rows(train(model, Clips(channels=1), replace(CONFIG, steps=3), tmp_path, progress=False))
    assert len(log) == 3 and all(np.isfinite(float(row["loss"])) for row in log)


def test_a_loss_that_is_not_finite_names_the_clips(tmp_path):
    clips = Clips(6)
    clips.data["clip"][4, 0, 0] = np.nan
    model = Visage(TINY, seed=0)
    config = replace(CONFIG, visual_dropout=0.0, save_every=1)
    with pytest.raises(FloatingPointError, match=r"step \d+, clips \[.*4.*\]"):
        train(model, clips, config, tmp_path, progress=False)
    assert torch.isfinite(weights(model)).all()


def test_guidance_dropout_is_drawn_for_each_clip():
    """With everything dropped the conditions must not matter; with nothing dropped they must."""
    for share in (0.0, 1.0):
        config = replace(CONFIG, visual_dropout=share, direction_dropout=share, seed=1)
        losses = []
        for scale in (1.0, 5.0):
            clips, model = Clips(), Visage(replace(TINY, dropout=0.0), seed=0)
            with torch.no_grad():  # fresh projections are too small to tell
                for weight in model.parameters():
                    weight.mul_(10)
            clips.data["clip"] *= scale
            clips.data["direction"] *= scale
            losses.append(train_step(model, make_optimizer(model, config), clips, config, 0)["loss"])
        assert (losses[0] == losses[1]) == (share == 1.0)
    masks = []
    model = Visage(TINY, seed=0)
    kept = model.drop_conditions
    model.drop_conditions = lambda *given: masks.append(given[-2:]) or kept(*given)
    config = replace(CONFIG, batch_size=200, visual_dropout=0.1, direction_dropout=0.3)
    train_step(model, make_optimizer(model, config), Clips(), config, 0)
    visual, direction = (mask.float().mean().item() for mask in masks[0])
    assert 0.03 < visual < 0.2 and 0.2 < direction < 0.4
    assert not torch.equal(*masks[0])


def test_no_weight_decay_on_biases_and_norms():
    model = Visage(TINY, seed=0)
    optimizer = make_optimizer(model, replace(CONFIG, weight_decay=0.5))
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


def test_the_checkpoint_of_another_model_is_refused(tmp_path):
    train(Visage(TINY, seed=0), Clips(), replace(CONFIG, steps=1), tmp_path, progress=False)
    with pytest.raises(ValueError, match="another model"):
        train(Visage(replace(TINY, d_model=32), seed=0), Clips(), CONFIG, tmp_path, progress=False)


def test_bfloat16_follows_float32():
    losses = []
    for dtype in ("float32", "bfloat16"):
        model = Visage(replace(TINY, dropout=0.0), seed=0)
        config = replace(CONFIG, dtype=dtype)
        losses.append(train_step(model, make_optimizer(model, config), Clips(), config, 0)["loss"])
        assert model.dtype == torch.float32
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
