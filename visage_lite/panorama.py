"""Equirectangular panorama and the pinhole view of a camera in it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix

from visage_lite.directions import Direction, unit_vector

SAMPLINGS = {"centres": 0.5, "as_released": 0.0}  # the place inside a pixel that stands for it


def camera_axes(camera: Direction) -> np.ndarray:
    """The camera's own front, left and up, without roll, as rows on (front, left, up): float64 [3, 3]."""
    front = camera.to_vector()
    left = np.array([-np.sin(camera.azimuth), np.cos(camera.azimuth), 0.0])
    return np.stack([front, left, np.cross(front, left)])


def view_rays(camera: Direction, fov_deg: float = 90.0, size: int = 224, sampling: str = "centres") -> np.ndarray:
    """Where each pixel of the camera's view looks.

    Args:
        camera: the centre of the view.
        fov_deg: field of view, degrees, the same in both axes.
        size: pixels along an edge.
        sampling: "centres" of the pixels, or "as_released", their upper left corners.
    Returns: unit vectors (front, left, up), float64 [size, size, 3]; row 0 is up, column 0 left.
    Raises: ValueError if the field of view is not between 0 and 180 degrees, or the sampling has another name.
    Notebook: 01_dataset.
    """
    if not 0 < fov_deg < 180:
        raise ValueError(f"the field of view must lie between 0 and 180 degrees, not {fov_deg}")
    if sampling not in SAMPLINGS:
        raise ValueError(f"no sampling {sampling!r}: choose one of {', '.join(SAMPLINGS)}")
    offset = SAMPLINGS[sampling]
    edge = np.tan(np.radians(fov_deg / 2)) * (1 - 2 * (np.arange(size) + offset) / size)
    front, left, up = camera_axes(camera)
    rays = front + edge[None, :, None] * left + edge[:, None, None] * up
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def crop(panorama: np.ndarray, direction: Direction, fov_deg: float = 90.0, size: int = 224,
         sampling: str = "centres") -> np.ndarray:
    """The view of a camera inside a panorama, bilinearly sampled; it wraps round at the back.

    Args:
        panorama: uint8 [..., H, W, 3], equirectangular; the middle column is the front, the left edge behind.
        direction: where the camera looks.
        fov_deg: field of view, degrees, the same in both axes.
        size: pixels along an edge of the view.
        sampling: "centres", or "as_released": view and panorama are then sampled 0.5 and 1.5 pixels beside the centres.
    Returns: uint8 [..., size, size, 3].
    Raises: ValueError if the panorama has another shape or type.
    Source: ViSAGe, the data set. Differs: "as_released" is what its crops were; "centres" shows what is at each pixel.
    Notebook: 01_dataset.
    """
    panorama = np.asarray(panorama)
    if panorama.ndim < 3 or panorama.shape[-1] != 3 or panorama.dtype != np.uint8:
        raise ValueError(f"a panorama is uint8 [..., H, W, 3], not {panorama.dtype} {list(panorama.shape)}")
    height, width = panorama.shape[-3:-1]
    mixing = _mixing(direction, fov_deg, size, sampling, height, width)
    out = np.empty((panorama.size // (height * width * 3), size * size, 3), np.uint8)
    for frame, view in zip(panorama.reshape(-1, height * width, 3), out):
        view[:] = mixing @ frame.astype(np.float32) + 0.5
    return out.reshape(*panorama.shape[:-3], size, size, 3)


@lru_cache(maxsize=8)
def _mixing(direction: Direction, fov_deg: float, size: int, sampling: str, height: int, width: int) -> csr_matrix:
    """Each pixel of a view as a mean of four pixels of the panorama: sparse float32 [size^2, height * width]."""
    rays = view_rays(direction, fov_deg, size, sampling).reshape(-1, 3)
    column = width * (0.5 - np.arctan2(rays[:, 1], rays[:, 0]) / (2 * np.pi))
    row = height * (0.5 - np.arcsin(np.clip(rays[:, 2], -1, 1)) / np.pi)
    if sampling == "as_released":  # indices counted from 1, used as if counted from 0; no wrap at the back
        column, row = np.clip(column + 1, 1, width - 1), np.clip(row + 1, 1, height - 1)
    else:
        column, row = column - 0.5, np.clip(row - 0.5, 0, height - 1)
    left, top = np.floor(column).astype(int), np.minimum(np.floor(row).astype(int), height - 2)
    across, down = (column - left)[:, None], (row - top)[:, None]
    columns, rows = (left[:, None] + [0, 1, 0, 1]) % width, top[:, None] + [0, 0, 1, 1]
    weights = np.where([0, 1, 0, 1], across, 1 - across) * np.where([0, 0, 1, 1], down, 1 - down)
    starts = np.arange(0, 4 * len(rays) + 1, 4)
    places = (rows * width + columns).ravel()
    return csr_matrix((weights.ravel().astype(np.float32), places, starts), shape=(len(rays), height * width))


def pixel_of(
    direction: Direction, camera: Direction, fov_deg: float = 90.0, size: int = 224,
) -> tuple[float, float] | None:
    """Where in its view a camera sees a direction.

    Args:
        direction: what is looked for.
        camera, fov_deg, size: the view, as in `crop`.
    Returns: (column, row) in pixels from the upper left corner, or None if it is not in view.
    Notebook: 01_dataset.
    """
    front, left, up = camera_axes(camera) @ direction.to_vector()
    edge = np.tan(np.radians(fov_deg / 2))
    if front <= 0 or max(abs(left), abs(up)) > edge * front:
        return None
    return float(size / 2 * (1 - left / (front * edge))), float(size / 2 * (1 - up / (front * edge)))


def uncrop(
    view: np.ndarray, camera: Direction, fov_deg: float = 90.0, height: int = 448, around: int = 24,
) -> np.ndarray:
    """A panorama in which only what a camera sees is drawn, on plain grey: the way back from `crop`.

    Args:
        view: uint8 [..., h, h, 3].
        camera, fov_deg: of the view, as in `crop`.
        height: pixels of the panorama; its width is twice that.
        around: the grey level outside the view.
    Returns: uint8 [..., height, 2 * height, 3].
    Raises: ValueError if the view has another shape or type.
    Notebook: 01_dataset.
    """
    view = np.asarray(view)
    if view.ndim < 3 or view.shape[-1] != 3 or view.shape[-3] != view.shape[-2] or view.dtype != np.uint8:
        raise ValueError(f"a view is uint8 [..., h, h, 3], not {view.dtype} {list(view.shape)}")
    azimuth = np.pi * (1 - (np.arange(2 * height) + 0.5) / height)
    elevation = np.pi * (0.5 - (np.arange(height) + 0.5) / height)
    front, left, up = np.moveaxis(unit_vector(azimuth, elevation[:, None]) @ camera_axes(camera).T, -1, 0)
    edge, size = np.tan(np.radians(fov_deg / 2)), view.shape[-2]
    seen = (front > 0) & (np.maximum(np.abs(left), np.abs(up)) <= edge * front)
    place = [size / 2 * (1 - side[seen] / (front[seen] * edge)) for side in (left, up)]
    column, row = (np.clip(pixel, 0, size - 1).astype(int) for pixel in place)
    out = np.full((*view.shape[:-3], height, 2 * height, 3), around, np.uint8)
    out[..., seen, :] = view[..., row, column, :]
    return out
