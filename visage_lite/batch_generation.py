"""The sounds of a whole folder of features, batch by batch, in a folder that says how they were made.

    manifest.json    the recipe: seed, checkpoint, guidance, sampling, networks, versions; a folder holds one only
    manifest.csv     a line a clip: clip, file, samples, sha256 (of the file), seconds it took
    CLIP.wav         its sound field, four channels W, Y, Z, X (ambiX), float32

The sound of a clip depends on the recipe and its name, not on the other clips: each has random numbers of its own. A
batch is made under temporary names, renamed, then noted, so a run that is killed loses no more than that.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from visage_lite.batches import FeatureClips
from visage_lite.decoding import Prepared, prepare
from visage_lite.features import fingerprint
from visage_lite.generation import Guidance, Sampling, generate
from visage_lite.media import write_foa
from visage_lite.outputs import staged
from visage_lite.pipeline import Models, manner, threads
from visage_lite.store import Store, claim
from visage_lite.streams import atomic, clear_abandoned

COLUMNS = ("clip", "file", "samples", "sha256", "seconds")
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")  # of a clip, as a part of a file name
LINE = re.compile(rf"({NAME.pattern}),\1\.wav,[0-9]+,[0-9a-f]{{64}},[0-9.]+\n")  # of the manifest
VERSIONS = ("visage_lite", "torch", "numpy", "numba")
BATCH_SIZE = {"cpu": 8}  # clips; elsewhere 64. At the published size 8 take 1.4 GB, two branches in float32


@dataclass(frozen=True)
class GeneratedClips:
    """A folder of generated sounds. Get one from `generate_dataset`."""

    folder: Path
    table: pd.DataFrame  # manifest.csv, all clips of the folder
    made: int  # clips of this call
    kept: int  # clips that were there


def generate_dataset(
    features: str | Path, out: str | Path, models: Models, guidance: Guidance | None = None,
    sampling: Sampling | None = None, seed: int = 0, dtype: str = "float32", batch_size: int | None = None,
    split: str | None = None, limit: int | None = None, progress: bool = True,
) -> GeneratedClips:  # fmt: skip
    """Generate the sounds of all clips of a folder of features; those that are there are kept.

    Args:
        features: folder of `features.dataset_features`; its true codes are not looked at.
        out: folder for the sounds, made if missing.
        models: from `pipeline.load_models`, of the preset of the features; `models.model` may be on a GPU.
        guidance, sampling: None means the preset's, as for `pipeline.hear`.
        seed: another seed gives other sounds.
        dtype: "float32", "bfloat16" or "int8", see `decoding.prepare`.
        batch_size: clips made together; None is 8 on the CPU and 64 on a GPU.
        split: only the clips of "train", "valid" or "test". limit: only the first so many of them.
        progress: show a bar.
    Returns: what is in the folder now.
    Raises: ValueError on a folder of another recipe or of something else, features of other networks, or a clip whose
        name is no file name.
    Differs: the released code generates one clip at a time, for the test split only. Notebook: 05_generation.
    """
    clips, out = FeatureClips(features, split=split), Path(out)
    names, device = clips.clips[:limit], models.model.head_weight.device
    guidance, sampling = manner(models.preset, guidance, sampling)
    stored = [Store(Path(features) / part).recipe for part in ("sound", "video")]
    clip_s = stored[1]["clip_s"]
    _check(clips, names, models, clip_s, batch_size)
    prepared = prepare(models.model, dtype)
    claim(out / "manifest.json", _recipe(prepared, models, guidance, sampling, seed, stored), "generated sounds")
    clear_abandoned(out)
    there = whole_rows(out)
    todo = [index for index, name in enumerate(names) if name not in there]
    size = batch_size or BATCH_SIZE.get(device.type, 64)
    with threads(models.model), tqdm(
        total=len(names), initial=len(names) - len(todo), desc="generating", unit="clip", disable=not progress
    ) as bar:
        for start in range(0, len(todo), size):
            chosen = np.array(todo[start : start + size])
            began = time.perf_counter()
            sounds = _sounds(prepared, models, clips, chosen, clip_s, (guidance, sampling, seed))
            _write(out, dict(zip([names[index] for index in chosen], sounds)), models.codec.sample_rate, began)
            bar.update(len(chosen))
    return GeneratedClips(out, read_manifest(out), len(todo), len(names) - len(todo))


def clip_generator(seed: int, name: str) -> torch.Generator:
    """The random numbers of a clip: the same for the same seed and name, unrelated to those of any other."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _check(
    clips: FeatureClips, names: list[str], models: Models, clip_s: float, batch_size: int | None
) -> None:  # fmt: skip
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if models.model.config.channels != 4:
        raise ValueError("the model is a mono one: give one of four channels")
    if clips.origin["vision"] != models.vision.name:
        raise ValueError(f"the features are of {clips.origin['vision']}, the preset {models.preset.name!r} has "
                         f"{models.vision.name}: give the preset they were made with")  # fmt: skip
    steps = models.model.config.max_steps
    if 2 * int(clip_s * models.preset.codec.frame_rate) + 1 > steps:
        raise ValueError(f"the features are of {clip_s:g} s, longer than the {steps} steps that the model knows")
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} in the features is no file name for a clip: rename it where it comes from")


def _sounds(
    prepared: Prepared, models: Models, clips: FeatureClips, chosen: np.ndarray, clip_s: float,
    how: tuple[Guidance, Sampling, int],
) -> list[np.ndarray]:  # fmt: skip
    """The sound fields of the clips of `chosen` [B]: float32 [4, N] each."""
    (guidance, sampling, seed), device, codec = how, models.model.head_weight.device, models.codec
    batch = clips.batch(chosen)
    told = [batch[key].to(device) for key in ("clip", "energy_map", "direction")]
    generators = [clip_generator(seed, clips.clips[index]) for index in chosen]
    frames = int(clip_s * models.preset.codec.frame_rate)
    codes = generate(prepared, *told, frames, guidance, sampling, generators, progress=False)
    return [codec.decode(each)[:, : round(clip_s * codec.sample_rate)] for each in codes.cpu().numpy()]


def _write(out: Path, sounds: dict[str, np.ndarray], rate: int, began: float) -> None:
    """The files of a batch, then their lines of the manifest."""
    rows = []
    with staged(out) as folder:
        for name, sound in sounds.items():
            write_foa(folder / f"{name}.wav", sound, rate)
            _undated(folder / f"{name}.wav")
            rows.append([name, f"{name}.wav", sound.shape[1], sha256(folder / f"{name}.wav")])
    each_s = f"{(time.perf_counter() - began) / len(rows):.3f}"
    new = not (out / "manifest.csv").is_file()
    with (out / "manifest.csv").open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS] * new + [[*row, each_s] for row in rows])


def _undated(path: Path) -> None:
    """Zero the time of writing that a float WAV holds in its PEAK chunk: the same sound gives the same bytes."""
    with path.open("r+b") as file:
        place = file.read(256).find(b"PEAK")
        if place >= 0:
            file.seek(place + 12)
            file.write(bytes(4))


def sha256(path: Path) -> str:
    """The hash of a file, as the program `sha256sum` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def whole_rows(folder: Path) -> dict[str, list[str]]:
    """Clip -> its line of the manifest, for every file that is there with the right hash; other lines are cut out.

    That are: a line that a killed run did not finish, and those of files that were changed or deleted.
    """
    path = folder / "manifest.csv"
    if not path.is_file():
        return {}
    there = {name: row for name, row in _lines(path).items() if _is_whole(folder / row[1], row[3])}
    with atomic(path) as temporary:
        temporary.write_text("".join(",".join(row) + "\n" for row in (COLUMNS, *there.values())))
    return there


def _lines(path: Path) -> dict[str, list[str]]:
    """Clip -> its line of a manifest, the last if there are several; what is no whole line is left out."""
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    return {found[1]: line.rstrip("\n").split(",") for line in lines if (found := LINE.fullmatch(line))}


def _is_whole(path: Path, wanted: str) -> bool:
    return path.is_file() and sha256(path) == wanted


def read_manifest(folder: str | Path) -> pd.DataFrame:
    """The clips of a folder of `generate_dataset`, complete or still under way.

    Args: folder: with a manifest.csv.
    Returns: columns clip, file, samples, sha256, seconds.
    Raises: FileNotFoundError if there is none.
    Notebook: 06_evaluation.
    """
    path = Path(folder) / "manifest.csv"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: make the sounds with `visage-lite generate-all`")
    table = pd.DataFrame(list(_lines(path).values()), columns=list(COLUMNS))
    return table.astype({"samples": int, "seconds": float})


def _recipe(
    prepared: Prepared, models: Models, guidance: Guidance, sampling: Sampling, seed: int, stored: list[dict]
) -> dict:
    """What decides the sounds, as JSON."""
    model, codec = models.model, models.codec
    weights = fingerprint(SimpleNamespace(tensors=model.state_dict()))
    return {
        "seed": seed, "preset": models.preset.name, "dtype": prepared.dtype, "device": model.head_weight.device.type,
        "checkpoint": {"name": models.model_name, "weights": weights},
        "guidance": [{**asdict(condition), "weight": weight} for condition, weight in guidance],
        "sampling": asdict(sampling),
        "codec": {"name": codec.name, "weights": fingerprint(codec), "rate": codec.sample_rate},
        "vision": models.vision.name,
        "features": {recipe["part"]: hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
                     for recipe in stored},
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }  # fmt: skip
