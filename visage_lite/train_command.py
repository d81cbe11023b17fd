"""The command that trains: `visage-lite train`, or `accelerate launch -m visage_lite.training` on several GPUs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option


def train(
    features: Annotated[Path, Argument(help="Folder that `visage-lite features` made.")],
    folder: Annotated[Path, Argument(help="Folder of the run; the same command goes on where it stopped.")],
    stage: Annotated[str, Option(help="mono (the sound of W alone) or ambisonic.")] = "ambisonic",
    preset: Annotated[str, Option(help="toy or paper: the sizes of the model.")] = "paper",
    start: Annotated[Path | None, Option(help="Weights or a run to start from; W of a mono model goes to all.")] = None,
    epochs: Annotated[float | None, Option(help="50 (mono) or 80 (ambisonic) if left out, as published.")] = None,
    batch_size: Annotated[int, Option(help="Clips of a step, over all processes.")] = 64,
    accumulation: Annotated[int, Option(help="Parts in which each process takes its clips: less memory.")] = 1,
    learning_rate: Annotated[float, Option(help="After the warm-up of the mono stage; constant.")] = 1e-4,
    dtype: Annotated[str, Option(help="bfloat16 or float32: the arithmetic; weights are float32.")] = "bfloat16",
    variants: Annotated[str, Option(help="all (8), released (2) or none: turned and mirrored clips.")] = "all",
    dropout_per_batch: Annotated[bool, Option("--dropout-per-batch", help="Guidance dropout as released.")] = False,
    compiled: Annotated[bool, Option("--compile", help="torch.compile: slower to start, faster on a GPU.")] = False,
    save_every: Annotated[int, Option(help="Steps between checkpoints.")] = 500,
    validate_every: Annotated[int, Option(help="Steps between validations, if there is a split valid.")] = 2000,
    codec_weights: Annotated[Path | None, Option(help="DAC weights, to hear validation clips of paper.")] = None,
    seed: Annotated[int, Option(help="Of every random draw.")] = 1115,
) -> None:
    """Train a model on FEATURES, by the published recipe unless told otherwise.

    FOLDER gets checkpoints, log.csv, validation.csv and tensorboard/. Its
    newest step_*/model.safetensors is what `visage-lite generate --checkpoint`
    takes. An interrupted run, even a killed one, goes on when the command is
    given again, and ends as if it had not been.

    On 8 GPUs: accelerate launch --num_processes 8 -m visage_lite.training ...
    with the same arguments.
    """
    from visage_lite.batches import FeatureClips
    from visage_lite.optimisation import published
    from visage_lite.store import Store
    from visage_lite.training import train as run_training

    if dtype == "float32":  # PyTorch on Linux: large memory pages; a CPU step is faster so, with bfloat16 slower
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if variants not in ("all", "released", "none"):
        raise ValueError(f"--variants is all, released or none, not {variants}")
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"--dtype is float32 or bfloat16, not {dtype}")
    store = Store(features / "sound")
    sizes, has_splits = _fitting(store, preset), any(store.in_split(name, "valid") for name in store.clips)
    clips = FeatureClips(features, split="train" if has_splits else None)
    config = published(
        stage, len(clips), epochs, batch_size=batch_size, accumulation=accumulation, learning_rate=learning_rate,
        dtype=dtype, variants=variants, dropout_per_batch=dropout_per_batch, compiled=compiled, save_every=save_every,
        validate_every=validate_every, seed=seed,
    )  # fmt: skip
    model = _model(sizes, stage, start, seed)
    validation = _validation(features, sizes, config, stage, codec_weights) if has_splits else None
    try:
        log = run_training(model, clips, config, folder, validation, progress=sys.stderr.isatty())
    except KeyboardInterrupt as stop:
        print(f"interrupted: {stop or 'the same command goes on from the last checkpoint'}", file=sys.stderr)
        raise SystemExit(130) from None
    typer.echo(f"{config.steps:,} steps on {len(clips):,} clips; wrote {log} and {log.parent}/step_{config.steps:08d}")


def _fitting(store, preset: str):
    """The preset of a name. Raises: ValueError if the codes of a store are of another, before anything is written."""
    from visage_lite import presets

    sizes, kind = presets.get(preset), store.recipe["kind"]
    if kind != sizes.codec.kind:
        other = "toy" if kind == "toy" else "paper"
        raise ValueError(f"{store.folder.parent} holds codes of the {store.recipe['network']}: "
                         f"train with --preset {other}")  # fmt: skip
    return sizes


def _model(preset, stage: str, start: Path | None, seed: int):
    """A fresh model of the stage, or one that starts from weights; a mono one becomes ambisonic if it should."""
    from dataclasses import replace

    from visage_lite import checkpoints
    from visage_lite.model import Visage

    channels = 1 if stage == "mono" else preset.model.channels
    if start is None:
        return Visage(replace(preset.model, channels=channels), seed=seed)
    model = checkpoints.load(checkpoints.newest(start))
    if model.config.channels == 1 and channels > 1:
        model = checkpoints.mono_to_ambisonic(model, channels, seed)
    if replace(model.config, dropout=0) != replace(preset.model, channels=channels, dropout=0):
        raise ValueError(f"{start} is of another size than the {stage} model of the preset {preset.name!r}")
    return model


def _validation(features: Path, preset, config, stage: str, codec_weights: Path | None):
    """Loss of the split valid; with a codec at hand, also generated sounds."""
    from visage_lite.batches import FeatureClips
    from visage_lite.codec import load_codec
    from visage_lite.validation import Validation

    heard = stage == "ambisonic" and (preset.codec.kind == "toy" or codec_weights is not None)
    codec = load_codec(preset, codec_weights and str(codec_weights)) if heard else None
    return Validation(FeatureClips(features, split="valid"), codec, preset, config, sounds=8 if heard else 0)


def run() -> None:
    """What `python -m visage_lite.training` does; what the user can put right is told in one line."""
    try:
        typer.run(train)
    except (ValueError, FileNotFoundError) as error:
        print("visage_lite.training:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
