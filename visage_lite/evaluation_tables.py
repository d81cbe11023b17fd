"""The tables of an evaluation: per clip, means with intervals over videos, FAD and KLD, and two systems compared.

Every mean says over how many clips and videos it is and how many have no score; beside each CC and AUC stands the rung
of the calibration ladder, and the name of what listened stands beside each FAD and KLD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from visage_lite import intervals
from visage_lite.evaluation import MODES, WINDOWS_S
from visage_lite.evaluation_run import Evaluated
from visage_lite.frechet import FrechetInterval
from visage_lite.intervals import mean_interval, written
from visage_lite.ladder import rung
from visage_lite.semantics import CHANNELS, MEAN, SIGNALS, Embedded, fad_intervals, kld_of_clips, semantic_scores
from visage_lite.spatial import PREFIXES

KLD = {**{name: f"kld_{name.lower()}" for name in CHANNELS}, MEAN: "kld_mean", "toward camera": "kld_camera",
       "toward camera, as released": "kld_camera_released"}  # fmt: skip
FIELD_SCORES = ("direction_error_deg", "peak_error_deg", "diffuseness", "true_diffuseness", "level_db", "true_level_db",
                "azimuth_correlation")  # fmt: skip
LABELS = {
    "all": "over the clip", "1fps": "windows of 1 s", "5fps": "windows of 0.2 s",
    "direction_error_deg": "direction error", "peak_error_deg": "error of the loudest place",
    "diffuseness": "diffuseness", "true_diffuseness": "... of the truth",
    "level_db": "level (dB)", "true_level_db": "... of the truth (dB)", "azimuth_correlation": "azimuth over time",
    "fad_mean": "FAD, mean of channels", "kld_mean": "KLD, mean of channels",
}  # fmt: skip
GOOD = {
    "direction_error_deg": "0° is best, guessing is 90° off", "peak_error_deg": "0° is best, guessing is 90° off",
    "diffuseness": "0: all from one place, 1: from everywhere; best is the truth's", "level_db": "best is the truth's",
    "azimuth_correlation": "1 is best, guessing scores 0; of a source that moves sideways",
}  # fmt: skip
WHERE = ("WHERE IT SOUNDS", "CC and AUC: 1 is best, guessing scores CC 0 and AUC 0.5.",
         "At the right: a single source that is so many degrees away from its true place scores the same.")  # fmt: skip
WHAT = ("WHAT IT SOUNDS LIKE", "FAD (squared distance of embeddings) and KLD (nats): 0 is best, there is no worst.")


def score_columns(mode: str) -> list[str]:
    """The columns of CC and AUC of a mode: "cc_all", or "released_cc_all", and so on."""
    return [f"{PREFIXES[mode]}{kind}_{name}" for kind in ("cc", "auc") for name in WINDOWS_S]


def clip_table(evaluated: Evaluated) -> pd.DataFrame:
    """A row for each clip: its spatial scores, and KLD of every signal and what listened, if something did.

    KLD toward the camera is NaN where the camera is not known, and all KLD where the truth is not finite.
    Notebook: 06_evaluation.
    """
    clips = evaluated.clips.drop(columns="key")
    if not evaluated.heard[0]:
        return clips
    kld = kld_of_clips(list(clips["clip"]), *evaluated.heard).rename(columns=KLD)
    table = clips.join(kld, on="clip").assign(embedding=evaluated.recipe["embedding"]["name"])
    for name in ("kld_camera", "kld_camera_released"):
        table.loc[~table["camera"], name] = np.nan
    return table


def summary_table(clips: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Means of all spatial scores in both modes, with intervals over videos and the rung of the ladder.

    Args: clips: from `clip_table`. seed: of the bootstrap.
    Returns: indexed by score; mode, the columns of `intervals.Interval`, and rung, "" where there is none.
    Notebook: 06_evaluation.
    """
    modes = {column: mode for mode in MODES for column in score_columns(mode)}
    rows = {}
    for column in (*modes, *FIELD_SCORES):
        found = asdict(mean_interval(clips[column].astype(float), clips["video"], seed))
        kind = "cc" if "cc_" in column else "auc"
        known = column in modes and found["mean"] is not None
        words = rung(found["mean"], kind, modes[column]) if known else ""
        rows[column] = {"mode": modes.get(column, ""), **found, "rung": words}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("score")


def semantic_table(evaluated: Evaluated, clips: pd.DataFrame, seed: int) -> pd.DataFrame:
    """FAD and KLD of every signal and of the mean over channels, with intervals over videos.

    Without every clip's camera the rows toward it are left out; with fewer than two embeddings FAD is NaN.

    Args: evaluated: with an embedding. clips: its `clip_table`. seed: of the bootstrap.
    Returns: indexed by signal: fad, fad_low, fad_high, numbers (of an embedding), kld, kld_low, kld_high, counts,
        embedding, digest.
    Raises: ValueError as `semantics.semantic_scores`.
    Notebook: 06_evaluation.
    """
    names, videos = list(clips["clip"]), list(clips["video"])
    signals = [*CHANNELS, MEAN, *(SIGNALS[4:] if clips["camera"].all() else ())]
    enough = _enough(evaluated.heard)
    scores = semantic_scores(names, *evaluated.heard).table if enough else pd.DataFrame({"biased": True}, index=signals)
    intervals_of = fad_intervals(*evaluated.heard, videos, seed) if enough else {}
    rows = {}
    for name in signals:
        fad, kld = intervals_of.get(name), mean_interval(clips[KLD[name]].astype(float), videos, seed)
        rows[name] = {
            **{f"fad{end}": getattr(fad, of, None) for end, of in (("", "fad"), ("_low", "low"), ("_high", "high"))},
            "numbers": evaluated.heard[0][0].embeddings.shape[-1],
            "kld": kld.mean, "kld_low": kld.low, "kld_high": kld.high, "kld_macro": kld.macro, "videos": kld.videos,
            **scores.loc[name].drop(["fad", "kld", "embedding"], errors="ignore"),
            "embedding": evaluated.recipe["embedding"]["name"], "digest": evaluated.recipe["embedding"]["digest"][:16],
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("signal")


def _enough(heard: Sequence[Sequence[Embedded]]) -> bool:
    """Whether FAD exists: two embeddings or more, of clips whose truth is finite. Both sides have as many."""
    return sum(made.embeddings.shape[1] for made, true in zip(*heard) if true.finite) > 1


def difference_of(one: Evaluated, other: Evaluated, seed: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """How much higher the first system scores than the other on the clips that both have.

    Args: one: the system in question. other: the one it is compared with. seed: of the bootstrap.
    Returns: indexed by score, also FAD: the columns of `intervals.Difference` and `embedding`, "" where nothing
        listened; and how many clips only one has.
    Raises: ValueError if no clip is in both.
    Notebook: 06_evaluation.
    """
    tables = [clip_table(each).set_index("clip") for each in (one, other)]
    common = tables[0].index.intersection(tables[1].index, sort=False)
    if not len(common):
        raise ValueError("the two systems have no clip in common: score both on the same TRUTH")
    ours, theirs = (table.loc[common] for table in tables)
    columns = [c for c in (*score_columns("corrected"), *score_columns("as_released"), *FIELD_SCORES, *KLD.values())
               if c in ours and c in theirs]  # fmt: skip
    found = intervals.difference_table({"other": theirs, "one": ours}, "other", columns, seed).xs("one", level="system")
    if one.heard[0] and other.heard[0]:
        found = pd.concat([found, _fad_difference(one, other, ours, seed)])
    names = {each: one.recipe["embedding"]["name"] for each in found.index if each.startswith(("fad", "kld"))}
    found["embedding"] = [names.get(each, "") for each in found.index]
    only = {"only in GENERATED": len(tables[0]) - len(common), "only in the other": len(tables[1]) - len(common)}
    return found.rename_axis("score"), only


def _fad_difference(one: Evaluated, other: Evaluated, ours: pd.DataFrame, seed: int) -> pd.DataFrame:
    """FAD of the first minus FAD of the other, from the same draws of videos."""
    found = []
    for each in (one, other):
        place = {clip: number for number, clip in enumerate(each.clips["clip"])}
        heard = [[side[place[clip]] for clip in ours.index] for side in each.heard]
        if not _enough(heard):
            return pd.DataFrame()
        found.append(fad_intervals(*heard, list(ours["video"]), seed))
    rows = {}
    for name, a in found[0].items():
        rows[KLD[name].replace("kld", "fad")] = _difference(a, found[1][name], len(ours))
    return pd.DataFrame.from_dict(rows, orient="index")


def _difference(a: FrechetInterval, b: FrechetInterval, clips: int) -> dict:
    row = {"mean": a.fad - b.fad, "low": np.nan, "high": np.nan, "clips": clips, "videos": a.videos, "left_out": 0}
    if len(a.draws):
        row["low"], row["high"] = np.quantile(a.draws - b.draws, [0.025, 0.975])
    return row


def notes(clips: pd.DataFrame) -> dict[str, int]:
    """How many clips each rule applied to, such as {"silent": 2}. Notebook: 06_evaluation."""
    return clips["note"][clips["note"] != ""].str.split(", ").explode().value_counts().to_dict()


def lines(
    summary: pd.DataFrame, semantic: pd.DataFrame | None, clips: pd.DataFrame, bad: pd.DataFrame, mode: str,
) -> list[str]:  # fmt: skip
    """The evaluation in a few lines.

    Args:
        summary: from `summary_table`. semantic: from `semantic_table`, or None.
        clips, bad: the tables of clips.
        mode: which CC and AUC to show.
    Notebook: 06_evaluation.
    """
    said = [f"{len(clips):,} clips of {clips['video'].nunique():,} videos, mode {mode.replace('_', ' ')}; "
            "mean over clips [95 % interval over videos]", "", *WHERE]  # fmt: skip
    for score in score_columns(mode):
        said.append(f"{label(score):28}{_cell(summary.loc[score]):22}{summary.loc[score, 'rung']}".rstrip())
    for score in FIELD_SCORES:
        row = summary.loc[score]
        unit = "°" if score.endswith("_deg") and row["clips"] else ""
        cell = _cell(row, 1 if score.endswith(("_deg", "_db")) else 2) + unit
        over = f" ({int(row['clips']):,} clips)" if row["left_out"] and row["clips"] else ""
        said.append(f"{label(score):28}{cell:22}{GOOD.get(score, '')}{over}".rstrip())
    counts = _counts(summary, clips, bad)
    return [*said, *_heard_lines(semantic, clips), *([""] if counts else []), *counts]


def _heard_lines(semantic: pd.DataFrame | None, clips: pd.DataFrame) -> list[str]:
    """FAD and KLD, what they mean and what listened."""
    if semantic is None:
        return []
    first = semantic.iloc[0]
    said = ["", *WHAT, f"Heard by {first['embedding']}: compare with no other listener's scores."]
    for name, row in semantic.iterrows():
        fad = written(row["fad"], row["fad_low"], row["fad_high"])
        said.append(f"{name:28}FAD {fad:24} KLD {written(row['kld'], row['kld_low'], row['kld_high'])}")
    if pd.isna(first["fad"]):
        said.append("FAD needs two embeddings or more: score more clips.")
    elif first["biased"]:
        sizes = f"{first['embeddings']:,.0f} embeddings of {first['numbers']:,.0f} numbers each"
        said += [f"FAD of {sizes} is too high: it needs more embeddings than numbers.",
                 f"Compare it only with systems scored on the same {len(clips):,} clips."]  # fmt: skip
    return said


def _counts(summary: pd.DataFrame, clips: pd.DataFrame, bad: pd.DataFrame) -> list[str]:
    """How many clips there is something to say about; nothing where it is none."""
    blind = int(summary.iloc[0]["left_out"])
    counts = {
        "without CC and AUC: their truth is silent, not finite or from everywhere alike, and judges nothing": blind,
        "cut to one length": int((clips["cut_s"] > 0).sum()),
        "resampled to the truth's rate": int((clips["rate"] != clips["true_rate"]).sum()),
        "not scored: see bad.csv": len(bad),
    }
    said = [f"{count:,} clips {words}" for words, count in counts.items() if count]
    rules = ", ".join(f"{count:,} {note}" for note, count in notes(clips).items())
    if rules:
        said.append(f"scored by rule: {rules}; what is generated so counts as guessing")
    return said


def label(score: str) -> str:
    """A column's name in words. Notebook: 06_evaluation."""
    kind, _, name = score.removeprefix(PREFIXES["as_released"]).partition("_")
    return f"{kind.upper()}, {LABELS[name]}" if kind in ("cc", "auc") else LABELS[score]


def _cell(row: pd.Series, digits: int = 2) -> str:
    return written(row["mean"], row["low"], row["high"], digits)
