"""Plots made of pictures: the panorama with the camera's view in it, frames with their patch energy maps, codes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from visage_lite.directions import Direction, angles
from visage_lite.panorama import view_rays

VIEW_COLOUR, SOURCE_COLOUR = "#f0e442", "#56b4e9"  # Okabe-Ito


def camera_on_panorama(
    panorama: np.ndarray,
    camera: Direction,
    source: Direction | None = None,
    fov_deg: float = 90.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a panorama with the outline of what a camera sees of it.

    Args:
        panorama: uint8 [H, W, 3], equirectangular, the front in the middle.
        camera: where the camera looks, marked by a cross.
        source: where the sound comes from, marked by a ring.
        fov_deg: the camera's field of view in degrees.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x is azimuth in degrees, left on the left, y elevation in degrees.
    Raises: ValueError if the panorama is not [H, W, 3].
    Notebook: 01_dataset.
    """
    panorama = np.asarray(panorama)
    if panorama.ndim != 3 or panorama.shape[2] != 3:
        raise ValueError(f"a panorama has shape [H, W, 3], not {list(panorama.shape)}: choose one frame")
    ax = ax or plt.subplots(figsize=(5.6, 2.9), dpi=80, layout="constrained")[1]
    ax.imshow(panorama, extent=(180, -180, -90, 90), aspect="auto")
    rays = view_rays(camera, fov_deg, 90)
    edge = np.concatenate([rays[0], rays[:, -1], rays[-1, ::-1], rays[::-1, 0]])
    azimuth, elevation = np.degrees(angles(edge))
    azimuth[1:][np.abs(np.diff(azimuth)) > 180] = np.nan  # no line across where the panorama is cut open
    ax.plot(azimuth, elevation, color=VIEW_COLOUR, lw=2, label=f"{fov_deg:g}° view")
    ax.plot(camera.azimuth_deg, camera.elevation_deg, "+", color=VIEW_COLOUR, ms=13, mew=2.2, label="camera direction")
    if source is not None:
        place = source.azimuth_deg, source.elevation_deg
        ax.plot(*place, "o", ms=20, mfc="none", mec=SOURCE_COLOUR, mew=2, label="source")
    ax.set(xlim=(180, -180), ylim=(-90, 90), xlabel="azimuth", ylabel="elevation (°)", yticks=(-90, -45, 0, 45, 90))
    ax.set_xticks((180, 90, 0, -90, -180), ("180°\nbehind", "90°\nleft", "0°\nfront", "−90°\nright", "−180°\nbehind"))
    ax.legend(loc="lower left", fontsize=7, framealpha=0.8, markerscale=0.4)
    return ax


def energy_strip(frames: np.ndarray, energy: np.ndarray, rate: float, count: int = 5, ax: Axes | None = None) -> Axes:
    """Draw a few frames of a video with their patch energy maps laid over, side by side.

    Args:
        frames: uint8 [F, h, w, 3].
        energy: [F, 49], one map a frame, 7 rows of 7.
        rate: frames per second.
        count: how many frames, evenly spaced.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x is time in seconds.
    Raises: ValueError if there is not one map of 49 for every frame.
    Notebook: 03_features.
    """
    frames, energy = np.asarray(frames), np.asarray(energy, dtype=float)
    if energy.shape != (len(frames), 49):
        raise ValueError(f"{len(frames)} frames need energy [{len(frames)}, 49], not {list(energy.shape)}")
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    height, width = frames.shape[1:3]
    ax = ax or plt.subplots(figsize=(1.75 * len(chosen), 2.2), dpi=80, layout="constrained")[1]
    extent = (0, width * len(chosen), height, 0)
    ax.imshow(np.concatenate(frames[chosen], axis=1), extent=extent)
    maps = np.concatenate(energy[chosen].reshape(-1, 7, 7), axis=1)
    image = ax.imshow(maps, extent=extent, cmap="viridis", vmin=0, alpha=0.15 + 0.6 * maps / (maps.max() or 1.0))
    ax.set(xlabel="time (s)", yticks=())
    ax.set_xticks((np.arange(len(chosen)) + 0.5) * width, [f"{frame / rate:.2f}" for frame in chosen])
    ax.figure.colorbar(image, ax=ax, label="energy", fraction=0.02, pad=0.01)
    return ax


def graticule(height: int = 448, width: int = 896) -> np.ndarray:
    """A panorama for a sound without a picture: sky, ground, and a line every 30 degrees.

    Args: height, width: of the picture in pixels.
    Returns: uint8 [height, width, 3].
    Notebook: 02_ambisonics.
    """
    azimuth = 180 - 360 * (np.arange(width) + 0.5) / width
    elevation = (90 - 180 * (np.arange(height) + 0.5) / height)[:, None]
    shade = np.where(elevation > 0, 46 + 26 * (1 - elevation / 90), 30 + 8 * elevation / 90)
    across, down = (np.abs((angle + 15) % 30 - 15) for angle in (azimuth, elevation))  # degrees from the next line
    shade = shade + 40 * np.clip(1 - np.minimum(across * np.cos(np.radians(elevation)), down) / 0.5, 0, 1)
    shade = shade + 60 * np.clip(1 - np.abs(elevation) / 0.7, 0, 1)  # the horizon
    return np.uint8(np.clip(shade[..., None] * [0.85, 0.95, 1.15], 0, 255))
