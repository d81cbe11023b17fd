"""Test the toy model on scenes it has not seen: `python data/toy/evaluate_model.py`.

Prints how far the direction of the generated sound is from that of the scene's own sound, beside always answering the
camera's direction, and how often a simple classifier hears the right kind of thing.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from visage_lite import checkpoints, presets
from visage_lite.ambisonics import encode, intensity_direction
from visage_lite.codec import load_codec
from visage_lite.generation import Sampling, generate, joint_guidance, no_guidance
from visage_lite.scenes import KINDS, Scene, make_scene
from visage_lite.toy_codec import mdct
from visage_lite.vision import load_vision

TEST_SEED, CLASSIFIER_SEED = 890_000, 880_000  # the scenes of training start at 100,000


def angle_deg(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Degrees between unit vectors [..., 3]."""
    return np.degrees(np.arccos(np.clip((one * other).sum(-1), -1, 1)))


def sound_summary(foa: np.ndarray, bands: int = 20) -> np.ndarray:
    """Mean and spread over time of W's level in dB in bands, loudness taken out: [2 * bands]."""
    power = mdct(foa[0], 320) ** 2  # [T, 320]
    edges = np.unique(np.geomspace(1, 320, bands + 1).round().astype(int))
    levels = 10 * np.log10(np.add.reduceat(power, edges[:-1], axis=1) + 1e-7)
    levels -= levels.max()
    return np.concatenate([levels.mean(0), levels.std(0)])


def fit_classifier(frames: int, count: int = 180) -> Callable[[list[np.ndarray]], np.ndarray]:
    """A linear classifier of kinds, by ridge regression on scenes: from sound fields to indices into KINDS."""
    scenes = [make_scene(CLASSIFIER_SEED + i, kind=KINDS[i % 6]) for i in range(count)]
    x = np.stack([sound_summary(scene.foa(16000)[:, : frames * 320]) for scene in scenes])
    mean, spread = x.mean(0), x.std(0) + 1e-3
    x = np.c_[(x - mean) / spread, np.ones(count)]
    weights = np.linalg.solve(x.T @ x + 3 * np.eye(x.shape[1]), x.T @ np.eye(6)[np.arange(count) % 6])

    def classify(heard: list[np.ndarray]) -> np.ndarray:
        x = np.stack([(sound_summary(foa) - mean) / spread for foa in heard])
        return (np.c_[x, np.ones(len(x))] @ weights).argmax(1)

    return classify


def errors(heard: list[np.ndarray], wanted: np.ndarray) -> str:
    """A line on the angles between the directions of sound fields and the wanted ones [n, 3]."""
    error = angle_deg(np.stack([intensity_direction(foa) for foa in heard]), wanted)
    return f"direction error median {np.median(error):5.1f} deg, 90 % below {np.percentile(error, 90):5.1f}"


def conditions(scenes: list[Scene], preset: presets.Preset) -> tuple[torch.Tensor, ...]:
    """What the model is told of the scenes: CLIP features, energy maps and camera directions."""
    vision = load_vision(preset)
    seen = [vision.features(scene.view()) for scene in scenes]
    direction = torch.from_numpy(np.stack([scene.camera.to_model_input() for scene in scenes]))
    return torch.stack([each.clip for each in seen]), torch.stack([each.energy_map for each in seen]), direction


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--frames", type=int, default=250, help="code frames to make, 50 a second")
    parser.add_argument("--guidance", type=float, nargs="*", default=[0.0, 1.0, 2.5])
    parser.add_argument("--weights", type=Path, default=Path(__file__).with_name("model.safetensors"))
    options = parser.parse_args()
    preset, codec = presets.toy(), load_codec(presets.toy())
    model = checkpoints.load(options.weights, preset.model)
    scenes = [make_scene(TEST_SEED + i) for i in range(options.scenes)]
    truth = [scene.foa(codec.sample_rate)[:, : options.frames * codec.hop] for scene in scenes]
    wanted = np.stack([intensity_direction(foa) for foa in truth])
    kinds, classify = np.array([KINDS.index(scene.kind) for scene in scenes]), fit_classifier(options.frames)

    def report(name: str, heard: list[np.ndarray]) -> None:
        print(f"{name:14s} {errors(heard, wanted)}; kind right {np.mean(classify(heard) == kinds):.0%}", flush=True)

    print("camera's own  ", errors([encode(foa[0], scene.camera.azimuth, scene.camera.elevation)
                                    for foa, scene in zip(truth, scenes)], wanted))  # fmt: skip
    report("scene itself", truth)
    report("through codec", [codec.decode(codec.encode(foa)) for foa in truth])
    told, sampling = conditions(scenes, preset), Sampling(temperature=preset.temperature, top_k=preset.top_k)
    for scale in options.guidance:
        guidance = joint_guidance(scale) if scale else no_guidance()
        generator = torch.Generator().manual_seed(0)
        codes = generate(model, *told, options.frames, guidance, sampling, generator, progress=False)
        report(f"guidance {scale:g}", [codec.decode(each) for each in codes.numpy()])


if __name__ == "__main__":
    main()
