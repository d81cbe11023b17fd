"""Answers to the exercises of 01_dataset."""


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
