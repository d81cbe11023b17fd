"""Fit the toy codec's shapes to synthetic scenes: `python data/toy/fit_codec.py` writes codec.safetensors; 1 minute."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from visage_lite.presets import toy
from visage_lite.scenes import make_scene
from visage_lite.toy_codec import ToyCodec, fit_shapes

SEED = 1115
SCENES = range(900_000, 900_400)  # apart from the scenes that the model trains on and those that test it
HELD_OUT = range(890_000, 890_024)


def main() -> None:
    config = toy().codec
    fields = [make_scene(seed).foa(config.sample_rate) for seed in SCENES]
    shapes = fit_shapes(fields, config.hop, config.codebooks, config.vocab, np.random.default_rng(SEED))
    shapes = shapes.astype(np.float16)
    save_file({"shapes": shapes}, Path(__file__).with_name("codec.safetensors"))
    codec = ToyCodec(shapes, config.sample_rate)
    ratios = []
    for seed in HELD_OUT:
        field = make_scene(seed).foa(config.sample_rate)
        error = field - codec.decode(codec.encode(field))
        ratios.append(10 * np.log10((field**2).sum() / (error**2).sum()))
    print(f"signal to error on {len(ratios)} unseen scenes: median {np.median(ratios):.1f} dB")


if __name__ == "__main__":
    main()
