"""FAD and KLD from their formulas: how far apart clouds of embeddings are, its interval over videos, KL of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from visage_lite.intervals import drawn_videos

EPSILON = 1e-6  # added to the generated probabilities, as audioldm_eval does, so that no logarithm is infinite
CHUNK = 32  # draws at once: D x D numbers each


class Gaussian(NamedTuple):
    """The Gaussian that stands for a cloud of embeddings; arrays of one more dimension hold several."""

    mean: np.ndarray  # float64 [D]
    covariance: np.ndarray  # float64 [D, D]


@dataclass(frozen=True)
class FrechetInterval:
    """A Fréchet distance and how far chance may have moved it. Notebook: 06_evaluation."""

    fad: float
    low: float | None  # None if there are fewer than two videos
    high: float | None
    bias: float | None  # how much more the draws score on average: most of what having so few videos adds to `fad`
    videos: int
    draws: np.ndarray  # float64 [draws], moved so that their mean is `fad`; of two systems, subtract those of one seed


def gaussian(embeddings: np.ndarray) -> Gaussian:
    """Mean and covariance (divided by n - 1) of embeddings.

    With n <= D the covariance has no full rank, and the Fréchet distance comes out too large.

    Args: embeddings: float [n, D], n >= 2.
    Raises: ValueError if they are fewer, of another shape or not finite.
    Notebook: 06_evaluation.
    """
    x = np.asarray(embeddings, np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"a covariance needs embeddings [n, D] with n >= 2, not {list(x.shape)}: score more clips")
    if not np.isfinite(x).all():
        raise ValueError("embeddings hold numbers that are not finite: look for broken sound files or weights")
    mean = x.mean(0)
    centred = x - mean
    return Gaussian(mean, centred.T @ centred / (len(x) - 1))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """The squared Fréchet distance |m1 - m2|^2 + tr(A + B - 2 sqrt(sqrt(A) B sqrt(A))) of two Gaussians.

    tr sqrt(sqrt(A) B sqrt(A)) is the sum of the singular values of R' S for any A = R R' and B = S S'. So no square
    root of a matrix that is not symmetric is taken, nothing is complex, and nothing is squared before its root. What
    rounding leaves below 0 (at most some 1e-12 of tr A + tr B) is 0.

    Args: one, other: from `gaussian`, of one D.
    Returns: the distance, >= 0, in squared units of the embedding; symmetric.
    Raises: ValueError if their sizes differ.
    Source: Dowson and Landau 1982; Kilgour et al. 2019 (FAD). Differs: audioldm_eval takes scipy's sqrtm of A B, drops
    the imaginary part, and answers -1 when anything fails. Notebook: 06_evaluation.
    """
    if np.shape(one.covariance) != np.shape(other.covariance):
        sizes = f"{np.shape(one.covariance)[-1]} and {np.shape(other.covariance)[-1]}"
        raise ValueError(f"embeddings of one size are compared, not of {sizes}: use one embedding for both sides")
    return float(_distances(one, other))


def _distances(one: Gaussian, other: Gaussian) -> np.ndarray:
    """Distances of Gaussians, [..., D] and [..., D, D] each: [...]."""
    apart = np.sum((one.mean - other.mean) ** 2, axis=-1)
    traces = np.trace(one.covariance, axis1=-2, axis2=-1) + np.trace(other.covariance, axis1=-2, axis2=-1)
    product = np.swapaxes(_root(one.covariance), -1, -2) @ _root(other.covariance)
    return np.maximum(apart + traces - 2 * np.linalg.svd(product, compute_uv=False).sum(-1), 0.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    """R with R R' = the covariance; eigenvalues that are rounding count as 0, their roots would not be small."""
    values, vectors = np.linalg.eigh(covariance)
    least = values[..., -1:] * values.shape[-1] * np.finfo(float).eps
    return vectors * np.sqrt(np.where(values > least, values, 0.0))[..., None, :]


def frechet_interval(
    generated: Sequence[np.ndarray], truth: Sequence[np.ndarray], videos: Sequence[str], seed: int = 0,
    draws: int = 200, level: float = 0.95,
) -> FrechetInterval:  # fmt: skip
    """The Fréchet distance of two systems' clips, with a percentile interval of a bootstrap over videos.

    A draw takes as many videos as there are, with replacement, and of each all its clips on both sides. Fewer different
    videos score higher, so all draws are too high alike (`bias`); they are moved back by that much.

    Args:
        generated, truth: for every clip its embeddings, float [n, D], n may differ; both in the order of `videos`.
        videos: the video of every clip; clips of one video are not independent.
        seed: of the draws; the same seed and videos give the same draws, which makes two systems comparable in pairs.
        draws: how many. level: of the interval.
    Raises: ValueError if the lengths differ, or as `gaussian`.
    Notebook: 06_evaluation.
    """
    if not len(generated) == len(truth) == len(videos):
        counts = f"{len(generated)} generated and {len(truth)} true clips, {len(videos)} videos"
        raise ValueError(f"{counts}: give one of each for every clip")
    names, index = np.unique(np.asarray(videos), return_inverse=True)
    fad = frechet_distance(gaussian(np.concatenate(generated)), gaussian(np.concatenate(truth)))
    if len(names) < 2:
        return FrechetInterval(fad, None, None, None, len(names), np.empty(0))
    centre = np.concatenate(truth).mean(0, dtype=np.float64)  # products of what is near 0 lose no digits
    sides = [_sums(side, index, len(names), centre) for side in (generated, truth)]
    counts = drawn_videos(len(names), seed, draws)
    parts = np.split(counts, range(CHUNK, draws, CHUNK))
    drawn = np.concatenate([_distances(*(_weighted(side, part) for side in sides)) for part in parts])
    bias = drawn.mean() - fad
    low, high = np.quantile(drawn - bias, [(1 - level) / 2, (1 + level) / 2])
    return FrechetInterval(fad, max(float(low), 0.0), float(high), float(bias), len(names), drawn - bias)


def _sums(clips: Sequence[np.ndarray], index: np.ndarray, videos: int, centre: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of every video: how many embeddings [V], their sum [V, D] and the sum of their products [V, D * D]."""
    of_video: list[list[np.ndarray]] = [[] for _ in range(videos)]
    for clip, video in zip(clips, index):
        of_video[video].append(np.asarray(clip, np.float64) - centre)
    stacked = [np.concatenate(each) for each in of_video]
    products = np.stack([(each.T @ each).ravel() for each in stacked])
    return np.array([len(each) for each in stacked]), np.stack([each.sum(0) for each in stacked]), products


def _weighted(sums: tuple[np.ndarray, ...], counts: np.ndarray) -> Gaussian:
    """The Gaussians of draws that take every video so many times: counts int [draws, V]."""
    n, total, products = (counts @ each.astype(np.float64) for each in sums)
    mean = total / n[:, None]
    scatter = products.reshape(len(counts), mean.shape[1], -1) - n[:, None, None] * mean[:, :, None] * mean[:, None]
    return Gaussian(mean, scatter / (n - 1)[:, None, None])


def kl_divergence(truth: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """KL(truth || generated) = sum over classes of t (ln t - ln(g + EPSILON)), in nats: the KLD of one clip.

    Args: truth, generated: probabilities [..., K] that sum to 1, the softmax of a classifier's logits.
    Returns: float64 [...]: 0 where they are alike, at least -K * EPSILON, at most ln(1 / EPSILON) = 13.8.
    Raises: ValueError if the shapes differ, or either is no probability.
    Source: audioldm_eval's kullback_leibler_divergence_softmax, whose mean over clips this has. Differs: audioldm_eval
    answers -1 where file names do not match. Notebook: 06_evaluation.
    """
    t, g = np.asarray(truth, np.float64), np.asarray(generated, np.float64)
    if t.shape != g.shape or t.ndim == 0:
        raise ValueError(f"probabilities of one shape are compared, not {list(t.shape)} and {list(g.shape)}")
    for side in (t, g):
        if not (np.all(side >= 0) and np.allclose(side.sum(-1), 1, atol=1e-3)):
            raise ValueError("KLD compares probabilities [..., K] that sum to 1: take the softmax of the logits first")
    return np.sum(t * (np.log(np.where(t > 0, t, 1.0)) - np.log(g + EPSILON)), axis=-1)
