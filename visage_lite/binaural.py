"""First-order ambisonics on headphones, through the computed response of a rigid sphere: nothing to download.

The response of a rigid sphere at the ear depends only on the angle between the source and the ear's axis, so each ear
needs two filters: one for W and one for the figure-eight that points at the ear. With the ears at +90 and -90 degrees,
left = h0 * W + h1 * Y and right = h0 * W - h1 * Y. Two filters cannot be right in time and in level at every frequency:
here the times are right below 700 Hz, where hearing uses them, and the levels above 1400 Hz.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.signal import oaconvolve
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from visage_lite.ambisonics import rotate_yaw

HEAD_RADIUS_M = 0.0875
SPEED_OF_SOUND = 343.0  # metres per second
CROSSOVER_HZ = (700.0, 1400.0)  # from right in time to right in level


def binauralise(foa: np.ndarray, sample_rate: int, yaw: float = 0.0) -> np.ndarray:
    """What the two ears of a listener hear. No normalisation: fields compared at one gain stay comparable.

    Args:
        foa: [4, N], ambiX.
        sample_rate: Hz.
        yaw: radians, how far the listener's head is turned to the left.
    Returns: float32 [2, N], left and right, in time with the input.
    Raises: ValueError if foa is not [4, N].
    Source: rigid sphere, Duda and Martens 1998; magnitude least squares, Schoerkhuber et al. 2018.
    Notebook: 02_ambisonics.
    """
    foa = np.asarray(foa)
    if foa.ndim != 2 or foa.shape[0] != 4 or foa.shape[1] == 0:
        raise ValueError(f"binauralise takes one field [4, N] (W, Y, Z, X), not {list(foa.shape)}")
    filters, delay = ear_filters(sample_rate)
    heard = rotate_yaw(foa, -yaw)
    middle, side = oaconvolve(heard[[0, 1]], filters, axes=1)[:, delay : delay + foa.shape[1]]
    return np.stack([middle + side, middle - side]).astype(np.float32)


def head_stems(foa: np.ndarray, rate: float) -> np.ndarray:
    """Three sounds of which the ears hear a mix, whichever way the head is turned.

    With the head at yaw: left = s0 + cos(yaw) s1 - sin(yaw) s2, right = s0 - cos(yaw) s1 + sin(yaw) s2. That holds
    because the ears of `binauralise` are mirror images and turning mixes only Y and X.

    Args:
        foa: [4, N] ambisonics.
        rate: samples per second.

    Returns: [3, N].
    Notebook: 02_ambisonics.
    """
    straight, left = (binauralise(foa, rate, yaw=yaw).astype(float) for yaw in (0.0, np.pi / 2))
    return np.stack([straight[0] + straight[1], straight[0] - straight[1], left[1] - left[0]]) / 2


@lru_cache(maxsize=8)
def ear_filters(sample_rate: int) -> tuple[np.ndarray, int]:
    """The filters of W and Y toward the left ear, and their common delay: float64 [2, taps], samples.

    Notebook: 02_ambisonics.
    """
    taps = 2 * int(0.004 * sample_rate)
    frequencies = np.fft.rfftfreq(taps, 1 / sample_rate)
    response = first_order_response(np.maximum(frequencies, 1.0))
    response[:, -1] = np.abs(response[:, -1])  # the highest bin of a real filter is real
    impulse = np.roll(np.fft.irfft(response, taps), taps // 2, axis=1)
    return impulse * np.hanning(taps + 1)[:-1], taps // 2


def first_order_response(frequencies: np.ndarray) -> np.ndarray:
    """How W and the figure-eight toward the ear count at each frequency.

    Low: the first two terms of the sphere's series. High, where two terms cannot be right in phase as well: the two
    that come nearest to the magnitude of the full series over all directions, in the phase of the first term.

    Args: frequencies: Hz, [n], greater than 0.
    Returns: complex [2, n].
    """
    series = sphere_series(frequencies, orders=60)  # [orders, n]
    exact = series[:2]
    cosines, areas = np.polynomial.legendre.leggauss(64)
    magnitude = np.abs(eval_legendre(np.arange(60)[:, None], cosines).T @ series)  # [directions, n]
    mean, slope = areas @ magnitude / 2, 3 * (areas * cosines) @ magnitude / 2
    fitted = np.stack([mean, slope]) * np.exp(1j * np.angle(series[0]))
    low, high = np.log(CROSSOVER_HZ)
    share = np.clip((np.log(frequencies) - low) / (high - low), 0, 1)
    return (1 - share) * exact + share * fitted


def sphere_series(frequencies: np.ndarray, orders: int) -> np.ndarray:
    """Pressure on a rigid sphere in a plane wave: sum over n of series[n] P_n(cos angle).

    Args:
        frequencies: Hz, [n], greater than 0.
        orders: terms of the series, more than ka + 10 (ka: the head's radius in radians of the wave).
    Returns: complex [orders, n].
    Source: Duda and Martens 1998, equation 1, for a distant source. Notebook: 02_ambisonics.
    """
    ka = 2 * np.pi * np.asarray(frequencies) * HEAD_RADIUS_M / SPEED_OF_SOUND
    order = np.arange(orders)[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        hankel = spherical_jn(order, ka, derivative=True) - 1j * spherical_yn(order, ka, derivative=True)
        series = (2 * order + 1) * 1j**order * -1j / (ka**2 * hankel)
    return np.where(np.isfinite(series), series, 0)  # where the Hankel function overflows, the term is nil
