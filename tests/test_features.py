"""Features: what is in them, kept across interruptions, and turned and mirrored as the scene itself would be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from visage_lite import presets
from visage_lite.codec import load_codec
from visage_lite.directions import Direction
from visage_lite.features import (
    FeatureClips,
    random_windows,
    scene_features,
    sound_features,
    turn_and_mirror,
    video_features,
)
from visage_lite.scenes import make_scene
from visage_lite.vision import load_vision

torch.set_num_threads(1)
PRESET = replace(presets.toy(), clip_s=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return scene_features([5, 6, 7], tmp_path_factory.mktemp("features"), PRESET, workers=0, progress=False)


def heard_direction(codes, codec):
    """The direction of the intensity of the decoded codes: front, left, up."""
    foa = codec.decode(codes)
    vector = (foa[:1] * foa[[3, 1, 2]]).sum(1)
    return Direction.from_vector(vector / np.linalg.norm(vector))


def test_features_of_a_scene(folder):
    clips = FeatureClips(folder)
    assert len(clips) == 3 and "toy" in clips.origin["vision"] and "toy" in clips.origin["codec"]
    batch = clips.batch(np.array([2, 0]), np.random.default_rng(0))
    shapes = {key: list(value.shape) for key, value in batch.items()}
    assert shapes == {"clip": [2, 4, 64], "energy_map": [2, 4, 49], "direction": [2, 3], "codes": [2, 4, 4, 50]}
    assert batch["codes"].dtype == torch.int64 and batch["clip"].dtype == torch.float32
    scene, vision, codec = make_scene(7, duration_s=1.0), load_vision(PRESET), load_codec(PRESET)
    np.testing.assert_array_equal(batch["codes"][0], codec.encode(scene.foa(16000)))
    np.testing.assert_allclose(batch["clip"][0], vision.features(scene.view(224)).clip, atol=1e-5)
    np.testing.assert_allclose(batch["direction"][0], scene.camera.to_model_input(), atol=1e-6)


def test_the_mirrored_view_is_the_second(folder):
    scene, vision = make_scene(6, duration_s=1.0), load_vision(PRESET)
    mirrored = vision.features(np.ascontiguousarray(scene.view(224)[:, :, ::-1]))
    np.testing.assert_allclose(FeatureClips(folder).arrays["clip"][1, 1], mirrored.clip, atol=1e-5)
    np.testing.assert_allclose(FeatureClips(folder).arrays["energy_map"][1, 1], mirrored.energy_map, atol=1e-5)


def test_files_that_are_there_are_kept(folder):
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert len(before) == 2
    scene_features([5, 6, 7], folder, PRESET, workers=0, progress=False)
    assert before == {file: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_what_does_not_fit_is_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="scene_features"):
        FeatureClips(tmp_path)
    for name in ("sound", "video"):
        (source,) = folder.glob(f"{name}_*.npz")
        arrays = dict(np.load(source))
        np.savez(tmp_path / source.name, **arrays)
    FeatureClips(tmp_path)
    np.savez(tmp_path / "video_9.npz", **{**arrays, "origin": "another CLIP"})
    with pytest.raises(ValueError, match="different networks"):
        FeatureClips(tmp_path)
    np.savez(tmp_path / "video_9.npz", **arrays)
    with pytest.raises(ValueError, match="different clips"):
        FeatureClips(tmp_path)


def test_turned_and_mirrored_clips_are_those_of_the_turned_scene():
    """Sound and camera direction after augmentation agree with Direction's own arithmetic."""
    codec = load_codec(PRESET)
    scene = make_scene(11, kind="siren", duration_s=1.0, moving=False)
    sound = sound_features(scene.foa(16000), scene.camera, codec)
    source = heard_direction(sound["codes"], codec)
    count = 40
    batch = {key: np.repeat(value[None], count, axis=0) for key, value in sound.items()}
    turned, mirrored = turn_and_mirror(batch, np.random.default_rng(0))
    places = set()
    for clip in range(count):
        flip = -1 if mirrored[clip] else 1
        for quarter in range(4):
            camera = Direction(flip * scene.camera.azimuth, scene.camera.elevation).rotated(quarter * np.pi / 2)
            if np.allclose(camera.to_model_input(), turned["direction"][clip], atol=1e-5):
                expected = Direction(flip * source.azimuth, source.elevation).rotated(quarter * np.pi / 2)
                assert heard_direction(turned["codes"][clip], codec).angle_to(expected) < 1e-3
                places.add((flip, quarter))
    assert len(places) == 8
    np.testing.assert_array_equal(batch["codes"][0], sound["codes"])  # the features themselves are left alone


def test_a_mirrored_view_belongs_to_a_mirrored_sound(folder):
    """The batch takes the mirrored picture exactly where it mirrored the sound."""
    plain, clips = FeatureClips(folder), FeatureClips(folder, augment=turn_and_mirror)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        batch = clips.batch(np.array([0, 1, 2]), rng)
        raw = {key: plain.arrays[key][[0, 1, 2]] for key in plain.arrays}
        _, mirrored = turn_and_mirror(raw, np.random.default_rng(seed))
        for clip in range(3):
            np.testing.assert_array_equal(batch["clip"][clip], plain.arrays["clip"][clip, mirrored[clip]])


def test_random_windows_keep_picture_and_sound_together():
    """Every picture is marked with its number and every code with its frame: they must start at the same time."""
    pictures, frames, count = 20, 250, 30
    batch = {
        "clip": np.tile(np.arange(pictures, dtype=np.float32)[:, None], (count, 2, 1, 3)),
        "energy_map": np.tile(np.arange(pictures, dtype=np.float32)[:, None], (count, 2, 1, 49)),
        "codes": np.tile(np.arange(frames), (count, 4, 4, 1)),
    }
    cut = random_windows(batch, np.random.default_rng(0), 64)
    assert cut["codes"].shape == (count, 4, 4, 64) and cut["clip"].shape == batch["clip"].shape
    first, picture = cut["codes"][:, 0, 0, 0], cut["clip"][:, 0, 0, 0]
    np.testing.assert_array_equal(first / 50, picture / 4)  # seconds
    np.testing.assert_array_equal(cut["energy_map"][:, 1, 5, 0], (picture + 5) % pictures)
    np.testing.assert_array_equal(cut["codes"][:, 2, 1], first[:, None] + np.arange(64))
    assert set(first) == set(range(0, 187, 25))
    whole = random_windows(batch, np.random.default_rng(0), 250)
    np.testing.assert_array_equal(whole["clip"], batch["clip"])
    with pytest.raises(ValueError, match="does not fit"):
        random_windows(batch, np.random.default_rng(0), 251)


def test_video_features_refuse_what_vision_refuses():
    with pytest.raises(ValueError):
        video_features(np.zeros((4, 224, 224, 3)), load_vision(PRESET))
