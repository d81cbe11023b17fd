"""Test the toy model on scenes it has not seen: `python data/toy/evaluate_model.py`.

Prints how far the direction of the generated sound is from that of the scene's own sound, beside always answering the
camera's direction, and how often a simple classifier hears the right kind of thing.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from visage_lite import checkpoints, presets
from visage_lite.ambisonics import intensity_direction
from visage_lite.codec import load_codec
from visage_lite.generation import Sampling, generate, joint_guidance, no_guidance
from visage_lite.scenes import KINDS, make_scene
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


def fit_classifier(frames: int, count: int = 180) -> tuple[np.ndarray, ...]:
    """A linear classifier of kinds, by ridge regression on real scenes: mean, spread, weights."""
    scenes = [make_scene(CLASSIFIER_SEED + i, kind=KINDS[i % 6]) for i in range(count)]
    x = np.stack([sound_summary(scene.foa(16000)[:, : frames * 320]) for scene in scenes])
    mean, spread = x.mean(0), x.std(0) + 1e-3
    x = np.c_[(x - mean) / spread, np.ones(count)]
    y = np.eye(6)[np.arange(count) % 6]
    return mean, spread, np.linalg.solve(x.T @ x + 3 * np.eye(x.shape[1]), x.T @ y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--frames", type=int, default=250, help="code frames to make, 50 a second")
    parser.add_argument("--guidance", type=float, nargs="*", default=[0.0, 1.0, 2.5])
    parser.add_argument("--weights", type=Path, default=Path(__file__).with_name("model.safetensors"))
    options = parser.parse_args()
    preset, (mean, spread, weights) = presets.toy(), fit_classifier(options.frames)
    vision, codec = load_vision(preset), load_codec(preset)
    model = checkpoints.load(options.weights, preset.model)
    scenes = [make_scene(TEST_SEED + i) for i in range(options.scenes)]
    truth = [scene.foa(codec.sample_rate)[:, : options.frames * codec.hop] for scene in scenes]
    seen = [vision.features(scene.view()) for scene in scenes]
    clip, energy_map = (torch.stack([torch.as_tensor(getattr(each, key)) for each in seen]) for key in ("clip", "energy_map"))
    direction = torch.from_numpy(np.stack([scene.camera.to_model_input() for scene in scenes]))
    wanted = np.stack([intensity_direction(foa) for foa in truth])
    camera = np.stack([scene.camera.to_vector() for scene in scenes])
    kinds = np.array([KINDS.index(scene.kind) for scene in scenes])

    def report(name: str, heard: list[np.ndarray]) -> None:
        error = angle_deg(np.stack([intensity_direction(foa) for foa in heard]), wanted)
        x = np.stack([(sound_summary(foa) - mean) / spread for foa in heard])
        right = np.mean((np.c_[x, np.ones(len(x))] @ weights).argmax(1) == kinds)
        print(f"{name:16s} direction error median {np.median(error):5.1f} deg, 90 % below {np.percentile(error, 90):5.1f}; "
              f"kind right {right:.0%}")  # fmt: skip

    error = angle_deg(camera, wanted)
    print(f"{'camera':16s} direction error median {np.median(error):5.1f} deg, 90 % below {np.percentile(error, 90):5.1f}")
    report("scene itself", truth)
    report("codec", [codec.decode(codec.encode(foa)) for foa in truth])
    sampling = Sampling(temperature=preset.temperature, top_k=preset.top_k)
    for scale in options.guidance:
        guidance = joint_guidance(scale) if scale else no_guidance()
        generator = torch.Generator().manual_seed(0)
        codes = generate(model, clip, energy_map, direction, options.frames, guidance, sampling, generator, progress=False)
        report(f"guidance {scale:g}", [codec.decode(each) for each in codes.numpy()])


if __name__ == "__main__":
    main()
