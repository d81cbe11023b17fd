"""How good the toy CLIP is on scenes it has not seen: `python data/toy/probe_clip.py`.

A linear probe for the kind, a ridge regression for the place in the view, and how often the brightest patch of the
energy map lies on the object.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from visage_lite.presets import toy
from visage_lite.scenes import KINDS, make_scene
from visage_lite.vision import load_vision


def ridge(inputs: np.ndarray, targets: np.ndarray, penalty: float = 1.0) -> np.ndarray:
    """Weights [D + 1, n] of a ridge regression with a constant."""
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    return np.linalg.solve(inputs.T @ inputs + penalty * np.eye(inputs.shape[1]), inputs.T @ targets)


def apply(weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """What the regression answers."""
    return inputs @ weights[:-1] + weights[-1]


def main() -> None:
    """Compute the features of 300 scenes, fit on 200, print the scores of the other 100."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--scenes", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(2)
    vision = load_vision(toy(), options.weights)
    kinds, places, loud, clips, maps = [], [], [], [], []
    for seed in range(2_000_000, 2_000_000 + options.scenes):
        scene = make_scene(seed)
        features, times = vision.features(scene.view()), scene.frame_times()
        kinds += [KINDS.index(scene.kind)] * len(times)
        places.append(np.degrees(scene.view_angles(times)))
        loud.append(scene.sources[0].activity(times))
        clips.append(features.clip.numpy())
        maps.append(features.energy_map.numpy())
    kinds, places, loud, clips, maps = np.array(kinds), *(np.concatenate(part) for part in (places, loud, clips, maps))
    clips = clips / np.linalg.norm(clips, axis=-1, keepdims=True)
    fit = np.arange(len(kinds)) < 2 * len(kinds) // 3
    inputs = {"clip feature": clips, "energy map": maps, "both": np.concatenate([clips, maps], axis=1)}
    for name, values in inputs.items():
        answer = apply(ridge(values[fit], np.eye(len(KINDS))[kinds[fit]], 0.1), values[~fit]).argmax(-1)
        place = apply(ridge(values[fit], places[fit], 0.1), values[~fit]) - places[~fit]
        active = apply(ridge(values[fit], loud[fit, None], 0.1), values[~fit])[:, 0]
        error = np.hypot(*place.T)
        right, loudness = np.mean(answer == kinds[~fit]), np.corrcoef(active, loud[~fit])[0, 1]
        middle, tail = np.quantile(error, (0.5, 0.9))
        print(f"{name:12s} kind {right:.1%}, place error median {middle:.1f} deg (90 % below {tail:.1f}), "
              f"correlation with loudness {loudness:.2f}")  # fmt: skip
    left, up = np.radians(places.T)
    column, row = 3.5 - 3.5 * np.tan(left), 3.5 - 3.5 * np.tan(up) / np.cos(left)
    peak_row, peak_column = np.divmod(maps.argmax(-1), 7)
    away = np.maximum(np.abs(peak_row + 0.5 - row), np.abs(peak_column + 0.5 - column))
    print(f"brightest patch on the object's centre {np.mean(away <= 0.5):.1%}, within one patch "
          f"{np.mean(away <= 1.5):.1%}; mass within one patch {energy_near(maps, row, column):.1%}")  # fmt: skip


def energy_near(maps: np.ndarray, row: np.ndarray, column: np.ndarray) -> float:
    """Mean share of the energy within one patch of the object's centre."""
    rows, columns = np.divmod(np.arange(49), 7)
    near = np.maximum(np.abs(rows + 0.5 - row[:, None]), np.abs(columns + 0.5 - column[:, None])) <= 1.5
    return float((maps * near).sum(-1).mean())


if __name__ == "__main__":
    main()
