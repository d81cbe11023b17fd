"""The training loop: it learns, stops and goes on as if nothing had happened, and says which clips broke it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from visage_lite.model import Visage
from visage_lite.optimisation import TrainingConfig
from visage_lite.presets import ModelConfig
from visage_lite.runs import read_log
from visage_lite.training import Trainer, train, window
from visage_lite.variants import VARIANTS

torch.set_num_threads(1)  # tiny tensors: a second thread only waits
TINY = ModelConfig(
    d_model=16, heads=2, ffn=32, encoder_layers=1, decoder_layers=1, channels=4, codebooks=2, vocab=12, clip_dim=6,
    patches=9, max_frames=8, max_steps=32, dropout=0.1,
)  # fmt: skip
CONFIG = TrainingConfig(steps=12, batch_size=4, learning_rate=3e-3, save_every=5, log_every=1, seed=3)
TIMES = ["frames_per_s", "seconds"]


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
        self.given, self.on_batch, self.clips = 0, on_batch, [f"clip{i}" for i in range(count)]

    def batch(self, indices, *, variants):
        self.given += 1
        if self.on_batch:
            self.on_batch(self.given)
        turns = torch.tensor([variant.quarter_turns for variant in variants])  # what was drawn shows in the data
        batch = {key: value[indices] for key, value in self.data.items()}
        return {**batch, "clip": batch["clip"] + 0.01 * turns[:, None, None]}


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def losses(folder):
    return read_log(folder).drop(columns=TIMES)


def test_a_stopped_and_resumed_run_equals_the_unbroken_one(tmp_path):
    whole = Visage(TINY, seed=0)
    train(whole, Clips(), CONFIG, tmp_path / "whole", progress=False)

    def stop(given):
        if given == 8:
            raise OSError("power cut")  # between checkpoints: steps 6 and 7 are lost and trained again

    with pytest.raises(OSError):
        train(Visage(TINY, seed=0), Clips(on_batch=stop), CONFIG, tmp_path / "parts", progress=False)
    assert list(losses(tmp_path / "parts").index) == list(range(1, 8))
    torch.manual_seed(99)  # nothing depends on the global generator
    parts = Visage(TINY, seed=1)  # its own weights are replaced by the checkpoint's
    clips = Clips()
    train(parts, clips, CONFIG, tmp_path / "parts", progress=False)
    assert clips.given == 7
    assert torch.equal(weights(whole), weights(parts))
    pd.testing.assert_frame_equal(losses(tmp_path / "whole"), losses(tmp_path / "parts"), check_exact=True)


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from dataclasses import replace
from test_training import CONFIG, TINY, Clips
from visage_lite.model import Visage
from visage_lite.training import train
train(Visage({model}, seed=0), Clips(on_batch=lambda given: time.sleep({pause})), {config}, sys.argv[1], progress=False)
"""


def script(model="TINY", config="CONFIG", pause=0.0):
    return SCRIPT.format(tests=os.path.dirname(__file__), model=model, config=config, pause=pause)


def test_a_killed_run_goes_on(tmp_path):
    """SIGKILL in the middle, twice: the third run ends with the losses and weights of the unbroken one."""
    whole = Visage(TINY, seed=0)
    config = replace(CONFIG, steps=30, save_every=3)
    train(whole, Clips(), config, tmp_path / "whole", progress=False)
    text, folder = script(config="replace(CONFIG, steps=30, save_every=3)", pause=0.05), tmp_path / "killed"
    for least in (4, 10):
        process = subprocess.Popen([sys.executable, "-c", text, str(folder)])
        deadline = time.monotonic() + 120
        while len(losses(folder) if (folder / "log.csv").is_file() else []) < least:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert len(losses(folder)) < 30
    again = Visage(TINY, seed=1)
    train(again, Clips(), config, folder, progress=False)
    assert torch.equal(weights(whole), weights(again))
    pd.testing.assert_frame_equal(losses(tmp_path / "whole"), losses(folder), check_exact=True)
    assert [path.name for path in folder.glob("step_*")] == ["step_00000030"] and not list(folder.glob(".*.tmp"))


def test_two_processes_are_one_with_the_whole_batch(tmp_path):
    (tmp_path / "run.py").write_text(script(model="replace(TINY, dropout=0.0)"))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
               "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
               "--main_process_port", "0"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command += [str(tmp_path / "run.py"), str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    one = Visage(replace(TINY, dropout=0.0), seed=0)
    train(one, Clips(), CONFIG, tmp_path / "one", progress=False)
    pd.testing.assert_frame_equal(losses(tmp_path / "one"), losses(tmp_path / "two"), rtol=2e-4)


def test_accumulation_changes_nothing(tmp_path):
    logs = []
    for parts in (1, 4):
        config = replace(CONFIG, accumulation=parts)
        train(Visage(replace(TINY, dropout=0.0), seed=0), Clips(), config, tmp_path / str(parts), progress=False)
        logs.append(losses(tmp_path / str(parts)))
    pd.testing.assert_frame_equal(*logs, rtol=2e-4)
    with pytest.raises(ValueError, match="does not divide"):
        Trainer(Visage(TINY), Clips(), replace(CONFIG, accumulation=3))


def test_ctrl_c_ends_the_step_and_saves(tmp_path):
    def press(given):
        if given == 3:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"saved at step [23] in"):
        train(Visage(TINY, seed=0), Clips(on_batch=press), CONFIG, tmp_path, progress=False)
    assert signal.getsignal(signal.SIGINT) is before
    model = Visage(TINY, seed=5)
    train(model, Clips(), CONFIG, tmp_path, progress=False)
    whole = Visage(TINY, seed=0)
    train(whole, Clips(), CONFIG, tmp_path / "whole", progress=False)
    assert torch.equal(weights(whole), weights(model))


def test_it_learns_a_small_set_by_heart(tmp_path):
    model = Visage(replace(TINY, dropout=0.0), seed=0)
    config = replace(CONFIG, steps=150, learning_rate=1e-2, visual_dropout=0.0, direction_dropout=0.0, variants="none")
    train(model, Clips(4), config, tmp_path, progress=False)
    loss = read_log(tmp_path)["loss"]
    assert loss.iloc[0] > 0.9 * 8 * np.log(12)  # eight streams, nothing known
    assert loss.iloc[-1] < 0.5 * loss.iloc[0]
    assert not model.training


def test_the_log_holds_every_stream_and_their_sum(tmp_path):
    train(Visage(TINY, seed=0), Clips(), replace(CONFIG, steps=2), tmp_path, progress=False)
    log = read_log(tmp_path)
    streams = [f"{channel}{k}" for channel in "wyzx" for k in range(2)]
    assert np.allclose(log[streams].sum(axis=1), log["loss"], rtol=1e-4)
    assert np.allclose(log[["y0", "z0", "x0"]].mean(axis=1), log["first_others"], rtol=1e-4)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_a_mono_model_trains_with_the_same_loop(tmp_path):
    """On the same clips: it takes their first channel, and neither map nor direction."""
    clips, config = Clips(), replace(CONFIG, steps=3)
    train(Visage(replace(TINY, channels=1), seed=0), clips, config, tmp_path / "four", progress=False)
    clips.data["codes"] = clips.data["codes"][:, :1]
    train(Visage(replace(TINY, channels=1), seed=0), clips, config, tmp_path / "one", progress=False)
    pd.testing.assert_frame_equal(losses(tmp_path / "four"), losses(tmp_path / "one"), check_exact=True)


def test_a_loss_that_is_not_finite_names_the_clips(tmp_path):
    clips = Clips(6)
    clips.data["clip"][4, 0, 0] = np.nan
    model = Visage(TINY, seed=0)
    config = replace(CONFIG, visual_dropout=0.0, save_every=1)
    with pytest.raises(FloatingPointError, match=r"step \d+, clips .*clip4"):
        train(model, clips, config, tmp_path, progress=False)
    assert torch.isfinite(weights(model)).all()


@pytest.mark.parametrize("per_batch", [False, True])
def test_guidance_dropout(per_batch):
    """Each clip by itself, picture and direction independently; as released, all clips of a batch alike."""
    config = replace(CONFIG, batch_size=200, visual_dropout=0.1, direction_dropout=0.3, dropout_per_batch=per_batch)
    trainer = Trainer(Visage(TINY, seed=0), Clips(), config)
    masks = torch.stack([torch.stack(trainer.batch(step)[0]["drop"]) for step in range(100)]).float()  # [100, 2, 200]
    assert (masks.std(dim=2).max() == 0) == per_batch
    visual, direction = masks.mean(dim=(0, 2)).tolist()
    assert 0.02 < visual < 0.2 and 0.2 < direction < 0.4
    assert not torch.equal(masks[:, 0], masks[:, 1])


def test_dropped_conditions_do_not_matter():
    for share in (0.0, 1.0):
        config = replace(CONFIG, visual_dropout=share, direction_dropout=share)
        found = []
        for scale in (1.0, 5.0):
            clips, model = Clips(), Visage(replace(TINY, dropout=0.0), seed=0)
            with torch.no_grad():  # fresh projections are too small to tell
                for weight in model.parameters():
                    weight.mul_(10)
            clips.data["clip"] *= scale
            clips.data["direction"] *= scale
            found.append(Trainer(model, clips, config).step(0)["loss"])
        assert (found[0] == found[1]) == (share == 1.0)


def test_variants_are_drawn_as_asked():
    drawn = {}
    for name in ("all", "released", "none"):
        clips, seen = Clips(), []
        kept = clips.batch
        clips.batch = lambda indices, *, variants, kept=kept, seen=seen: (
            seen.extend(variants) or kept(indices, variants=variants)
        )
        trainer = Trainer(Visage(TINY, seed=0), clips, replace(CONFIG, variants=name, batch_size=100))
        trainer.batch(0)
        drawn[name] = {VARIANTS.index(variant) for variant in seen}
    assert drawn == {"all": set(range(8)), "released": {0, 3}, "none": {0}}


def test_a_window_is_scored_at_its_own_place():
    """The loss of a part of a clip is that of the same steps of the whole clip, but for what the model remembers."""
    model = Visage(replace(TINY, dropout=0.0, decoder_layers=0), seed=0).eval()  # no memory at all
    clips = Clips(channels=4)
    whole = Trainer(model, clips, replace(CONFIG, variants="none")).batch(0)[0]
    part = Trainer(model, clips, replace(CONFIG, variants="none", window=3)).batch(0)[0]
    assert set(part["start"].tolist()) <= {0, 2, 4, 6} and part["ids"].shape[1] == 7
    whole, part = ({**each, "labels": None} for each in (whole, part))
    everywhere, there = model.eval()(**whole), model(**part)
    for i, start in enumerate(part["start"].tolist()):
        # The first steps of a window do not know the codes before it; step 3 knows all that the whole clip knows.
        torch.testing.assert_close(there[i, 3:6], everywhere[i, start + 3 : start + 6])


def test_a_misheard_past_is_read_but_the_true_codes_are_asked_for():
    clips = Clips()
    kept, pad = clips.batch, TINY.pad_id
    clips.batch = lambda indices, *, variants: {
        **(batch := kept(indices, variants=variants)), "history": torch.full_like(batch["codes"], pad)
    }  # fmt: skip
    model, config = Visage(TINY, seed=0), replace(CONFIG, window=3)
    plain, deaf = (Trainer(model, each, config).batch(0)[0] for each in (Clips(), clips))
    assert torch.equal(plain["labels"], deaf["labels"]) and (plain["labels"] == plain["ids"])[plain["ids"] != pad].all()
    assert (deaf["ids"] == pad).all() and not (plain["ids"] == pad).all()


def test_windows_lie_anywhere_and_keep_the_codes():
    codes = torch.arange(10).expand(4, 4, 2, 10)
    cut, first = window(codes, np.array([0.0, 0.3, 0.6, 0.999]), 4)
    assert first.tolist() == [0, 2, 4, 6] and cut.shape == (4, 4, 2, 4)
    assert cut[2, 1, 1].tolist() == [4, 5, 6, 7]
    with pytest.raises(ValueError, match="does not fit"):
        window(codes, np.zeros(4), 11)


def test_another_run_is_refused(tmp_path):
    train(Visage(TINY, seed=0), Clips(), replace(CONFIG, steps=1), tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"model.d_model 16, now 32.*another folder"):
        train(Visage(replace(TINY, d_model=32), seed=0), Clips(), CONFIG, tmp_path, progress=False)
    with pytest.raises(ValueError, match="training.seed 3, now 4"):
        train(Visage(TINY, seed=0), Clips(), replace(CONFIG, seed=4), tmp_path, progress=False)
    train(Visage(TINY, seed=0), Clips(), replace(CONFIG, steps=2), tmp_path, progress=False)  # more steps: allowed
    assert list(read_log(tmp_path).index) == [1, 2]


def test_bfloat16_follows_float32():
    found = []
    for dtype in ("float32", "bfloat16"):
        model = Visage(replace(TINY, dropout=0.0), seed=0)
        found.append(Trainer(model, Clips(), replace(CONFIG, dtype=dtype)).step(0)["loss"])
        assert model.dtype == torch.float32
    assert found[0] == pytest.approx(found[1], rel=0.01)


def test_validation_and_live_plot_are_called(tmp_path):
    shown, asked = [], []

    def validation(model, step, run):
        asked.append((step, model.training))
        return {"error_deg": 90.0 / step}

    config = replace(CONFIG, steps=5, log_every=2, validate_every=3)
    train(Visage(TINY, seed=0), Clips(), config, tmp_path, validation, progress=False, show=shown.append)
    assert shown == [2, 4, 5] and asked == [(3, False), (5, False)]
    assert read_log(tmp_path, "validation")["error_deg"].tolist() == [30.0, 18.0]
