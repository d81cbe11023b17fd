"""Answers to the exercises of 06_evaluation."""

import numpy as np

from visage_lite.ambisonics import encode
from visage_lite.directions import angles
from visage_lite.panorama import view_rays


def misplaced_deg(cc):
    """The map of one source is 1 + cos(angle), so the correlation of two such maps is the cosine between them."""
    return np.rad2deg(np.arccos(np.clip(cc, -1, 1)))


def chance_of_order(loud, others):
    """Compare every loud place with every other one."""
    difference = loud[:, None] - others[None, :]
    return np.mean((difference > 0) + 0.5 * (difference == 0))


def frechet_diagonal(first, second):
    """a + b - 2 sqrt(a b) is the square of the difference of the standard deviations."""
    means, spreads = ((f(first, 0) - f(second, 0)) for f in (np.mean, lambda x, axis: np.std(x, axis, ddof=1)))
    return np.sum(means**2) + np.sum(spreads**2)


def video_interval(scores, videos, draws, rng):
    """Each draw is a sum of the drawn videos' sums over a sum of their counts."""
    sums, counts = np.bincount(videos, scores), np.bincount(videos)
    drawn = rng.integers(len(counts), size=(draws, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return tuple(np.quantile(means, [0.025, 0.975]))


def my_baseline(clip):
    """One source, where the mean of the patches' directions weighted by the squared energy map points."""
    rays = view_rays(clip.camera, clip.fov_deg, 7).reshape(-1, 3)
    return encode(clip.mono, *map(float, angles((clip.energy_map**2).mean(axis=0) @ rays)))
