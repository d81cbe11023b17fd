"""Which generated file belongs to which true one, and whether the two can be compared at all.

A folder is a data set (`dataset.open_dataset`) or simply full of sound files named after their clips. What cannot be
paired or compared is told with the remedy, all of it at once; nothing is left out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr

from visage_lite.clips import SPLITS, no_such_clips, parse_name
from visage_lite.dataset import Dataset, open_dataset
from visage_lite.directions import Direction
from visage_lite.media import MediaError, read_audio

SUFFIXES = (".wav", ".flac", ".w64", ".opus", ".ogg", ".webm", ".mka", ".mkv", ".mp4", ".m4a")
PLAIN = (".wav", ".flac", ".w64")  # libsndfile reads these in a tenth of the time that PyAV takes
NEAR_S = 0.1  # lengths that differ by less are cut: DAC makes 430 of 431 frames of a clip, 8 ms less
STILL_DEG = 0.1  # a labelled source that moves less stands still
REMEDIES = {
    "no generated sound": "generate these clips, or choose --split or --limit so that they are not asked for",
    "no true sound": "rename the files to CLIP.wav after the clips of TRUTH, or take them out of the folder",
    "true file missing": "prepare the data set again, so that each of its clips has its sound",
    "two files of one name": "keep one file for each clip",
    "unreadable": "copy, convert or generate the file again",
    "channels": "give all four channels W, Y, Z, X (ambiX) in one file; stereo and mono hold no sound field",
    "length": f"cut or generate both to one length; up to {NEAR_S:g} s more is cut here",
    "not scored": "see the detail",
}


class Mismatch(ValueError):
    """Two sounds that cannot be compared. `problem` is one of REMEDIES."""

    def __init__(self, problem: str, detail: str) -> None:
        super().__init__(f"{problem}: {detail}; {REMEDIES[problem]}")
        self.problem, self.detail = problem, detail


@dataclass(frozen=True)
class Pair:
    """A generated file and its truth. Notebook: 06_evaluation."""

    clip: str
    video: str  # clips of one video are not independent
    generated: Path
    truth: Path
    camera: Direction | None  # where it looks, if that is known
    source: Direction | None  # where the sound comes from, if a label says so: one source that stands still


@dataclass(frozen=True)
class Pairs:
    """What `pair_folders` found. Notebook: 06_evaluation."""

    pairs: list[Pair]
    bad: pd.DataFrame  # columns clip, problem, detail
    notes: tuple[str, ...] = ()  # what looks as if it were not meant


@dataclass(frozen=True)
class Sounds:
    """The two sound fields of a pair, equally long in seconds. Get one from `read_pair`. Notebook: 06_evaluation."""

    generated: np.ndarray  # float32 [4, n], W, Y, Z, X, at its own rate
    generated_rate: int  # Hz
    truth: np.ndarray  # float32 [4, N]
    rate: int  # Hz, of the truth
    cut_s: float  # by how much one of the two was longer

    @cached_property
    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """Generated and truth, float32 [4, N] each, at the truth's rate: soxr changes that of the generated."""
        made = self.generated
        if self.generated_rate != self.rate:
            made = soxr.resample(made.T, self.generated_rate, self.rate, quality="HQ").T
        length = min(made.shape[1], self.truth.shape[1])
        return made[:, :length], self.truth[:, :length]


def pair_folders(generated: str | Path, truth: str | Path, split: str | None = None, limit: int | None = None) -> Pairs:
    """The clips of two folders by their names, in the order of the data set, or of the names without one.

    Args:
        generated: folder of CLIP.wav (or another suffix of SUFFIXES), as `visage-lite generate-all` writes it, or a
            data set.
        truth: a data set, whose ambi.json gives the cameras and whose labels.csv, if there, the sources; or a folder of
            sound files.
        split: only the clips of "train", "valid" or "test" of the data set.
        limit: only the first so many clips of the truth that have a generated file.
    Returns: Pairs; a name that only one folder has stands in its `bad`.
    Raises: ValueError with the remedy: a folder is missing, empty or swapped, no name is in both, no such split.
    Notebook: 06_evaluation.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    notes = _order(Path(generated), Path(truth))
    (_, made, doubled), (dataset, true, true_doubled) = _opened(generated), _opened(truth)
    listed, known = _names(truth, dataset, true, split), set(_names(truth, dataset, true, None))
    there = [clip for clip in listed if clip in true and clip in made][:limit]
    if not there:
        raise ValueError(
            f"no file of {generated} has the name of a clip of {truth} ({_some(made)} against {_some(listed)}): "
            "name each generated file after its clip, as CLIP.wav"
        )
    bad = [(clip, "two files of one name", str(generated)) for clip in doubled]
    bad += [(clip, "two files of one name", str(truth)) for clip in true_doubled]
    bad += [(clip, "no true sound", made[clip].name) for clip in made if clip not in known.union(true_doubled)]
    bad += [(clip, "true file missing", "listed, but not in the folder audio") for clip in listed if clip not in true]
    if limit is None:
        lacking = [clip for clip in listed if clip in true and clip not in made and clip not in set(doubled)]
        bad += [(clip, "no generated sound", true[clip].name) for clip in lacking]
    cameras, sources = _cameras(dataset), _sources(dataset)
    pairs = [Pair(clip, _video(clip), made[clip], true[clip], cameras.get(clip), sources.get(clip)) for clip in there]
    return Pairs(pairs, pd.DataFrame(bad, columns=["clip", "problem", "detail"]), notes)


def read_pair(pair: Pair) -> Sounds:
    """The sound of both files, the longer cut to the shorter where they differ by less than NEAR_S.

    Raises: Mismatch (a ValueError) with the remedy if a file cannot be read, has not four channels, or is longer by
        more than that.
    Notebook: 06_evaluation.
    """
    (made, rate), (true, true_rate) = _read(pair.generated), _read(pair.truth)
    seconds, true_seconds = made.shape[1] / rate, true.shape[1] / true_rate
    if abs(seconds - true_seconds) > NEAR_S:
        raise Mismatch("length", f"generated {seconds:.2f} s, true {true_seconds:.2f} s")
    shorter = min(seconds, true_seconds)
    made, true = made[:, : round(shorter * rate)], true[:, : round(shorter * true_rate)]
    return Sounds(made, rate, true, true_rate, abs(seconds - true_seconds))


def _read(path: Path) -> tuple[np.ndarray, int]:
    try:
        if path.suffix.lower() in PLAIN and path.is_file():
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            foa = samples.T
        else:
            foa, rate = read_audio(path)
    except (MediaError, soundfile.SoundFileError) as error:
        raise Mismatch("unreadable", str(error)) from error
    if foa.shape[0] != 4:
        raise Mismatch("channels", f"{path.name} has {foa.shape[0]}, not 4")
    return foa, rate


def _order(generated: Path, truth: Path) -> tuple[str, ...]:
    """Refuse two folders that are one or surely stand in the wrong order; a note if they perhaps do."""
    if generated.resolve() == truth.resolve():
        raise ValueError(f"{generated} is given as GENERATED and as TRUTH and would be compared with itself: give the "
                         "folder of the generated sounds first, then that of the true ones")  # fmt: skip
    only_true_made = _is_generated(truth) and not _is_generated(generated)
    right = f"GENERATED comes first, then TRUTH: visage-lite evaluate {truth} {generated}"
    if only_true_made and _is_data_set(generated):
        raise ValueError(f"the folders are swapped: {truth} holds generated sounds, {generated} a data set; {right}")
    if only_true_made or (_is_data_set(generated) and not _is_data_set(truth)):
        return (f"are the two folders in the right order? {right}",)
    return ()


def _is_generated(folder: Path) -> bool:
    return (folder / "manifest.json").is_file() and (folder / "manifest.csv").is_file()


def _is_data_set(folder: Path) -> bool:
    """Whether it is a data set of scenes or of YT-Ambigen, prepared or only its tables, or the sounds of one."""
    places = [folder.parent if folder.name == "audio" else folder, *folder.glob("csv"), *folder.glob("csv/*")]
    marks = ("train.csv", "valid.csv", "test.csv", "ambi.json", "scenes.json")
    return any((place / mark).is_file() for place in places for mark in marks)


def _no_sounds(folder: Path, places: Path) -> str:
    """What to say of a folder without sound files."""
    remedy = "make them with visage-lite generate-all, or give another folder"
    if (folder / "sound" / "recipe.json").is_file():
        remedy = "it holds features: give what visage-lite generate-all makes of them, or, as TRUTH, the data set"
    elif (folder / "scores").is_dir():
        remedy = "it holds results of visage-lite evaluate: give the folders of sounds that they are of"
    elif places != folder:
        remedy = "write the scenes again, or cut the clips of YT-Ambigen with visage-lite prepare"
    return f"{places} holds no sound files ({', '.join(SUFFIXES)}): {remedy}"


def _opened(folder: str | Path) -> tuple[Dataset | None, dict[str, Path], list[str]]:
    """The data set of a folder, if it is one; clip -> its sound file; the names of which there are two."""
    folder, found, doubled = Path(folder), {}, set()
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give one of sound files or a data set")
    dataset = open_dataset(folder) if any((folder / f"{split}.csv").is_file() for split in SPLITS) else None
    places = folder if dataset is None else folder / "audio"
    for path in sorted(places.glob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            doubled |= {path.stem} & found.keys()
            found[path.stem] = path
    if not found:
        raise ValueError(_no_sounds(folder, places))
    return dataset, {clip: path for clip, path in found.items() if clip not in doubled}, sorted(doubled)


def _names(folder: str | Path, dataset: Dataset | None, files: dict[str, Path], split: str | None) -> list[str]:
    """The clips that a folder should have, each once."""
    if dataset is None:
        if split is not None:
            raise ValueError(f"{folder} is no data set with a {split}.csv: leave --split out, or give one")
        return list(files)
    table = dataset.table if split is None else dataset.table[dataset.table["split"] == split]
    if table.empty:
        raise ValueError(no_such_clips(f"{folder} has no clips", str(split), dataset.table["split"]))
    return list(dict.fromkeys(table["clip"]))


def _video(clip: str) -> str:
    """The video of a clip by its name, as YT-Ambigen and the scenes name them; otherwise each file is its own."""
    try:
        return parse_name(clip)[0]
    except ValueError:
        return clip


def _cameras(dataset: Dataset | None) -> dict[str, Direction]:
    """clip -> where its camera looks, for the clips that have a direction."""
    if dataset is None or "azimuth_index" not in dataset.table:
        return {}
    return {clip: dataset.camera(clip) for clip in dataset.table.dropna(subset=["azimuth_index"])["clip"]}


def _sources(dataset: Dataset | None) -> dict[str, Direction]:
    """clip -> where its only source stands, by labels.csv."""
    if dataset is None or not (dataset.folder / "labels.csv").is_file():
        return {}
    labels = pd.read_csv(dataset.folder / "labels.csv").groupby("clip")
    span = labels[["source", "azimuth_deg", "elevation_deg"]].agg(["min", "max", "first"])
    still = span["source"]["max"] == 0
    for angle in ("azimuth_deg", "elevation_deg"):
        still &= span[angle]["max"] - span[angle]["min"] < STILL_DEG
    places = zip(span["azimuth_deg"]["first"][still], span["elevation_deg"]["first"][still])
    return {clip: Direction.from_degrees(*place) for clip, place in zip(span.index[still], places)}


def _some(names: dict | list) -> str:
    first = list(names)[:3]
    return ", ".join(first) + (", ..." if len(names) > 3 else "")
