"""The folder of an evaluation: every table as a file, the recipe beside them, and what there is to say of it.

    clips.csv summary.csv semantics.csv differences.csv bad.csv recipe.json
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from visage_lite import evaluation_tables as tables
from visage_lite.embeddings import ORIGINS, Embedding, ListenerEmbedding, audioldm_pieces
from visage_lite.evaluation_run import Evaluated, NothingScored, evaluate_pairs, read_evaluated
from visage_lite.intervals import written
from visage_lite.pairing import REMEDIES, Pairs, pair_folders
from visage_lite.store import write_json
from visage_lite.streams import atomic

EMBEDDINGS = ("listener", "audioldm", "none")
TABLES = ("clips", "summary", "semantics", "differences", "bad")


@dataclass(frozen=True)
class Results:
    """What `evaluate_folders` found and wrote. Notebook: 06_evaluation."""

    clips: pd.DataFrame  # see `evaluation_tables.clip_table`
    summary: pd.DataFrame
    semantics: pd.DataFrame | None  # None without embedding
    differences: pd.DataFrame | None  # None if nothing was compared
    bad: pd.DataFrame  # clip, problem, detail, remedy
    recipe: dict  # recipe.json
    lines: list[str]  # all this in words
    written: list[str]  # names of files


def embedding_named(name: str, weights: Path | None = None) -> Embedding | None:
    """What listens, by name; None for "none".

    Args: name: one of EMBEDDINGS. weights: the folder that audioldm needs.
    Raises: ValueError for another name, or a folder that is not asked for; FileNotFoundError, which says from where and
        to where, if a file of weights is missing.
    """
    if name not in EMBEDDINGS:
        raise ValueError(f"--embedding is {', '.join(EMBEDDINGS[:-1])} or {EMBEDDINGS[-1]}, not {name}")
    if name != "audioldm" and weights is not None:
        raise ValueError(f"--weights is for --embedding audioldm, not for {name}: leave it out, or give both")
    if name != "audioldm":
        return ListenerEmbedding() if name == "listener" else None
    instead = "without them use --embedding listener, the default, which needs no files, or none"
    if weights is None or not weights.is_dir():
        files = " and ".join(f"{file} (from {origin})" for file, origin in ORIGINS.items())
        where = "needs --weights FOLDER" if weights is None else f"needs the folder {weights}, which is not there,"
        raise FileNotFoundError(f"--embedding audioldm {where} with {files}: fetch each yourself; {instead}")
    try:
        return audioldm_pieces(weights)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        raise FileNotFoundError(f"--embedding audioldm: {str(error).partition('. Without')[0]}; {instead}") from error


def evaluate_folders(
    pairs: Pairs, folders: tuple[Path, Path], out: str | Path, embedding: Embedding | None,
    compare: str | Path | None = None, options: dict | None = None, workers: int | None = None, progress: bool = True,
) -> Results:  # fmt: skip
    """Score all pairs and write the tables; goes on where an earlier run stopped.

    Args:
        pairs: from `pairing.pair_folders` of the two folders.
        folders: generated and truth, for the recipe.
        out: folder for the results, made if missing.
        embedding: what FAD and KLD listen with, or None.
        compare: another generated folder, or the results of one, or None.
        options: mode ("corrected"), seed (0), split and limit, as they were given.
        workers: processes, as for `jobs.in_parallel`. progress: show a bar.
    Returns: Results.
    Raises: ValueError if the folder holds the scores of other folders, `compare` is none or one of these folders, or no
        clip could be scored; bad.csv then says why, clip by clip.
    Notebook: 06_evaluation.
    """
    out, options = Path(out), {"mode": "corrected", "seed": 0, "split": None, "limit": None} | (options or {})
    other = _opened(compare, (*folders, out), embedding, options)
    about = dict(zip(("generated", "truth"), (str(Path(folder).resolve()) for folder in folders)))
    evaluated = _scored(pairs, out, embedding, about, workers, progress)
    clips = tables.clip_table(evaluated)
    summary = tables.summary_table(clips, options["seed"])
    semantic = None if embedding is None else tables.semantic_table(evaluated, clips, options["seed"])
    bad = _with_remedies(evaluated.bad)
    lines = tables.lines(summary, semantic, clips, bad, options["mode"])
    lines += [*_bad_lines(bad), *_no_camera(clips, semantic), *pairs.notes, *_copies(clips)]
    differences = None
    if other is not None:
        if isinstance(other, Pairs):
            other = _score_other(other, (compare, folders[1], out), embedding, workers, progress)
        differences, said = _compared(evaluated, other, Path(compare).name, options)
        lines += said
    recipe = _recipe(evaluated, folders[0], options, compare, len(bad))
    names = _write(out, dict(zip(TABLES, (clips, summary, semantic, differences, bad))))
    write_json(out / "recipe.json", recipe)
    return Results(clips, summary, semantic, differences, bad, recipe, lines, [*names, "recipe.json"])


def _opened(
    compare: str | Path | None, ours: tuple[Path, Path, Path], embedding: Embedding | None, options: dict
) -> Evaluated | Pairs | None:
    """What is compared with: a system's scores, or its sounds, still to be scored. None without one.

    What could not be compared is refused here, before hours of work. `ours`: generated, truth and results.
    """
    if compare is None:
        return None
    what = "give the folder of another system's sounds, or of its results"
    if not Path(compare).is_dir():
        raise ValueError(f"--compare {compare} is no folder: {what}")
    for folder, name in zip(ours, ("GENERATED itself", "TRUTH", "the folder of these results")):
        if Path(compare).resolve() == Path(folder).resolve():
            raise ValueError(f"--compare {compare} is {name}: {what}")
    if (Path(compare) / "recipe.json").is_file() and (Path(compare) / "scores").is_dir():
        return read_evaluated(compare, embedding)
    return pair_folders(compare, ours[1], options["split"], options["limit"])


def _scored(
    pairs: Pairs, out: Path, embedding: Embedding | None, about: dict, workers: int | None, progress: bool
) -> Evaluated:
    """As `evaluate_pairs`; if no clip could be scored, bad.csv says why, and no table of an earlier run stays."""
    try:
        return evaluate_pairs(pairs, out, embedding, about, workers, progress)
    except NothingScored as error:
        _write(out, dict.fromkeys(TABLES) | {"bad": _with_remedies(error.bad)})
        raise ValueError(f"{error}; {out / 'bad.csv'} lists every clip") from error


def _with_remedies(bad: pd.DataFrame) -> pd.DataFrame:
    return bad.assign(remedy=bad["problem"].map(REMEDIES))


def _copies(clips: pd.DataFrame) -> list[str]:
    same = int((clips["generated_sha256"] == clips["truth_sha256"]).sum())
    return [f"{same:,} generated files are the true ones, byte for byte: they say nothing of a system"] if same else []


def _no_camera(clips: pd.DataFrame, semantic: pd.DataFrame | None) -> list[str]:
    lacking = int((~clips["camera"]).sum())
    if semantic is None or not lacking:
        return []
    return [f"FAD and KLD toward the camera are left out: {lacking:,} clips have no camera direction; give a data set "
            "with ambi.json as TRUTH"]  # fmt: skip


def _write(out: Path, files: dict[str, pd.DataFrame | None]) -> list[str]:
    """Write the tables that there are, remove those of an earlier run that there are not. Returns: names."""
    names = []
    for name, table in files.items():
        if table is None:
            (out / f"{name}.csv").unlink(missing_ok=True)
            continue
        with atomic(out / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=table.index.name is not None, float_format="%.6g")
        names.append(f"{name}.csv")
    return names


def _recipe(evaluated: Evaluated, generated: Path, options: dict, compare: object, bad: int) -> dict:
    """What decided the scores, what this run scored, and how the sounds were made if their folder says so."""
    contents = {}
    for side in ("generated", "truth"):
        rows = evaluated.clips[["clip", f"{side}_sha256"]].to_csv(index=False, header=False)
        contents[side] = hashlib.sha256(rows.encode()).hexdigest()
    manifest = Path(generated) / "manifest.json"
    made = json.loads(manifest.read_text()) if manifest.is_file() else None
    run = {**options, "compare": compare and str(compare), "clips": len(evaluated.clips), "not_scored": bad,
           "videos": int(evaluated.clips["video"].nunique()), "contents_sha256": contents, "level": 0.95,
           "intervals": "bootstrap over videos"}  # fmt: skip
    return {"scores": evaluated.recipe, "run": run, "generated_by": made}


def _bad_lines(bad: pd.DataFrame) -> list[str]:
    """A line for each kind of problem: how many, the first ten, what to do."""
    said = []
    for problem, rows in bad.groupby("problem", sort=False):
        first = "; ".join(f"{clip} ({detail})" for clip, detail in rows[["clip", "detail"]].head(10).to_numpy())
        more = ", ..." if len(rows) > 10 else ""
        said.append(f"{problem}, {len(rows):,}: {first}{more}. Remedy: {REMEDIES[problem]}")
    return said


def _score_other(
    pairs: Pairs, where: tuple[Path, Path, Path], embedding: Embedding | None, workers: int | None, progress: bool
) -> Evaluated:
    """The scores of the system to compare with, computed into a folder inside that of the results.

    `where`: its folder, truth and results.
    """
    compare, truth, out = map(Path, where)
    about = {"generated": str(compare.resolve()), "truth": str(truth.resolve())}
    key = hashlib.sha256(about["generated"].encode()).hexdigest()[:8]
    return _scored(pairs, out / f"compared_{key}", embedding, about, workers, progress)


def _compared(evaluated: Evaluated, other: Evaluated, name: str, options: dict) -> tuple[pd.DataFrame, list[str]]:
    """The table of differences, and the most important of them in words."""
    found, only = tables.difference_of(evaluated, other, options["seed"])
    said = ["", f"GENERATED MINUS {name}, on {int(found['clips'].max()):,} clips that both have",
            "GENERATED is better where CC and AUC are over 0, and the others under 0.",
            "p: how easily the choice of videos alone makes such a difference (two-sided)."]  # fmt: skip
    said += [f"{count:,} clips are {where} and are not compared" for where, count in only.items() if count]
    shown = [*tables.score_columns(options["mode"]), "direction_error_deg", "fad_mean", "kld_mean"]
    for score, row in found.loc[[score for score in shown if score in found.index]].iterrows():
        p = f"p {row['p']:.3f}" if pd.notna(row["p"]) else ""
        unit = "°" if score.endswith("_deg") else ""
        cell = written(row["mean"], row["low"], row["high"]) + unit
        said.append(f"{tables.label(score):28}{cell:24}{p}".rstrip())
    return found, said
