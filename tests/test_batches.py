"""Batches: each clip in the variant that was drawn, picture and sound of the same one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from visage_lite import presets
from visage_lite.batches import FeatureClips, as_variants, turn_and_mirror
from visage_lite.features import Networks, dataset, scene_features
from visage_lite.variants import VARIANTS

PRESET = replace(presets.toy(), clip_s=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    return scene_features([5, 6, 7], folder, Networks(PRESET), workers=0, progress=False)


def test_a_batch_without_augmentation_is_the_clips_as_they_are(folder):
    clips = FeatureClips(folder)
    batch, rows = clips.batch(np.array([2, 0]), np.random.default_rng(0)), clips.rows(np.array([2, 0]))
    shapes = {key: list(value.shape) for key, value in batch.items()}
    assert shapes == {"clip": [2, 4, 64], "energy_map": [2, 4, 49], "direction": [2, 3], "codes": [2, 4, 4, 50]}
    assert batch["codes"].dtype == torch.int64 and batch["clip"].dtype == torch.float32
    assert np.array_equal(batch["codes"], rows["codes"]) and np.array_equal(batch["clip"], rows["clip"][:, 0])
    assert np.allclose(batch["direction"], rows["direction"])


def test_sound_direction_and_picture_are_of_one_variant(folder):
    clips = FeatureClips(folder, augment=turn_and_mirror)
    rows, drawn = clips.rows(np.array([0, 1, 2])), set()
    for seed in range(30):
        batch = clips.batch(np.array([0, 1, 2]), np.random.default_rng(seed))
        _, chosen = turn_and_mirror(rows, np.random.default_rng(seed))
        for clip, place in enumerate(chosen):
            variant = VARIANTS[place]
            assert np.array_equal(batch["codes"][clip], variant.codes(rows["codes"][clip]))
            assert np.allclose(batch["direction"][clip], variant.direction(rows["direction"][clip]))
            for key in ("clip", "energy_map"):
                assert np.array_equal(batch[key][clip], rows[key][clip, int(variant.mirrored)])
            drawn.add(variant)
    assert len(drawn) == 8


def test_a_chosen_variant_comes_before_the_drawn_one(folder):
    clips = dataset(folder, augment=turn_and_mirror)
    plain, asked = clips.rows(np.array([0, 1])), (VARIANTS[6], VARIANTS[0])
    batch = clips.batch(np.array([0, 1]), variants=asked)
    for clip, variant in enumerate(asked):
        assert np.array_equal(batch["codes"][clip], variant.codes(plain["codes"][clip]))
        assert np.array_equal(batch["clip"][clip], plain["clip"][clip, int(variant.mirrored)])
    assert np.array_equal(dataset(folder).batch(np.array([1]))["codes"][0], plain["codes"][1])


def test_variants_of_six_signals():
    rows = {
        "clip": np.zeros((2, 2, 4, 3)), "energy_map": np.zeros((2, 2, 4, 49)),
        "direction": np.array([[0.0, 0.0, 1.0]] * 2), "codes": np.tile(np.arange(6)[:, None, None], (2, 1, 9, 5)),
    }  # fmt: skip
    batch = as_variants(rows, np.array([0, 1]))
    assert batch["codes"].shape == (2, 4, 9, 5)
    assert batch["codes"][:, :, 0, 0].tolist() == [[0, 1, 3, 4], [0, 4, 3, 2]]  # W Y Z X and W X Z -Y
    assert np.allclose(batch["direction"][1], [-1, 0, 0])  # what looked to the front looks left
