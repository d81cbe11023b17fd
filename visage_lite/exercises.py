"""Answers to the notebooks' exercises are checked here: `check("name", your_function)`.

An exercise is a function of one argument, the reader's answer, that asserts what must hold; what it asserts
says what went wrong. Its name is the name of the function in `notebooks/solutions/<notebook>.py`, which must pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visage_lite import ambisonics


@dataclass(frozen=True)
class Exercise:
    """One exercise: where it stands, what is asserted of an answer, and the hint given when that fails."""

    notebook: str
    hint: str
    holds: Callable[[Callable], None]


EXERCISES: dict[str, Exercise] = {}


def exercise(notebook: str, hint: str) -> Callable[[Callable], Callable]:
    """Register the decorated function as the exercise of its own name.

    Args:
        notebook: the file's name without its ending, e.g. "02_ambisonics".
        hint: one sentence that points the reader on, without giving the answer away.

    Returns: a decorator.
    """

    def register(holds: Callable[[Callable], None]) -> Callable[[Callable], None]:
        EXERCISES[holds.__name__] = Exercise(notebook, hint, holds)
        return holds

    return register


def verdict(name: str, answer: Callable) -> str:
    """What is to be said about an answer, starting with "ok", "not done yet" or "not right yet".

    Args:
        name: the exercise's name.
        answer: the reader's function.

    Returns: one or two lines of text.
    Raises: ValueError if there is no exercise of that name.
    """
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r}: choose one of {', '.join(sorted(EXERCISES))}")
    entry = EXERCISES[name]
    try:
        entry.holds(answer)
    except NotImplementedError:
        return f"not done yet: {name}"
    except AssertionError as error:
        said = str(error).strip().splitlines()
        return f"not right yet: {name}: {said[0] if said else 'the result is another'}\n  hint: {entry.hint}"
    except Exception as error:
        return f"not right yet: {name} raised {type(error).__name__}: {error}\n  hint: {entry.hint}"
    return f"ok: {name}"


def check(name: str, answer: Callable) -> None:
    """Print whether an answer to an exercise is ok, not done yet, or not right with a hint.

    Args:
        name: the exercise's name, as the notebook gives it.
        answer: your function.

    Raises: ValueError if there is no exercise of that name.
    """
    print(verdict(name, answer))


# 00_quickstart


@exercise("00_quickstart", "turning the head by +yaw turns the scene by −yaw: only the azimuth changes")
def heard_azimuth_deg(answer: Callable) -> None:
    """Where a source at `azimuth_deg` is heard after the head turned by `yaw_deg`: answer(azimuth_deg, yaw_deg)."""
    for azimuth, yaw, expected in ((60, 0, 60), (60, 60, 0), (0, 90, -90), (-170, 30, 160)):
        got = answer(azimuth, yaw)
        assert abs((got - expected + 180) % 360 - 180) < 1e-6, f"a source at {azimuth}°, head at {yaw}°: got {got}°"


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


# 03_features


@exercise("03_features", "first the whole frames in one second, sample_rate // hop, and then the seconds")
def frames_used(answer: Callable) -> None:
    """The code frames that the model uses: answer(seconds, sample_rate, hop)."""
    for given, frames in (((5, 44100, 512), 430), ((5, 16000, 320), 250), ((2, 44100, 512), 172)):
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


# 04_training


@exercise("04_training", "one stream costs −ln(1 / vocab), and the loss is the sum over the streams")
def chance_loss(answer: Callable) -> None:
    """The loss of a model that knows nothing, in nats: answer(streams, vocab)."""
    for streams, vocab in ((1, 2), (16, 256), (36, 1024)):
        expected = streams * np.log(vocab)
        assert np.isclose(answer(streams, vocab), expected), f"{streams} streams of {vocab} codes: {expected:.2f} nats"


@exercise("04_training", "step i knows the steps before it and itself: np.tril, or compare two aranges")
def may_look(answer: Callable) -> None:
    """The mask of causal attention, bool [steps, steps]: answer(steps)."""
    for steps in (1, 5):
        got = np.asarray(answer(steps))
        assert got.shape == (steps, steps), f"the shape is {got.shape}, not {(steps, steps)}"
        assert got.dtype == bool, f"the type is {got.dtype}, not bool"
        assert got[-1].all(), "the last step may ask every step"
        assert not np.triu(got, 1).any(), "a step looks into its future"
        assert got.diagonal().all(), "a step may ask itself"
        assert np.array_equal(got, np.tril(np.ones((steps, steps), dtype=bool))), "a step may ask all earlier ones"


@exercise("04_training", "offsets are 0, 1 or 2; a stream speaks where step minus its offset is even")
def streams_due(answer: Callable) -> None:
    """The streams predicted at a step far from both ends, sorted: answer(step, channels, codebooks)."""
    from visage_lite.pattern import Pattern

    for step, channels, codebooks in ((10, 1, 3), (11, 1, 3), (10, 4, 2), (11, 4, 2), (300, 4, 9), (301, 4, 9)):
        expected = Pattern(channels, codebooks).streams_at(step, 400).tolist()
        got = [int(stream) for stream in answer(step, channels, codebooks)]
        assert got == expected, f"step {step}, {channels} channels, {codebooks} codebooks: {expected}, got {got}"


@exercise("04_training", "two attentions of four square matrices, two of width x ffn, biases, three norms of 2 width")
def decoder_layer_weights(answer: Callable) -> None:
    """The number of weights of a decoder layer: answer(width, ffn)."""
    for width, ffn, expected in ((1024, 4096, 16_796_672), (128, 512, 264_576), (2, 3, 77)):
        assert answer(width, ffn) == expected, f"width {width}, ffn {ffn}: {expected:,}, got {answer(width, ffn):,}"


@exercise("04_training", "one number a clip for the picture, another for the direction; true where it is below share")
def guidance_masks(answer: Callable) -> None:
    """Guidance dropout: answer(clips, share, rng) -> (without_picture, without_direction), bool [clips] each."""
    picture, direction = (np.asarray(mask) for mask in answer(20_000, 0.1, np.random.default_rng(0)))
    assert picture.shape == direction.shape == (20_000,), f"[clips] each, not {picture.shape} and {direction.shape}"
    assert picture.dtype == direction.dtype == bool, f"bool, not {picture.dtype} and {direction.dtype}"
    assert abs(picture.mean() - 0.1) < 0.01 and abs(direction.mean() - 0.1) < 0.01, "a tenth of the clips, clip by clip"
    both = (picture & direction).mean()
    assert abs(both - 0.01) < 0.004, f"one clip in a hundred loses both, not {both:.3f}: draw for each apart"
    again = answer(20_000, 0.1, np.random.default_rng(0))[0]
    assert np.array_equal(again, picture), "the same rng must give the same masks: draw from it, from nothing else"


# 06_evaluation


@exercise("06_evaluation", "take the mean off each map; then the sum of products over the root of the two energies")
def pearson(answer: Callable) -> None:
    """The correlation of two maps: answer(first, second)."""
    first, second = np.random.default_rng(0).uniform(0, 1, (2, 300))
    for a, b in ((first, second), (first, 3 * first + 2), (first, -first)):
        assert np.isclose(answer(a, b), np.corrcoef(a, b)[0, 1]), f"{np.corrcoef(a, b)[0, 1]:.3f}, got {answer(a, b)}"


@exercise("06_evaluation", "of all pairs of a loud and another place, the share in the right order; a tie is half")
def chance_of_order(answer: Callable) -> None:
    """The area under the ROC curve: answer(levels at loud places, levels at the others)."""
    cases = (([2.0, 3.0], [0.0, 1.0], 1.0), ([0.0], [1.0, 2.0], 0.0), ([1.0, 1.0], [1.0, 0.0], 0.75))
    for loud, others, expected in cases:
        got = answer(np.array(loud), np.array(others))
        assert np.isclose(got, expected), f"loud {loud}, others {others}: {expected} is right, got {got}"


@exercise("06_evaluation", "for one source CC is the cosine of the angle")
def misplaced_deg(answer: Callable) -> None:
    """By how many degrees a single source is misplaced when its map scores `cc`: answer(cc)."""
    for cc, angle in ((1, 0), (0.5, 60), (0, 90), (-1, 180)):
        assert np.isclose(answer(cc), angle), f"CC {cc} is {angle} degrees, got {answer(cc)}"
