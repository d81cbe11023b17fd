"""Shards of arrays on disk: written whole or not at all, resumed after any stop, read without loading them.

    recipe.json          what made the arrays; a folder holds one recipe only
    SHARD/clips.json     {"clips": names, row by row; "bad": {name: reason}}
    SHARD/NAME.npy       an array, one row for each clip of the shard

A shard is made under a temporary name and renamed, so a run that is killed loses the shards under way and nothing else.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from visage_lite.jobs import in_parallel
from visage_lite.streams import atomic, clear_abandoned

Features = Callable[[str], dict[str, np.ndarray]]  # the arrays of one clip, by its name
Runner = Callable[..., Iterator]  # `jobs.in_parallel`, or one that goes to other machines


def write_store(
    folder: str | Path, recipe: dict, shards: dict[str, list[str]], features: Features, run: Runner = in_parallel,
    **options: object,
) -> Store:  # fmt: skip
    """Make the shards that are not there yet.

    Args:
        folder: made if missing.
        recipe: what decides the arrays, as JSON; must be that of the folder.
        shards: name -> the clips in it, in order.
        features: gives the arrays of a clip; any exception it raises is noted as the reason why a clip is bad.
        run: carries out the work, with `options`, as `jobs.in_parallel`.
    Raises: ValueError if the folder was made by another recipe.
    Notebook: 03_features.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, recipe)
    clear_abandoned(folder)
    jobs = [(name, clips) for name, clips in shards.items() if not (folder / name).is_dir()]
    for _ in run(partial(write_shard, folder=str(folder), features=features), jobs, **options):
        pass
    return Store(folder)


def write_shard(job: tuple[str, list[str]], folder: str, features: Features) -> str:
    """Make one shard; if another process was faster, its shard stays.

    Args: job: the shard's name and its clips. folder: of the store. features: gives the arrays of a clip.
    Returns: the shard's name.
    """
    name, clips = job
    rows, bad = {}, {}
    for clip in clips:
        try:
            arrays = {key: np.asarray(value) for key, value in features(clip).items()}
            _check_alike(arrays, next(iter(rows.values()), arrays))
            rows[clip] = arrays
        except Exception as error:  # whatever is wrong with a clip, the others go on
            bad[clip] = " ".join(f"{type(error).__name__}: {error}".split())
    temporary = Path(folder) / f".{name}.{secrets.token_hex(6)}.tmp"
    temporary.mkdir()
    try:
        for key in next(iter(rows.values()), {}):
            np.save(temporary / f"{key}.npy", np.stack([arrays[key] for arrays in rows.values()]))
        (temporary / "clips.json").write_text(json.dumps({"clips": list(rows), "bad": bad}, indent=0))
        try:
            os.rename(temporary, Path(folder) / name)
        except OSError:
            if not (Path(folder) / name).is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return name


def _check_alike(arrays: dict[str, np.ndarray], first: dict[str, np.ndarray]) -> None:
    for key, value in arrays.items():
        if value.shape != first[key].shape:
            raise ValueError(f"{key} is {list(value.shape)}, of the clips before it {list(first[key].shape)}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"{key} is not finite")


def _claim(folder: Path, recipe: dict) -> None:
    """Note the recipe, or refuse a folder that has another."""
    path, recipe = folder / "recipe.json", json.loads(json.dumps(recipe, sort_keys=True))
    if not path.is_file():
        write_json(path, recipe)
    elif was := differences(json.loads(path.read_text()), recipe):
        raise ValueError(f"{folder} was made by another recipe ({was}): choose another folder, or delete this one")


def claim(path: Path, recipe: dict, what: str, key: str | None = None) -> None:
    """Make a folder for what one recipe makes, with the recipe in it, or check that it holds what this one made.

    Args:
        path: of the JSON file with the recipe, in that folder.
        recipe: as JSON.
        what: is in the folder, in a word, for messages.
        key: under which the recipe stands in the file; None if it is the whole of it.
    Raises: ValueError if the folder was made by another recipe, or holds something else.
    """
    folder, recipe = path.parent, json.loads(json.dumps(recipe))
    if path.is_file():
        theirs = json.loads(path.read_text())
        if was := differences(theirs if key is None else theirs.get(key, {}), recipe):
            raise ValueError(f"{folder} holds {what} of another recipe ({was}): choose another folder, "
                             "or delete this one")  # fmt: skip
        return
    if folder.exists() and any(not each.name.startswith(".") for each in folder.iterdir()):
        raise ValueError(f"{folder} holds something else than {what}: choose an empty or a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, recipe if key is None else {key: recipe})


def differences(theirs: dict, ours: dict) -> str:
    """In what two recipes differ: "seed was 0, is 1; ...", or "" if they are the same."""
    changed = sorted(key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key))
    return "; ".join(f"{key} was {theirs.get(key)}, is {ours.get(key)}" for key in changed)


def write_json(path: Path, what: dict) -> None:
    """Write JSON, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(what, indent=1))


class Store:
    """The arrays of a folder, by clip, memory-mapped.

    Attributes: `recipe`; `clips`, all names in the order of the shards; `bad`, a table of clips and reasons.
    """

    def __init__(self, folder: str | Path) -> None:
        """Raises: ValueError if the folder is no store."""
        self.folder = Path(folder)
        if not (self.folder / "recipe.json").is_file():
            raise ValueError(f"{folder} holds no features: make them with `visage-lite features`")
        self.recipe = json.loads((self.folder / "recipe.json").read_text())
        self._places, bad = {}, []
        for path in sorted(self.folder.glob("*/clips.json")):
            listed = json.loads(path.read_text())
            self._places.update({clip: (path.parent.name, row) for row, clip in enumerate(listed["clips"])})
            bad += [{"clip": clip, "reason": reason} for clip, reason in listed["bad"].items()]
        self.clips = list(self._places)
        self.bad = pd.DataFrame(bad, columns=["clip", "reason"])
        self._maps: dict[tuple[str, str], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.clips)

    def in_split(self, clip: str, split: str | None) -> bool:
        """Whether the shard of a clip is of a split; shards are named SPLIT_NUMBER."""
        return split is None or self._places[clip][0].rpartition("_")[0] == split

    def rows(self, key: str, clips: Iterable[str]) -> np.ndarray:
        """The rows of an array for `clips`, copied from the disk: [len(clips), ...]. Raises: KeyError."""
        return np.stack([self._map(self._places[clip][0], key)[self._places[clip][1]] for clip in clips])

    def _map(self, shard: str, key: str) -> np.ndarray:
        if (shard, key) not in self._maps:
            self._maps[shard, key] = np.load(self.folder / shard / f"{key}.npy", mmap_mode="r")
        return self._maps[shard, key]
