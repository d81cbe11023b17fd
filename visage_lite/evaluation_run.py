"""The scores of many clips on several processes, kept in a folder so that a run which is killed goes on.

    recipe.json      what decides the scores of a clip, and what this run scored; another recipe is refused
    scores/ab.npz    the clips whose names hash to "ab": scores and what the embedding heard, by the hash of both files

A clip is scored again when the content of a file, or what is known of its camera, has changed: nothing stale is used.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from visage_lite.directions import Direction
from visage_lite.embeddings import Embedding
from visage_lite.evaluation import MODES
from visage_lite.jobs import in_parallel
from visage_lite.pairing import Mismatch, Pair, Pairs, read_pair
from visage_lite.semantics import Embedded, embed_clip
from visage_lite.spatial import score_clip
from visage_lite.store import claim
from visage_lite.streams import atomic, clear_abandoned

VERSIONS = ("visage_lite", "numpy", "soxr", "av", "torch", "numba")
DECIDING = ("ambisonics", "evaluation", "ranks", "spatial", "pairing", "evaluation_run", "semantics", "embeddings")
AHEAD = Direction(0.0, 0.0)  # stands in for a camera that is not known; what is decoded toward it is left out
SIDES = ("generated", "truth")


@dataclass(frozen=True)
class Scored:
    """A clip's row of the table, and what was heard in it, if anything listened."""

    row: dict
    heard: tuple[Embedded, Embedded] | None  # generated, truth


@dataclass(frozen=True)
class Evaluated:
    """The scores of one system. Get one from `evaluate_pairs`. Notebook: 06_evaluation."""

    clips: pd.DataFrame  # a row for each clip that was scored: clip, video, the columns of ClipScore, hashes, rates
    bad: pd.DataFrame  # clip, problem, detail: what was not scored, and why
    heard: tuple[list[Embedded], list[Embedded]]  # generated, truth, in the order of `clips`; empty without embedding
    recipe: dict


class NothingScored(ValueError):
    """No clip could be scored. `bad`: a table of all, with the columns clip, problem, detail."""

    def __init__(self, clips: int, bad: pd.DataFrame) -> None:
        problem, detail = bad[["problem", "detail"]].iloc[-1]
        super().__init__(f"none of {clips:,} clips could be scored, the last because: {Mismatch(problem, detail)}")
        self.bad = bad


def evaluate_pairs(
    pairs: Pairs, folder: str | Path, embedding: Embedding | None, about: dict | None = None,
    workers: int | None = None, progress: bool = True,
) -> Evaluated:  # fmt: skip
    """Score all pairs; those that are in the folder already, with the same content, are kept.

    Args:
        pairs: from `pairing.pair_folders`.
        folder: made if missing.
        embedding: what FAD and KLD listen with; None leaves them out.
        about: more that decides the scores, such as the names of the folders; JSON.
        workers: processes, as for `jobs.in_parallel`. progress: show a bar.
    Raises: ValueError if the folder holds scores of another recipe; NothingScored if no clip could be scored.
    Notebook: 06_evaluation.
    """
    folder = Path(folder)
    recipe = scores_recipe(embedding, about or {})
    claim(folder / "recipe.json", recipe, "scores", key="scores")
    (folder / "scores").mkdir(exist_ok=True)
    for each in (folder, folder / "scores"):
        clear_abandoned(each)
    shards = defaultdict(list)
    for pair in pairs.pairs:
        shards[hashlib.sha256(pair.clip.encode()).hexdigest()[:2]].append(pair)
    work = partial(score_shard, folder=folder / "scores", embedding=embedding)
    bad = [row for found in in_parallel(work, list(shards.items()), workers, "scoring", "shard", progress)
           for row in found]  # fmt: skip
    bad = pd.concat([pairs.bad, pd.DataFrame(bad, columns=pairs.bad.columns)], ignore_index=True)
    scored = read_scores(folder, [pair.clip for pair in pairs.pairs], embedding)
    if not scored:
        raise NothingScored(len(pairs.pairs), bad)
    return _evaluated(scored, bad, recipe)


def _evaluated(scored: list[Scored], bad: pd.DataFrame, recipe: dict) -> Evaluated:
    clips = pd.DataFrame([each.row for each in scored])
    heard = tuple([each.heard[side] for each in scored if each.heard] for side in (0, 1))
    return Evaluated(clips, bad, heard, recipe)


def read_evaluated(folder: str | Path, embedding: Embedding | None) -> Evaluated:
    """What an earlier run has scored.

    Args: folder: of `evaluate_pairs`, with its clips.csv. embedding: the one it was made with.
    Raises: ValueError if it holds no scores, or those of another version or embedding.
    Notebook: 06_evaluation.
    """
    folder = Path(folder)
    if not (folder / "recipe.json").is_file() or not (folder / "clips.csv").is_file():
        raise ValueError(f"{folder} holds no finished scores: run visage-lite evaluate for it")
    recipe = json.loads((folder / "recipe.json").read_text())["scores"]
    expected = json.loads(json.dumps(scores_recipe(embedding, {})))
    differ = [key for key, value in expected.items() if recipe.get(key) != value]
    if differ:
        raise ValueError(f"{folder} was scored with another {', '.join(differ)}: run visage-lite evaluate for it again")
    names = pd.read_csv(folder / "clips.csv", dtype={"clip": str})["clip"]
    nothing = pd.DataFrame(columns=["clip", "problem", "detail"])
    return _evaluated(read_scores(folder, list(names), embedding), nothing, recipe)


def scores_recipe(embedding: Embedding | None, about: dict) -> dict:
    """What decides the scores of a clip beside its files: as JSON."""
    here, code = Path(__file__).parent, hashlib.sha256()
    for name in DECIDING:
        code.update((here / f"{name}.py").read_bytes())
    heard = None if embedding is None else {"name": embedding.name, "digest": embedding.digest}
    versions = {name: importlib.metadata.version(name) for name in VERSIONS}
    return {**about, "modes": list(MODES), "embedding": heard, "code": code.hexdigest()[:16], "versions": versions}


def score_shard(job: tuple[str, list[Pair]], folder: Path, embedding: Embedding | None) -> list[tuple[str, str, str]]:
    """Score the clips of one shard that are new or have changed, and write it.

    Args: job: the shard's name and its pairs. folder: of the shards. embedding: None leaves FAD and KLD out.
    Returns: (clip, problem, detail) of the clips that could not be scored.
    """
    name, pairs = job
    kept = _read_shard(folder / f"{name}.npz", embedding)
    now, bad = dict(kept), []
    for pair in pairs:
        now.pop(pair.clip, None)
        try:
            hashes = _hashes(pair)
            old = kept.get(pair.clip)
            same = old is not None and old.row["key"] == hashes["key"]
            now[pair.clip] = old if same else score_pair(pair, hashes, embedding)
        except Mismatch as error:
            bad.append((pair.clip, error.problem, error.detail))
        except Exception as error:  # whatever is wrong with a clip, the others go on
            bad.append((pair.clip, "not scored", " ".join(f"{type(error).__name__}: {error}".split())))
    if any(kept.get(clip) is not scored for clip, scored in now.items()) or len(now) < len(kept):
        _write_shard(folder / f"{name}.npz", list(now.values()))
    return bad


def score_pair(pair: Pair, hashes: dict[str, str], embedding: Embedding | None) -> Scored:
    """All scores of one clip.

    Args: pair: of files. hashes: of their content, kept in the row. embedding: None leaves FAD and KLD out.
    Raises: ValueError if the two cannot be compared.
    """
    sounds = read_pair(pair)
    made, true = sounds.both
    row = {
        "clip": pair.clip, "video": pair.video, **asdict(score_clip(made, true, sounds.rate, pair.source)),
        "aim": "truth" if pair.source is None else "label", "camera": pair.camera is not None,
        "rate": sounds.generated_rate, "true_rate": sounds.rate, "cut_s": round(sounds.cut_s, 4), **hashes,
    }  # fmt: skip
    if embedding is None:
        return Scored(row, None)
    camera = pair.camera or AHEAD
    sides = ((sounds.generated, sounds.generated_rate, True), (sounds.truth, sounds.rate, False))
    generated, truth = (embed_clip(foa, rate, camera, side, embedding) for foa, rate, side in sides)
    return Scored(row, (generated, truth))


def _hashes(pair: Pair) -> dict[str, str]:
    """The content of both files, and a key of all that the scores of a clip depend on."""
    found = {}
    for side in SIDES:
        try:
            found[f"{side}_sha256"] = hashlib.sha256(getattr(pair, side).read_bytes()).hexdigest()
        except OSError as error:
            raise Mismatch("unreadable", f"{getattr(pair, side).name} ({error.strerror or error})") from error
    angles = [None if d is None else (d.azimuth, d.elevation) for d in (pair.camera, pair.source)]
    key = hashlib.sha256(json.dumps([*found.values(), pair.video, *angles]).encode()).hexdigest()
    return found | {"key": key}


def read_scores(folder: Path, clips: Sequence[str], embedding: Embedding | None) -> list[Scored]:
    """The scores of the clips that are in the folder, in the order of `clips`.

    Args: folder: of `evaluate_pairs`. clips: names. embedding: the one of the folder.
    """
    shards = sorted({hashlib.sha256(clip.encode()).hexdigest()[:2] for clip in clips})
    found = {}
    for name in shards:
        found |= _read_shard(folder / "scores" / f"{name}.npz", embedding)
    return [found[clip] for clip in clips if clip in found]


def _write_shard(path: Path, scored: list[Scored]) -> None:
    arrays = {"rows": np.array(json.dumps([each.row for each in scored]))}
    for number, side in enumerate(SIDES):
        heard = [each.heard[number] for each in scored if each.heard]
        if heard:
            arrays[f"{side}_embeddings"] = np.concatenate([each.embeddings for each in heard], axis=1)
            arrays[f"{side}_counts"] = np.array([each.embeddings.shape[1] for each in heard])
            for key in ("probabilities", "silent", "finite"):
                arrays[f"{side}_{key}"] = np.stack([getattr(each, key) for each in heard])
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _read_shard(path: Path, embedding: Embedding | None) -> dict[str, Scored]:
    """clip -> its scores; none without the file or if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        rows = json.loads(str(arrays["rows"]))
        heard = [None] * len(rows) if embedding is None else list(zip(*(_heard(arrays, s, embedding) for s in SIDES)))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    return {row["clip"]: Scored(row, pair) for row, pair in zip(rows, heard)}


def _heard(arrays: dict[str, np.ndarray], side: str, embedding: Embedding) -> list[Embedded]:
    parts = np.split(arrays[f"{side}_embeddings"], np.cumsum(arrays[f"{side}_counts"])[:-1], axis=1)
    others = (arrays[f"{side}_{key}"] for key in ("probabilities", "silent", "finite"))
    return [Embedded(each, probabilities, silent, bool(finite), side == "generated", embedding.name, embedding.digest)
            for each, probabilities, silent, finite in zip(parts, *others)]  # fmt: skip
