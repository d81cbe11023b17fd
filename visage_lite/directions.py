"""The one Direction type: index, angles, ambiX vector, model input and panorama pixel, converted in one place.

Azimuth is measured from the front, left positive; elevation from the horizon, up positive; both in radians.

    index (i, j)   of YT-Ambigen's table: elevation 89 - 2i degrees, azimuth 179 - 2j degrees
    vector         ambiX axes (front, left, up)
    model input    (right, down, front), the axes of the released code
    pixel          of the equirectangular panorama: column 0 is behind (azimuth +180), the left edge of the left half
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def unit_vector(azimuth: np.ndarray | float, elevation: np.ndarray | float) -> np.ndarray:
    """Unit vectors (front, left, up) of directions.

    Args: azimuth, elevation: radians, any shapes that broadcast.
    Returns: float64 [..., 3].
    Source: ambiX (Nachbar et al. 2011). Notebook: 02_ambisonics.
    """
    azimuth, elevation = np.broadcast_arrays(np.asarray(azimuth, float), np.asarray(elevation, float))
    level = np.cos(elevation)
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1)


def angles(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation of vectors (front, left, up) of any length but zero.

    Args: vector: [..., 3].
    Returns: azimuth [...] in (-pi, pi], elevation [...] in [-pi/2, pi/2], radians.
    Raises: ValueError if the last axis is not 3.
    Notebook: 02_ambisonics.
    """
    vector = np.asarray(vector, float)
    if vector.shape[-1:] != (3,):
        raise ValueError(f"vectors must be [..., 3] (front, left, up), not {list(vector.shape)}")
    front, left, up = np.moveaxis(vector, -1, 0)
    return np.arctan2(left, front), np.arctan2(up, np.hypot(front, left))


def model_input(azimuth: np.ndarray | float, elevation: np.ndarray | float) -> np.ndarray:
    """The direction as the model reads it: (right, down, front).

    Args: azimuth, elevation: radians, any shapes that broadcast.
    Returns: float32 [..., 3].
    Source: FACTS of the released code, R_y(yaw to the right) R_x(elevation) (0, 0, 1). Notebook: 02_ambisonics.
    """
    front, left, up = np.moveaxis(unit_vector(azimuth, elevation), -1, 0)
    return np.stack([-left, -up, front], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Direction:
    """A point on the sphere around the listener.

    Args:
        azimuth: radians, left positive; wrapped to (-pi, pi].
        elevation: radians, up positive, -pi/2 to pi/2.
    Raises: ValueError if an angle is not finite or the elevation is beyond the zenith.
    Notebook: 02_ambisonics.
    """

    azimuth: float
    elevation: float

    def __post_init__(self) -> None:
        azimuth, elevation = float(self.azimuth), float(self.elevation)
        if not (math.isfinite(azimuth) and math.isfinite(elevation)):
            raise ValueError(f"a direction needs finite angles, not azimuth {azimuth} and elevation {elevation}")
        if abs(elevation) > math.pi / 2 + 1e-9:
            raise ValueError(f"elevation must lie between -90 and 90 degrees, not {math.degrees(elevation):g}")
        wrapped = azimuth if -math.pi < azimuth <= math.pi else math.pi - (math.pi - azimuth) % (2 * math.pi)
        object.__setattr__(self, "azimuth", wrapped)
        object.__setattr__(self, "elevation", max(-math.pi / 2, min(math.pi / 2, elevation)))

    @classmethod
    def from_degrees(cls, azimuth_deg: float, elevation_deg: float) -> Direction:
        """The direction of angles in degrees."""
        return cls(math.radians(azimuth_deg), math.radians(elevation_deg))

    @classmethod
    def from_index(cls, i: int, j: int) -> Direction:
        """The direction of YT-Ambigen's [elevation index, azimuth index]: (89 - 2i, 179 - 2j) degrees.

        Raises: ValueError outside 0 <= i < 90, 0 <= j < 180.
        """
        if not (0 <= i < 90 and 0 <= j < 180):
            raise ValueError(f"index ({i}, {j}) lies outside the table of 90 elevations and 180 azimuths")
        return cls.from_degrees(179 - 2 * j, 89 - 2 * i)

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> Direction:
        """The direction of a vector (front, left, up) of any length but zero."""
        vector = np.asarray(vector, float)
        if vector.shape != (3,) or not np.linalg.norm(vector) > 0:
            raise ValueError(f"a direction needs a non-zero vector of 3 numbers, not {vector}")
        return cls(*(float(angle) for angle in angles(vector)))

    @classmethod
    def from_pixel(cls, column: float, row: float, width: int, height: int) -> Direction:
        """The direction of a place in an equirectangular panorama of `width` x `height` pixels."""
        return cls(math.pi * (1 - 2 * column / width), math.pi * (0.5 - row / height))

    @property
    def azimuth_deg(self) -> float:
        """Azimuth in degrees, left positive."""
        return math.degrees(self.azimuth)

    @property
    def elevation_deg(self) -> float:
        """Elevation in degrees, up positive."""
        return math.degrees(self.elevation)

    def to_index(self) -> tuple[int, int]:
        """The nearest [elevation index, azimuth index] of YT-Ambigen's table."""
        i, j = round((89 - self.elevation_deg) / 2), round((179 - self.azimuth_deg) / 2) % 180
        return min(max(i, 0), 89), j

    def to_vector(self) -> np.ndarray:
        """The unit vector (front, left, up): float64 [3]."""
        return unit_vector(self.azimuth, self.elevation)

    def to_model_input(self) -> np.ndarray:
        """The unit vector (right, down, front) that the model reads: float32 [3]."""
        return model_input(self.azimuth, self.elevation)

    def to_pixel(self, width: int, height: int) -> tuple[float, float]:
        """(column, row) in an equirectangular panorama of `width` x `height` pixels: left is left, up is up."""
        return (0.5 - self.azimuth / (2 * math.pi)) * width, (0.5 - self.elevation / math.pi) * height

    def rotated(self, yaw: float) -> Direction:
        """The direction after the scene has turned anticlockwise (to the left) by `yaw` radians."""
        return Direction(self.azimuth + yaw, self.elevation)

    def angle_to(self, other: Direction) -> float:
        """The angle between two directions in radians, 0 to pi."""
        first, second = self.to_vector(), other.to_vector()
        return math.atan2(float(np.linalg.norm(np.cross(first, second))), float(first @ second))
