"""The exercises of the notebooks 04 to 06: the model, sampling, scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from visage_lite.checking import exercise

# 04_training


@exercise("04_training", "one stream costs −ln(1 / vocab), and the loss is the sum over the streams")
def chance_loss(answer: Callable) -> None:
    """The loss of a model that knows nothing, in nats: answer(streams, vocab)."""
    for streams, vocab in ((1, 2), (16, 256), (36, 1024)):
        expected = streams * np.log(vocab)
        assert np.isclose(answer(streams, vocab), expected), f"{streams} streams of {vocab} codes: {expected:.2f} nats"


@exercise("04_training", "offsets are 0, 1 or 2; a stream speaks where step minus its offset is even")
def streams_due(answer: Callable) -> None:
    """The streams predicted at a step far from both ends, sorted: answer(step, channels, codebooks)."""
    from visage_lite.pattern import Pattern

    for step, channels, codebooks in ((10, 1, 3), (11, 1, 3), (10, 4, 2), (11, 4, 2), (300, 4, 9), (301, 4, 9)):
        expected = Pattern(channels, codebooks).streams_at(step, 400).tolist()
        got = [int(stream) for stream in answer(step, channels, codebooks)]
        assert got == expected, f"step {step}, {channels} channels, {codebooks} codebooks: {expected}, got {got}"


@exercise(
    "04_training",
    "6 x weights x positions for a clip; times clips and epochs; over gpus x tflops x 1e12; a day has 86,400 s",
)
def training_days(answer: Callable) -> None:
    """How long a run takes: answer(weights, positions, clips, epochs, gpus, tflops)."""
    for case, expected in (((1e8, 1000, 86_400, 1, 1, 1), 0.6), ((2e8, 861, 81_594, 80, 8, 100), 0.097573)):
        got = answer(*case)
        assert np.isclose(got, expected, rtol=1e-4), f"{case}: {expected} days, got {got}"


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


@exercise(
    "04_training",
    "place step x batch_size + i belongs to epoch place // clips; draw its permutation from (seed, epoch)",
)
def clips_of_step(answer: Callable) -> None:
    """The clips that a step sees: answer(clips, batch_size, seed, step) -> int [batch_size]."""
    whole = np.concatenate([np.asarray(answer(10, 4, 7, step)) for step in range(10)])
    assert whole.shape == (40,), f"[batch_size] clips a step, not {np.shape(answer(10, 4, 7, 0))}"
    epochs = whole.reshape(4, 10)
    assert (np.sort(epochs) == np.arange(10)).all(), "every clip once in every epoch"
    assert len({tuple(epoch) for epoch in epochs}) > 1, "every epoch in another order"
    assert np.array_equal(answer(10, 4, 7, 3), whole[12:16]), "the same arguments must give the same clips"
    assert not np.array_equal(whole[:10], np.concatenate([answer(10, 5, 8, step) for step in range(2)])), "use the seed"


# 05_generation


@exercise("05_generation", "write u + g (l - u) as a sum of l and u, and read off their factors")
def usual_weights(answer: Callable) -> None:
    """The weights of (told everything, told nothing) for the scale g of u + g (l - u): answer(g)."""
    for g, expected in ((1.0, (1.0, 0.0)), (3.5, (3.5, -2.5)), (0.0, (0.0, 1.0))):
        assert np.allclose(answer(g), expected), f"g = {g}: {expected} is right, got {tuple(answer(g))}"


@exercise("05_generation", "sort from the most probable on, add up, and stop at the first sum that reaches p")
def top_p(answer: Callable) -> None:
    """The rescaled probabilities of the fewest codes that reach p together: answer(probabilities, p)."""
    cases = (((0.5, 0.3, 0.2), 0.6, (0.625, 0.375, 0)), ((0.2, 0.3, 0.5), 0.5, (0, 0, 1)), ((0.1, 0.9), 1, (0.1, 0.9)))
    for given, p, expected in cases:
        got = np.asarray(answer(np.array(given), p))
        assert np.allclose(got, expected), f"{given} with p = {p}: {expected} is right, got {got.round(3)}"


@exercise("05_generation", "keys and values: two vectors for every layer, step and branch")
def cache_bytes(answer: Callable) -> None:
    """The bytes of the cache: answer(layers, width, steps, branches, bytes_each)."""
    for case, expected in (((12, 1024, 861, 2, 4), 169_279_488), ((1, 2, 3, 1, 2), 24)):
        assert answer(*case) == expected, f"{case}: {expected:,} bytes, got {answer(*case):,}"


@exercise("05_generation", "frame t is whole after step 2t + 2, counted from 0; which is the last frame it needs?")
def steps_to_first_sound(answer: Callable) -> None:
    """The steps done before the first piece of a stream sounds: answer(piece, after)."""
    for (piece, after), expected in (((1, 0), 3), ((12, 1), 27), ((22, 8), 61)):
        got = answer(piece, after)
        assert got == expected, f"a piece of {piece} frames and {after} after it: {expected} steps, got {got}"


@exercise("05_generation", "go on by window - overlap, but never so far that a window would end beyond the video")
def window_starts(answer: Callable) -> None:
    """Where the windows of a long video begin: answer(length, window, overlap)."""
    cases = {(9, 5, 1): [0, 4], (5, 5, 1): [0], (3, 5, 1): [0], (10, 5, 1): [0, 4, 5], (14, 5, 2): [0, 3, 6, 9]}
    for case, expected in cases.items():
        got = [int(start) for start in answer(*case)]
        assert got == expected, f"length, window, overlap {case}: {expected}, got {got}"


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
