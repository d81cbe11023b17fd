"""The command that generates the sounds of a folder of features: `visage-lite generate-all`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

from visage_lite.command_parts import device_named, guidance_named, or_else, resumable


def generate_all(
    features: Annotated[Path, Argument(help="Folder that `visage-lite features` made.")],
    out: Annotated[Path, Argument(help="Folder for the sounds; made if missing.")],
    preset: Annotated[str, Option(help="toy (small, shipped) or paper: the one of the features.")] = "toy",
    checkpoint: Annotated[str | None, Option(help="Model weights: a file, folder or Hugging Face id.")] = None,
    clip_weights: Annotated[str | None, Option(help="CLIP weights for the paper preset: a file.")] = None,
    codec_weights: Annotated[Path | None, Option(help="DAC weights for the paper preset: a file.")] = None,
    download: Annotated[bool, Option("--download", help="Let the paper preset fetch CLIP and DAC weights.")] = False,
    guidance: Annotated[str, Option(help="none, joint or two-way.")] = "joint",
    guidance_scale: Annotated[float | None, Option(help="s in l + s (l - u); the preset's if left out.")] = None,
    direction_scale: Annotated[float | None, Option(help="s of the direction alone, for two-way guidance.")] = None,
    dtype: Annotated[str, Option(help="float32, bfloat16 or int8: how the model computes.")] = "float32",
    seed: Annotated[int, Option(help="The same seed gives the same sounds.")] = 0,
    top_k: Annotated[int | None, Option(help="Sample among so many codes; the preset's if left out.")] = None,
    temperature: Annotated[float | None, Option(help="Lower is more predictable; the preset's if left out.")] = None,
    greedy: Annotated[bool, Option("--greedy", help="Take the likeliest code instead of sampling.")] = False,
    split: Annotated[str | None, Option(help="Only the clips of train, valid or test; all if left out.")] = None,
    batch_size: Annotated[int | None, Option(min=1, help="Clips made together: 8, or 64 on a GPU.")] = None,
    limit: Annotated[int | None, Option(min=1, help="Only the first so many clips.")] = None,
    device: Annotated[str | None, Option(help="cpu or cuda; a GPU if there is one.")] = None,
) -> None:
    """Make the sounds of all clips of FEATURES.

    Writes CLIP.wav for each, four channels of ambisonics (W, Y, Z, X, ambiX),
    manifest.csv with their hashes, and manifest.json, which says how they were
    made. What a clip sounds like depends on the seed and its name, not on the
    clips beside it.

    An interrupted run, even a killed one, goes on when the command is given
    again; sounds that are there are kept.
    """
    from visage_lite import batch_generation, pipeline, presets
    from visage_lite.generation import Sampling

    sizes = presets.get(preset)
    scales = (or_else(scale, sizes.guidance_scale) for scale in (guidance_scale, direction_scale))
    guide = guidance_named(guidance, *scales)
    sampling = Sampling(greedy, or_else(temperature, sizes.temperature), or_else(top_k, sizes.top_k))
    models = pipeline.load_models(sizes, checkpoint, clip_weights, codec_weights, download)
    models.model.to(device_named("cpu" if device is None and dtype == "int8" else device))
    with resumable():
        made = batch_generation.generate_dataset(
            features, out, models, guide, sampling, seed, dtype, batch_size, split, limit, sys.stderr.isatty()
        )
    echo(f"{out}: made the sounds of {made.made:,} clips, kept {made.kept:,}; manifest.csv lists them")
