"""Solutions of the exercises of 05_generation."""

import numpy as np


def usual_weights(g):
    return g, 1 - g


def top_p(probabilities, p):
    order = np.argsort(-probabilities)
    reached = np.cumsum(probabilities[order])
    count = int(np.searchsorted(reached, p - 1e-12)) + 1
    kept = np.zeros_like(probabilities)
    kept[order[:count]] = probabilities[order[:count]]
    return kept / kept.sum()


def cache_bytes(layers, width, steps, branches, bytes_each):
    return 2 * layers * width * steps * branches * bytes_each


def steps_to_first_sound(piece, after):
    last = piece + after - 1  # the last frame that is needed, from 0
    return 2 * last + 2 + 1


def window_starts(length, window, overlap):
    starts = [0]
    while starts[-1] + window < length:
        starts.append(min(starts[-1] + window - overlap, length - window))
    return starts
