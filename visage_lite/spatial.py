"""All the spatial scores of a clip in one row: energy maps, direction, diffuseness, level and path against the truth.

Sound is read once, into the covariances of its windows; everything else is computed from those.

A prediction that is silent, comes from everywhere alike or holds numbers that are not finite scores what guessing
scores: CC 0, AUC 0.5, 90 degrees. Numbers that are not finite make a clip count as silence. A truth that tells no
direction judges nothing: its scores are NaN, and a mean that skips them says how many by `left_out_...` and `note`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visage_lite.ambisonics import diffuseness_of_covariance, energy_map_of_covariance, intensity_of_covariance
from visage_lite.directions import Direction, angles
from visage_lite.evaluation import (
    FLAT,
    MODES,
    WINDOWS_S,
    direction_error,
    is_flat,
    loudest_direction,
    scores_of_covariances,
    window_covariances,
)
from visage_lite.panorama import camera_axes

PATH_S = 0.5  # windows of the azimuth over time
QUIET_DB = -25.0  # a window so far below the loudest of its clip tells no direction
PREFIXES = {"corrected": "", "as_released": "released_"}  # of the columns of a mode
FLOOR = 1e-12  # power added before a logarithm: silence has -120 dB


@dataclass(frozen=True)
class ClipScore:
    """A row of the table of clips. Windows are counted in the corrected mode. Notebook: 06_evaluation."""

    cc_all: float  # corrected; all: over the whole clip, 1fps: mean over windows of 1 s, 5fps: of 0.2 s
    auc_all: float
    cc_1fps: float
    auc_1fps: float
    cc_5fps: float
    auc_5fps: float
    released_cc_all: float  # as the released code computes it
    released_auc_all: float
    released_cc_1fps: float
    released_auc_1fps: float
    released_cc_5fps: float
    released_auc_5fps: float
    scored_all: int  # windows that the scores are means over, 0 or 1
    left_out_all: int  # windows whose truth tells no direction
    scored_1fps: int
    left_out_1fps: int
    scored_5fps: int
    left_out_5fps: int
    direction_error_deg: float  # of the mean intensity, over the whole clip
    peak_error_deg: float  # of the loudest cell of the map, over the whole clip; cells are 2 degrees wide
    diffuseness: float  # mean over windows of 0.2 s, weighted by their energy; 1 for silence
    true_diffuseness: float
    level_db: float  # RMS of W; -120 for silence
    true_level_db: float
    azimuth_correlation: float  # see `azimuth_correlation`
    note: str  # "", or the rules that applied: "silent", "truth omnidirectional", "not finite, truth silent", ...


def score_clip(
    prediction: np.ndarray, truth: np.ndarray, sample_rate: float, direction: Direction | None = None
) -> ClipScore:
    """The spatial scores of one clip.

    Args:
        prediction, truth: two fields [4, N] of one length, a second or longer.
        sample_rate: Hz.
        direction: where the source is, if that is known; without it the truth's own intensity and peak are the aim.
    Raises: ValueError if the shapes differ, or the clip is shorter than a second.
    Source: ViSAGe (arXiv 2506.12199), spatial metrics, for CC and AUC. Notebook: 06_evaluation.
    """
    if np.shape(prediction) != np.shape(truth):
        shapes = f"{list(np.shape(prediction))} and {list(np.shape(truth))}"
        raise ValueError(f"two fields [4, N] of one length are compared, not {shapes}: cut the longer")
    (ours, note), (true, true_note) = (_windows(foa, sample_rate) for foa in (prediction, truth))
    return ClipScore(
        **_map_scores(ours, true),
        **_direction_errors(ours["all"][0], true["all"][0], direction),
        diffuseness=_mean_diffuseness(ours["5fps"]), true_diffuseness=_mean_diffuseness(true["5fps"]),
        level_db=float(_level_db(ours["all"])[0]), true_level_db=float(_level_db(true["all"])[0]),
        azimuth_correlation=_path_score(ours, true, direction),
        note=", ".join(filter(None, [note, true_note and f"truth {true_note}"])),
    )  # fmt: skip


def azimuth_over_time(covariances: np.ndarray, camera: Direction) -> np.ndarray:
    """Azimuth of each window, seen from the camera: radians, left positive; NaN where it is quiet or tells none.

    Args: covariances: [n, 4, 4], from `evaluation.window_covariances`. camera: where it looks, azimuth 0.
    Returns: float64 [n].
    Notebook: 06_evaluation.
    """
    vectors = intensity_of_covariance(covariances) @ camera_axes(camera).T
    level_db = _level_db(covariances)
    azimuth = angles(vectors + 1e-12)[0]
    return np.where((level_db > level_db.max() + QUIET_DB) & np.any(vectors, axis=-1), azimuth, np.nan)


def azimuth_correlation(azimuth: np.ndarray, true: np.ndarray) -> float:
    """Pearson correlation of two azimuths over time, where both are known.

    Args: azimuth, true: [n], from `azimuth_over_time`.
    Returns: -1 to 1; 0 if the first does not move or is silent, NaN if the truth does not move sideways (under 5
        degrees) or fewer than three of its windows are loud.
    Notebook: 06_evaluation.
    """
    loud = np.isfinite(true)
    if loud.sum() < 3 or np.ptp(true[loud]) < np.radians(5):
        return np.nan
    both = loud & np.isfinite(azimuth)
    if both.sum() < 3 or np.ptp(azimuth[both]) < 1e-9:
        return 0.0
    return float(np.corrcoef(azimuth[both], true[both])[0, 1])


def _windows(foa: np.ndarray, sample_rate: float) -> tuple[dict[str, np.ndarray], str]:
    """Covariances of a field's windows, by name and for the "path", and the rule that applies to it, or ""."""
    lengths = {**WINDOWS_S, "path": PATH_S}
    found = dict(zip(lengths, window_covariances(foa, sample_rate, lengths.values())))
    if not np.isfinite(found["all"]).all():
        return {name: np.zeros_like(each) for name, each in found.items()}, "not finite"
    if not found["all"].any():
        return found, "silent"
    return found, "omnidirectional" if is_flat(energy_map_of_covariance(found["all"])) else ""


def _map_scores(ours: dict[str, np.ndarray], true: dict[str, np.ndarray]) -> dict[str, float]:
    """The columns of CC and AUC, and of the windows they are over."""
    columns, pairs = {}, {name: (ours[name], true[name]) for name in WINDOWS_S}
    for mode in MODES:
        prefix = PREFIXES[mode]
        for name, score in scores_of_covariances(pairs, mode).items():
            columns[f"{prefix}cc_{name}"] = score.cc if score.scored else np.nan
            columns[f"{prefix}auc_{name}"] = score.auc if score.scored else np.nan
            if mode == "corrected":
                columns |= {f"scored_{name}": score.scored, f"left_out_{name}": score.left_out}
    return columns


def _direction_errors(ours: np.ndarray, true: np.ndarray, direction: Direction | None) -> dict[str, float]:
    """The columns of direction errors, from the covariances of the whole clip."""
    both = np.stack([ours, true])
    known = diffuseness_of_covariance(both) < 1 - FLAT
    flow = intensity_of_covariance(both) * known[:, None]
    peaks = loudest_direction(energy_map_of_covariance(both))
    columns = {}
    for name, (found, aim) in {"direction_error_deg": flow, "peak_error_deg": peaks}.items():
        aim = aim if direction is None else direction.to_vector()
        columns[name] = float(np.degrees(direction_error(found, *angles(aim)))) if np.any(aim) else np.nan
    return columns


def _mean_diffuseness(covariances: np.ndarray) -> float:
    """Diffuseness of short windows, so that a source that moves is not called diffuse, weighted by their energy."""
    energy = np.trace(covariances, axis1=1, axis2=2)
    return float(np.average(diffuseness_of_covariance(covariances), weights=energy)) if energy.any() else 1.0


def _level_db(covariances: np.ndarray) -> np.ndarray:
    return 10 * np.log10(covariances[..., 0, 0] + FLOOR)


def _path_score(ours: dict[str, np.ndarray], true: dict[str, np.ndarray], direction: Direction | None) -> float:
    """Azimuths counted from where the truth is on the whole, so that its path does not cross the seam behind."""
    aim = intensity_of_covariance(true["all"])[0] if direction is None else direction.to_vector()
    if not np.any(aim):
        return np.nan
    ahead = Direction(float(angles(aim)[0]), 0.0)
    return azimuth_correlation(*(azimuth_over_time(each["path"], ahead) for each in (ours, true)))
