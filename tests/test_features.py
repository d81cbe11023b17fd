"""Features: what is in them, from files and from seeds, resumed, with bad clips told and recipes kept apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from visage_lite import presets
from visage_lite.batches import FeatureClips
from visage_lite.codec import DacCodec, load_codec
from visage_lite.dataset import scene_of, write_scenes
from visage_lite.features import (
    Networks,
    dataset_features,
    filled,
    fingerprint,
    recipe_of,
    scene_features,
    sound_features,
    video_features,
)
from visage_lite.scenes import make_scene
from visage_lite.store import Store
from visage_lite.vision import load_vision

torch.set_num_threads(1)
PRESET = replace(presets.toy(), clip_s=1.0)
NETWORKS = Networks(PRESET)
QUIET = {"workers": 0, "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return scene_features([5, 6, 7], tmp_path_factory.mktemp("features"), NETWORKS, **QUIET)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of ten scenes of which one has no sound file, and one a broken video."""
    data = write_scenes(tmp_path_factory.mktemp("data"), 10, 2, duration_s=1.0, **QUIET)
    data.path("scene_00002_0", "audio").unlink()
    data.path("scene_00004_0", "nfov").write_bytes(b"no video")
    return data.folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_features_of_a_scene(folder):
    clips = FeatureClips(folder)
    assert clips.clips == ["5", "6", "7"] and "toy" in clips.origin["vision"] and "toy" in clips.origin["codec"]
    rows = clips.rows(np.array([2, 0]))
    shapes = {key: list(value.shape) for key, value in rows.items()}
    assert shapes == {"clip": [2, 2, 4, 64], "energy_map": [2, 2, 4, 49], "direction": [2, 3], "codes": [2, 4, 4, 50]}
    scene, vision, codec = make_scene(7, duration_s=1.0), load_vision(PRESET), load_codec(PRESET)
    np.testing.assert_array_equal(rows["codes"][0], codec.encode(scene.foa(16000)))
    np.testing.assert_allclose(rows["clip"][0, 0], vision.features(scene.view(224)).clip, atol=1e-5)
    np.testing.assert_allclose(rows["direction"][0], scene.camera.to_model_input(), atol=1e-6)


def test_the_mirrored_view_is_the_second(folder):
    scene, vision = make_scene(6, duration_s=1.0), load_vision(PRESET)
    mirrored = vision.features(np.ascontiguousarray(scene.view(224)[:, :, ::-1]))
    rows = FeatureClips(folder).rows(np.array([1]))
    np.testing.assert_allclose(rows["clip"][0, 1], mirrored.clip, atol=1e-5)
    np.testing.assert_allclose(rows["energy_map"][0, 1], mirrored.energy_map, atol=1e-5)


def test_a_data_set_on_disk_gives_the_features_of_its_scenes(data, tmp_path):
    dataset_features(data, tmp_path, NETWORKS, **QUIET)
    clips, scene = FeatureClips(tmp_path), scene_of(3, 2, 1.0)
    rows = clips.rows(np.array([clips.clips.index("scene_00003_0")]))
    assert np.allclose(rows["direction"][0], scene.camera.to_model_input(), atol=1e-6)
    direct = sound_features(scene.foa(16000), scene.camera, NETWORKS.codec)["codes"]
    loud = direct[0, 0] % 40 > 10  # Opus changes the quietest frames most
    assert np.mean(rows["codes"][0][0, 0][loud] == direct[0, 0][loud]) > 0.6
    seen = video_features(scene.view(), NETWORKS.vision)["clip"]
    assert np.corrcoef(seen.ravel(), rows["clip"][0].ravel())[0, 1] > 0.95


def test_bad_clips_are_told_and_left_out(data, tmp_path):
    dataset_features(data, tmp_path, NETWORKS, **QUIET)
    sound, video = Store(tmp_path / "sound"), Store(tmp_path / "video")
    assert sound.bad["clip"].tolist() == ["scene_00002_0"] and "scene_00002_0.opus" in sound.bad["reason"][0]
    assert video.bad["clip"].tolist() == ["scene_00004_0"] and "scene_00004_0.mp4" in video.bad["reason"][0]
    clips = FeatureClips(tmp_path)
    assert len(clips) == 8 and not {"scene_00002_0", "scene_00004_0"} & set(clips.clips)
    assert FeatureClips(tmp_path, split="valid").clips == ["scene_00008_0"]
    with pytest.raises(ValueError, match="no clips with sound and video in the split 'all'"):
        FeatureClips(tmp_path, split="all")


def test_interrupted_features_go_on_with_the_same_bytes(data, tmp_path, monkeypatch):
    from visage_lite import features

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    dataset_features(data, whole, NETWORKS, **QUIET)
    make, calls = features._clip_features, []

    def interrupted(name, **rest):
        calls.append(name)
        if len(calls) == 12:  # in the middle of the video
            raise KeyboardInterrupt
        return make(name, **rest)

    monkeypatch.setattr(features, "_clip_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dataset_features(data, broken, NETWORKS, **QUIET)
    monkeypatch.undo()
    dataset_features(data, broken, NETWORKS, workers=2, progress=False)
    assert contents(broken) == contents(whole)


def test_other_networks_clips_and_sizes_are_refused(data, folder, tmp_path):
    with pytest.raises(ValueError, match="another recipe .*clips was"):
        scene_features([5, 6], folder, NETWORKS, **QUIET)
    with pytest.raises(ValueError, match="another recipe .*clip_s was 1.0, is 2.0"):
        scene_features([5, 6, 7], folder, Networks(replace(PRESET, clip_s=2.0)), **QUIET)
    with pytest.raises(ValueError, match="holds no features"):
        FeatureClips(tmp_path)
    long = dataset_features(data, tmp_path, Networks(replace(PRESET, clip_s=2.0)), ("sound",), **QUIET)
    assert Store(long / "sound").bad["reason"].str.contains("1.00 s long, 2 s are needed").sum() == 9


def test_the_recipe_changes_with_the_weights():
    recipe = recipe_of("sound", NETWORKS)
    assert recipe["network"] == NETWORKS.codec.name and recipe["weights"] == fingerprint(NETWORKS.codec)
    changed = load_codec(PRESET)
    changed.shapes = changed.shapes + np.float32(1e-7)
    assert fingerprint(changed) != fingerprint(NETWORKS.codec) != fingerprint(NETWORKS.vision)
    assert fingerprint(load_codec(PRESET)) == fingerprint(NETWORKS.codec)


def test_dac_stores_six_signals():
    import dac

    torch.manual_seed(0)
    codec = DacCodec(dac.DAC(encoder_dim=8, decoder_dim=64, latent_dim=16), frame_rate=86)
    scene = make_scene(5, duration_s=0.25)
    codes = sound_features(scene.foa(44100), scene.camera, codec)["codes"]
    assert codes.shape == (6, 9, 21) and codes.dtype == np.int16
    assert len(fingerprint(codec)) == 16


def test_short_clips_are_filled_up_and_long_ones_cut():
    x = np.arange(1.0, 8)[:, None]
    assert filled(x, 5, 4.0, hold=True)[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert filled(x, 8, 4.0, hold=True)[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 7]
    assert filled(x, 8, 4.0, hold=False)[-1] == 0
    with pytest.raises(ValueError, match="1.75 s long, 2.25 s are needed"):
        filled(x, 9, 4.0, hold=True)


def test_video_features_refuse_what_vision_refuses():
    with pytest.raises(ValueError):
        video_features(np.zeros((4, 224, 224, 3)), load_vision(PRESET))


