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


@exercise("06_evaluation", "for one source CC is the cosine of the angle")
def misplaced_deg(answer: Callable) -> None:
    """By how many degrees a single source is misplaced when its map scores `cc`: answer(cc)."""
    for cc, angle in ((1, 0), (0.5, 60), (0, 90), (-1, 180)):
        assert np.isclose(answer(cc), angle), f"CC {cc} is {angle} degrees, got {answer(cc)}"


@exercise("06_evaluation", "of all pairs of a loud and another place, the share in the right order; a tie is half")
def chance_of_order(answer: Callable) -> None:
    """The area under the ROC curve: answer(levels at loud places, levels at the others)."""
    cases = (([2.0, 3.0], [0.0, 1.0], 1.0), ([0.0], [1.0, 2.0], 0.0), ([1.0, 1.0], [1.0, 0.0], 0.75))
    for loud, others, expected in cases:
        got = answer(np.array(loud), np.array(others))
        assert np.isclose(got, expected), f"loud {loud}, others {others}: {expected} is right, got {got}"


@exercise("06_evaluation", "a diagonal matrix has its root number by number, so a + b - 2 sqrt(a b) is left")
def frechet_diagonal(answer: Callable) -> None:
    """FAD of two clouds from means and variances alone: answer(first [n, D], second [m, D])."""
    from visage_lite.frechet import Gaussian, frechet_distance

    rng = np.random.default_rng(0)
    first = rng.standard_normal((50, 3)) * [1, 2, 0.5]
    for name, second in (("moved", first + [3, 0, 4]), ("half as wide", first / 2), ("another", rng.random((20, 3)))):
        sides = (Gaussian(each.mean(0), np.diag(each.var(0, ddof=1))) for each in (first, second))
        expected, got = frechet_distance(*sides), answer(first, second)
        assert got is not None and np.isclose(got, expected), f"{name}: {expected:.4f} is right, got {got}"


@exercise(
    "06_evaluation",
    "np.bincount gives each video's sum and count; a draw adds up those of the drawn videos and divides once",
)
def video_interval(answer: Callable) -> None:
    """A bootstrap over videos: answer(scores [n], videos [n], draws, rng) -> (low, high)."""
    from visage_lite.intervals import mean_interval

    rng = np.random.default_rng(0)
    videos = rng.permutation(np.repeat(np.arange(30), rng.integers(1, 40, 30)))
    scores = rng.normal(0, 1, 30)[videos] + rng.normal(0, 0.3, len(videos)) + 0.04 * np.bincount(videos)[videos]
    low, high = answer(scores.copy(), videos.copy(), 2000, np.random.default_rng(1))
    again = answer(scores.copy(), videos.copy(), 2000, np.random.default_rng(1))
    assert np.allclose(again, (low, high)), "the same rng must give the same interval: draw from it, from nothing else"
    clips, right = (mean_interval(scores, unit, 2, 4000) for unit in (np.arange(len(videos)), videos))
    near = 0.15 * (right.high - right.low)
    said = f"[{right.low:.2f}, {right.high:.2f}] is right, got [{low:.2f}, {high:.2f}]"
    assert high - low > 1.5 * (clips.high - clips.low), f"{said}: that is the width over clips; draw whole videos"
    macro = "a video of many clips must count as many: not the mean of the videos' means"
    assert abs(low - right.low) < near and abs(high - right.high) < near, f"{said}: {macro}"


@exercise("06_evaluation", "find the loudest patch, or the mean of all patches weighted by the map, and pan there")
def my_baseline(answer: Callable) -> None:
    """A baseline of one's own: answer(Known) -> [4, N], nearer to the source than half of the camera's error."""
    from visage_lite.ambisonics import intensity_direction
    from visage_lite.baselines import Known, field_of
    from visage_lite.directions import Direction, angles
    from visage_lite.evaluation import direction_error
    from visage_lite.panorama import view_rays

    rng, errors = np.random.default_rng(0), []
    for camera in (Direction.from_degrees(*each) for each in ((20, 10), (-130, -20), (170, 0), (80, -35), (-60, 30))):
        rays = view_rays(camera, 90.0, 7).reshape(-1, 3)
        source = rays[rng.choice((8, 12, 13, 36, 40, 29))]  # a patch away from the middle
        energy = np.exp((rays @ source - 1) / 0.01) + 0.02 * rng.random((20, 49))  # a blob there, and a little noise
        mono = rng.standard_normal(4000)
        try:
            field = field_of(answer, Known(mono, camera, energy / energy.sum(1, keepdims=True), 16000, 0))
        except ValueError as error:
            raise AssertionError(str(error)) from error
        assert np.allclose(field[0], mono), "W is not the mono sound: only the placing may differ"
        found = np.stack([intensity_direction(field), camera.to_vector()])
        errors.append(np.degrees(direction_error(found, *angles(source))))
    off, panned = np.mean(errors, axis=0)
    assert off < panned / 2, f"{off:.0f} degrees off on average, wanted are {panned / 2:.0f}, half of the camera's"
