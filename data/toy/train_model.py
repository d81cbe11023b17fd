"""Train the toy model on synthetic scenes: `python data/toy/train_model.py` writes model.safetensors and its log.

Needs codec.safetensors and clip.safetensors. An interrupted run goes on where it stopped; `--save-only` writes the
weights of a run still under way. The stages are those of the shipped weights. The first two showed that whole clips
teach when things happen but hardly where (28 degrees off): with the true past before it, a model must guess the
direction at the first frames only. The third stage therefore takes many short windows; the last whole clips again.
(The shipped weights' first stage took the beginnings of 1,100 clips, with an earlier toy CLIP.)
Where others use the machine too, set OMP_WAIT_POLICY=PASSIVE: threads that wait by spinning cost 4 times the time.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from visage_lite import checkpoints, presets
from visage_lite.batches import FeatureClips, random_windows, turn_and_mirror
from visage_lite.features import Networks, scene_features
from visage_lite.model import Visage
from visage_lite.training import TrainingConfig, train

HERE = Path(__file__).parent
CACHE = presets.DATA_FOLDER / "cache"
SCENES = range(100_000, 101_800)  # apart from the codec's (900,000 on), CLIP's (1,000,000 on) and all small seeds
BASE = dict(learning_rate=1e-3, betas=(0.9, 0.98), save_every=25, warmup_steps=30)
STAGES = {  # code frames of the window (50 a second), and how to train; a step takes about 0.3 s on 2 free CPU cores
    "short": (64, TrainingConfig(steps=1004, batch_size=16, **BASE)),
    "whole": (250, TrainingConfig(steps=784, batch_size=8, **BASE)),
    "windows": (25, TrainingConfig(steps=2000, batch_size=64, decay_steps=1000, **BASE)),
    "last": (250, TrainingConfig(steps=640, batch_size=8, decay_steps=600, **BASE | dict(learning_rate=5e-4))),
}


def augment(batch: dict, rng: np.random.Generator, frames: int, spread: float = 0.15) -> tuple[dict, np.ndarray]:
    """Windows, turned and mirrored, with noise on the CLIP features so that unknown pictures do no harm."""
    batch = random_windows(batch, rng, frames)
    noise = rng.standard_normal(batch["clip"].shape, dtype=np.float32)
    return turn_and_mirror({**batch, "clip": batch["clip"] + spread * noise}, rng)


def save(model: Visage) -> None:
    """Write the weights, halved to float16, and one log of all stages so far."""
    checkpoints.save(model, HERE / "model.safetensors", dtype=torch.float16)
    logs = {name: CACHE / f"toy_model_{name}/log.csv" for name in STAGES}
    tables = [pd.read_csv(file).assign(stage=name) for name, file in logs.items() if file.is_file()]
    pd.concat(tables).to_csv(HERE / "train_model.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save-only", action="store_true", help="write the newest checkpoint's weights, train nothing")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    preset = presets.toy()
    model = Visage(preset.model, seed=0)
    if arguments.save_only:
        files = [CACHE / f"toy_model_{name}/checkpoint.pt" for name in STAGES]
        newest = [file for file in files if file.is_file()][-1]
        state = torch.load(newest, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        print(f"{newest.parent.name}, step {state['step']}")
    else:
        scene_features(SCENES, CACHE / "toy_scenes", Networks(preset))
        for name, (frames, config) in STAGES.items():
            clips = FeatureClips(CACHE / "toy_scenes", augment=partial(augment, frames=frames))
            train(model, clips, config, CACHE / f"toy_model_{name}")
    save(model)


if __name__ == "__main__":
    main()
