"""Scores against what is known of a scene: where its sound is, how it moves, what it is and when it strikes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from visage_lite.ambisonics import intensity_direction
from visage_lite.directions import Direction
from visage_lite.evaluation import spatial_scores, window_covariances
from visage_lite.listener import SAMPLE_RATE, Listener, hear_kinds
from visage_lite.scenes import STRUCK, Scene
from visage_lite.spatial import PATH_S, azimuth_correlation, azimuth_over_time

ONSET_S = 0.2  # a stroke counts as met within so much: a video of 4 frames a second shows it no more exactly
RISE_DB = 6.0  # an onset rises so much above the 60 ms before


@dataclass(frozen=True)
class SceneScore:
    """One generated sound field against its scene. NaN where a score does not apply. Notebook: 06_evaluation."""

    scene: int  # its seed
    kind: str
    still: bool
    heard: str  # what the listener takes it for
    direction_error_deg: float  # from the mean direction of the scene's own sound; 90 if it tells none
    camera_error_deg: float  # of always answering the camera's direction
    cc: float  # over all of the clip
    auc: float
    azimuth_correlation: float  # of moving scenes: along the path, see `path_correlation`
    onsets_met: float  # of struck objects: F-measure of the strokes within ONSET_S


def score_scenes(fields: list[np.ndarray], scenes: list[Scene], listener: Listener) -> pd.DataFrame:
    """A row of `SceneScore` for every scene.

    Args:
        fields: float arrays [4, N] at 16 kHz, one for each scene; the scene's own sound is cut to their length.
        scenes: what they should sound like. listener: from `listener.load_listener`.
    Raises: ValueError if there are not as many fields as scenes.
    Notebook: 06_evaluation.
    """
    if len(fields) != len(scenes):
        raise ValueError(f"{len(fields)} sound fields for {len(scenes)} scenes: give one for each")
    heard = hear_kinds(listener, [field[0] for field in fields]).kinds
    return pd.DataFrame([_score(*each).__dict__ for each in zip(fields, scenes, heard)])


def _score(field: np.ndarray, scene: Scene, heard: str) -> SceneScore:
    truth = scene.foa(SAMPLE_RATE)[:, : field.shape[1]]
    wanted, source = Direction.from_vector(intensity_direction(truth)), scene.sources[0]
    maps = spatial_scores(field, truth, SAMPLE_RATE, names=["all"])["all"]
    return SceneScore(
        scene=scene.seed, kind=scene.kind, still=source.still, heard=heard,
        direction_error_deg=_off_deg(field, wanted),
        camera_error_deg=np.degrees(scene.camera.angle_to(wanted)),
        cc=maps.cc, auc=maps.auc,
        azimuth_correlation=np.nan if source.still else path_correlation(field, truth, scene),
        onsets_met=onsets_met(onsets(field[0]), source.strokes()) if scene.kind in STRUCK else np.nan,
    )  # fmt: skip


def _off_deg(field: np.ndarray, wanted: Direction) -> float:
    """How far the mean direction of a field is from the wanted one, degrees; 90 for a field that tells none."""
    vector = intensity_direction(field)
    return float(np.degrees(Direction.from_vector(vector).angle_to(wanted))) if np.any(vector) else 90.0


def path_correlation(field: np.ndarray, truth: np.ndarray, scene: Scene) -> float:
    """`spatial.azimuth_correlation` of two sound fields, seen from the camera so that no path crosses the seam behind.

    Args: field, truth: [4, N], 16 kHz. scene: says where the camera looks.
    Notebook: 06_evaluation.
    """
    one, other = (window_covariances(each, SAMPLE_RATE, [PATH_S])[0] for each in (field, truth))
    return azimuth_correlation(*(azimuth_over_time(each, scene.camera) for each in (one, other)))


def onsets(signal: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Times in seconds at which a sound is struck: its level rises by RISE_DB over what it was 20 to 60 ms before.

    Args: signal: float [N], W. rate: of the samples, Hz.
    Returns: float64 [n], increasing, at least 100 ms apart.
    Notebook: 06_evaluation.
    """
    step = rate // 100  # 10 ms
    power = np.square(signal[: len(signal) // step * step].astype(float)).reshape(-1, step).mean(1)
    level = 10 * np.log10(power + power.max() * 10 ** (-40 / 10) + 1e-12)
    padded = np.concatenate([np.full(6, level.min()), level])
    before = np.stack([padded[i : i + len(level)] for i in range(5)]).mean(0)
    rise = level - before
    found: list[int] = []
    for frame in np.argsort(-rise):
        if rise[frame] < RISE_DB:
            break
        if all(abs(frame - other) >= 10 for other in found):
            found.append(int(frame))
    return np.sort(found) / 100


def onsets_met(found: np.ndarray, true: np.ndarray) -> float:
    """F-measure of onsets within ONSET_S, each used once: 1 if all are met and none is too many.

    Args: found, true: float [n], seconds, increasing.
    Returns: 0 to 1; NaN if nothing was to be found.
    Notebook: 06_evaluation.
    """
    if not len(true):
        return np.nan
    met, i, j = 0, 0, 0
    while i < len(found) and j < len(true):
        if abs(found[i] - true[j]) <= ONSET_S:
            met, i, j = met + 1, i + 1, j + 1
        elif found[i] < true[j]:
            i += 1
        else:
            j += 1
    return 2 * met / (len(found) + len(true))


def summary(scores: pd.DataFrame) -> pd.Series:
    """The figures of a table of `score_scenes` in one row: medians of angles, means of the others.

    Args: scores: of one system. Notebook: 06_evaluation.
    """
    still = scores[scores["still"]]
    return pd.Series({
        "still: direction error (deg)": still["direction_error_deg"].median(),
        "90 % below (deg)": still["direction_error_deg"].quantile(0.9),
        "all: direction error (deg)": scores["direction_error_deg"].median(),
        "moving: correlation of azimuth": scores["azimuth_correlation"].mean(),
        "CC": scores["cc"].mean(),
        "AUC": scores["auc"].mean(),
        "kind right": (scores["heard"] == scores["kind"]).mean(),
        "strokes within 0.2 s": scores["onsets_met"].mean(),
    })  # fmt: skip
