"""Answers to the exercises of 00_quickstart."""

import numpy as np


def heard_azimuth_deg(azimuth_deg, yaw_deg):
    """Turning the head to the left moves every source to the right by the same angle."""
    return (azimuth_deg - yaw_deg + 180) % 360 - 180


def louder_ear(stereo):
    """The row with more energy; row 0 is the left ear."""
    left, right = np.mean(np.square(stereo), axis=-1)
    return "left" if left > right else "right"


def head_turned(foa, yaw_deg):
    """The scene turns by -yaw: X and Y mix, W and Z stay."""
    w, y, z, x = foa
    cos, sin = np.cos(np.deg2rad(yaw_deg)), np.sin(np.deg2rad(yaw_deg))
    return np.stack([w, cos * y - sin * x, z, cos * x + sin * y])
