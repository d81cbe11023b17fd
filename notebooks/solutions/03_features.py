"""Answers to the exercises of 03_features."""

import numpy as np

from visage_lite.toy_codec import GAIN_LEVELS, SILENCE


def frames_used(seconds, sample_rate, hop):
    """Whole frames per second, times the seconds: 430 for 5 s at 44.1 kHz and 512 samples a frame."""
    return int(seconds * (sample_rate // hop))


def unmasked_energy(spatial, temporal, temperature):
    """The mean of two softmaxes; the largest score is taken out first, so that no power overflows."""
    powers = [np.exp((score - np.max(score)) / temperature) for score in (spatial, temporal)]
    return sum(power / power.sum() for power in powers) / 2


def side_from_codes(codes):
    """Most sounding frames of Y in phase with W: left."""
    first = np.asarray(codes)[1, 0]
    sounding = first[first < SILENCE]
    return "left" if np.mean(sounding < GAIN_LEVELS) > 0.5 else "right"


def residual_codes(points, books):
    """The nearest entry of each codebook to what the codebooks before it left over."""
    residual, codes = np.array(points), []
    for entries in books:
        distance = ((residual[:, None] - entries) ** 2).sum(-1)  # [n, V]
        codes.append(distance.argmin(1))
        residual = residual - entries[codes[-1]]
    return np.stack(codes)


def may_see(predicted, other):
    """Whether the other code stands at an earlier step."""

    def step(channel, codebook, frame):
        return 2 * frame + (channel > 0) + (codebook > 0)

    return step(*other) < step(*predicted)
