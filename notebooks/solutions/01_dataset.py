"""Answers to the exercises of 01_dataset."""

import numpy as np

from visage_lite import ambisonics, panorama
from visage_lite.directions import Direction


def panorama_column(azimuth_deg):
    """The middle is the front, and 360 degrees are 896 pixels; left is left, so columns count against azimuth."""
    return (0.5 - azimuth_deg / 360) * 896


def half_of_picture(source_azimuth_deg, camera_azimuth_deg):
    """The difference, wrapped to half a turn to either side: positive is left."""
    return "left" if (source_azimuth_deg - camera_azimuth_deg + 180) % 360 - 180 > 0 else "right"


def leaking_videos(splits):
    """The video of a clip is its first 11 characters (an id may hold an underscore itself)."""
    seen = [{name[:11] for name in names} for names in splits.values()]
    return {video for videos in seen for video in videos if sum(video in other for other in seen) > 1}


def mean_over_videos(scores):
    """Gather the clips of each video, then take the mean of their means."""
    videos = {}
    for clip, score in scores.items():
        videos.setdefault(clip[:11], []).append(score)
    return np.mean([np.mean(clips) for clips in videos.values()])


def what_is_wrong(foa, camera):
    """Silence first, as it has no direction; then the direction, as without one nothing is in or out of view."""
    if np.mean(foa[0] ** 2) < 1e-6:
        return "silent"
    products = ambisonics.covariance(foa)
    if 2 * np.linalg.norm(products[0, 1:]) / np.trace(products) < 0.2:
        return "no direction"
    if np.mean(np.abs(foa).max(axis=0) > 0.98) > 0.01:
        return "clipped"
    heard = Direction.from_vector(ambisonics.intensity_direction(foa))
    return "out of view" if panorama.pixel_of(heard, camera) is None else "nothing"
