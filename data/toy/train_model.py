"""Train the toy model on synthetic scenes: `python data/toy/train_model.py` writes model.safetensors and its logs.

Needs codec.safetensors and clip.safetensors. An interrupted run goes on where it stopped; `--save-only` writes the
weights of a run still under way. First the model hears only the first 1.28 s of each clip: these tell its direction
already, so more clips in the same time teach direction sooner. Then it hears whole clips, and learns when things
happen. On a machine that others use too, run it with OMP_WAIT_POLICY=PASSIVE: threads that wait by spinning cost 4
times the time.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch

from visage_lite import checkpoints, presets
from visage_lite.features import FeatureClips, scene_features, turn_and_mirror
from visage_lite.model import Visage
from visage_lite.training import TrainingConfig, train

HERE = Path(__file__).parent
CACHE = presets.DATA_FOLDER / "cache"
SCENES = range(100_000, 101_800)  # apart from the codec's (900,000 on), CLIP's (1,000,000 on) and all small seeds
SHORT = 64  # code frames of the first stage, 1.28 s
STAGES = {
    "short": TrainingConfig(
        steps=1004, batch_size=16, learning_rate=1e-3, warmup_steps=100, betas=(0.9, 0.98), save_every=50,
    ),
    "whole": TrainingConfig(
        steps=2000, batch_size=8, learning_rate=1e-3, warmup_steps=30, decay_steps=1000, betas=(0.9, 0.98),
        save_every=25,
    ),
}  # fmt: skip


def roughen(batch: dict, rng: np.random.Generator, spread: float = 0.15) -> tuple[dict, np.ndarray]:
    """`turn_and_mirror`, with noise on the CLIP features, so that unknown pictures do not throw the model off."""
    noise = rng.standard_normal(batch["clip"].shape, dtype=np.float32)
    return turn_and_mirror({**batch, "clip": batch["clip"] + spread * noise}, rng)


def stage(name: str, model: Visage) -> None:
    """Train one stage in place and keep its log."""
    frames = SHORT if name == "short" else None
    clips = FeatureClips(CACHE / "toy_scenes", augment=roughen, code_frames=frames)
    train(model, clips, STAGES[name], CACHE / f"toy_model_{name}")
    shutil.copy(CACHE / f"toy_model_{name}" / "log.csv", HERE / f"train_model_{name}.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save-only", action="store_true", help="write the newest checkpoint's weights, train nothing")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    preset = presets.toy()
    model = Visage(preset.model, seed=0)
    if arguments.save_only:
        files = (CACHE / f"toy_model_{name}/checkpoint.pt" for name in ("whole", "short"))
        newest = next(file for file in files if file.is_file())
        state = torch.load(newest, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        print(f"{newest.parent.name}, step {state['step']}")
    else:
        scene_features(SCENES, CACHE / "toy_scenes", preset)
        for name in STAGES:
            stage(name, model)
    checkpoints.save(model, HERE / "model.safetensors", dtype=torch.float16)


if __name__ == "__main__":
    main()
