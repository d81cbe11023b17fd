"""The spatial scores in the plain way, as the released code does: the sound in every cell of a grid, then loops.

Written for `bench_evaluation.py`, from the description alone. All 16,200 sounds of a clip of 5 s at 44.1 kHz would take
14.3 GB in float32, more than many a machine has, so they are made a second at a time (2.9 GB, taken once); windows of
1 s and of 0.2 s and the whole clip are means of the same squares. Levels are summed in float64.
"""

from __future__ import annotations

import numpy as np

WINDOWS_S = {"all": None, "1fps": 1.0, "5fps": 0.2}


def grid() -> np.ndarray:
    """Weights of W, Y, Z, X in every cell: float32 [16200, 4]. Y and X are louder by sqrt(2), as released."""
    elevation = np.pi / 2 - np.pi * (np.arange(90)[:, None] + 1) / 90
    azimuth = np.pi - 2 * np.pi * (np.arange(180) + 1) / 180
    level = np.sqrt(2) * np.cos(elevation)
    weights = np.broadcast_arrays(1.0, level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth))
    return np.stack(weights, axis=-1).reshape(-1, 4).astype(np.float32)


def levels(foa: np.ndarray, rate: int) -> dict[str, list[np.ndarray]]:
    """The energy maps [90, 180] of a field [4, N] of whole seconds, over all of it and over its windows."""
    weights, short = grid(), []
    sounds = np.empty((len(weights), rate), np.float32)
    for second in range(foa.shape[1] // rate):
        np.matmul(weights, foa[:, second * rate : (second + 1) * rate].astype(np.float32), out=sounds)
        np.square(sounds, out=sounds)
        for part in np.split(sounds, 5, axis=1):
            short.append(part.mean(axis=1, dtype=np.float64).reshape(90, 180))
    whole_seconds = [np.mean(short[i : i + 5], axis=0) for i in range(0, len(short), 5)]
    powers = {"all": [np.mean(short, axis=0)], "1fps": whole_seconds, "5fps": short}
    return {name: [np.sqrt(power) for power in some] for name, some in powers.items()}


def equal_area(level: np.ndarray) -> np.ndarray:
    """A map [90, 180] with as many samples in a row as its circle is long, as released."""
    samples = []
    for row in range(90):
        count = int(np.round(180 * np.sin(np.pi * (row + 0.5) / 90)))
        places = np.linspace(0, 180 - 0.5 * 180 / count, count, endpoint=False)
        samples.append(np.interp(places, np.arange(181), np.append(level[row], level[row, 0])))
    return np.concatenate(samples)


def auc_judd(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve, a threshold at each place where the truth is loud, as released."""
    chosen = prediction[truth > truth.max() - truth.std()]
    true_rate, false_rate = [0.0], [0.0]
    for count, threshold in enumerate(sorted(chosen, reverse=True)):
        above = np.sum(prediction >= threshold)
        true_rate.append(count / len(chosen))
        false_rate.append((above - count) / (len(prediction) - len(chosen)))
    return float(np.trapezoid([*true_rate, 1.0], [*false_rate, 1.0]))


def spatial_scores(prediction: np.ndarray, truth: np.ndarray, rate: int) -> dict[str, tuple[float, float]]:
    """{"all", "1fps", "5fps"} -> mean CC and AUC of two fields [4, N]."""
    ours, true = levels(prediction, rate), levels(truth, rate)
    scores = {}
    for name in WINDOWS_S:
        pairs = [(equal_area(p), equal_area(t)) for p, t in zip(ours[name], true[name])]
        scores[name] = (float(np.mean([np.corrcoef(p, t)[0, 1] for p, t in pairs])),
                        float(np.mean([auc_judd(p, t) for p, t in pairs])))  # fmt: skip
    return scores
