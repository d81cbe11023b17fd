"""What a score means: the calibration ladder. An ideal source, scored against itself moved, made diffuse, or louder.

A CC of 0.62 says little. That a single source moved by 52 degrees scores the same says more. The fields are ideal
covariances, without noise: d d' for a source whose gains are d, and diag(1, 1/3, 1/3, 1/3) for sound from everywhere
alike. The scores are means over sources on the horizon and above it, moved to the left, right, up and down.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from visage_lite.ambisonics import encode
from visage_lite.directions import Direction, angles, unit_vector
from visage_lite.evaluation import MODES, compare_maps, maps_of_covariances

AZIMUTHS_DEG, ELEVATIONS_DEG = (60, 150, -120, -30), (0, 30)  # of the true sources
ANGLE, DIFFUSE, LEVEL = "angular error (°)", "diffuse (%)", "level (dB)"
STEPS = {
    ANGLE: (0, 2, *range(5, 65, 5), *range(70, 190, 10)),
    DIFFUSE: (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100),
    LEVEL: (-20, 0, 20),
}
KINDS = {"cc": (-1, 1), "auc": (0, 1)}  # a score and its range


def ideal_covariance(direction: Direction, diffuse: float = 0.0) -> np.ndarray:
    """The covariance of one source of power 1, part of it spread evenly over the sphere.

    Args:
        direction: where the source is.
        diffuse: share of the energy that comes from everywhere alike, 0 to 1: what Pulkki calls diffuseness.
    Returns: float64 [4, 4], W, Y, Z, X.
    Raises: ValueError if the share is outside 0 to 1.
    Source: Pulkki 2007. Notebook: 06_evaluation.
    """
    if not 0 <= diffuse <= 1:
        raise ValueError(f"the diffuse share lies between 0 and 1, not {diffuse}")
    gains = encode(np.ones(1), direction.azimuth, direction.elevation)
    return (1 - diffuse) * gains @ gains.T + diffuse * np.diag([1, 1 / 3, 1 / 3, 1 / 3])


def moved(direction: Direction, angle: float, bearing: float) -> Direction:
    """The direction that lies an angle further along a great circle.

    Args:
        direction: where it starts.
        angle: radians.
        bearing: which way, radians: 0 to the left, pi/2 up, pi to the right, -pi/2 down.
    Notebook: 06_evaluation.
    """
    front = direction.to_vector()
    left = unit_vector(direction.azimuth + np.pi / 2, 0.0)
    way = np.cos(bearing) * left + np.sin(bearing) * np.cross(front, left)
    return Direction(*map(float, angles(np.cos(angle) * front + np.sin(angle) * way)))


def ideal_scores(predictions: np.ndarray, truth: np.ndarray, mode: str = "corrected") -> tuple[np.ndarray, np.ndarray]:
    """CC and AUC-Judd of fields that are known by their covariances.

    Args:
        predictions: [n, 4, 4].
        truth: [4, 4].
        mode: one of `evaluation.MODES`, for the energy map, the resampling and the AUC together.
    Returns: CC [n] and AUC [n].
    Raises: ValueError if the mode has another name.
    Notebook: 06_evaluation.
    """
    wanted, *maps = maps_of_covariances([truth, *predictions], mode)
    cc, auc = np.array([compare_maps(each, wanted, mode)[:2] for each in maps]).T
    return cc, auc


def ladder(mode: str = "corrected") -> pd.DataFrame:
    """The calibration ladder: how CC and AUC fall while one source moves away, or becomes diffuse. Level does nothing.

    Args: mode: one of `evaluation.MODES`.
    Returns: a row for each rung: `change` (ANGLE, DIFFUSE or LEVEL), `amount` in its unit, `cc`, `auc`, means over
        the true directions and the ways to move.
    Raises: ValueError if the mode has another name.
    Notebook: 06_evaluation.
    """
    return _ladder(mode).copy()


@lru_cache(maxsize=len(MODES))
def _ladder(mode: str) -> pd.DataFrame:
    frames = []
    for truth in (Direction.from_degrees(a, e) for e in ELEVATIONS_DEG for a in AZIMUTHS_DEG):
        rungs = [(change, amount, field) for change, amounts in STEPS.items() for amount in amounts
                 for field in _fields(truth, change, amount)]
        frame = pd.DataFrame([rung[:2] for rung in rungs], columns=["change", "amount"])
        fields = np.stack([field for *_, field in rungs])
        frame["cc"], frame["auc"] = ideal_scores(fields, ideal_covariance(truth), mode)
        frames.append(frame)
    return pd.concat(frames).groupby(["change", "amount"], sort=False, as_index=False).mean()


def _fields(truth: Direction, change: str, amount: float) -> list[np.ndarray]:
    """The covariances of one rung for one true direction."""
    if change == ANGLE:
        ways = np.pi / 2 * np.arange(4)
        return [ideal_covariance(moved(truth, np.radians(amount), way)) for way in ways]
    if change == DIFFUSE:
        return [ideal_covariance(truth, amount / 100)]
    return [10 ** (amount / 10) * ideal_covariance(truth)]


def degrees_off(score: float, kind: str = "cc", mode: str = "corrected") -> float:
    """How far off a single source would score the same, by linear interpolation of the ladder.

    A wrong direction is one way to lose a score; a field that is too diffuse or has a source too many is another. The
    answer says how much is lost, not why.

    Args:
        score: a CC or an AUC, also a mean of many.
        kind: "cc" or "auc".
        mode: the mode that the score was computed in, one of `evaluation.MODES`.
    Returns: degrees, 0 to 180; 0 from the top of the ladder on, 180 at its foot and below. 90 is what guessing scores.
    Raises: ValueError if the score is not finite or cannot be one of its kind, or kind or mode have another name.
    Notebook: 06_evaluation.
    """
    degrees, scores = _angular(kind, mode)
    least, most = KINDS[kind]
    if not least - 1e-9 <= score <= most + 1e-9:  # NaN too
        raise ValueError(f"{kind} lies between {least} and {most}, not {score}")
    return float(np.interp(-score, -scores, degrees))


def rung(score: float, kind: str = "cc", mode: str = "corrected") -> str:
    """`degrees_off` in words, for a table: "as a single source 52° off".

    Args: score, kind, mode: see `degrees_off`.
    Returns: outside the ladder "as a single source in its place" and "below a single source 180° off".
    Raises: ValueError as `degrees_off`.
    Notebook: 06_evaluation.
    """
    degrees, (_, scores) = degrees_off(score, kind, mode), _angular(kind, mode)
    if score < scores[-1] - 1e-9:
        return "below a single source 180° off"
    return "as a single source in its place" if degrees < 0.5 else f"as a single source {degrees:.0f}° off"


def _angular(kind: str, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """The angles of the ladder and their scores, which fall."""
    if kind not in KINDS:
        raise ValueError(f"no score {kind!r}: choose one of {', '.join(KINDS)}")
    rows = ladder(mode).query("change == @ANGLE")
    return rows["amount"].to_numpy(float), rows[kind].to_numpy()
