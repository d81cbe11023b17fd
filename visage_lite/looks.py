"""What the things of the synthetic scenes look like, and the backdrop behind them. Notebook: 01_dataset."""

from __future__ import annotations

import numpy as np


def background(seed: int, rays: np.ndarray) -> np.ndarray:
    """A muted backdrop that differs with every seed: smooth waves over the sphere, a sky unlike the ground.

    Args:
        seed: the scene's.
        rays: unit vectors (front, left, up), float32 [M, 3].
    Returns: red, green, blue along the rays, float32 [M, 3], 0 to 255.
    Notebook: 01_dataset.
    """
    rng = np.random.default_rng([seed, 1])
    colour = rng.uniform(70, 170) + rng.uniform(-25, 25, 3) + np.tanh(6 * rays[:, 2:]) * rng.uniform(-25, 25, 3)
    colour = colour.astype(np.float32)
    for _ in range(8):
        wave, phase = rng.normal(size=3) * rng.uniform(1.5, 8), rng.uniform(0, 2 * np.pi)
        tint = rng.uniform(-9, 9) + rng.uniform(-4, 4, 3)  # mostly lighter and darker, a little coloured
        ripple = np.sin(rays @ wave.astype(np.float32) + np.float32(phase))
        colour += ripple[:, None] * tint.astype(np.float32)
    return np.clip(colour, 0, 255)


def outline_and_shade(
    kind: str, x: np.ndarray, y: np.ndarray, active: float, turn: float
) -> tuple[np.ndarray, np.ndarray]:
    """How far each point lies outside the object's outline (negative inside), and the brightness of the object there.

    Args:
        kind: one of scenes.KINDS.
        x, y: [M], right and up of the object's centre, in units of its radius.
        active: 0 to 1, how loud it is just now.
        turn: radians, one turn in every period of its sound.
    Returns: two arrays [M]; the brightness is a factor on the object's colour.
    """
    return _LOOKS[kind](x, y, active, turn)


def _bell(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    swing = 0.6 * active * np.cos(4 * turn)
    x, y = x * np.cos(swing) - y * np.sin(swing), x * np.sin(swing) + y * np.cos(swing)
    half_width = 0.3 + 0.5 * np.clip((0.85 - y) / 1.5, 0, 1) ** 2
    clapper = np.hypot(x - swing * 0.5, y + 0.8) - 0.2
    body = np.maximum(np.abs(x) - half_width, np.abs(y - 0.1) - 0.75)
    return np.minimum(body, clapper), np.where(body < 0, 1.0, 0.4)


def _drum(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    r = np.hypot(x, y * (1 + 0.35 * active))
    return r - 1, np.where(r > 0.78, 0.35, np.where(r < 0.25, 1.25, 1.0))


def _engine(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    spokes = np.sin(3 * (np.arctan2(y, x) - turn / 3)) > 0
    return np.maximum(np.abs(x), np.abs(y)) - 0.85, np.where(spokes & (np.hypot(x, y) < 0.7), 0.15, 1.0)


def _water(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    r = np.hypot(x, y)
    edge = 0.85 + 0.12 * np.cos(5 * np.arctan2(y, x) + turn)
    return r - edge, 0.8 + 0.4 * np.sin(12 * r - 2 * turn)


def _siren(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    beam = np.cos(np.arctan2(y, x) - turn)
    dome = np.where(y > -0.5, np.hypot(x, y) - 1, np.maximum(np.abs(x) - 0.87, np.abs(y + 0.7) - 0.25))
    return dome, np.where(y > -0.5, 0.6 + np.clip(beam, 0, 1) ** 4, 0.3)


def _bird(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    body = np.hypot(x / 0.4, y / 0.55) - 1
    wing = np.abs(y - (0.9 * active - 0.2) * np.abs(x)) - 0.35 * (1 - 0.6 * np.abs(x))
    wing = np.maximum(wing, np.abs(x) - 1)
    return np.minimum(0.4 * body, wing), np.where(body < 0, 1.0, 0.65)


_LOOKS = {"bell": _bell, "drum": _drum, "engine": _engine, "water": _water, "siren": _siren, "bird": _bird}
