"""How well a sound field is placed: energy maps compared by correlation (CC) and AUC-Judd, and the direction's error.

A map that is the same everywhere (silence, or sound from all around alike) tells no direction. As a prediction it
scores what guessing scores: CC 0, AUC 0.5, a direction error of 90 degrees. As the truth it cannot judge anything: its
window is left out and counted. No score is ever NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from visage_lite.ambisonics import covariance, energy_map_of_covariance
from visage_lite.directions import unit_vector
from visage_lite.ranks import roc_area

MODES = ("corrected", "as_released")
WINDOWS_S = {"all": None, "1fps": 1.0, "5fps": 0.2}  # how long a piece of sound one energy map covers; None: all of it
FLAT = 1e-9  # a map whose standard deviation is under this part of its mean tells no direction


@dataclass(frozen=True)
class SpatialScore:
    """The mean scores of a clip's windows."""

    cc: float  # Pearson correlation of the energy maps, -1 to 1
    auc: float  # AUC-Judd, 0 to 1, chance is 0.5
    scored: int  # windows that the means are over; with none, cc is 0 and auc 0.5
    left_out: int  # windows whose truth tells no direction


def equal_area(levels: np.ndarray, mode: str = "corrected") -> np.ndarray:
    """Maps resampled so that every sample stands for the same area of the sphere: rows near the poles get few samples.

    Args:
        levels: [..., H, W], maps as `ambisonics.energy_map` returns them.
        mode: "corrected" spaces the samples of a row evenly round the circle; "as_released" puts them a little too
            close together, so that one and a half spacings stay empty behind; near the poles that is a wide angle.
    Returns: float64 [..., M], M = sum of round(W sin(polar angle)) over the rows: 10,312 for 90 x 180.
    Raises: ValueError if levels is no map or the mode has another name.
    Source: ViSAGe (arXiv 2506.12199), spatial metrics. Notebook: 06_evaluation.
    """
    levels = np.asarray(levels, float)
    if levels.ndim < 2:
        raise ValueError(f"equal_area takes maps [..., H, W], not {list(levels.shape)}")
    left, right, share = _samples(*levels.shape[-2:], _checked(mode))
    flat = levels.reshape(*levels.shape[:-2], -1)
    samples, second = np.take(flat, left, axis=-1), np.take(flat, right, axis=-1)
    samples *= 1 - share  # in place: new memory costs more than the product
    second *= share
    return np.add(samples, second, out=samples)


@lru_cache(maxsize=4)
def _samples(height: int, width: int, mode: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two cells between which each sample lies, and the share of the second: [M] each."""
    left, right, share = [], [], []
    for row in range(height):
        count = int(np.round(width * np.sin(np.pi * (row + 0.5) / height)))
        if mode == "corrected":  # centres of `count` equal pieces of the circle
            place = (np.arange(count) + 0.5) * width / count - 0.5
        else:
            place = np.arange(count) * (width - 0.5 * width / count) / count
        first = np.floor(place).astype(int)
        left.append(row * width + first % width)
        right.append(row * width + (first + 1) % width)
        share.append(place - first)
    return np.concatenate(left), np.concatenate(right), np.concatenate(share)


def is_flat(levels: np.ndarray) -> bool:
    """Whether a map tells no direction: it is silent, or the same everywhere.

    Raises: ValueError if it holds numbers that are not finite.
    """
    return _spread(_finite(levels).ravel())[2]


def correlation(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Pearson correlation (CC) of two maps.

    Args: prediction, truth: maps of one shape.
    Returns: -1 to 1; 0 if a map tells no direction.
    Raises: ValueError if the shapes differ or a number is not finite.
    Source: Pearson. Notebook: 06_evaluation.
    """
    return compare_maps(*_pair(prediction, truth))[0]


def auc_judd(prediction: np.ndarray, truth: np.ndarray, mode: str = "corrected") -> float:
    """How well a map's levels pick out where the truth is loud: area under the ROC curve.

    Positives are the places where truth > max - standard deviation. The area is the chance that a positive place is
    louder in the prediction than another place, ties counting half.

    Args:
        prediction, truth: maps of one shape.
        mode: "corrected"; "as_released" counts positives from 0 instead of 1 at each threshold, so that a map scored
            against itself stays a little under 1.
    Returns: 0 to 1; 0.5 if a map tells no direction.
    Raises: ValueError if the shapes differ, a number is not finite, or the mode has another name.
    Source: Judd et al. 2009. Differs: no random jitter is added to break ties. Notebook: 06_evaluation.
    """
    return compare_maps(*_pair(prediction, truth), _checked(mode))[1]


def compare_maps(prediction: np.ndarray, truth: np.ndarray, mode: str = "corrected") -> tuple[float, float, bool]:
    """CC and AUC-Judd of two maps, see `correlation` and `auc_judd`, and whether the truth tells a direction.

    Args:
        prediction, truth: finite float64 [M].
        mode: see `auc_judd`.
    Notebook: 06_evaluation.
    """
    (p, p_std, p_flat), (t, t_std, t_flat) = _spread(prediction), _spread(truth)
    if p_flat or t_flat:
        return 0.0, 0.5, not t_flat
    positive = truth > truth.max() - t_std
    auc = roc_area(prediction, positive, released=mode == "as_released")
    return float(p @ t / len(p) / (p_std * t_std)), auc, True


def _spread(levels: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """Of a map [M]: what is left without the mean [M], the standard deviation, whether the map is flat."""
    rest = levels - levels.mean()
    std = np.sqrt(rest @ rest / len(rest))
    return rest, std, bool(std <= FLAT * np.abs(levels).mean())


def spatial_scores(
    prediction: np.ndarray, truth: np.ndarray, sample_rate: float, mode: str = "corrected",
    names: Iterable[str] = tuple(WINDOWS_S),
) -> dict[str, SpatialScore]:  # fmt: skip
    """CC and AUC-Judd of a clip over all of it, over windows of 1 s ("1fps") and of 0.2 s ("5fps").

    Args:
        prediction, truth: two fields [4, N] of one length.
        sample_rate: Hz.
        mode: "corrected", or "as_released" for the energy map, the resampling and the AUC together.
        names: which of "all", "1fps" and "5fps" to score.
    Returns: names -> SpatialScore.
    Raises: ValueError if the shapes differ, or the clip is shorter than a window.
    Source: ViSAGe (arXiv 2506.12199), spatial metrics. Differs: windows that tell no direction have a rule (above).
    Notebook: 06_evaluation.
    """
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.shape != truth.shape or prediction.ndim != 2:
        shapes = f"{list(prediction.shape)} and {list(truth.shape)}"
        raise ValueError(f"two fields [4, N] of one length are compared, not {shapes}: cut the longer")
    pairs = zip(*(window_covariances(foa, sample_rate, WINDOWS_S.values()) for foa in (prediction, truth)))
    found = dict(zip(WINDOWS_S, pairs))
    return scores_of_covariances({name: found[name] for name in names}, mode)


def scores_of_covariances(pairs: dict[str, tuple[np.ndarray, ...]], mode: str = "corrected") -> dict[str, SpatialScore]:
    """`spatial_scores` from covariances alone, all that they need to know of the sound.

    Args:
        pairs: name of the windows -> covariances [windows, 4, 4] of the prediction and of the truth.
        mode: see `spatial_scores`.
    Returns: name of the windows -> SpatialScore.
    Raises: ValueError if a number is not finite.
    Notebook: 06_evaluation.
    """
    scores = {}
    for name, pair in pairs.items():
        windows_of = np.stack([_finite(each) for each in pair], axis=1)
        rows = [compare_maps(*maps_of_covariances(both, mode), mode) for both in windows_of]  # maps stay in the cache
        scored = [(cc, auc) for cc, auc, judged in rows if judged]
        cc, auc = map(float, np.mean(scored, axis=0)) if scored else (0.0, 0.5)
        scores[name] = SpatialScore(cc, auc, len(scored), len(rows) - len(scored))
    return scores


def window_covariances(foa: np.ndarray, sample_rate: float, windows_s: Iterable[float | None]) -> list[np.ndarray]:
    """The covariances of a field's windows of several lengths, with every sample read once.

    Args:
        foa: [4, N].
        sample_rate: Hz.
        windows_s: seconds, or None for one window over all of it; see `windows`.
    Returns: for each length float64 [windows, 4, 4], `ambisonics.covariance` of `windows`.
    Raises: ValueError if foa is not [4, N] or is shorter than a window.
    Notebook: 06_evaluation.
    """
    foa = np.asarray(foa)
    cuts = [np.arange(count + 1) * samples for samples, count in (_fit(foa, sample_rate, w) for w in windows_s)]
    edges = np.unique(np.concatenate(cuts))
    pieces = (foa[:, begin:end].astype(float) for begin, end in zip(edges[:-1], edges[1:]))
    sums = np.stack([piece @ piece.T for piece in pieces])
    places = [np.searchsorted(edges, cut) for cut in cuts]
    return [np.add.reduceat(sums[: at[-1]], at[:-1]) / cut[1] for at, cut in zip(places, cuts)]


def windows(foa: np.ndarray, sample_rate: float, window_s: float | None) -> np.ndarray:
    """A field cut into windows; a shorter rest at the end is dropped.

    Args:
        foa: [4, N].
        sample_rate: Hz.
        window_s: seconds, or None for one window over all of it.
    Returns: [windows, 4, n].
    Raises: ValueError if foa is not [4, N] or is shorter than a window.
    """
    samples, count = _fit(np.asarray(foa), sample_rate, window_s)
    return np.asarray(foa)[:, : count * samples].reshape(4, count, samples).swapaxes(0, 1)


def _fit(foa: np.ndarray, sample_rate: float, window_s: float | None) -> tuple[int, int]:
    """How many samples a window of a field has, and how many windows fit."""
    if foa.ndim != 2 or foa.shape[0] != 4:
        raise ValueError(f"one field is [4, N] (W, Y, Z, X), not {list(foa.shape)}")
    samples = foa.shape[1] if window_s is None else round(window_s * sample_rate)
    count = foa.shape[1] // samples if samples else 0
    if count == 0:
        length = "one sample" if window_s is None else f"a window of {window_s:g} s"
        raise ValueError(f"{foa.shape[1]} samples at {sample_rate:g} Hz are shorter than {length}")
    return samples, count


def window_maps(
    foa: np.ndarray, sample_rate: float, window_s: float | None = None, mode: str = "corrected",
) -> np.ndarray:
    """The equal-area samples of the energy map of each window of a field.

    Args: foa, sample_rate, window_s: see `windows`. mode: see `equal_area`; "as_released" is the released map too.
    Returns: float64 [windows, M].
    Notebook: 06_evaluation.
    """
    return maps_of_covariances(covariance(windows(foa, sample_rate, window_s)), mode)


def maps_of_covariances(matrix: np.ndarray, mode: str = "corrected") -> np.ndarray:
    """`window_maps` from covariances alone: [..., 4, 4] -> float64 [..., M]."""
    weighting = "sn3d" if _checked(mode) == "corrected" else "as_released"
    return equal_area(energy_map_of_covariance(matrix, weighting=weighting), mode)


def direction_error(estimate: np.ndarray, azimuth: np.ndarray | float, elevation: np.ndarray | float) -> np.ndarray:
    """The angle between estimated and true directions, for clips whose sources are known.

    Args:
        estimate: [..., 3], vectors (front, left, up), e.g. `ambisonics.intensity_direction(windows(foa, ...))`; a zero
            vector, an estimate that tells no direction, scores pi/2, what guessing scores on average.
        azimuth, elevation: radians, shapes that broadcast to [...].
    Returns: radians, 0 to pi, [...].
    Raises: ValueError if estimate is not [..., 3] or holds numbers that are not finite.
    Notebook: 06_evaluation.
    """
    estimate, true = np.asarray(estimate, float), unit_vector(azimuth, elevation)
    if estimate.shape[-1:] != (3,) or not np.isfinite(estimate).all():
        raise ValueError(f"estimates are finite vectors [..., 3] (front, left, up), not {list(estimate.shape)}")
    across = np.linalg.norm(np.cross(estimate, true), axis=-1)
    along = np.sum(estimate * true, axis=-1)
    return np.where(np.any(estimate != 0, axis=-1), np.arctan2(across, along), np.pi / 2)


def _pair(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two maps of one shape as flat arrays."""
    prediction, truth = _finite(prediction), _finite(truth)
    if prediction.shape != truth.shape or prediction.size == 0:
        raise ValueError(f"maps of one shape are compared, not {list(prediction.shape)} and {list(truth.shape)}")
    return prediction.ravel(), truth.ravel()


def _finite(numbers: np.ndarray) -> np.ndarray:
    numbers = np.asarray(numbers, float)
    if not np.isfinite(numbers).all():
        raise ValueError("an energy map holds numbers that are not finite: look at the sound it came from")
    return numbers


def _checked(mode: str) -> str:
    if mode not in MODES:
        raise ValueError(f"no mode {mode!r}: choose one of {', '.join(MODES)}")
    return mode


def loudest_direction(levels: np.ndarray) -> np.ndarray:
    """Where a map is loudest: the other estimate for `direction_error`, beside the intensity.

    Args: levels: [..., H, W], maps as `ambisonics.energy_map` returns them with its "sn3d" weighting.
    Returns: float64 [..., 3], the unit vector (front, left, up) of the loudest cell's centre; zeros where the map tells
        no direction.
    Raises: ValueError if levels is no map or holds numbers that are not finite.
    Notebook: 06_evaluation.
    """
    levels = np.asarray(levels, float)
    if levels.ndim < 2:
        raise ValueError(f"loudest_direction takes maps [..., H, W], not {list(levels.shape)}")
    height, width = levels.shape[-2:]
    flat = levels.reshape(-1, height * width)
    row, column = np.divmod(flat.argmax(-1), width)
    vectors = unit_vector(np.pi * (1 - (2 * column + 1) / width), np.pi * (0.5 - (row + 0.5) / height))
    vectors[[is_flat(each) for each in flat]] = 0
    return vectors.reshape(*levels.shape[:-2], 3)
