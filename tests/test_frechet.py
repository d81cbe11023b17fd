"""FAD and KLD: closed forms, high precision, what rounding must not do, intervals that cover, KL by a loop."""

import mpmath
import numpy as np
import pytest

from visage_lite.frechet import EPSILON, Gaussian, frechet_distance, frechet_interval, gaussian, kl_divergence


def positive(rng, size, rank=None):
    """A random covariance matrix."""
    root = rng.standard_normal((size, rank or size + 2))
    return root @ root.T


def rotation(rng, size):
    return np.linalg.qr(rng.standard_normal((size, size)))[0]


def test_gaussian_is_numpys_covariance():
    x = np.random.default_rng(0).standard_normal((30, 5)) + 7
    made = gaussian(x.astype(np.float32))
    np.testing.assert_allclose(made.mean, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(made.covariance, np.cov(x, rowvar=False), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrong", [np.zeros((1, 4)), np.zeros(4), np.zeros((0, 4)), np.full((3, 4), np.nan)])
def test_too_few_or_broken_embeddings_raise(wrong):
    with pytest.raises(ValueError, match="score more clips|not finite"):
        gaussian(wrong)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="sizes? .*3 and 4|size are compared"):
        frechet_distance(Gaussian(np.zeros(3), np.eye(3)), Gaussian(np.zeros(4), np.eye(4)))


def test_closed_forms():
    rng = np.random.default_rng(1)
    m, n = rng.standard_normal((2, 6))
    a, b = rng.uniform(0.1, 4, (2, 6))
    apart = np.sum((m - n) ** 2)
    same = positive(rng, 6)
    assert frechet_distance(Gaussian(m, same), Gaussian(n, same)) == pytest.approx(apart, rel=1e-12)
    diagonal = apart + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert frechet_distance(Gaussian(m, np.diag(a)), Gaussian(n, np.diag(b))) == pytest.approx(diagonal, rel=1e-12)
    turned = rotation(rng, 6)  # commuting matrices share their axes
    one, other = (Gaussian(mean, turned @ np.diag(v) @ turned.T) for mean, v in ((m, a), (n, b)))
    assert frechet_distance(one, other) == pytest.approx(diagonal, rel=1e-12)
    assert frechet_distance(Gaussian(m[:1], [[4.0]]), Gaussian(n[:1], [[9.0]])) == pytest.approx((m[0] - n[0]) ** 2 + 1)
    scaled = frechet_distance(Gaussian(m, 4 * np.eye(6)), Gaussian(m, 25 * np.eye(6)))
    assert scaled == pytest.approx(6 * (2 - 5) ** 2, rel=1e-12)


def test_invariances():
    rng = np.random.default_rng(2)
    one, other = (Gaussian(rng.standard_normal(8), positive(rng, 8)) for _ in range(2))
    distance = frechet_distance(one, other)
    assert frechet_distance(other, one) == pytest.approx(distance, rel=1e-12)
    turn, shift = rotation(rng, 8), rng.standard_normal(8)
    moved = [Gaussian(turn @ g.mean + shift, turn @ g.covariance @ turn.T) for g in (one, other)]
    assert frechet_distance(*moved) == pytest.approx(distance, rel=1e-12)
    louder = [Gaussian(3 * g.mean, 9 * g.covariance) for g in (one, other)]
    assert frechet_distance(*louder) == pytest.approx(9 * distance, rel=1e-12)


@pytest.mark.parametrize("ranks", [(8, 8), (3, 8), (3, 2)])
def test_high_precision_agrees_also_without_full_rank(ranks):
    """tr sqrt(A B) by 60 digits: the roots of A B's eigenvalues."""
    rng = np.random.default_rng(3)
    one, other = (Gaussian(rng.standard_normal(6), positive(rng, 6, rank)) for rank in ranks)
    with mpmath.workdps(60):
        product = mpmath.matrix(one.covariance.tolist()) * mpmath.matrix(other.covariance.tolist())
        eigenvalues = mpmath.eig(product, left=False, right=False)
        root = sum(mpmath.sqrt(abs(mpmath.re(value))) for value in eigenvalues if abs(value) > mpmath.mpf("1e-12"))
        exact = np.trace(one.covariance) + np.trace(other.covariance) - 2 * float(root)
    exact += np.sum((one.mean - other.mean) ** 2)
    assert frechet_distance(one, other) == pytest.approx(exact, rel=1e-10)


def test_fewer_embeddings_than_numbers_give_no_negative_or_complex_distance():
    rng = np.random.default_rng(4)
    for n in (2, 5, 40):
        cloud = gaussian(rng.standard_normal((n, 64)) * np.logspace(-6, 3, 64))
        distance, scale = frechet_distance(cloud, cloud), np.trace(cloud.covariance)
        assert isinstance(distance, float) and 0 <= distance <= 1e-11 * scale
    assert frechet_distance(Gaussian(np.ones(3), np.zeros((3, 3))), Gaussian(np.zeros(3), np.zeros((3, 3)))) == 3


# Intervals

def cloud(rng, videos, clips=4, size=3, shift=0.0):
    """Embeddings of clips that resemble each other within a video: a list of [2, size], and the videos' names."""
    centre = np.repeat(rng.standard_normal((videos, size)), clips, axis=0)
    made = centre[:, None] + 0.3 * rng.standard_normal((videos * clips, 2, size)) + shift
    return list(made), np.repeat([f"v{i}" for i in range(videos)], clips)


def test_draws_equal_a_loop_that_takes_videos_again_and_again():
    rng = np.random.default_rng(5)
    (made, videos), (true, _) = cloud(rng, 7, shift=5.0), cloud(rng, 7)
    made[3] = np.concatenate([made[3], made[3][:1] + 1])  # clips need not have as many embeddings
    order = rng.permutation(len(videos))
    made, true, videos = [made[i] for i in order], [true[i] for i in order], videos[order]
    found = frechet_interval(made, true, videos, seed=3, draws=40)
    counts = np.random.default_rng(3).multinomial(7, np.full(7, 1 / 7), size=40)
    wanted = []
    for row in counts:
        taken = [i for video, count in zip(np.unique(videos), row) for _ in range(count)
                 for i in np.flatnonzero(videos == video)]  # fmt: skip
        sides = [gaussian(np.concatenate([side[i] for i in taken])) for side in (made, true)]
        wanted.append(frechet_distance(*sides))
    np.testing.assert_allclose(found.draws + found.bias, wanted, rtol=1e-9)
    assert found.fad == frechet_distance(gaussian(np.concatenate(made)), gaussian(np.concatenate(true)))
    assert found.bias == pytest.approx(np.mean(wanted) - found.fad)
    assert [found.low, found.high] == pytest.approx(np.quantile(np.array(wanted) - found.bias, [0.025, 0.975]))
    assert found.draws.mean() == pytest.approx(found.fad) and found.videos == 7


def test_intervals_over_videos_cover_and_over_clips_do_not():
    """Of 80 test sets the 95 % interval holds the distance that test sets of that size have on average."""
    rng = np.random.default_rng(6)
    sets = [(cloud(rng, 30, clips=8, shift=0.6), cloud(rng, 30, clips=8)) for _ in range(80)]
    found = [frechet_interval(made, true, videos, draws=80) for (made, videos), (true, _) in sets]
    wanted = np.mean([each.fad for each in found])
    covered = np.mean([each.low <= wanted <= each.high for each in found])
    assert 0.86 <= covered <= 1
    alone = [frechet_interval(made, true, range(len(made)), draws=80) for (made, _), (true, _) in sets]
    assert np.mean([each.low <= wanted <= each.high for each in alone]) < covered - 0.2


def test_bias_is_most_of_what_few_videos_add():
    """The clouds differ by their shift alone: of all videos there could be the distance is 3 * 1.5^2."""
    rng = np.random.default_rng(10)
    sets = [(cloud(rng, 25, shift=1.5), cloud(rng, 25)) for _ in range(120)]
    found = [frechet_interval(made, true, videos, draws=40) for (made, videos), (true, _) in sets]
    added = np.mean([each.fad for each in found]) - 3 * 1.5**2
    assert 0.5 * added < np.mean([each.bias for each in found]) < 1.2 * added


def test_the_seed_decides_the_draws_and_pairs_two_systems():
    rng = np.random.default_rng(7)
    (true, videos), noise = cloud(rng, 12), rng.standard_normal((48, 2, 3))
    worse, better = ([t + level * n for t, n in zip(true, noise)] for level in (0.9, 0.8))
    one, other = (frechet_interval(each, true, videos, seed=1) for each in (worse, better))
    assert np.array_equal(one.draws, frechet_interval(worse, true, videos, seed=1).draws)
    assert not np.array_equal(one.draws, frechet_interval(worse, true, videos, seed=2).draws)
    assert np.std(one.draws - other.draws) < 0.5 * np.std(one.draws)


def test_one_video_has_no_interval():
    made, videos = cloud(np.random.default_rng(8), 1)
    alone = frechet_interval(made, made, videos)
    assert alone.fad == pytest.approx(0, abs=1e-12) and (alone.low, alone.high, alone.bias) == (None, None, None)
    with pytest.raises(ValueError, match="one of each"):
        frechet_interval(made, made[:2], videos)


# KLD

def test_kld_is_the_sum_over_classes():
    rng = np.random.default_rng(9)
    truth, generated = rng.dirichlet(np.ones(5), (2, 3)), rng.dirichlet(np.ones(5), (2, 3))
    truth[0, 0] = [1, 0, 0, 0, 0]
    wanted = np.zeros((2, 3))
    for place in np.ndindex(2, 3):
        for t, g in zip(truth[place], generated[place]):
            wanted[place] += t * np.log(t / (g + EPSILON)) if t > 0 else 0.0
    np.testing.assert_allclose(kl_divergence(truth, generated), wanted, rtol=1e-12)
    assert not np.allclose(kl_divergence(generated, truth), wanted)  # the truth comes first


def test_kld_at_its_ends():
    even, sure, other = np.full(4, 0.25), np.eye(4)[0], np.eye(4)[1]
    assert kl_divergence(even, even) == pytest.approx(0, abs=4 * EPSILON)
    assert kl_divergence(sure, even) == pytest.approx(np.log(4), abs=1e-5)
    assert kl_divergence(sure, other) == pytest.approx(-np.log(EPSILON))


@pytest.mark.parametrize("wrong", [np.full(3, 1 / 3), np.full(4, 0.3), [1.5, -0.5, 0, 0], np.full(4, np.nan)])
def test_kld_of_what_is_no_probability_raises(wrong):
    with pytest.raises(ValueError, match="one shape|softmax"):
        kl_divergence(np.full(4, 0.25), wrong)
