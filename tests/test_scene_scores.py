"""Scores of sound fields against scenes: perfect for the scene's own sound, and worse in the way that was broken."""

import numpy as np
import pandas as pd
import pytest

from visage_lite import ambisonics
from visage_lite.listener import Listener
from visage_lite.scene_scores import onsets, onsets_met, path_correlation, score_scenes, summary
from visage_lite.scenes import make_scene

RATE = 16000


def test_the_scenes_own_sound_scores_best():
    scenes = [make_scene(3, moving=False, kind="drum"), make_scene(4, moving=True, kind="engine")]
    scores = score_scenes([scene.foa(RATE) for scene in scenes], scenes, Listener())
    assert np.allclose(scores["direction_error_deg"], 0, atol=1e-4) and np.allclose(scores["cc"], 1)
    assert scores["onsets_met"][0] == 1 and np.isnan(scores["onsets_met"][1])
    assert scores["azimuth_correlation"][1] == pytest.approx(1) and np.isnan(scores["azimuth_correlation"][0])
    assert scores["still"].tolist() == [True, False] and scores["kind"].tolist() == ["drum", "engine"]
    with pytest.raises(ValueError, match="1 sound fields for 2 scenes"):
        score_scenes([scenes[0].foa(RATE)], scenes, Listener())


def test_a_turned_field_is_off_by_its_turn():
    scene = make_scene(3, moving=False)
    level = ambisonics.encode(make_scene(3).foa(RATE)[0], 0.5, 0.0)
    turned = ambisonics.encode(level[0], 0.8, 0.0)
    scores = score_scenes([turned], [scene], Listener())
    wanted = ambisonics.intensity_direction(turned) @ ambisonics.intensity_direction(scene.foa(RATE))
    assert scores["direction_error_deg"][0] == pytest.approx(np.degrees(np.arccos(wanted)), abs=1e-3)
    silent = score_scenes([0 * turned], [scene], Listener())
    assert silent["direction_error_deg"][0] == 90 and silent["cc"][0] == 0


def test_the_path_is_followed_or_not():
    scene = make_scene(4, moving=True, kind="engine")
    truth = scene.foa(RATE)
    still = ambisonics.encode(truth[0], scene.camera.azimuth + 0.1, 0.0)
    assert path_correlation(truth, truth, scene) == pytest.approx(1)
    assert path_correlation(truth[..., ::-1], truth, scene) < -0.9  # there and back
    assert abs(path_correlation(still, truth, scene)) < 0.5
    assert path_correlation(0 * truth, truth, scene) == 0
    rest = make_scene(4, moving=False, kind="engine")
    assert np.isnan(path_correlation(truth, rest.foa(RATE), rest))


def test_onsets_are_found_where_things_are_struck():
    for kind in ("drum", "bell"):
        met = []
        for seed in range(12):
            scene = make_scene(seed, kind=kind)
            met.append(onsets_met(onsets(scene.foa(RATE)[0]), scene.sources[0].strokes()))
        assert np.mean(met) > 0.97, kind
    noise = np.random.default_rng(0).standard_normal(5 * RATE)
    assert len(onsets(noise)) <= 1  # its beginning


def test_onsets_count_once_and_too_many_cost():
    assert onsets_met(np.array([0.1, 1.0]), np.array([0.0, 1.19])) == 1
    assert onsets_met(np.array([0.5, 1.5]), np.array([0.0, 1.0])) == 0
    assert onsets_met(np.array([0.0, 0.1]), np.array([0.05])) == pytest.approx(2 / 3)
    assert onsets_met(np.array([]), np.array([1.0])) == 0
    assert np.isnan(onsets_met(np.array([1.0]), np.array([])))


def test_the_summary_takes_each_score_where_it_applies():
    table = pd.DataFrame({
        "kind": ["drum", "bell", "bird"], "heard": ["drum", "drum", "bird"], "still": [True, True, False],
        "direction_error_deg": [2.0, 4.0, 30.0], "cc": [1.0, 0.5, 0.0], "auc": [1.0, 0.5, 0.6],
        "azimuth_correlation": [np.nan, np.nan, 0.7], "onsets_met": [1.0, 0.5, np.nan],
    })  # fmt: skip
    found = summary(table)
    assert found["still: direction error (deg)"] == 3 and found["all: direction error (deg)"] == 4
    assert found["moving: correlation of azimuth"] == 0.7 and found["strokes within 0.2 s"] == 0.75
    assert found["kind right"] == pytest.approx(2 / 3)
