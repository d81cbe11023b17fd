"""The calibration ladder: against stored numbers, closed forms and real sound, and what it says about a score."""

import numpy as np
import pandas as pd
import pytest

from visage_lite import evaluation as ev
from visage_lite import ladder as ld
from visage_lite.ambisonics import covariance, encode
from visage_lite.directions import Direction

SIXTY = Direction.from_degrees(60, 0)


def rungs(change, mode):
    return ld.ladder(mode).query("change == @change").set_index("amount")


# --- the stored numbers: one source at azimuth 60, as released ---


def test_released_cc_of_a_moved_source_equals_the_stored():
    errors = (0, 5, 10, 20, 30, 45, 60, 90, 180)
    stored = (1.000, 0.995, 0.982, 0.930, 0.847, 0.679, 0.470, -0.010, -0.952)
    fields = [ld.ideal_covariance(ld.moved(SIXTY, np.radians(error), np.pi)) for error in errors]  # to the right
    cc, _ = ld.ideal_scores(np.stack(fields), ld.ideal_covariance(SIXTY), "as_released")
    np.testing.assert_allclose(cc, stored, atol=6e-4)


def test_released_cc_of_a_diffuse_source_equals_the_stored():
    fields = np.stack([ld.ideal_covariance(SIXTY, share) for share in (0.3, 0.6, 0.9)])
    cc, _ = ld.ideal_scores(fields, ld.ideal_covariance(SIXTY), "as_released")
    np.testing.assert_allclose(cc, (0.989, 0.971, 0.831), atol=6e-4)


# --- ideal fields ---


def test_covariances_are_those_of_sound():
    rng = np.random.default_rng(0)
    place, samples = Direction.from_degrees(-40, 25), 400_000
    source = encode(rng.standard_normal(samples), place.azimuth, place.elevation)
    around = rng.standard_normal((4, samples)) * np.array([[1], [3**-0.5], [3**-0.5], [3**-0.5]])
    measured = covariance(np.sqrt(0.3) * source + np.sqrt(0.7) * around)
    np.testing.assert_allclose(measured, ld.ideal_covariance(place, 0.7), atol=0.01)


@pytest.mark.parametrize("bearing, side", [(0, 1), (np.pi / 2, 2), (np.pi, -1), (-np.pi / 2, -2)])
def test_moved_goes_where_it_says(bearing, side):
    for start in (SIXTY, Direction.from_degrees(-150, 40), Direction.from_degrees(10, -70)):
        for angle_deg in (1, 50, 130):
            end = ld.moved(start, np.radians(angle_deg), bearing)
            assert np.degrees(end.angle_to(start)) == pytest.approx(angle_deg)
        near = ld.moved(start, 0.01, bearing)
        turned, risen = near.rotated(-start.azimuth).azimuth, near.elevation - start.elevation
        assert np.sign(side) == np.sign(turned if abs(side) == 1 else risen)
        assert abs(risen if abs(side) == 1 else turned) < 1e-3


def test_scores_are_those_of_the_evaluation():
    rng = np.random.default_rng(1)
    one, other = (encode(rng.standard_normal(1600), a, e) for a, e in ((0.3, 0.2), (1.2, -0.4)))
    for mode in ev.MODES:
        wanted = ev.spatial_scores(one, other, 1600, mode)["all"]
        cc, auc = ld.ideal_scores(covariance(one)[None], covariance(other), mode)
        assert (cc[0], auc[0]) == (pytest.approx(wanted.cc, abs=1e-9), pytest.approx(wanted.auc, abs=1e-9))


# --- the ladder ---


def test_corrected_cc_is_the_cosine_and_released_cc_is_near_it():
    corrected, released = (rungs(ld.ANGLE, mode)["cc"] for mode in ev.MODES)
    cosine = np.cos(np.radians(corrected.index.to_numpy(float)))
    np.testing.assert_allclose(corrected, cosine, atol=1e-3)
    assert 0.01 < np.abs(released - cosine).max() < 0.06


@pytest.mark.parametrize("mode", ev.MODES)
def test_scores_fall_from_rung_to_rung(mode):
    for kind, (top, guess) in (("cc", (1, 0)), ("auc", (1, 0.5))):
        moving, diffuse = rungs(ld.ANGLE, mode)[kind], rungs(ld.DIFFUSE, mode)[kind]
        assert (np.diff(moving) < 0).all() and (np.diff(diffuse) <= 1e-12).all()
        assert moving.loc[0] == diffuse.loc[0] == pytest.approx(top, abs=1e-3)
        assert moving.loc[90] == pytest.approx(guess, abs=0.03)
        level = rungs(ld.LEVEL, mode)[kind]
        assert len(level) == 3 and np.ptp(level) < 1e-6
    if mode == "corrected":
        assert diffuse.loc[100] == 0.5, "sound from everywhere alike tells nothing"
        assert rungs(ld.DIFFUSE, mode)["cc"].loc[100] == 0


def test_a_ladder_changed_by_its_reader_stays_whole():
    mine = ld.ladder()
    mine["cc"] = 0
    assert ld.ladder()["cc"].max() == pytest.approx(1)
    assert isinstance(ld.ladder(), pd.DataFrame) and list(mine) == ["change", "amount", "cc", "auc"]


# --- what it says about a score ---


@pytest.mark.parametrize("mode", ev.MODES)
@pytest.mark.parametrize("kind", ld.KINDS)
def test_every_rung_says_its_own_angle(mode, kind):
    for degrees, score in rungs(ld.ANGLE, mode)[kind].items():
        assert ld.degrees_off(score, kind, mode) == pytest.approx(degrees)
        said = f"as a single source {degrees}° off" if degrees else "as a single source in its place"
        assert ld.rung(score, kind, mode) == said


def test_between_rungs_and_beyond_them():
    assert ld.degrees_off(np.cos(np.radians(52))) == pytest.approx(52, abs=0.3)
    assert ld.degrees_off(1) == 0 and ld.degrees_off(0) == pytest.approx(90, abs=0.1)
    assert ld.rung(1, "auc", "as_released") == "as a single source in its place"  # its ladder begins at 0.9997
    assert ld.rung(-0.99, "cc", "as_released") == "below a single source 180° off"
    assert ld.degrees_off(-0.99, "cc", "as_released") == 180


@pytest.mark.parametrize("wrong", [
    lambda: ld.rung(1.1),
    lambda: ld.rung(-0.1, "auc"),
    lambda: ld.rung(np.nan),
    lambda: ld.rung(0.5, "fad"),
    lambda: ld.rung(0.5, "cc", "released"),
    lambda: ld.ladder("released"),
    lambda: ld.ideal_scores(np.eye(4)[None], np.eye(4), "sn3d"),
    lambda: ld.ideal_covariance(SIXTY, 30),
])
def test_wrong_input_raises(wrong):
    with pytest.raises(ValueError):
        wrong()
