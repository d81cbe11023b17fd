"""Answers to the exercises of 02_ambisonics."""

import numpy as np


def encoding_gains(azimuth_deg, elevation_deg):
    """W is 1; Y, Z and X are the coordinates left, up and front of the direction."""
    azimuth, elevation = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    return np.array([
        1.0, np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation),
    ])


def fuma_to_ambix(foa):
    """Rows W, X, Y, Z become W, Y, Z, X, and W gets its square root of 2 back."""
    w, x, y, z = foa
    return np.stack([np.sqrt(2) * w, y, z, x])


def source_direction_deg(foa):
    """With one source, W times Y is the sound's square times its left coordinate, and so on."""
    w, y, z, x = foa
    left, up, front = np.mean(w * y), np.mean(w * z), np.mean(w * x)
    return np.rad2deg([np.arctan2(left, front), np.arctan2(up, np.hypot(front, left))])


def level_toward(covariance, azimuth_deg, elevation_deg):
    """The mean square of a microphone with the weights v is v C v."""
    v = encoding_gains(azimuth_deg, elevation_deg)
    return np.sqrt(v @ covariance @ v)


def which_mistake(foa, azimuth_deg, elevation_deg):
    """Weights by the power of Y, Z and X against that of W; then the direction found against the true one."""
    power = np.mean(np.square(foa), axis=1)
    if not np.isclose(power[1:].sum() / power[0], 1, atol=0.1):
        return "weights"
    found = np.mean(foa[0] * foa[1:], axis=1) / power[0]  # left, up, front
    left, up, front = encoding_gains(azimuth_deg, elevation_deg)[1:]
    if np.allclose(found, (left, up, front), atol=0.01):
        return "nothing"
    return "sign" if np.allclose(found, (-left, up, front), atol=0.01) else "order"
