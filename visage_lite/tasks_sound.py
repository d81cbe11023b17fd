"""The exercises of the notebooks 00 to 03: directions, sound fields, features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from visage_lite import ambisonics
from visage_lite.checking import exercise
from visage_lite.directions import Direction
from visage_lite.pattern import Pattern

# 00_quickstart


@exercise("00_quickstart", "turning the head by +yaw turns the scene by −yaw: only the azimuth changes")
def heard_azimuth_deg(answer: Callable) -> None:
    """Where a source at `azimuth_deg` is heard after the head turned by `yaw_deg`: answer(azimuth_deg, yaw_deg)."""
    for azimuth, yaw, expected in ((60, 0, 60), (60, 60, 0), (0, 90, -90), (-170, 30, 160)):
        got = answer(azimuth, yaw)
        assert abs((got - expected + 180) % 360 - 180) < 1e-6, f"a source at {azimuth}°, head at {yaw}°: got {got}°"
        assert -180 <= got <= 180, f"{got}° is right, but outside −180 … 180: add or take away 360"


@exercise("00_quickstart", "W and Z stay; Y and X are a point of the plane that turns by −yaw")
def head_turned(answer: Callable) -> None:
    """A sound field [4, N] as it reaches a head turned left by `yaw_deg`: answer(foa, yaw_deg)."""
    foa = np.random.default_rng(0).standard_normal((4, 50))
    before = foa.copy()
    quarter = answer(foa, 90)
    assert np.shape(quarter) == (4, 50), f"the answer has shape {np.shape(quarter)}, not (4, 50)"
    assert np.allclose(quarter[[0, 2]], foa[[0, 2]]), "W and Z must stay as they are"
    assert np.allclose(quarter[1], -foa[3]), "head at 90°: what was in front (+X) must be on the right (−Y)"
    assert np.allclose(answer(foa, 37), ambisonics.rotate_yaw(foa, -np.deg2rad(37))), "another result at 37°"
    assert np.array_equal(foa, before), "the sound field that was passed in has changed: work on a copy"


@exercise("00_quickstart", "compare the energy (mean of the squares) of the two rows of the stereo sound")
def louder_ear(answer: Callable) -> None:
    """Which ear of a stereo sound [2, N] is louder, "left" or "right": answer(stereo)."""
    noise = np.random.default_rng(0).standard_normal(2000)
    assert answer(np.stack([noise, 0.5 * noise])) == "left", "the left row is twice the right row"
    assert answer(np.stack([-0.2 * noise, -0.9 * noise])) == "right", "sign must not matter"


# 01_dataset


@exercise("01_dataset", "the middle column, 448, is azimuth 0; left is positive and lies at smaller columns")
def panorama_column(answer: Callable) -> None:
    """The column of an azimuth in a panorama 896 pixels wide: answer(azimuth_deg)."""
    for azimuth, column in ((0, 448), (90, 224), (-90, 672), (45, 336)):
        got = answer(azimuth)
        assert got is not None and abs(got - column) < 1e-6, f"azimuth {azimuth}° is column {column}, got {got}"


@exercise("01_dataset", "take the difference of the angles and wrap it to -180..180")
def half_of_picture(answer: Callable) -> None:
    """On which half of the picture a source is, "left" or "right": answer(source_azimuth_deg, camera_azimuth_deg)."""
    for source, camera, half in ((45, 62, "right"), (80, 62, "left"), (-170, 170, "left"), (175, -175, "right")):
        got = answer(source, camera)
        assert got == half, f"source at {source}°, camera at {camera}°: got {got!r}"


@exercise("01_dataset", "the id is the first 11 characters, and an id may itself contain an underscore")
def leaking_videos(answer: Callable) -> None:
    """The videos in more than one split: answer({split: [clip names]}) -> set of ids."""
    tested = ["aaaaaaaaaaa_5.npy", "b_ccccccccc_5.npy"]
    got = answer({"train": ["aaaaaaaaaaa_0.npy", "b_bbbbbbbbb_5.npy"], "test": tested})
    assert got == {"aaaaaaaaaaa"}, f"only aaaaaaaaaaa stands in both splits, got {got}"
    got = answer({"train": ["aaaaaaaaaaa_0.npy", "aaaaaaaaaaa_5.npy"], "valid": [], "test": []})
    assert got == set(), f"several clips of a video in one split are no leak, got {got}"


@exercise("01_dataset", "the video is the first 11 characters; first one mean for each video, then the mean of those")
def mean_over_videos(answer: Callable) -> None:
    """The mean over videos of the means over their clips: answer({clip: score}) -> a number."""
    got = answer({"aaaaaaaaaaa_0": 1.0, "aaaaaaaaaaa_5": 1.0, "aaaaaaaaaaa_10": 1.0, "b_bbbbbbbbb_0": 0.0})
    assert got is not None and not np.isclose(got, 0.75), "0.75 is the mean over clips: video aaaaaaaaaaa counts thrice"
    assert np.isclose(got, 0.5), f"one video has 1, the other 0: the mean is 0.5, got {got}"
    got = answer({"b_bbbbbbbbb_0": 0.2, "b_ccccccccc_0": 0.4, "b_bbbbbbbbb_15": 0.6})
    assert np.isclose(got, 0.4), f"an id may hold an underscore: the mean is 0.4, got {got}"


@exercise("01_dataset", "level, directivity, samples at full scale, and last panorama.pixel_of the loudest direction")
def what_is_wrong(answer: Callable) -> None:
    """What is wrong with the sound of a clip: answer(foa [4, N], camera) -> its name."""
    tone = 0.4 * np.sin(np.arange(4000) / 5) * np.hanning(4000)
    camera = Direction.from_degrees(70, 10)
    good = ambisonics.encode(tone, *np.deg2rad((85, 0)))
    hall = np.random.default_rng(5).standard_normal((4, 4000)) * np.array([[1], [3**-0.5], [3**-0.5], [3**-0.5]])
    cases = (
        ("a clean clip", "nothing", good), ("a soft clip", "nothing", 0.05 * good),
        ("a silent clip", "silent", 0 * good),
        ("a clip in a hall", "nothing", good + 0.1 * hall), ("W alone", "no direction", good * [[1], [0], [0], [0]]),
        ("a clip six times too loud", "clipped", np.clip(6 * good, -1, 1)),
        ("a mirrored clip", "out of view", ambisonics.mirror(good)),
        ("sound from all sides", "no direction", 0.1 * hall),
    )
    for what, expected, foa in cases:
        got = answer(foa.copy(), camera)
        assert got == expected, f"{what} is {expected!r}, got {got!r}"


# 02_ambisonics


@exercise("02_ambisonics", "W hears all alike: 1; np.sin and np.cos want radians: np.deg2rad")
def encoding_gains(answer: Callable) -> None:
    """The gains of W, Y, Z, X for one source: answer(azimuth_deg, elevation_deg)."""
    for place in ((0, 0), (90, 0), (-120, 30), (10, -80)):
        expected = ambisonics.encode(np.ones(1), *np.deg2rad(place))[:, 0]
        got = np.asarray(answer(*place), dtype=float)
        assert got.shape == (4,) and np.allclose(got, expected), f"{place}: {expected.round(3)} is right, got {got}"


@exercise("02_ambisonics", "FuMa's rows are W, X, Y, Z, and its W is the ambiX one divided by the square root of 2")
def fuma_to_ambix(answer: Callable) -> None:
    """A FuMa recording as ambiX: answer(foa [4, N])."""
    foa = np.random.default_rng(0).standard_normal((4, 20))
    got = answer(ambisonics.convert(foa, "ambix", "fuma"))
    assert np.shape(got) == (4, 20), f"the result is [4, N], not {np.shape(got)}"
    assert np.allclose(got[1:], foa[1:]), "Y, Z and X are not where they belong"
    assert np.allclose(got[0], foa[0]), "the rows stand in order, but W has the wrong gain"


@exercise("02_ambisonics", "the means of W Y, W Z and W X are left, up and front; then arctan2 twice")
def source_direction_deg(answer: Callable) -> None:
    """Azimuth and elevation in degrees of the one source of a field: answer(foa [4, N])."""
    noise = np.random.default_rng(1).standard_normal(500)
    for place in ((60, 20), (-150, -40), (0, 0)):
        got = np.asarray(answer(-0.3 * ambisonics.encode(noise, *np.deg2rad(place))), dtype=float)
        assert got.shape == (2,) and np.allclose(got, place, atol=1e-6), f"a source at {place}: got {got}"


@exercise("02_ambisonics", "v is 1 and the coordinates left, up, front; the level is the root of v C v")
def level_toward(answer: Callable) -> None:
    """One value of the energy map from the covariance alone: answer(covariance [4, 4], azimuth_deg, elevation_deg)."""
    noise = np.random.default_rng(2).standard_normal(400)
    covariance = ambisonics.covariance(ambisonics.encode(noise, *np.deg2rad((60, 20))))
    loudest = 2 * np.sqrt(np.mean(noise**2))
    got = answer(covariance, 60, 20)
    assert got is not None and not np.isclose(got, loudest**2), "that is its square: take the root"
    assert np.isclose(got, loudest), f"toward the source it is {loudest:.4f}, got {got}"
    assert np.isclose(answer(covariance, -30, 0), 0.5 * loudest), "90° beside the source it is half as loud"
    mixed = ambisonics.covariance(np.random.default_rng(3).standard_normal((4, 50)))
    row, column = 20, 130
    expected = ambisonics.energy_map_of_covariance(mixed)[row, column]
    got = answer(mixed, 179 - 2 * column, 89 - 2 * row)
    assert np.isclose(got, expected), "right for one source, but not for a field of several"


@exercise("02_ambisonics", "wrong weights show in (Y² + Z² + X²) / W²; order and sign in the means of W Y, W Z, W X")
def which_mistake(answer: Callable) -> None:
    """What is wrong with the field of one source: answer(foa [4, N], azimuth_deg, elevation_deg) -> its name."""
    noise = 0.2 * np.random.default_rng(4).standard_normal(300)
    for place in ((50, 20), (-120, -30), (30, 0)):
        good = ambisonics.encode(noise, *np.deg2rad(place))
        quiet_w = good * np.array([[0.5**0.5], [1], [1], [1]])
        cases = (
            ("nothing", good), ("order", good[[0, 3, 1, 2]]), ("weights", ambisonics.convert(good, "ambix", "n3d")),
            ("weights", quiet_w), ("sign", ambisonics.mirror(good)),
        )
        for expected, foa in cases:
            got = answer(foa, *place)
            assert got == expected, f"a source at {place}: that was {expected!r}, got {got!r}"


# 03_features


@exercise("03_features", "first the whole frames in one second, sample_rate // hop, and then the seconds")
def frames_used(answer: Callable) -> None:
    """The code frames that the model uses: answer(seconds, sample_rate, hop)."""
    cases = (((5, 44100, 512), 430), ((5, 16000, 320), 250), ((2, 44100, 512), 172), ((10, 44100, 512), 860))
    for given, frames in cases:
        assert answer(*given) == frames, f"{given} gives {frames} frames, got {answer(*given)}"


@exercise("03_features", "softmax each score by itself, over the 49 patches, and take the mean of the two")
def unmasked_energy(answer: Callable) -> None:
    """The energy map of a frame before the mask: answer(spatial [49], temporal [49], temperature)."""
    spatial, temporal = np.random.default_rng(0).uniform(0, 2, (2, 49))
    powers = np.exp(np.stack([spatial, temporal]) / 0.1)
    got = answer(spatial, temporal, 0.1)
    assert got is not None and np.shape(got) == (49,), "the map has 49 values"
    assert np.isclose(np.sum(got), 1), f"the map sums to {np.sum(got):.3f}, not to 1"
    assert np.allclose(got, (powers / powers.sum(-1, keepdims=True)).mean(0)), "the sum is right, the values are not"
    assert np.ptp(answer(spatial, temporal, 1e6)) < 1e-6, "a very high temperature must give a flat map"


@exercise("03_features", "codebook 0 of Y below GAIN_LEVELS is a plus, in phase with W; SILENCE and above says nothing")
def side_from_codes(answer: Callable) -> None:
    """The side of a sound in toy codes: answer(codes [4, K, T]) -> "left" or "right"."""
    codes = np.full((4, 4, 10), 80)  # silent
    codes[0, 0, :4], codes[3, 0, :4] = 60, 20  # W sounds, with a minus; X is in phase with it
    for level, side in ((20, "left"), (60, "right")):
        codes[1, 0, :4] = level
        assert answer(codes.copy()) == side, f"Y's first codes are {codes[1, 0].tolist()}: that is {side}"


@exercise("03_features", "take the nearest entry off the points before you go to the next codebook")
def residual_codes(answer: Callable) -> None:
    """The codes of points in a residual quantiser: answer(points [n, D], books [K, V, D]) -> [K, n]."""
    rng = np.random.default_rng(0)
    books = rng.standard_normal((3, 8, 5)) * np.array([4, 2, 1])[:, None, None]
    points = rng.standard_normal((40, 5)) * 4
    before, expected, alone = points.copy(), np.zeros((3, 40), int), np.zeros((3, 40), int)
    for place, point in enumerate(points):
        left = point
        for book, entries in enumerate(books):
            alone[book, place] = ((point - entries) ** 2).sum(-1).argmin()
            expected[book, place] = ((left - entries) ** 2).sum(-1).argmin()
            left = left - entries[expected[book, place]]
    got = np.asarray(answer(points, books))
    assert got.shape == (3, 40), f"three codebooks and 40 points make codes [3, 40], not {list(got.shape)}"
    assert np.array_equal(points, before), "the points that were passed in have changed: work on a copy"
    assert not np.array_equal(got, alone), "every codebook has looked at the points themselves, not at what was left"
    assert np.array_equal(got[0], expected[0]), "the first codes are not the nearest entries of the first codebook"
    assert np.array_equal(got, expected), "the first codes are right, the later ones are not"


@exercise("03_features", "a code stands at step 2t, plus 1 after channel 0, plus 1 after codebook 0; see the earlier")
def may_see(answer: Callable) -> None:
    """Whether a code sees another in ViSAGe's pattern: answer((channel, codebook, frame), the other) -> bool."""
    offsets = Pattern(4, 3).offsets.reshape(4, 3)
    every = list(np.ndindex(4, 3, 4))
    for code in every:
        for other in every:
            mine, its = (2 * t + int(offsets[c, k]) for c, k, t in (code, other))
            got = answer(code, other)
            said = "sees" if its < mine else "does not see"
            assert got in (True, False) and bool(got) == (its < mine), f"{code} {said} {other}, got {got}"
