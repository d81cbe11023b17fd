"""Train the toy model on synthetic scenes: `python data/toy/train_model.py` writes model.safetensors and its log.

Needs codec.safetensors and clip.safetensors. First a mono model learns W from the pictures. Then Y, Z and X start as
copies of W, and the ambisonic model learns where: first in very short windows at any time of the clip, because with the
true past before it a model must guess the direction only at the first frames, so that many short windows teach it and
few whole clips do not; then in whole clips, for rhythm.

An interrupted run goes on where it stopped. `--without "energy map"` and so on train an ablation, the same steps with
one thing missing, into data/cache.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from visage_lite import checkpoints, presets
from visage_lite.batches import FeatureClips
from visage_lite.features import Networks, scene_features
from visage_lite.model import Visage
from visage_lite.optimisation import TrainingConfig
from visage_lite.training import train
from visage_lite.variants import Variant

HERE, CACHE = Path(__file__).parent, presets.DATA_FOLDER / "cache"
SCENES = range(100_000, 104_096)  # apart from the codec's (900,000 on), CLIP's (1,000,000 on) and all small seeds
BASE = TrainingConfig(betas=(0.9, 0.98), save_every=100, feature_noise=0.15)
STAGES = {
    "mono": replace(BASE, steps=800, batch_size=64, window=32, learning_rate=2e-3, warmup_steps=50),
    "windows": replace(BASE, steps=4000, batch_size=192, window=8, learning_rate=1e-3, warmup_steps=50),
    "whole": replace(BASE, steps=1200, batch_size=8, learning_rate=7e-4, warmup_steps=20, decay_steps=1100),
}
ABLATIONS = ("energy map", "direction", "rotation", "mono stage")


class Told:
    """Clips of which the model is told all but one thing, which is zero everywhere."""

    def __init__(self, clips: FeatureClips, without: str | None) -> None:
        self.clips, self._of, self._without = clips.clips, clips, str(without).replace(" ", "_")

    def batch(self, indices: np.ndarray, *, variants: Sequence[Variant]) -> dict[str, torch.Tensor]:
        batch = self._of.batch(indices, variants=variants)
        return {key: value * 0 if key == self._without else value for key, value in batch.items()}


def train_stages(clips: FeatureClips, without: str | None, stages: dict[str, TrainingConfig]) -> Visage:
    """The model after all stages; each in a folder of its own, and a stage that is done is only read."""
    sizes, runs = presets.toy().model, CACHE / name_of(without)
    model = Visage(sizes, seed=0)
    for name, config in stages.items():
        if name == "mono" and without != "mono stage":
            mono = Visage(replace(sizes, channels=1), seed=0)
            train(mono, clips, config, CACHE / "toy_model" / name)  # all but one ablation share it
            model = checkpoints.mono_to_ambisonic(mono, seed=0)
        elif name != "mono":
            config = replace(config, variants="none" if without == "rotation" else "all")
            train(model, Told(clips, without), config, runs / name)
    return model


def name_of(without: str | None) -> str:
    """The folder of a run, in data/cache."""
    return "toy_model" if without is None else f"toy_without_{without.replace(' ', '_')}"


def save(model: Visage, without: str | None) -> None:
    """Write the weights, halved to float16, and one log of all stages."""
    folder = HERE if without is None else CACHE / name_of(without)
    checkpoints.save(model, folder / "model.safetensors", dtype=torch.float16)
    logs = {name: CACHE / name_of(without) / name / "log.csv" for name in STAGES}
    tables = [pd.read_csv(file).assign(stage=name) for name, file in logs.items() if file.is_file()]
    table = pd.concat(tables).drop(columns=[f"{channel}{k}" for channel in "wyzx" for k in range(4)])
    if without is None:
        table.to_csv(HERE / "train_model.csv", index=False, float_format="%.5g")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without", choices=ABLATIONS, help="train this ablation instead")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=float, default=1.0, help="so many of all steps, such as 0.1 for a trial")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scene_features(SCENES, CACHE / "toy_scenes", Networks(presets.toy()))
    few = options.steps
    stages = {name: replace(config, steps=round(config.steps * few), decay_steps=round(config.decay_steps * few))
              for name, config in STAGES.items()}  # fmt: skip
    save(train_stages(FeatureClips(CACHE / "toy_scenes"), options.without, stages), options.without)


if __name__ == "__main__":
    main()
