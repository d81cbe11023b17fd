"""Train the toy model on synthetic scenes: `python data/toy/train_model.py` writes model.safetensors and its log.

Needs codec.safetensors and clip.safetensors. First a mono model learns W from the pictures. Then Y, Z and X start as
copies of W, and the ambisonic model learns where: first in very short windows at any time of the clip, many clips a
step, then in whole clips, for rhythm. What a model so small needs besides:
- a start in which each step looks at the pictures of its own time, see `visage_lite.timing`;
- a past that is misheard on purpose (`misheard`). With a past that is always true it learns to copy the direction of
  the frame before, so what it generates keeps its first error and does not follow what moves.

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
from visage_lite.scenes import make_scene
from visage_lite.timing import align_time
from visage_lite.toy_codec import GAIN_LEVELS, SILENCE
from visage_lite.training import train
from visage_lite.variants import Variant

HERE, CACHE = Path(__file__).parent, presets.DATA_FOLDER / "cache"
SCENES = range(100_000, 104_096)  # apart from the codec's (900,000 on), CLIP's (1,000,000 on) and all small seeds
MORE = range(104_096, 111_000)  # of these the 2,045 in which something moves: 30 % of all scenes do
BASE = TrainingConfig(betas=(0.9, 0.98), save_every=100, feature_noise=0.15)
STAGES = {  # of all, ablations too; a step takes about 0.7 s of one CPU core
    "mono": replace(BASE, steps=500, batch_size=192, window=8, learning_rate=1e-3, warmup_steps=50),
    "windows": replace(BASE, steps=1500, batch_size=192, window=8, learning_rate=1e-3, warmup_steps=50),
    "whole": replace(BASE, steps=1000, batch_size=8, learning_rate=7e-4, warmup_steps=20, decay_steps=900),
}
AGAIN = {  # the shipped model goes on
    "windows again": replace(BASE, steps=800, batch_size=192, window=8, learning_rate=1e-3, warmup_steps=50),
    "whole again": replace(BASE, steps=700, batch_size=8, learning_rate=7e-4, warmup_steps=20, decay_steps=650),
}
MORE_MOVING = {  # and again, with the scenes of MORE too: to follow what moves is learned last
    "windows, more": replace(BASE, steps=1500, batch_size=192, window=8, learning_rate=1e-3, warmup_steps=50),
    "whole, more": replace(BASE, steps=1800, batch_size=8, learning_rate=7e-4, warmup_steps=20, decay_steps=1700),
}
ABLATIONS = ("energy map", "direction", "rotation", "mono stage")


def misheard(codes: np.ndarray, pad_id: int, rng: np.random.Generator) -> np.ndarray:
    """What the decoder reads instead of the true codes [4, K, T]: mostly with wrong directions, and parts left out.

    The gains of Y, Z and X start some steps of 1.8 dB off and wander, now and then a sign is wrong, and spans of 0.1 to
    1.2 s are empty.
    """
    codes, frames = codes.copy(), codes.shape[-1]
    first = codes[1:, 0]  # of Y, Z, X
    if rng.random() < 0.8:
        jumps = (rng.random((3, frames)) < 1 / 25) * rng.normal(0, 1.5, (3, frames))
        jumps[:, 0] = rng.normal(0, 3, 3)
        level = np.clip(first % GAIN_LEVELS + np.round(jumps.cumsum(axis=1)).astype(int), 0, GAIN_LEVELS - 1)
        negative = first >= GAIN_LEVELS
        for channel in np.flatnonzero(rng.random(3) < 0.25):
            negative[channel, _span(frames, rng)] ^= True
        codes[1:, 0] = np.where(first < SILENCE, level + GAIN_LEVELS * negative, first)
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 5)):
            codes[:, :, _span(frames, rng)] = pad_id
    return codes


def _span(frames: int, rng: np.random.Generator) -> slice:
    start = rng.integers(frames)
    return slice(start, start + rng.integers(5, 60))


class Told:
    """Clips of which the model is told all but one thing, which is zero everywhere; with a misheard past if asked.

    Only the first `count` of them, if that is given. What is misheard is drawn for each clip and variant, the same
    every time.
    """

    def __init__(
        self, clips: FeatureClips, without: str | None = None, mishear: bool = False, count: int | None = None
    ) -> None:
        self.clips, self._of, self._mishear = clips.clips[:count], clips, mishear
        self._without = str(without).replace(" ", "_")

    def batch(self, indices: np.ndarray, *, variants: Sequence[Variant]) -> dict[str, torch.Tensor]:
        batch = self._of.batch(indices, variants=variants)
        if self._mishear:
            rngs = [np.random.default_rng([i, v.quarter_turns, v.mirrored]) for i, v in zip(indices, variants)]
            pad_id = presets.toy().model.pad_id
            past = [misheard(codes, pad_id, rng) for codes, rng in zip(batch["codes"].numpy(), rngs)]
            batch["history"] = torch.from_numpy(np.stack(past))
        return {key: value * 0 if key == self._without else value for key, value in batch.items()}


def train_stages(clips: FeatureClips, without: str | None, stages: dict[str, TrainingConfig]) -> Visage:
    """The model after all stages; each in a folder of its own, and a stage that is done is only read.

    Writes the weights after the stages that ablations have too into data/cache: what an ablation is compared with.
    """
    sizes, runs, last_shared = presets.toy().model, CACHE / name_of(without), list(STAGES)[-1]
    model = started(sizes)
    for name, config in stages.items():
        if name == "mono" and without != "mono stage":
            mono = started(replace(sizes, channels=1))
            train(mono, Told(clips, count=len(SCENES)), config, CACHE / "toy_model" / name)  # shared by all but one
            model = checkpoints.mono_to_ambisonic(mono, seed=0)
        elif name != "mono":
            config = replace(config, variants="none" if without == "rotation" else "all")
            count = None if name in MORE_MOVING else len(SCENES)
            train(model, Told(clips, without, mishear=True, count=count), config, runs / name)
        if name == last_shared:
            checkpoints.save(model, runs / "model.safetensors", dtype=torch.float16)
    return model


def started(sizes: presets.ModelConfig) -> Visage:
    """A fresh model whose steps look at the pictures of their own time."""
    preset = presets.toy()
    return align_time(Visage(sizes, seed=0), preset.video_rate, preset.codec.frame_rate)


def name_of(without: str | None) -> str:
    """The folder of a run, in data/cache."""
    return "toy_model" if without is None else f"toy_without_{without.replace(' ', '_')}"


def ship(model: Visage) -> None:
    """Write the weights, halved to float16, and one log of all stages."""
    checkpoints.save(model, HERE / "model.safetensors", dtype=torch.float16)
    logs = {name: CACHE / "toy_model" / name / "log.csv" for name in STAGES | AGAIN | MORE_MOVING}
    table = pd.concat([pd.read_csv(file).assign(stage=name) for name, file in logs.items()])
    table = table.drop(columns=[f"{channel}{k}" for channel in "wyzx" for k in range(4)])
    table.to_csv(HERE / "train_model.csv", index=False, float_format="%.5g")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without", choices=ABLATIONS, help="train this ablation instead")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=float, default=1.0, help="so many of all steps, such as 0.1 for a trial")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    moving = [seed for seed in MORE if not make_scene(seed).sources[0].still]
    scene_features([*SCENES, *moving], CACHE / "toy_scenes", Networks(presets.toy()))
    few = options.steps
    stages = {name: replace(config, steps=round(config.steps * few), decay_steps=round(config.decay_steps * few))
              for name, config in (STAGES if options.without else STAGES | AGAIN | MORE_MOVING).items()}  # fmt: skip
    model = train_stages(FeatureClips(CACHE / "toy_scenes"), options.without, stages)
    if not options.without:
        ship(model)


if __name__ == "__main__":
    main()
