"""A data set on disk, laid out as the authors' scripts prepare YT-Ambigen, and scenes written in the same layout.

    train.csv valid.csv test.csv   column file_path: `<11-character video id>_<start second>.npy`, a line a clip
    ambi.json                      clip -> [elevation index, azimuth index] of its camera
    video/CLIP.mp4                 panorama, 896x448 at 4 frames per second
    nfov/CLIP.mp4                  what the camera sees of it, 224x224 ("normal field of view")
    audio/CLIP.opus                the sound field, 4 channels at 48 kHz, layout "ambisonic 1"

Data sets of scenes also have `labels.csv`, the kind and exact path of every source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from visage_lite.clips import SPLITS, camera_indices, read_clips
from visage_lite.directions import Direction, angles
from visage_lite.jobs import in_parallel
from visage_lite.media import read_audio, read_video, write_foa, write_video
from visage_lite.scenes import SYNTHESIS_RATE, Scene, make_scene
from visage_lite.streams import atomic, clear_abandoned

MOST_SCENES = 100_000  # a clip's name has room for five digits
PEAK = 0.98  # full scale is left to the Opus coder


@dataclass(frozen=True)
class Clip:
    """One clip as it is read. Get one from `Dataset.read`. Notebook: 01_dataset."""

    name: str
    frames: np.ndarray  # uint8 [F, 224, 224, 3], what the camera sees
    foa: np.ndarray  # float32 [4, N], W, Y, Z, X in ambiX
    rate: int  # Hz
    camera: Direction


@dataclass(frozen=True)
class Dataset:
    """The clips of a folder. Get one from `open_dataset`.

    `table`: as `clips.read_clips` gives it, with the camera's direction. `refused`: lines that are no clips.
    """

    folder: Path
    table: pd.DataFrame
    refused: pd.DataFrame

    def path(self, clip: str, part: str) -> Path:
        """Where a part of a clip is: "video", "nfov" or "audio"."""
        return self.folder / part / f"{clip}.{'opus' if part == 'audio' else 'mp4'}"

    @cached_property
    def _cameras(self) -> dict[str, tuple[int, int]]:
        """clip -> (elevation index, azimuth index), looked up once for all clips."""
        return camera_indices(self.table)

    def camera(self, clip: str) -> Direction:
        """Where the camera of a clip looks. Raises: ValueError if the clip is unknown or has no direction."""
        if clip not in self._cameras:
            raise ValueError(f"{self.folder}: no direction for clip {clip}; add it to ambi.json")
        return Direction.from_index(*self._cameras[clip])

    def view(self, clip: str, rate: float = 4.0, duration_s: float = 5.0) -> np.ndarray:
        """What the camera sees: uint8 [F, 224, 224, 3], `rate` frames per second of the first `duration_s` seconds.

        Raises: MediaError if the file is missing or broken.
        """
        return read_video(self.path(clip, "nfov"), rate, duration_s).frames

    def sound(self, clip: str, duration_s: float = 5.0) -> tuple[np.ndarray, int]:
        """The first `duration_s` seconds of the sound field, float32 [4, N], and its rate in Hz.

        Raises: MediaError if the file is missing or broken.
        """
        return read_audio(self.path(clip, "audio"), 0.0, duration_s)

    def read(self, clip: str) -> Clip:
        """A clip's view, sound field and camera, five seconds. Raises: as `view`, `sound` and `camera`."""
        camera, (foa, rate) = self.camera(clip), self.sound(clip)
        return Clip(clip, self.view(clip), foa, rate, camera)


def open_dataset(folder: str | Path, splits: Iterable[str] | None = None) -> Dataset:
    """A data set of a folder; reads its split files and directions, not its clips.

    Args:
        folder: laid out as this module says.
        splits: such as ("train",); None takes those whose files are there.
    Raises: ValueError with the remedy if there are no split files, or one of the named is missing or broken.
    Notebook: 01_dataset.
    """
    folder = Path(folder)
    there = [split for split in SPLITS if (folder / f"{split}.csv").is_file()]
    if not there:
        raise ValueError(f"{folder} has no train.csv, valid.csv or test.csv: make scenes, or prepare YT-Ambigen there")
    found = read_clips(folder, tuple(there if splits is None else splits))
    return Dataset(folder, found.table, found.refused)


def write_scenes(
    folder: str | Path, count: int, seed: int, duration_s: float = 5.0, workers: int | None = None,
    progress: bool = True, **options: object,
) -> Dataset:  # fmt: skip
    """Make `count` scenes and write them as a data set; the same arguments give the same bytes.

    Eight of ten scenes are for training, one for validation, one for testing. Files that are there are kept, so an
    interrupted run goes on where it stopped.

    Args:
        folder: made if missing.
        count: scenes, 1 to 100,000.
        seed: scenes of different seeds have nothing in common.
        duration_s: length of a clip. workers: processes, as for `jobs.in_parallel`.
        progress: show a bar. options: as for `scenes.make_scene`, such as kind or moving.
    Raises: ValueError on a count out of range, or a folder with scenes of other arguments.
    Notebook: 01_dataset.
    """
    if not 1 <= count <= MOST_SCENES:
        raise ValueError(f"count must lie between 1 and {MOST_SCENES:,}, not {count}: use another seed for more")
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}")
    folder = Path(folder)
    _claim(folder, {"seed": seed, "duration_s": duration_s, **options})
    work = partial(_write_scene, folder=folder, seed=seed, duration_s=duration_s, options=options)
    rows = list(in_parallel(work, range(count), workers, "scenes", "scene", progress))
    _write_tables(folder, rows)
    return open_dataset(folder)


def scene_of(number: int, seed: int, duration_s: float = 5.0, **options: object) -> Scene:
    """The scene that `write_scenes` writes as its clip `number`; its camera looks along the 2 degree grid of ambi.json.

    Args: as for `write_scenes`.
    """
    scene = make_scene(seed * MOST_SCENES + number, duration_s=duration_s, **options)
    return replace(scene, camera=Direction.from_index(*scene.camera.to_index()))


def clip_name(number: int) -> str:
    """The name of scene `number`: an 11-character id and a start second, as in YT-Ambigen."""
    return f"scene_{number:05d}_0"


def _claim(folder: Path, arguments: dict[str, object]) -> None:
    """Make the folder and note how its scenes are made, or check that they are made like this."""
    for part in ("video", "nfov", "audio"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        clear_abandoned(folder / part)
    note = folder / "scenes.json"
    text = json.dumps({name: str(value) for name, value in sorted(arguments.items())}, indent=1)
    if note.exists() and note.read_text() != text:
        raise ValueError(f"{folder} holds scenes of other arguments ({note.name}): choose another folder")
    with atomic(note) as temporary:
        temporary.write_text(text)


def _write_scene(number: int, folder: Path, seed: int, duration_s: float, options: dict[str, object]) -> dict:
    """Write what is missing of one scene; returns what the tables say of it."""
    scene, name = scene_of(number, seed, duration_s, **options), clip_name(number)
    paths = {part: folder / part / f"{name}.{suffix}" for part, suffix in
             (("video", "mp4"), ("nfov", "mp4"), ("audio", "opus"))}  # fmt: skip
    if not paths["video"].exists():
        write_video(paths["video"], scene.panorama(), scene.video_rate)
    if not paths["nfov"].exists():
        write_video(paths["nfov"], scene.view(), scene.video_rate)
    if not paths["audio"].exists():
        foa = scene.foa(SYNTHESIS_RATE)
        write_foa(paths["audio"], foa * min(1.0, PEAK / np.abs(foa).max()), SYNTHESIS_RATE)
    return {"clip": name, "camera": scene.camera.to_index(), "labels": _labels(name, scene)}


def _labels(name: str, scene: Scene) -> list[dict]:
    """A row for every source and video frame: where the source is, and how active."""
    times, rows = scene.frame_times(), []
    for number, source in enumerate(scene.sources):
        azimuth, elevation = np.degrees(angles(source.vectors(times)))
        for time_s, a, e, active in zip(times, azimuth, elevation, source.activity(times)):
            rows.append({
                "clip": name, "source": number, "kind": source.kind, "time_s": time_s,
                "azimuth_deg": round(a, 3), "elevation_deg": round(e, 3), "activity": round(active, 3),
            })  # fmt: skip
    return rows


def _write_tables(folder: Path, rows: list[dict]) -> None:
    """The split files, ambi.json and labels.csv."""
    names = [row["clip"] for row in rows]
    splits = {"train": [n for k, n in enumerate(names) if k % 10 < 8], "valid": names[8::10], "test": names[9::10]}
    tables = {f"{split}.csv": pd.DataFrame({"file_path": [f"{n}.npy" for n in chosen]}).to_csv(index=False)
              for split, chosen in splits.items()}  # fmt: skip
    tables["ambi.json"] = json.dumps({row["clip"]: list(row["camera"]) for row in rows})
    tables["labels.csv"] = pd.DataFrame([label for row in rows for label in row["labels"]]).to_csv(index=False)
    for name, text in tables.items():
        with atomic(folder / name) as temporary:
            temporary.write_text(text)


def missing_files(dataset: Dataset, parts: tuple[str, ...] = ("nfov", "audio")) -> pd.DataFrame:
    """The clips of which a file is not there: columns clip, split, missing.

    Args:
        dataset: from `open_dataset`.
        parts: which files to look for.
    Returns: a table, empty if all are there.
    Notebook: 01_dataset.
    """
    there = {part: {path.stem for path in (dataset.folder / part).glob("*")} for part in parts}
    rows = [
        {"clip": clip, "split": split, "missing": ", ".join(lacking)}
        for clip, split in zip(dataset.table["clip"], dataset.table["split"])
        if (lacking := [part for part in parts if clip not in there[part]])
    ]
    return pd.DataFrame(rows, columns=["clip", "split", "missing"])


