"""A room around the listener: its early echoes, one by one, and the tail that they melt into.

The room is a box of plain walls, and the listener looks along its x axis (x front, y left, z up, in metres from the
corner behind, right and below). Its answer has three parts:

    the direct sound    the scene's own, unchanged; all times are counted from it, and all levels relative to it
    early echoes        the source seen in the walls as in mirrors (Allen and Berkley 1979), up to `order` mirrors
    the tail            everything later: noise from all sides alike, decaying exponentially

Simple on purpose: all walls swallow the same share at all frequencies, and nothing stands in the room.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.signal import oaconvolve

SPEED_OF_SOUND = 343.0  # m/s


@dataclass(frozen=True)
class Room:
    """A box of walls, the listener inside it. The default is a hall with room for every source that a scene draws.

    Raises: ValueError if the listener stands outside, or a number makes no sense.
    Notebook: 01_dataset.
    """

    size: tuple[float, float, float] = (11.0, 9.0, 8.0)  # metres: depth (x), width (y), height (z)
    listener: tuple[float, float, float] = (5.2, 4.2, 3.8)  # metres from the corner behind, right and below
    absorption: float = 0.5  # share of the energy that a wall swallows, between 0 and 1
    order: int = 2  # echoes of up to so many walls are kept apart, the later ones are in the tail
    seed: int = 0  # of the tail's noise

    def __post_init__(self) -> None:
        if len(self.size) != 3 or not all(0 < edge < np.inf for edge in self.size):
            raise ValueError(f"a room's size is three lengths in metres, each above 0, not {self.size}")
        if len(self.listener) != 3 or not all(0 < at < edge for at, edge in zip(self.listener, self.size)):
            raise ValueError(f"the listener at {self.listener} is outside the room of {self.size} metres: move it in")
        if not 0 < self.absorption < 1:
            raise ValueError(f"absorption must lie between 0 and 1, not {self.absorption}: 0.1 is tiles, 0.6 curtains")
        if self.order < 0 or self.order != int(self.order):
            raise ValueError(f"order is a whole number of mirrors, 0 or more, not {self.order}: 2 is a good choice")

    @property
    def volume(self) -> float:
        """Cubic metres."""
        return float(np.prod(self.size))

    @property
    def surface(self) -> float:
        """Square metres of all six walls."""
        depth, width, height = self.size
        return 2.0 * (depth * width + depth * height + width * height)

    @property
    def bounce_s(self) -> float:
        """Mean time between two walls on a sound's way, seconds: 4 V / (S c)."""
        return 4 * self.volume / (self.surface * SPEED_OF_SOUND)

    @property
    def rt60_s(self) -> float:
        """Time in which the sound decays by 60 dB, seconds. Source: Eyring 1930."""
        return float(self.bounce_s * np.log(1e-6) / np.log(1 - self.absorption))

    def positions(self, vectors: np.ndarray, distance_m: float) -> np.ndarray:
        """Where in the room a source is.

        Args:
            vectors: unit vectors (front, left, up) from the listener, [..., 3].
            distance_m: how far away it is.
        Returns: metres from the corner, float64 [..., 3].
        Raises: ValueError if it would be in or behind a wall.
        """
        positions = np.asarray(self.listener) + distance_m * np.asarray(vectors, float)
        if np.any(positions <= 0) or np.any(positions >= np.asarray(self.size)):
            raise ValueError(
                f"a source {distance_m:.2f} m from the listener would be outside the room of {self.size} metres: "
                "make the room larger or stand nearer its middle"
            )
        return positions


def mirrors(room: Room) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every way to see a point of the room in its walls, over up to `order` mirrors.

    Along an axis of length L, x is seen at m L + x for even m, and at (m + 1) L - x for odd m, over |m| walls.
    Returns: signs [I, 3] and shifts [I, 3], so that an image is at signs * position + shifts, metres from the corner;
        walls int [I]. The point itself is not among them.
    Source: Allen and Berkley 1979. Notebook: 01_dataset.
    """
    numbers = np.array(list(product(range(-room.order, room.order + 1), repeat=3)))  # m for x, y, z
    walls = np.abs(numbers).sum(1)
    numbers, walls = (each[(walls > 0) & (walls <= room.order)] for each in (numbers, walls))
    odd = numbers % 2
    return 1 - 2 * odd, (numbers + odd) * np.asarray(room.size), walls


def echoes(room: Room, signal: np.ndarray, vectors: np.ndarray, distance_m: float, sample_rate: int) -> np.ndarray:
    """The early echoes of a source, each from its own direction, later and softer than the direct sound.

    A source that moves is followed sample by sample: an echo has the direction, delay and level that belong to where
    the source is when the echo is heard, not when it left. Between samples the signal is interpolated linearly.

    Args:
        room: the room.
        signal: [N], the direct sound at the listener.
        vectors: unit vectors (front, left, up) toward the source, [3], or [N, 3] if it moves.
        distance_m: how far away it is, metres.
        sample_rate: Hz.
    Returns: float64 [4, N], W, Y, Z, X; zeros for order 0.
    Raises: ValueError if the source lies outside the room, or a shape is another.
    Notebook: 01_dataset.
    """
    if np.ndim(signal) != 1 or np.shape(vectors) not in ((3,), (len(signal), 3)):
        raise ValueError(f"a source is a signal [N] and vectors [3] or [N, 3], not {list(np.shape(signal))} and "
                         f"{list(np.shape(vectors))}: add up the echoes of several sources")  # fmt: skip
    positions = room.positions(vectors, distance_m).T  # [3] or [3, N]
    samples, total = np.arange(len(signal), dtype=float), np.zeros((4, len(signal)))
    for signs, shifts, walls in zip(*mirrors(room)):
        front, left, up = (s * at + shift for s, at, shift in zip(signs, positions, shifts - room.listener))
        distance = np.sqrt(front**2 + left**2 + up**2)
        delay = (distance - distance_m) * (sample_rate / SPEED_OF_SOUND)
        echo = np.interp(samples - delay, samples, signal, left=0.0) * (distance_m / distance)
        echo *= (1 - room.absorption) ** (walls / 2)
        for channel, along in zip(total, (distance, left, up, front)):
            channel += echo * (along / distance)
    return total


def tail(room: Room, sample_rate: int) -> np.ndarray:
    """What follows the echoes, after a click that has an amplitude of 1 at a distance of 1 m.

    Noise, independent in the four channels, as in a field that comes from everywhere: Y, Z and X have a third of W's
    power. Its power is that of all image sources together: 4 pi c t^2 / V of them arrive in a second, each with a power
    of 1 / (c t)^2 less what the walls took. It fades in while the echoes, kept apart up to `order`, run out.

    Args:
        room: the room.
        sample_rate: Hz.
    Returns: float64 [4, N], W, Y, Z, X, from the arrival of the direct sound on, until 20 dB below rt60's 60 dB.
    Source: Kuttruff, Room Acoustics. Notebook: 01_dataset.
    """
    times = np.arange(int(4 / 3 * room.rt60_s * sample_rate) + 1) / sample_rate
    power = 4 * np.pi * SPEED_OF_SOUND / (room.volume * sample_rate) * 10 ** (-6 * times / room.rt60_s)
    power = power * np.clip(times / room.bounce_s - room.order, 0, 1)
    noise = np.random.default_rng(room.seed).standard_normal((4, len(times)))
    return noise * np.sqrt(power * np.array([[1], [1 / 3], [1 / 3], [1 / 3]]))


def reverberate(room: Room, signal: np.ndarray, vectors: np.ndarray, distance_m: float, sample_rate: int) -> np.ndarray:
    """All that a room adds to the direct sound of a source: the early echoes and the tail.

    Args:
        room: the room.
        signal, vectors, distance_m, sample_rate: as in `echoes`.
    Returns: float64 [4, N], W, Y, Z, X, without the direct sound; what rings on after N samples is cut off.
    Raises: ValueError if the source lies outside the room.
    Notebook: 01_dataset.
    """
    early = echoes(room, signal, vectors, distance_m, sample_rate)
    late = tail(room, sample_rate)[:, : len(signal)]
    return early + distance_m * oaconvolve(np.asarray(signal, float)[None], late, axes=1)[:, : len(signal)]
