"""The sounds of many clips: each as if made alone, resumed after any stop with the same bytes, recipes never mixed."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from visage_lite import batch_generation, presets
from visage_lite.batch_generation import clip_generator, generate_dataset, read_manifest, sha256
from visage_lite.batches import FeatureClips
from visage_lite.features import Networks, scene_features
from visage_lite.generation import Sampling, generate, joint_guidance, no_guidance, two_way_guidance
from visage_lite.media import read_audio
from visage_lite.model import Visage
from visage_lite.pipeline import Models
from visage_lite.toy_codec import ToyCodec

PRESET = replace(presets.toy(), clip_s=1.0)
SAMPLING = Sampling(temperature=PRESET.temperature, top_k=PRESET.top_k)


def models_of(vision, seed=0, **sizes):
    """A small random model and a random codec."""
    config = replace(presets.toy().model, d_model=16, heads=2, ffn=32, encoder_layers=1, decoder_layers=1, **sizes)
    codec = ToyCodec(np.random.default_rng(0).normal(size=(3, 256, 320)).astype(np.float32))
    return Models(PRESET, SimpleNamespace(name=vision), codec, Visage(config, seed=seed).eval(), "random model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return scene_features([5, 6, 7], tmp_path_factory.mktemp("features"), Networks(PRESET), workers=0, progress=False)


@pytest.fixture(scope="module")
def models(folder):
    return models_of(FeatureClips(folder).origin["vision"])


@pytest.fixture(scope="module")
def whole(folder, models, tmp_path_factory):
    """All three clips, made in one batch."""
    out = tmp_path_factory.mktemp("sounds") / "out"
    made = generate_dataset(folder, out, models, batch_size=3, progress=False)
    assert (made.made, made.kept) == (3, 0)
    return out


def sounds(out):
    return {path.name: path.read_bytes() for path in out.glob("*.wav")}


def test_a_wav_a_clip_and_a_manifest_that_says_how(whole, folder, models):
    assert sorted(path.name for path in whole.iterdir()) == ["5.wav", "6.wav", "7.wav", "manifest.csv", "manifest.json"]
    table = read_manifest(whole)
    assert table["clip"].tolist() == ["5", "6", "7"] and table["samples"].tolist() == [16000] * 3
    assert table["sha256"].tolist() == [sha256(whole / name) for name in table["file"]] and (table["seconds"] > 0).all()
    recipe = json.loads((whole / "manifest.json").read_text())
    assert recipe["seed"] == 0 and recipe["dtype"] == "float32" and recipe["sampling"]["top_k"] == 30
    scale = models.preset.guidance_scale
    assert [branch["weight"] for branch in recipe["guidance"]] == [1 + scale, -scale]
    assert recipe["guidance"][0]["direction"]
    assert recipe["checkpoint"]["name"] == "random model" and len(recipe["checkpoint"]["weights"]) == 16
    assert recipe["versions"]["torch"] and set(recipe["features"]) == {"sound", "video"}
    foa, rate = read_audio(whole / "6.wav")
    assert foa.shape == (4, 16000) and rate == 16000 and foa.dtype == np.float32 and np.abs(foa).max() > 0


def test_the_batch_makes_no_difference(whole, folder, models, tmp_path):
    for size in (1, 2):
        generate_dataset(folder, tmp_path / str(size), models, batch_size=size, progress=False)
        assert sounds(tmp_path / str(size)) == sounds(whole)
        assert read_manifest(tmp_path / str(size))["sha256"].tolist() == read_manifest(whole)["sha256"].tolist()


@pytest.mark.parametrize("guidance", [no_guidance(), joint_guidance(2.5), two_way_guidance(1, 2)], ids=len)
def test_codes_of_a_batch_are_those_of_each_clip_alone(folder, models, guidance):
    batch = FeatureClips(folder).batch(np.arange(3))
    told = [batch[key] for key in ("clip", "energy_map", "direction")]
    generators = [clip_generator(4, name) for name in "567"]
    together = generate(models.model, *told, 20, guidance, SAMPLING, generators, progress=False)
    for clip, name in enumerate("567"):
        one = [x[clip : clip + 1] for x in told]
        alone = generate(models.model, *one, 20, guidance, SAMPLING, clip_generator(4, name), progress=False)
        assert torch.equal(alone[0], together[clip])
    sound = models.codec.decode(together[1].numpy())
    assert np.isfinite(sound).all()


def test_random_numbers_are_of_the_seed_and_the_name():
    keys = [(seed, name) for seed in range(9) for name in ("a", "1 a", "b")]
    first, again = ([torch.rand(4, generator=clip_generator(*key)).tolist() for key in keys] for _ in range(2))
    assert first == again and len({tuple(row) for row in first}) == len(keys)


def test_what_is_there_is_kept_and_what_was_damaged_is_made_again(whole, folder, models, tmp_path, capsys):
    out = tmp_path / "out"
    assert generate_dataset(folder, out, models, limit=2, batch_size=1, progress=False).made == 2
    before = (out / "5.wav").stat().st_mtime_ns
    (out / "6.wav").write_bytes((out / "6.wav").read_bytes()[:-8])
    lines = (out / "manifest.csv").read_text()
    (out / "manifest.csv").write_text(lines + "7,7.wav,16000,0123")  # a run was killed while it wrote this
    made = generate_dataset(folder, out, models)
    assert (made.made, made.kept) == (2, 1) and made.table["clip"].tolist() == ["5", "6", "7"]
    assert "generating" in (said := capsys.readouterr().err) and "3/3" in said
    assert (out / "5.wav").stat().st_mtime_ns == before and sounds(out) == sounds(whole)
    text = (out / "manifest.csv").read_text().splitlines()
    assert len(text) == 4 and all(line.count(",") == 4 for line in text)
    again = generate_dataset(folder, out, models, progress=False)
    assert (again.made, again.kept) == (0, 3) and (out / "manifest.csv").read_text().splitlines() == text


def test_a_file_that_was_not_noted_is_made_again(whole, folder, models, tmp_path):
    """Killed after the files of a batch were renamed, before its lines were written."""
    generate_dataset(folder, tmp_path / "out", models, progress=False)
    path = tmp_path / "out" / "manifest.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert generate_dataset(folder, tmp_path / "out", models, progress=False).made == 2
    path.write_text("")  # killed at once after it was opened
    assert generate_dataset(folder, tmp_path / "out", models, progress=False).made == 3
    assert sounds(tmp_path / "out") == sounds(whole) and len(read_manifest(tmp_path / "out")) == 3


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_batch_generation as t
models, decoded = t.models_of({vision!r}), []
decode = models.codec.decode
def last(codes):
    decoded.append(codes)
    if len(decoded) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(codes)
models.codec.decode = last
t.generate_dataset({features!r}, {out!r}, models, batch_size=1, progress=False)
"""


def test_a_killed_run_goes_on(whole, folder, models, tmp_path):
    out = tmp_path / "out"
    tests = str(Path(__file__).parent)
    program = KILLED.format(tests=tests, vision=models.vision.name, features=str(folder), out=str(out))
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert read_manifest(out)["clip"].tolist() == ["5", "6"]
    made = generate_dataset(folder, out, models, progress=False)
    assert (made.made, made.kept) == (1, 2) and sounds(out) == sounds(whole)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_whole_batches(folder, models, tmp_path, monkeypatch, failure):
    write = batch_generation.write_foa

    def broken(path, *sound):
        if path.name == "7.wav":
            raise failure("stop")
        write(path, *sound)

    monkeypatch.setattr(batch_generation, "write_foa", broken)
    with pytest.raises(failure):
        generate_dataset(folder, tmp_path, models, batch_size=2, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5.wav", "6.wav", "manifest.csv", "manifest.json"]
    assert read_manifest(tmp_path)["clip"].tolist() == ["5", "6"]


def test_another_recipe_is_refused(whole, folder, models):
    before = {path: path.read_bytes() for path in whole.iterdir()}
    for change, message in (
        ({"seed": 1}, "seed was 0, is 1"),
        ({"guidance": no_guidance()}, "guidance was"),
        ({"sampling": Sampling(greedy=True)}, "sampling was"),
        ({"dtype": "bfloat16"}, "dtype was float32, is bfloat16"),
        ({"models": models_of(models.vision.name, seed=1)}, "checkpoint was"),
    ):
        with pytest.raises(ValueError, match=f"another recipe .*{message}.*: choose another folder"):
            generate_dataset(folder, whole, **{"models": models, "progress": False} | change)
    assert {path: path.read_bytes() for path in whole.iterdir()} == before


def test_what_cannot_be_done_is_refused_before_anything_is_written(folder, models, tmp_path):
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "5.wav").write_text("precious")
    wrong = [
        ({"out": tmp_path / "truth"}, models, "something else than generated sounds: choose an empty or a new folder"),
        ({"batch_size": 0}, models, "batch_size must be at least 1"),
        ({"split": "test"}, models, "none of the split|in the split 'test'"),
        ({"dtype": "float8"}, models, "no number type 'float8'"),
        ({}, models_of("another CLIP"), "the features are of toy CLIP .*give the preset they were made with"),
        ({}, models_of(models.vision.name, max_steps=100), "longer than the 100 steps"),
        ({}, models_of(models.vision.name, channels=1), "mono one"),
    ]
    for options, given, message in wrong:
        with pytest.raises(ValueError, match=message):
            generate_dataset(folder, **{"out": tmp_path / "new", "models": given, "progress": False} | options)
    assert (tmp_path / "truth" / "5.wav").read_text() == "precious" and not (tmp_path / "new").exists()
    with pytest.raises(FileNotFoundError, match="generate-all"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/b", "a\\b", "", ".hidden", "a,b", "a\nb", "x" * 201, "é"])
def test_names_never_become_paths(folder, models, tmp_path, monkeypatch, name):
    monkeypatch.setattr(FeatureClips, "__init__", lambda self, *_, **__: vars(self).update(
        clips=["5", name], origin={"vision": models.vision.name}))  # fmt: skip
    with pytest.raises(ValueError, match="no file name for a clip"):
        generate_dataset(folder, tmp_path / "out", models, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_lines_of_a_manifest_from_elsewhere_reach_no_other_file(whole, folder, models, tmp_path):
    generate_dataset(folder, tmp_path / "out", models, progress=False)
    path = tmp_path / "out" / "manifest.csv"
    path.write_text(path.read_text() + f"x,../x.wav,1,{'0' * 64},1.0\n../x,../x.wav,1,{'0' * 64},1.0\n")
    assert len(read_manifest(tmp_path / "out")) == 3
    generate_dataset(folder, tmp_path / "out", models, progress=False)
    assert ".." not in path.read_text()
