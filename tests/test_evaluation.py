"""The spatial scores: against the stored numbers, against loops, and against what is known of one source."""

from pathlib import Path

import numpy as np
import pytest

from visage_lite import evaluation as ev
from visage_lite.ambisonics import covariance, encode, energy_map, intensity_direction
from visage_lite.directions import Direction

STORED = np.load(Path(__file__).parent / "reference" / "audio_energy_map.npz")
FOA, RATE = STORED["foa"], int(STORED["sample_rate"])


def noise(samples=1600, seed=0):
    return np.random.default_rng(seed).standard_normal(samples)


def source(azimuth_deg, elevation_deg=0.0, seed=0):
    return encode(noise(seed=seed), np.radians(azimuth_deg), np.radians(elevation_deg))


OMNI = np.concatenate([noise()[None], np.zeros((3, 1600))])


# --- the stored numbers ---


def test_equal_area_samples_equal_the_stored_ones():
    ours = ev.equal_area(STORED["energy_map"], "as_released")
    np.testing.assert_allclose(ours, STORED["equal_area_samples"], atol=1e-6)


def test_windows_equal_the_stored_ones():
    ours = np.stack([ev.window_maps(foa, RATE, 1.0, "as_released") for foa in FOA])
    np.testing.assert_allclose(ours, STORED["equal_area_samples_1fps"], atol=1e-6)
    np.testing.assert_allclose(
        ev.window_maps(FOA[0], RATE, 0.2, "as_released"), STORED["equal_area_samples_5fps_clip0"], atol=1e-6
    )


def test_scores_equal_the_stored_ones():
    scores = [[ev.spatial_scores(p, t, RATE, "as_released") for t in FOA] for p in FOA]
    for window, suffix in (("all", ""), ("1fps", "_1fps"), ("5fps", "_5fps")):
        cc = [[score[window].cc for score in row] for row in scores]
        auc = [[score[window].auc for score in row] for row in scores]
        np.testing.assert_allclose(cc, STORED["cc" + suffix], atol=1e-6)
        np.testing.assert_allclose(auc, STORED["auc" + suffix], atol=1e-6)


# --- loops ---


@pytest.mark.parametrize("mode", ev.MODES)
def test_equal_area_against_a_loop(mode):
    levels = np.random.default_rng(0).random((6, 12))
    expected = []
    for row in range(6):
        count = round(12 * np.sin(np.pi * (row + 0.5) / 6))
        for k in range(count):
            released = k * (12 - 0.5 * 12 / count) / count
            place = (k + 0.5) * 12 / count - 0.5 if mode == "corrected" else released
            expected.append(np.interp(place, np.arange(-1, 13), levels[row, np.arange(-1, 13) % 12]))
    np.testing.assert_allclose(ev.equal_area(levels, mode), expected, atol=1e-12)


def test_auc_against_counting_pairs():
    rng = np.random.default_rng(1)
    for ties in (False, True):
        prediction, truth = rng.random(80), rng.random(80)
        prediction = np.round(prediction, 1) if ties else prediction
        positive = truth > truth.max() - truth.std()
        wins = [float(p > q) + 0.5 * float(p == q) for p in prediction[positive] for q in prediction[~positive]]
        assert ev.auc_judd(prediction, truth) == pytest.approx(np.mean(wins), abs=1e-12)


def test_released_auc_against_its_loop():
    rng = np.random.default_rng(2)
    prediction, truth = rng.random(90), rng.random(90)
    chosen = prediction[truth > truth.max() - truth.std()]
    rates = [(0.0, 0.0)]
    for count, threshold in enumerate(sorted(chosen)[::-1]):
        above = sum(value >= threshold for value in prediction)
        rates.append(((above - count) / (90 - len(chosen)), count / len(chosen)))
    rates.append((1.0, 1.0))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(rates, rates[1:]))
    assert ev.auc_judd(prediction, truth, "as_released") == pytest.approx(area, abs=1e-12)


def test_correlation_against_numpy():
    rng = np.random.default_rng(3)
    first, second = rng.random(50), rng.random(50)
    assert ev.correlation(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert ev.correlation(first, 3 * first + 1) == pytest.approx(1)
    assert ev.correlation(first, -first) == pytest.approx(-1)


def test_covariances_of_all_windows_at_once_against_each_window():
    foa = np.random.default_rng(6).standard_normal((4, 8131))
    lengths = [None, 1.0, 0.2, 0.5, 0.7]  # at 1,601 Hz, five windows of 0.2 s are a sample shorter than one of 1 s
    for dtype in (float, np.float32):
        found = ev.window_covariances(foa.astype(dtype), 1601, lengths)
        for covariances, length in zip(found, lengths):
            expected = [covariance(each) for each in ev.windows(foa.astype(dtype), 1601, length)]
            np.testing.assert_allclose(covariances, expected, atol=1e-14)


@pytest.mark.parametrize("mode", ev.MODES)
def test_spatial_scores_against_a_loop_over_windows(mode):
    rng = np.random.default_rng(7)
    prediction, truth = rng.standard_normal((4, 5000)), rng.standard_normal((4, 5000))
    truth[:, 2000:3600] = 0
    found = ev.spatial_scores(prediction, truth, 1600, mode)
    for name, length in ev.WINDOWS_S.items():
        pairs = list(zip(*(ev.window_maps(foa, 1600, length, mode) for foa in (prediction, truth))))
        cc = [np.corrcoef(p, t)[0, 1] for p, t in pairs if t.any()]
        auc = [ev.auc_judd(p, t, mode) for p, t in pairs if t.any()]
        assert found[name].cc == pytest.approx(np.mean(cc), abs=1e-9)
        assert found[name].auc == pytest.approx(np.mean(auc), abs=1e-6)  # rounding orders what is alike at the poles
        assert (found[name].scored, found[name].left_out) == (len(cc), len(pairs) - len(cc))


# --- what is known ---


def test_every_equal_area_sample_stands_for_the_same_area():
    elevation = np.radians(89 - 2 * np.arange(90))[:, None] * np.ones(180)
    samples = ev.equal_area(np.sin(elevation))  # height on the sphere is spread evenly between -1 and 1
    assert len(samples) == 10312
    assert np.mean(samples) == pytest.approx(0, abs=1e-12) and np.mean(samples**2) == pytest.approx(1 / 3, abs=1e-3)


def test_corrected_samples_close_the_circle_and_released_ones_do_not():
    azimuth = np.pi - 2 * np.pi * (np.arange(180) + 0.5) / 180
    around = np.ones((90, 1)) * np.cos(azimuth)
    assert abs(ev.equal_area(around).mean()) < 1e-5  # the pole rows have three samples, not on cells
    assert abs(ev.equal_area(around, "as_released").mean()) > 1e-3


@pytest.mark.parametrize("error_deg", [0, 5, 10, 20, 30, 45, 60, 90, 120, 180])
def test_cc_of_one_source_is_the_cosine_of_its_error(error_deg):
    """The map of one source is |1 + cos angle|, a straight line in the cosine, so CC is the cosine between the two."""
    score = ev.spatial_scores(source(60 + error_deg), source(60), 1600)["all"]
    assert score.cc == pytest.approx(np.cos(np.radians(error_deg)), abs=2e-3)


@pytest.mark.parametrize("error_deg, cc", [(0, 1), (5, .995), (10, .982), (30, .847), (60, .470), (180, -.952)])
def test_cc_of_one_source_as_released(error_deg, cc):
    score = ev.spatial_scores(source(60 + error_deg), source(60), 1600, "as_released")["all"]
    assert score.cc == pytest.approx(cc, abs=6e-3)


def test_scores_fall_as_the_source_moves_away_on_either_side():
    scores = [ev.spatial_scores(source(azimuth), source(60), 1600)["all"] for azimuth in (60, 90, 130, 200, 240)]
    assert all(np.diff([score.cc for score in scores]) < 0) and all(np.diff([score.auc for score in scores]) < 0)
    assert scores[0].auc == 1
    left, right = (ev.spatial_scores(source(60 + d), source(60), 1600)["all"] for d in (40, -40))
    assert left.cc == pytest.approx(right.cc, abs=1e-3)


def test_windows_follow_a_moving_source():
    azimuth = np.linspace(-2, 2, 8000)
    moving, still = encode(noise(8000), azimuth, 0.0), encode(noise(8000), 0.0, 0.0)
    own = ev.spatial_scores(moving, moving, 1600)
    assert own["5fps"].cc == pytest.approx(1) and own["5fps"].scored == 25 and own["1fps"].scored == 5
    scores = ev.spatial_scores(still, moving, 1600)
    assert scores["all"].cc > 0.9 > scores["5fps"].cc  # standing still looks right only on the whole
    assert ev.windows(moving, 1600, 0.7).shape == (7, 4, 1120)
    np.testing.assert_array_equal(ev.windows(moving, 1600, 1.0)[2], moving[:, 3200:4800])


# --- maps that tell no direction ---


@pytest.mark.parametrize("mode", ev.MODES)
@pytest.mark.parametrize("prediction", [OMNI, np.zeros((4, 1600))])
def test_a_prediction_without_direction_scores_like_guessing(prediction, mode):
    for score in ev.spatial_scores(prediction, source(30), 1600, mode).values():
        assert (score.cc, score.auc, score.left_out) == (0, 0.5, 0)
    flat = ev.window_maps(prediction, 1600)[0]
    assert ev.is_flat(flat) and ev.auc_judd(flat, flat, mode) == 0.5 and ev.correlation(flat, flat) == 0


def test_a_truth_without_direction_is_left_out_and_counted():
    truth = source(30)
    truth[:, :800] = 0
    scores = ev.spatial_scores(source(30), truth, 800)
    assert scores["1fps"].scored == 1 and scores["1fps"].left_out == 1 and scores["1fps"].cc == pytest.approx(1)
    nothing = ev.spatial_scores(source(30), np.zeros((4, 1600)), 1600)["all"]
    assert (nothing.cc, nothing.auc, nothing.scored, nothing.left_out) == (0, 0.5, 0, 1)


def test_maps_with_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        ev.correlation(np.array([0.0, np.nan]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="finite"):
        ev.direction_error(np.array([np.nan, 0, 0]), 0, 0)


# --- direction ---


def test_direction_error_against_the_angle_of_directions():
    rng = np.random.default_rng(5)
    azimuth, elevation = rng.uniform(-3, 3, 20), rng.uniform(-1.5, 1.5, 20)
    estimates = rng.standard_normal((20, 3))
    errors = ev.direction_error(estimates, azimuth, elevation)
    for error, estimate, a, e in zip(errors, estimates, azimuth, elevation):
        assert error == pytest.approx(Direction.from_vector(estimate).angle_to(Direction(a, e)))


def test_direction_error_of_a_field():
    azimuth = np.linspace(-1, 1, 1600)
    moving = encode(noise(), azimuth, 0.3)
    estimates = intensity_direction(ev.windows(moving, 1600, 0.1))
    errors = ev.direction_error(estimates, azimuth[80::160], 0.3)
    assert errors.shape == (10,) and errors.max() < np.radians(3)
    assert ev.direction_error(intensity_direction(OMNI), 0.5, 0.1) == pytest.approx(np.pi / 2)
    assert ev.direction_error(np.array([-1.0, 0, 0]), 0, 0) == pytest.approx(np.pi)


def test_the_peak_of_the_map_and_the_intensity_agree():
    for azimuth_deg, elevation_deg in ((37, 21), (-170, -60), (179, 0), (0, 88)):
        foa = source(azimuth_deg, elevation_deg)
        loudest = ev.loudest_direction(energy_map(foa))
        assert np.degrees(ev.direction_error(loudest, *np.radians([azimuth_deg, elevation_deg]))) < 1.5
        assert loudest @ intensity_direction(foa) > np.cos(np.radians(1.5))


def test_the_peaks_of_several_maps_at_once_and_of_none():
    maps = np.stack([energy_map(foa, 18, 36) for foa in (source(50, 20), OMNI, source(-130, 5), 0 * OMNI)])
    peaks = ev.loudest_direction(maps.reshape(2, 2, 18, 36))
    assert peaks.shape == (2, 2, 3) and not peaks[:, 1].any()
    assert np.degrees(ev.direction_error(peaks[1, 0], *np.radians([-130, 5]))) < 7.1  # half a cell of 10 degrees
    for place in np.ndindex(18, 36):
        one = np.zeros((18, 36))
        one[place] = 1
        expected = Direction.from_pixel(place[1] + 0.5, place[0] + 0.5, 36, 18).to_vector()
        np.testing.assert_allclose(ev.loudest_direction(one), expected, atol=1e-12)


@pytest.mark.parametrize("wrong", [
    lambda: ev.equal_area(np.zeros(5)),
    lambda: ev.equal_area(np.zeros((5, 5)), "released"),
    lambda: ev.correlation(np.zeros(5), np.zeros(6)),
    lambda: ev.auc_judd(np.zeros(5), np.zeros(6)),
    lambda: ev.auc_judd(np.arange(5), np.arange(5), "released"),
    lambda: ev.spatial_scores(np.zeros((4, 100)), np.zeros((4, 99)), 10),
    lambda: ev.spatial_scores(np.ones((4, 100)), np.ones((4, 100)), 1000),
    lambda: ev.windows(np.zeros((3, 100)), 10, None),
    lambda: ev.window_covariances(np.zeros((3, 100)), 10, [None]),
    lambda: ev.window_covariances(np.zeros((4, 9)), 10, [None, 1.0]),
    lambda: ev.scores_of_covariances({"all": (np.full((1, 4, 4), np.nan), np.ones((1, 4, 4)))}),
    lambda: ev.direction_error(np.zeros(4), 0, 0),
    lambda: ev.loudest_direction(np.zeros(4)),
    lambda: ev.loudest_direction(np.full((4, 8), np.nan)),
])
def test_wrong_input_raises(wrong):
    with pytest.raises(ValueError):
        wrong()
