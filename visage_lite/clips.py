"""Tables of clips: YT-Ambigen's split files and camera directions as one pandas table, and what to doubt about it.

A clip is named `<11-character video id>_<start second>`; the split files add ".npy". Names that are anything else
are refused and reported, never guessed at: they would become paths and addresses later.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

SPLITS = ("train", "valid", "test")
NAME = re.compile(r"([A-Za-z0-9_-]{11})_([0-9]{1,7})")


@dataclass(frozen=True)
class Clips:
    """What split files hold.

    `table`: one row a clip with columns clip, video_id, start_s, split, and, where `ambi.json` was there,
    elevation_index, azimuth_index, elevation_deg and azimuth_deg (left positive; empty for clips without an entry).
    `refused`: one row a line that is no clip, with columns split, line, text, reason; for a direction outside the grid,
    split is "ambi.json" and line the entry's number.
    """

    table: pd.DataFrame
    refused: pd.DataFrame

    def __str__(self) -> str:
        counts = self.table["split"].value_counts()
        parts = [f"{split} {counts.get(split, 0):,}" for split in dict.fromkeys(self.table["split"])]
        return f"{len(self.table):,} clips ({', '.join(parts) or 'none'}), {len(self.refused):,} lines refused"


def parse_name(text: str) -> tuple[str, int]:
    """The video id and start second of a clip's name, with or without ".npy".

    Args:
        text: e.g. "jrvzuQmr5to_5.npy".

    Returns: (video id, start second), e.g. ("jrvzuQmr5to", 5).
    Raises: ValueError if it is not 11 characters of A–Z a–z 0–9 _ -, an underscore and a number.
    Notebook: 01_dataset.
    """
    match = NAME.fullmatch(text.removesuffix(".npy"))
    if match is None:
        raise ValueError(f"{text!r} is no clip name: expected <11-character video id>_<start second>")
    return match.group(1), int(match.group(2))


def split_counts(splits: Iterable[str]) -> dict[str, int]:
    """How many clips each split has.

    Args: splits: the split of every clip.
    Returns: split -> clips; train, valid and test first, 0 where there are none.
    Notebook: 01_dataset.
    """
    found = Counter(splits)
    return {split: found[split] for split in dict.fromkeys([*SPLITS, *found])}


def no_such_clips(where: str, split: str, splits: Iterable[str]) -> str:
    """What to say where a split has no clips: which splits have some, and what to do.

    Args:
        where: has none, such as "FOLDER has no clips".
        split: that was asked for.
        splits: the split of every clip that there is.
    Returns: one line.
    Notebook: 01_dataset.
    """
    there = ", ".join(f"{name} ({count:,})" for name, count in split_counts(splits).items() if count)
    wanted = f"{where} in the split {split!r}"
    if not there:
        return f"{wanted}, and none in any other: leave --split out"
    few = "; of scenes one in ten is for validation and one for testing: make ten or more" if split in SPLITS else ""
    return f"{wanted}, only in {there}: choose one that has clips, or leave --split out{few}"


def read_clips(folder: str | Path, splits: tuple[str, ...] = SPLITS) -> Clips:
    """Read `train.csv`, `valid.csv`, `test.csv` (column file_path) and, where present, `ambi.json` from a folder.

    Args:
        folder: where the files are.
        splits: which files to read, without ".csv".

    Returns: Clips, in the files' order, duplicates kept (see `duplicates`).
    Raises: ValueError if a file is missing, is no CSV, or has no column file_path.
    Source: the layout of `csv/yt_ambigen` in the authors' repository. Notebook: 01_dataset.
    """
    rows: list[tuple[str, str, int, str]] = []
    refused: list[tuple[str, int, str, str]] = []
    for split in splits:
        for line, text in enumerate(_names(Path(folder) / f"{split}.csv"), start=2):
            try:
                video_id, start = parse_name(text)
            except ValueError as error:
                refused.append((split, line, text, str(error)))
            else:
                rows.append((f"{video_id}_{start}", video_id, start, split))
    table = pd.DataFrame(rows, columns=["clip", "video_id", "start_s", "split"]).astype({"start_s": "int64"})
    directions = Path(folder) / "ambi.json"
    if directions.exists():
        known, outside = _directions(directions)
        table, refused = table.join(known, on="clip"), refused + outside
    return Clips(table, pd.DataFrame(refused, columns=["split", "line", "text", "reason"]))


def _names(path: Path) -> list[str]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except FileNotFoundError:
        raise ValueError(f"{path} is not there: put the authors' csv/yt_ambigen/{path.name} into that folder") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV file: {error}") from None
    if "file_path" not in table:
        raise ValueError(f"{path} has no column file_path, but {', '.join(table.columns)}")
    return table["file_path"].tolist()


def _directions(path: Path) -> tuple[pd.DataFrame, list[tuple[str, int, str, str]]]:
    """clip -> [elevation index, azimuth index], as a table indexed by clip, with the angles they mean; and what is
    outside the grid."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        pairs = {str(clip).removesuffix(".npy"): (int(i), int(j)) for clip, (i, j) in entries.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not map clips to [elevation index, azimuth index]: {error}") from None
    reason = "direction outside 0..90, 0..180"
    refused = [(path.name, line, f"{clip} {list(pair)}", reason) for line, (clip, pair) in enumerate(pairs.items(), 1)
               if not (0 <= pair[0] <= 90 and 0 <= pair[1] <= 180)]  # fmt: skip
    table = pd.DataFrame.from_dict(pairs, orient="index", columns=["elevation_index", "azimuth_index"])
    table = table[table["elevation_index"].between(0, 90) & table["azimuth_index"].between(0, 180)]
    table = table.astype("Int64")  # an integer that may be missing
    elevation_deg, azimuth_deg = 89.0 - 2.0 * table["elevation_index"], 179.0 - 2.0 * table["azimuth_index"]
    return table.assign(elevation_deg=elevation_deg, azimuth_deg=azimuth_deg), refused


def camera_indices(table: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """clip -> (elevation index, azimuth index), for the clips of Clips.table that have them. Notebook: 01_dataset."""
    if not {"elevation_index", "azimuth_index"} <= set(table):
        return {}
    rows = table[["clip", "elevation_index", "azimuth_index"]].dropna()
    return {clip: (int(i), int(j)) for clip, i, j in rows.itertuples(index=False)}


def report(found: Clips) -> pd.DataFrame:
    """What there is to doubt about split files: a row for every check.

    Args:
        found: from `read_clips`.

    Returns: indexed by check, with columns count and example; all counts are 0 where nothing is wrong.
    Notebook: 01_dataset.
    """
    table, lines = found.table, found.refused[found.refused["split"] != "ambi.json"]
    undirected = table[table["elevation_index"].isna()] if "elevation_index" in table else table
    checks = {
        "lines that are no clip": lines["text"],
        "directions outside the grid": found.refused["text"].drop(lines.index),
        "clips listed more than once": duplicates(table)["clip"].drop_duplicates(),
        "videos in two splits": videos_in_two_splits(table).index.to_series(),
        "clips without a direction": undirected["clip"],
    }
    rows = {name: (len(rows), rows.iloc[0] if len(rows) else "") for name, rows in checks.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["count", "example"])


def duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of clips that stand in the table more than once, all of their occurrences.

    Args:
        table: Clips.table.

    Returns: the rows, sorted by clip; none if every clip stands once.
    Notebook: 01_dataset.
    """
    return table[table["clip"].duplicated(keep=False)].sort_values("clip")


def videos_in_two_splits(table: pd.DataFrame) -> pd.DataFrame:
    """The videos whose clips stand in more than one split: a model tested on them has seen them.

    Args:
        table: Clips.table.

    Returns: clips per video (row) and split (column), for those videos only; none in YT-Ambigen.
    Notebook: 01_dataset.
    """
    counts = table.groupby(["video_id", "split"]).size().unstack(fill_value=0)
    return counts[(counts > 0).sum(axis=1) > 1]


def clips_per_video(table: pd.DataFrame) -> pd.DataFrame:
    """How the clips spread over videos: a few videos hold many, so an average over clips is mostly about them.

    Args:
        table: Clips.table.

    Returns: one row a split and one for all, with columns videos, clips, median, max (clips per video).
    Notebook: 01_dataset.
    """
    counts = table.groupby(["split", "video_id"], sort=False).size()
    rows = {split: group for split, group in counts.groupby(level="split", sort=False)}
    rows["all"] = table.groupby("video_id").size()
    summary = {split: [len(c), int(c.sum()), float(c.median()), int(c.max())] for split, c in rows.items() if len(c)}
    return pd.DataFrame.from_dict(summary, orient="index", columns=["videos", "clips", "median", "max"])
