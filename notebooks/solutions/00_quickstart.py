"""Answers to the exercises of 00_quickstart."""

import numpy as np


def heard_azimuth_deg(azimuth_deg, yaw_deg):
    """Turning the head to the left moves every source to the right by the same angle."""
    return (azimuth_deg - yaw_deg + 180) % 360 - 180


def louder_ear(stereo):
    """The row with more energy; row 0 is the left ear."""
    left, right = np.mean(np.square(stereo), axis=-1)
    return "left" if left > right else "right"
