"""All spatial scores of a clip: against the functions they stand for, known errors, and the rules for odd clips."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from visage_lite import evaluation as ev
from visage_lite import spatial
from visage_lite.ambisonics import diffuseness, encode, mirror, rotate_yaw
from visage_lite.directions import Direction

RATE = 1600
COLUMNS = [f"{prefix}{kind}_{window}" for prefix in ("", "released_") for window in ev.WINDOWS_S
           for kind in ("cc", "auc")]  # fmt: skip


def noise(samples=8000, seed=0):
    return np.random.default_rng(seed).standard_normal(samples)


def source(azimuth_deg, elevation_deg=0.0, seed=0, samples=8000):
    return encode(noise(samples, seed), np.radians(azimuth_deg), np.radians(elevation_deg))


OMNI = np.concatenate([noise()[None], np.zeros((3, 8000))])
NAN = np.where(np.arange(8000) == 7000, np.nan, source(0))


def test_a_row_holds_what_the_functions_say():
    rng = np.random.default_rng(1)
    prediction, truth = rng.standard_normal((4, 8000)) + source(20), source(60, 10)
    row = spatial.score_clip(prediction, truth, RATE)
    for prefix, mode in (("", "corrected"), ("released_", "as_released")):
        for name, score in ev.spatial_scores(prediction, truth, RATE, mode).items():
            assert getattr(row, f"{prefix}cc_{name}") == pytest.approx(score.cc, abs=1e-12)
            assert getattr(row, f"{prefix}auc_{name}") == pytest.approx(score.auc, abs=1e-6)
            if mode == "corrected":
                counts = getattr(row, f"scored_{name}"), getattr(row, f"left_out_{name}")
                assert counts == (score.scored, score.left_out)
    assert row.note == "" and row.scored_5fps == 25 and row.scored_1fps == 5
    pieces = ev.windows(prediction, RATE, 0.2)
    energy = np.sum(pieces**2, axis=(1, 2))
    assert row.diffuseness == pytest.approx(np.sum(energy * diffuseness(pieces)) / energy.sum())
    assert row.true_diffuseness == pytest.approx(0, abs=1e-9)
    assert row.level_db == pytest.approx(10 * np.log10(np.mean(prediction[0] ** 2)))


@pytest.mark.parametrize("azimuth, elevation", [(60, 0), (-171, 20), (100, -45)])
def test_known_errors(azimuth, elevation):
    truth = source(60)
    row = spatial.score_clip(source(azimuth, elevation), truth, RATE)
    expected = np.degrees(Direction.from_degrees(azimuth, elevation).angle_to(Direction.from_degrees(60, 0)))
    assert row.direction_error_deg == pytest.approx(expected, abs=1e-5)
    assert row.peak_error_deg == pytest.approx(expected, abs=2.9)  # two cells of 2 degrees, each half a diagonal off
    told = spatial.score_clip(source(azimuth, elevation), truth, RATE, Direction.from_degrees(azimuth, elevation))
    assert told.direction_error_deg == pytest.approx(0, abs=1e-5) and told.peak_error_deg < 1.5
    assert told.cc_all == row.cc_all


def test_the_mirror_is_seen_on_either_side():
    for azimuth in (50, -50):
        row = spatial.score_clip(mirror(source(azimuth)), source(azimuth), RATE)
        assert row.direction_error_deg == pytest.approx(100, abs=1e-5)
    assert spatial.score_clip(mirror(source(0)), source(0), RATE).direction_error_deg == pytest.approx(0, abs=1e-5)


def test_gain_changes_the_level_and_nothing_else():
    truth, prediction = source(60), source(30) + 0.3 * np.random.default_rng(2).standard_normal((4, 8000))
    one, louder = (spatial.score_clip(gain * prediction, truth, RATE) for gain in (1.0, 10.0))
    assert louder.level_db - one.level_db == pytest.approx(20, abs=1e-6)
    for field in dataclasses.fields(one):
        if field.name not in ("level_db", "note"):
            assert getattr(louder, field.name) == pytest.approx(getattr(one, field.name), abs=1e-6, nan_ok=True)


def test_a_source_that_moves_is_not_diffuse():
    moving = encode(noise(), np.linspace(-2, 2, 8000), 0.0)
    assert spatial.score_clip(moving, moving, RATE).diffuseness < 0.02 < 0.1 < diffuseness(moving)


# --- the path ---


@pytest.mark.parametrize("turn", [0.0, 1.0, np.pi])
def test_the_path_is_followed_or_not_wherever_it_is(turn):
    path = np.linspace(-1, 1, 8000)
    moving, still = (rotate_yaw(encode(noise(), azimuth, 0.1), turn) for azimuth in (path, 0 * path))
    assert spatial.score_clip(moving, moving, RATE).azimuth_correlation == pytest.approx(1)
    back = rotate_yaw(encode(noise(seed=3), -path, 0.1), turn)
    assert spatial.score_clip(back, moving, RATE).azimuth_correlation < -0.99
    assert abs(spatial.score_clip(still, moving, RATE).azimuth_correlation) < 1e-6
    assert np.isnan(spatial.score_clip(moving, still, RATE).azimuth_correlation)
    assert spatial.score_clip(0 * moving, moving, RATE).azimuth_correlation == 0


def test_azimuth_is_counted_from_the_camera_and_silence_has_none():
    camera = Direction(2.9, 0.4)
    sound = noise(32000)
    sound[16000:] = 0
    field = encode(sound, camera.azimuth, camera.elevation)
    field[:, :8000] = rotate_yaw(field[:, :8000], 0.3)
    azimuth = spatial.azimuth_over_time(ev.window_covariances(field, 16000, [0.5])[0], camera)
    assert azimuth[0] > 0.2 and azimuth[1] == pytest.approx(0, abs=1e-6) and np.isnan(azimuth[2:]).all()


def test_azimuth_correlation_against_numpy_and_its_rules():
    one, other = np.random.default_rng(4).standard_normal((2, 9))
    other[3], one[5] = np.nan, np.nan
    both = np.isfinite(one) & np.isfinite(other)
    assert spatial.azimuth_correlation(one, other) == pytest.approx(np.corrcoef(one[both], other[both])[0, 1])
    assert spatial.azimuth_correlation(np.ones(9), other) == 0 == spatial.azimuth_correlation(np.full(9, np.nan), other)
    assert np.isnan(spatial.azimuth_correlation(one, np.full(9, 0.2)))
    assert np.isnan(spatial.azimuth_correlation(one[:3], np.array([0.0, np.nan, 1.0])))


# --- clips that tell no direction ---


@pytest.mark.parametrize("prediction, note, level_db", [
    (0 * OMNI, "silent", -120), (NAN, "not finite", -120), (np.where(np.isnan(NAN), np.inf, NAN), "not finite", -120),
    (OMNI, "omnidirectional", 10 * np.log10(np.mean(OMNI[0] ** 2))),
])
def test_a_prediction_without_direction_scores_like_guessing(prediction, note, level_db):
    row = spatial.score_clip(prediction, encode(noise(), np.linspace(-1, 1, 8000), 0.0), RATE)
    assert {getattr(row, name) for name in COLUMNS if "cc_" in name} == {0}
    assert {getattr(row, name) for name in COLUMNS if "auc_" in name} == {0.5}
    assert row.direction_error_deg == row.peak_error_deg == 90 and row.azimuth_correlation == 0
    assert row.diffuseness == 1 and row.level_db == pytest.approx(level_db) and row.note == note
    assert row.scored_5fps == 25 and row.left_out_5fps == 0


@pytest.mark.parametrize("truth, note", [(0 * OMNI, "silent"), (NAN, "not finite"), (OMNI, "omnidirectional")])
def test_a_truth_without_direction_judges_nothing_and_is_counted(truth, note):
    row = spatial.score_clip(source(30), truth, RATE)
    assert all(np.isnan(getattr(row, name)) for name in [*COLUMNS, "direction_error_deg", "peak_error_deg"])
    assert (row.scored_all, row.left_out_all, row.scored_5fps, row.left_out_5fps) == (0, 1, 0, 25)
    assert row.note == f"truth {note}" and row.true_diffuseness == 1
    told = spatial.score_clip(source(30), truth, RATE, Direction.from_degrees(30, 0))
    assert told.direction_error_deg == pytest.approx(0, abs=1e-5)  # where it is, is known all the same
    assert spatial.score_clip(0 * OMNI, truth, RATE).note == f"silent, truth {note}"


def test_silent_windows_of_the_truth_are_counted():
    truth = source(30)
    truth[:, :2000] = 0
    row = spatial.score_clip(source(30), truth, RATE)
    assert (row.scored_1fps, row.left_out_1fps, row.scored_5fps, row.left_out_5fps) == (4, 1, 19, 6)
    assert row.cc_5fps == pytest.approx(1) and row.note == ""


def test_means_of_a_table_skip_only_what_is_counted():
    clips = [(source(30), source(30)), (source(30), 0 * OMNI), (NAN, source(30))]
    table = pd.DataFrame([spatial.score_clip(*clip, RATE).__dict__ for clip in clips])
    assert table["cc_all"].mean() == pytest.approx(0.5) and table["scored_all"].sum() == table["cc_all"].count() == 2
    assert table["note"].tolist() == ["", "truth silent", "not finite"]
    assert np.isfinite(table.drop(columns="note").mean().drop("azimuth_correlation")).all()


def test_opposite_sources_have_no_mean_direction():
    row = spatial.score_clip(np.concatenate([source(0, samples=4000), source(180, samples=4000)], 1), source(0), RATE)
    assert row.direction_error_deg == 90 and row.note == ""


@pytest.mark.parametrize("wrong", [
    lambda: spatial.score_clip(np.ones((4, 3200)), np.ones((4, 3199)), RATE),
    lambda: spatial.score_clip(np.ones((3, 3200)), np.ones((3, 3200)), RATE),
    lambda: spatial.score_clip(np.ones(3200), np.ones(3200), RATE),
    lambda: spatial.score_clip(np.ones((4, 1500)), np.ones((4, 1500)), RATE),
])
def test_wrong_input_raises(wrong):
    with pytest.raises(ValueError):
        wrong()
