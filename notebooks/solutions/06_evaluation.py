"""Answers to the exercises of 06_evaluation."""

import numpy as np


def pearson(first, second):
    """Centre both maps, then the cosine between them as vectors."""
    first, second = first - np.mean(first), second - np.mean(second)
    return np.sum(first * second) / np.sqrt(np.sum(first**2) * np.sum(second**2))


def chance_of_order(loud, others):
    """Compare every loud place with every other one."""
    difference = loud[:, None] - others[None, :]
    return np.mean((difference > 0) + 0.5 * (difference == 0))


def misplaced_deg(cc):
    """The map of one source is 1 + cos(angle), so the correlation of two such maps is the cosine between them."""
    return np.rad2deg(np.arccos(np.clip(cc, -1, 1)))
