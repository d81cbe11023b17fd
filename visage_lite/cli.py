"""`visage-lite`: a silent video and a camera direction in, spatial sound out. Heavy modules are imported late."""

from __future__ import annotations

import math
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from visage_lite import __version__
from visage_lite.command_parts import guidance_named as _guidance
from visage_lite.command_parts import or_else as _or
from visage_lite.command_parts import resumable as _resumable
from visage_lite.command_parts import tell as _tell
from visage_lite.evaluate_command import evaluate
from visage_lite.generate_all_command import generate_all
from visage_lite.train_command import train

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"visage-lite {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Silent video to spatial sound (first-order ambisonics)."""


@app.command()
def generate(
    video: Annotated[Path, Argument(help="Any video file. Its own sound is not listened to.")],
    azimuth: Annotated[float, Option(help="Where the camera looks, degrees: 0 is the front, left is positive.")],
    out: Annotated[Path, Option("-o", "--out", help="Folder for the results; made if missing.")],
    elevation: Annotated[float, Option(help="Where the camera looks, degrees: up is positive, -90 to 90.")] = 0.0,
    panorama: Annotated[bool, Option("--panorama", help="The video is a 360 degree panorama.")] = False,
    preset: Annotated[str, Option(help="toy (small, shipped) or paper (needs --checkpoint and weights).")] = "toy",
    checkpoint: Annotated[str | None, Option(help="Model weights: a file, folder or Hugging Face id.")] = None,
    clip_weights: Annotated[str | None, Option(help="CLIP weights for the paper preset: a file.")] = None,
    codec_weights: Annotated[Path | None, Option(help="DAC weights for the paper preset: a file.")] = None,
    download: Annotated[bool, Option("--download", help="Let the paper preset fetch CLIP and DAC weights.")] = False,
    guidance: Annotated[str, Option(help="none, joint or two-way.")] = "joint",
    guidance_scale: Annotated[float | None, Option(help="s in l + s (l - u); the preset's if left out.")] = None,
    direction_scale: Annotated[float | None, Option(help="s of the direction alone, for two-way guidance.")] = None,
    dtype: Annotated[str, Option(help="float32, bfloat16 or int8: how the model computes.")] = "float32",
    seed: Annotated[int, Option(help="The same seed gives the same sound.")] = 0,
    top_k: Annotated[int | None, Option(help="Sample among so many codes; the preset's if left out.")] = None,
    temperature: Annotated[float | None, Option(help="Lower is more predictable; the preset's if left out.")] = None,
    greedy: Annotated[bool, Option("--greedy", help="Take the likeliest code instead of sampling.")] = False,
    start: Annotated[float, Option(help="Second of the video at which to begin.")] = 0.0,
    whole: Annotated[bool, Option("--whole", help="All of the video from --start on, not only 5 s.")] = False,
) -> None:
    """Make the sound of a silent VIDEO.

    Writes into the folder given with -o (older results are replaced):
    NAME_foa.wav, four channels of ambisonics (W, Y, Z, X, ambiX);
    NAME_binaural.wav, the same for headphones;
    NAME_spatial.mp4, the video with this sound;
    NAME_player.html, to open in a browser and turn your head in;
    NAME_energy.png, where the sound comes from.

    5 s of sound are made. Of a longer video, the 5 s from --start are used,
    or, with --whole, everything from there on. Of a shorter one, all is used,
    and the sound is as long as it.

    The model sees the central square of the picture, or, with --panorama, a
    90 degree view of the panorama toward --azimuth and --elevation.
    """
    if not (math.isfinite(azimuth) and abs(azimuth) <= 360):
        raise ValueError(f"--azimuth must lie between -360 and 360 degrees, not {azimuth:g}")
    if not (math.isfinite(elevation) and abs(elevation) <= 90):
        raise ValueError(f"--elevation must lie between -90 and 90 degrees, not {elevation:g}")
    from visage_lite import long_video, outputs, pipeline, presets
    from visage_lite.directions import Direction
    from visage_lite.generation import Sampling

    sizes, camera = presets.get(preset), Direction.from_degrees(azimuth, elevation)
    guide = _guidance(guidance, _or(guidance_scale, sizes.guidance_scale), _or(direction_scale, sizes.guidance_scale))
    sampling = Sampling(greedy, _or(temperature, sizes.temperature), _or(top_k, sizes.top_k))
    with outputs.staged(out) as folder:
        view = pipeline.see(video, camera, sizes, panorama, start)
        models = pipeline.load_models(sizes, checkpoint, clip_weights, codec_weights, download)
        hear = long_video.hear_whole if whole else pipeline.hear
        generated = hear(view, models, guide, sampling, seed, dtype, progress=sys.stderr.isatty())
        written = outputs.write_outputs(generated, video, folder)
    for line in (*generated.notes, outputs.found(generated), *outputs.character(generated)):
        typer.echo(line)
    for name, what in written.items():
        typer.echo(f"wrote {out / name}: {what}")


@app.command()
def scenes(
    folder: Annotated[Path, Argument(help="Folder for the data set; made if missing.")],
    count: Annotated[int, Option(help="How many scenes.")],
    seed: Annotated[int, Option(help="The same seed gives the same bytes; another one entirely other scenes.")] = 0,
    kinds: Annotated[str, Option(help="toy (the six that the shipped networks know) or all (twelve).")] = "toy",
    sources: Annotated[int, Option(help="Things that sound in a scene: 1 or 2.")] = 1,
    off_screen: Annotated[bool, Option("--off-screen", help="The second is outside the camera's view.")] = False,
    room: Annotated[bool, Option("--room", help="In a room, with echoes and reverberation.")] = False,
    workers: Annotated[int | None, Option(help="Processes; one per core if left out.")] = None,
) -> None:
    """Make a data set of synthetic scenes.

    Five seconds each: a panorama, what the camera sees of it, the exact sound
    field, and where everything was, in the layout of prepared YT-Ambigen.
    Eight of ten are for training, one for validation, one for testing.

    An interrupted run goes on when the command is given again.
    """
    from visage_lite.clips import split_counts
    from visage_lite.dataset import write_scenes
    from visage_lite.rooms import Room
    from visage_lite.scenes import TOY_KINDS
    from visage_lite.sounds import ALL_KINDS

    choices = {"toy": TOY_KINDS, "all": ALL_KINDS}
    if kinds not in choices:
        raise ValueError(f"--kinds is toy or all, not {kinds}")
    options = {"kinds": choices[kinds], "sources": sources, "off_screen": off_screen, "room": Room() if room else None}
    with _resumable():
        made = write_scenes(folder, count, seed, workers=workers, progress=sys.stderr.isatty(), **options)
    counts = split_counts(made.table["split"])
    each = ", ".join(f"{split} {number:,}" for split, number in counts.items())
    typer.echo(f"wrote {folder}: {len(made.table):,} clips ({each}), labels.csv says what is where")
    if not all(counts.values()):
        typer.echo("ten or more give one to validate and one to test on: the same command with --count 10 adds them")


@app.command()
def download(
    csv_folder: Annotated[Path, Argument(help="Holds train.csv, valid.csv and test.csv of YT-Ambigen.")],
    raw_folder: Annotated[Path, Argument(help="For the raw files; made if missing.")],
    limit: Annotated[int | None, Option(min=0, help="Try at most so many videos; all if left out.")] = None,
    pause: Annotated[float, Option(min=0, help="Mean pause between two videos, seconds.")] = 5.0,
    retry: Annotated[bool, Option("--retry", help="Try again what was refused, failed or changed.")] = False,
    hashes: Annotated[bool, Option("--hashes", help="Check what is done by its sha256, not only its size.")] = False,
    preflight: Annotated[bool, Option("--preflight", help="Only say what is offered of --limit videos (5).")] = False,
    seed: Annotated[int | None, Option(help="Of the pauses.")] = None,
) -> None:
    """Fetch the raw videos of YT-Ambigen and their ambisonic sound.

    Many are no longer offered. RAW_FOLDER/downloads.csv says what became of
    each; given again, the command goes on. Nothing else of visage-lite needs
    these videos. Needs pip install 'visage_lite[download]'.
    """
    from visage_lite import download as downloads
    from visage_lite.clips import read_clips

    table = read_clips(csv_folder).table
    if preflight:
        source = downloads.YtDlp()
        for video_id in table["video_id"].unique()[: 5 if limit is None else limit]:
            typer.echo(downloads.preflight(video_id, source))
        return
    shown = sys.stderr.isatty()
    found = downloads.download(table, raw_folder, limit, pause, retry, seed, hashes=hashes, progress=shown)
    typer.echo(found)
    if found.stopped:
        raise SystemExit(130)


@app.command()
def prepare(
    csv_folder: Annotated[Path, Argument(help="Holds train.csv, valid.csv, test.csv and ambi.json of YT-Ambigen.")],
    raw_folder: Annotated[Path, Argument(help="Holds ID.mp4 and ID.webm, as `visage-lite download` leaves them.")],
    dataset: Annotated[Path, Argument(help="For the prepared data set; made if missing.")],
    workers: Annotated[int, Option(min=0, help="Processes; 0 works in this one.")] = 2,
    sampling: Annotated[str, Option(help="Of the camera's view: centres or as_released.")] = "centres",
) -> None:
    """Cut the raw videos into the clips of YT-Ambigen.

    DATASET/prepared.csv says what became of each clip; given again, the
    command goes on.
    """
    from visage_lite import cutting
    from visage_lite.clips import read_clips

    table = read_clips(csv_folder).table
    with _resumable():
        prepared = cutting.prepare(table, raw_folder, dataset, workers, sampling, progress=sys.stderr.isatty())
    typer.echo(f"{dataset}: {cutting.summary(prepared)}")


@app.command()
def features(
    dataset: Annotated[Path, Argument(help="A data set: of `visage-lite scenes`, or prepared YT-Ambigen.")],
    out: Annotated[Path, Argument(help="Folder for the features; made if missing.")],
    preset: Annotated[str, Option(help="toy (small, shipped networks) or paper (CLIP ViT-B/32 and DAC).")] = "toy",
    clip_weights: Annotated[str | None, Option(help="CLIP weights for the paper preset: a file.")] = None,
    codec_weights: Annotated[Path | None, Option(help="DAC weights for the paper preset: a file.")] = None,
    download: Annotated[bool, Option("--download", help="Let the paper preset fetch CLIP and DAC weights.")] = False,
    part: Annotated[str | None, Option(help="Only sound (codes), or only video (CLIP, energy map).")] = None,
    workers: Annotated[int | None, Option(help="Processes; one per core if left out.")] = None,
    scheduler: Annotated[str | None, Option(help="Address of a Dask scheduler: work on its machines instead.")] = None,
) -> None:
    """Make the features of a DATASET that training reads.

    Codes of the sound, CLIP features and patch energy maps of the view, for
    all eight turned and mirrored variants of a clip, in shards.

    An interrupted run, even a killed one, goes on when the command is given
    again. Clips that cannot be read are left out and listed with the reason.
    """
    if part not in (None, "sound", "video"):
        raise ValueError(f"--part is sound or video, not {part}")
    from visage_lite import presets
    from visage_lite.cluster import on_cluster
    from visage_lite.features import PARTS, Networks, dataset_features
    from visage_lite.jobs import in_parallel
    from visage_lite.store import Store

    networks = Networks(presets.get(preset), clip_weights, codec_weights and str(codec_weights), download)
    how = {"run": in_parallel, "workers": workers} if scheduler is None else {"run": on_cluster, "scheduler": scheduler}
    parts = PARTS if part is None else (part,)
    with _resumable():
        dataset_features(dataset, out, networks, parts, progress=sys.stderr.isatty(), **how)
    for name in parts:
        store = Store(out / name)
        typer.echo(f"{out / name}: {len(store):,} clips, {len(store.bad):,} bad, by {store.recipe['network']}")
        for clip, reason in store.bad.head(20).itertuples(index=False):
            typer.echo(f"  {clip}: {reason}")


app.command()(train)
app.command()(generate_all)
app.command()(evaluate)


def main() -> None:
    """Run the command; whatever the user can put right is told in one line on stderr."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = app(standalone_mode=False)
    except (ValueError, FileNotFoundError) as error:
        code = _tell(str(error), 1)
    except (KeyboardInterrupt, Exception) as error:
        if hasattr(error, "format_message"):  # an unknown option, a missing one, no number
            code = _tell(error.format_message(), 2)
        elif isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
            code = 130
        else:
            raise
    if code == 130:  # Ctrl-C, which some versions of Typer turn into this code or into Abort
        _tell("interrupted, nothing was written", code)
    sys.exit(code)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)  # unwinds like any failure, so that nothing half-written stays


if __name__ == "__main__":
    main()
