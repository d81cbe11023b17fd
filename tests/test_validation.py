"""Validation: the loss of unseen clips, and how well generated sound is placed; the command that trains uses it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from visage_lite import ambisonics, presets
from visage_lite.batches import FeatureClips
from visage_lite.checkpoints import newest
from visage_lite.codec import load_codec
from visage_lite.dataset import write_scenes
from visage_lite.features import Networks, dataset_features, scene_features
from visage_lite.model import Visage
from visage_lite.optimisation import TrainingConfig
from visage_lite.pattern import Pattern
from visage_lite.runs import Run, read_log
from visage_lite.validation import Validation, placed

torch.set_num_threads(1)
PRESET = replace(presets.toy(), clip_s=1.0)
SMALL = replace(PRESET.model, d_model=32, heads=2, ffn=64, encoder_layers=1, decoder_layers=1)
CONFIG = TrainingConfig(steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return scene_features(range(3), tmp_path_factory.mktemp("features"), Networks(PRESET), workers=0, progress=False)


def test_the_loss_is_that_of_all_clips_at_once(folder):
    clips, model = FeatureClips(folder), Visage(SMALL, seed=0).eval()
    batch = clips.batch(np.arange(3))
    ids = Pattern(4, 4).build(batch["codes"], 256)
    with torch.no_grad():
        whole, _ = model(batch["clip"], batch["energy_map"], batch["direction"], ids, Pattern(4, 4).labels(ids, 256))
    found = Validation(clips, load_codec(PRESET), PRESET, CONFIG, batch_size=2).loss(model)
    assert found["loss"] == pytest.approx(whole.item(), rel=1e-5)
    assert found["loss"] == pytest.approx(sum(found[f"{c}{k}"] for c in "wyzx" for k in range(4)), rel=1e-5)


def test_conditions_are_dropped_only_as_released(folder):
    clips, model = FeatureClips(folder), Visage(SMALL, seed=0).eval()
    losses = []
    for per_batch in (False, True):
        config = replace(CONFIG, visual_dropout=1.0, direction_dropout=1.0, dropout_per_batch=per_batch)
        losses.append(Validation(clips, load_codec(PRESET), PRESET, config).loss(model)["loss"])
    usual = Validation(clips, load_codec(PRESET), PRESET, CONFIG).loss(model)["loss"]
    assert losses[0] == usual != losses[1]


def test_generated_sounds_are_scored_and_kept(folder, tmp_path):
    clips, model = FeatureClips(folder), Visage(SMALL, seed=0).eval()
    run = Run(tmp_path, CONFIG, model)
    run.resume(model, torch.optim.AdamW(model.parameters()))
    row = Validation(clips, load_codec(PRESET), PRESET, CONFIG, sounds=2)(model, 2, run)
    run.close()
    assert 0 <= row["direction_error_deg"] <= 180 and -1 <= row["cc"] <= 1
    written = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"clip 1/generated W" in written and b"clip 0/maps" in written


def test_a_mono_model_has_losses_only(folder, tmp_path):
    model = Visage(replace(SMALL, channels=1), seed=0).eval()
    row = Validation(FeatureClips(folder), None, PRESET, CONFIG)(model, 2, None)
    assert "direction_error_deg" not in row and row["loss"] == pytest.approx(sum(row[f"w{k}"] for k in range(4)))


def test_placed():
    sound = np.random.default_rng(0).standard_normal(16000)
    truth = [ambisonics.encode(sound, azimuth, 0.0) for azimuth in (0.0, 1.0)]
    off = [ambisonics.encode(sound, azimuth + np.radians(20), 0.0) for azimuth in (0.0, 1.0)]
    assert placed(truth, truth, 16000)["cc"] == pytest.approx(1)
    found = placed(off, truth, 16000)
    assert found["direction_error_deg"] == pytest.approx(20, abs=0.01)
    assert found["cc"] == pytest.approx(np.cos(np.radians(20)), abs=0.01)
    assert placed(truth, [0 * truth[0]] * 2, 16000) == {"direction_error_deg": 90.0, "cc": 0.0}


def test_the_command_trains_both_stages_and_goes_on(tmp_path):
    write_scenes(tmp_path / "scenes", 10, 0, workers=0, progress=False)
    dataset_features(tmp_path / "scenes", tmp_path / "features", Networks(presets.toy()), workers=0, progress=False)

    def command(*options):
        line = [sys.executable, "-m", "visage_lite.training", str(tmp_path / "features"), *map(str, options)]
        return subprocess.run(line, capture_output=True, text=True, timeout=300)

    common = ("--preset", "toy", "--batch-size", 2, "--dtype", "float32")
    done = command(tmp_path / "mono", "--stage", "mono", "--epochs", 0.5, *common)
    assert done.returncode == 0 and "2 steps on 8 clips" in done.stdout, done.stderr
    weights = tmp_path / "mono/step_00000002/model.safetensors"
    assert newest(tmp_path / "mono") == newest(tmp_path / "mono/step_00000002") == weights == newest(weights)
    done = command(tmp_path / "ambisonic", "--start", tmp_path / "mono", "--epochs", 0.25, *common)
    assert done.returncode == 0, done.stderr
    done = command(tmp_path / "ambisonic", "--start", weights, "--epochs", 0.5, *common)
    assert done.returncode == 0, done.stderr
    assert list(read_log(tmp_path / "ambisonic").index) == [1, 2]
    valid = read_log(tmp_path / "ambisonic", "validation")
    assert list(valid.index) == [1, 2] and pd.notna(valid["direction_error_deg"]).all()
    refused = command(tmp_path / "ambisonic", "--seed", 3, *common)
    assert refused.returncode == 1 and "another folder" in refused.stderr and "Traceback" not in refused.stderr
    refused = command(tmp_path / "big", "--preset", "paper")
    assert refused.returncode == 1 and "--preset toy" in refused.stderr and not (tmp_path / "big").exists()
    refused = command(tmp_path / "other", "--start", tmp_path / "none.safetensors", *common)
    assert refused.returncode == 1 and "no file" in refused.stderr
