"""Test the toy model and its ablations on 240 scenes they have not seen: `python data/toy/evaluate_model.py`.

Writes results.csv beside this file, one row a system: how far the sound is from where it should be, whether it follows
what moves, whether it is the right kind of sound and strikes when it should. The scores are those of
`visage_lite.scene_scores`. Ablations are those that `train_model.py --without` has trained; the others are left out.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from visage_lite import checkpoints, presets
from visage_lite.ambisonics import pan_mono
from visage_lite.codec import load_codec
from visage_lite.generation import Sampling, generate, joint_guidance, no_guidance
from visage_lite.jobs import in_parallel
from visage_lite.listener import load_listener
from visage_lite.model import Visage
from visage_lite.presets import Preset
from visage_lite.scene_scores import score_scenes, summary
from visage_lite.scenes import make_scene
from visage_lite.vision import load_vision

HERE, CACHE = Path(__file__).parent, presets.DATA_FOLDER / "cache"
FIRST_SEED = 890_000  # the scenes of training start at 100,000
BATCH = 40


def seen(seed: int) -> dict[str, np.ndarray]:
    """What the model is told of a scene."""
    scene, preset = make_scene(seed), presets.toy()
    features = load_vision(preset).features(scene.view())
    return {"clip": features.clip.numpy(), "energy_map": features.energy_map.numpy(),
            "direction": scene.camera.to_model_input()}  # fmt: skip


def sound(model: Visage, told: dict[str, torch.Tensor], preset: Preset, scale: float) -> list[np.ndarray]:
    """The sound fields that a model makes; each scene has the random numbers of its place."""
    codec, fields = load_codec(preset), []
    guidance = joint_guidance(scale) if scale else no_guidance()
    for start in range(0, len(told["clip"]), BATCH):
        part = [told[key][start : start + BATCH] for key in ("clip", "energy_map", "direction")]
        generators = [torch.Generator().manual_seed(start + i) for i in range(len(part[0]))]
        sampling = Sampling(temperature=preset.temperature, top_k=preset.top_k)
        codes = generate(model, *part, preset.code_frames, guidance, sampling, generators, progress=False)
        fields += [codec.decode(each) for each in codes.numpy()]
    return fields


def systems(told: dict, scenes: list, truth: list, preset: Preset, scales: list[float], weights: Path) -> dict:
    """Name -> a function that makes the sound fields of all scenes."""
    codec, model = load_codec(preset), partial(checkpoints.load, config=preset.model)
    found = {
        "the scene's own sound": lambda: truth,
        "own sound through the codec": lambda: [codec.decode(codec.encode(field)) for field in truth],
        "own W, panned to the camera's direction": lambda: [pan_mono(f[0], s.camera) for f, s in zip(truth, scenes)],
    }
    for scale in scales:
        name = f"toy model, guidance {scale:g}" if scale else "toy model, no guidance"
        found[name] = partial(lambda scale: sound(model(weights), told, preset, scale), scale)
    for path in sorted(CACHE.glob("toy_without_*/model.safetensors")):
        missing = path.parent.name.removeprefix("toy_without_")  # what it was not told in training, it is not told here
        known = {key: value * 0 if key == missing else value for key, value in told.items()}
        name = f"without {missing.replace('_', ' ')}"
        found[name] = partial(lambda path, known: sound(model(path), known, preset, preset.guidance_scale), path, known)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=240)
    parser.add_argument("--guidance", type=float, nargs="*", default=[0.0, presets.toy().guidance_scale, 2.5])
    parser.add_argument("--weights", type=Path, default=HERE / "model.safetensors")
    parser.add_argument("--only", help="systems with this in their name")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results.csv")
    options = parser.parse_args()
    preset, listener, rows = presets.toy(), load_listener(), {}
    seeds = range(FIRST_SEED, FIRST_SEED + options.scenes)
    told = list(in_parallel(seen, seeds, desc="scenes"))
    told = {key: torch.from_numpy(np.stack([each[key] for each in told])) for key in told[0]}
    scenes = [make_scene(seed) for seed in seeds]
    truth = [scene.foa(16000) for scene in scenes]
    for name, make in systems(told, scenes, truth, preset, options.guidance, options.weights).items():
        if options.only is None or options.only in name:
            scores = score_scenes(make(), scenes, listener)
            rows[name] = summary(scores)
            print(name, rows[name].round(2).to_dict(), flush=True)
    pd.DataFrame(rows).T.round(3).to_csv(options.output, index_label="system")


if __name__ == "__main__":
    main()
