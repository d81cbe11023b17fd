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
