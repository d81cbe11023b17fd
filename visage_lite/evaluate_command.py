"""The command that scores generated sound fields against the truth: `visage-lite evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

from visage_lite.command_parts import resumable

GENERATED = "What is scored: a folder of CLIP.wav, as `visage-lite generate-all` writes it, or of another system."
TRUTH = "What it should be: a data set (of `visage-lite scenes`, or prepared YT-Ambigen), or a folder of sound files."
MODE = ("Which CC and AUC to show: corrected, or as_released, which computes them as the code of the paper does, to "
        "compare with published ones. clips.csv and summary.csv hold both.")  # fmt: skip
EMBEDDING = ("What listens for FAD and KLD: listener (shipped; knows the scenes' twelve kinds of sound), audioldm (VGGish "
             "and PANNs Cnn14, for real sounds; needs --weights) or none (no FAD, no KLD).")  # fmt: skip
WEIGHTS = ("For --embedding audioldm only: the folder with vggish-10086976.pth and Cnn14_16k_mAP=0.438.pth. Nothing is "
           "fetched; without the folder it says from where to get them.")  # fmt: skip
SPLIT = "Only the clips of train, valid or test; TRUTH must be a data set. All clips if left out."
LIMIT = "Only the first so many clips that have both sounds, for a quick look. All if left out."
COMPARE = ("Another system on the same clips: its folder of sounds, or its results (the -o of its evaluate). Prints "
           "GENERATED minus that with p-values and writes differences.csv. Nothing is compared if left out.")  # fmt: skip
SEED = "Of the random draws of videos behind the intervals and p-values; the scores do not depend on it."
WORKERS = "Processes that score; 0 scores in this one. One per core if left out. The numbers are the same."
REPORT = "Write report.html, one file that needs no network, or leave it out."
CLIPS_IN_REPORT = ("How many of the worst clips are in report.html to be looked at and listened to, about 0.3 MB each; "
                   "0 is none.")  # fmt: skip


def evaluate(
    generated: Annotated[Path, Argument(help=GENERATED, metavar="GENERATED")],
    truth: Annotated[Path, Argument(help=TRUTH, metavar="TRUTH")],
    out: Annotated[Path, Option("-o", "--out", help="Folder for the results; made if missing.")],
    mode: Annotated[str, Option(help=MODE)] = "corrected",
    embedding: Annotated[str, Option(help=EMBEDDING)] = "listener",
    weights: Annotated[Path | None, Option(help=WEIGHTS)] = None,
    split: Annotated[str | None, Option(help=SPLIT)] = None,
    limit: Annotated[int | None, Option(min=1, help=LIMIT)] = None,
    compare: Annotated[Path | None, Option(help=COMPARE)] = None,
    seed: Annotated[int, Option(min=0, help=SEED)] = 0,
    workers: Annotated[int | None, Option(min=0, help=WORKERS)] = None,
    report: Annotated[bool, Option("--report/--no-report", help=REPORT)] = True,
    clips_in_report: Annotated[int, Option(min=0, help=CLIPS_IN_REPORT)] = 40,
) -> None:
    """Score the sounds of GENERATED against those of TRUTH, in this order.

    Does it sound from the right place (CC, AUC: 1 is best; direction error:
    0 is best), and does it sound like the right thing (FAD, KLD: 0 is best)?

    Files belong together by their names. A generated file of another sampling
    rate is resampled to that of the truth; lengths may differ by 0.1 s, then
    the longer is cut. What cannot be compared is listed with the remedy.

    Writes clips.csv, a row for each clip; summary.csv, means with 95 %
    intervals over videos; semantics.csv, FAD and KLD; bad.csv, what was not
    scored and why; recipe.json, how all was computed; report.html, where the
    worst clips can be heard. FAD and KLD toward the camera need a data set
    with ambi.json.

    An interrupted run, even a killed one, goes on when the command is given
    again; clips whose files have changed are scored again.
    """
    with resumable():
        from visage_lite import evaluation_results, pairing
        from visage_lite.evaluation import MODES
        from visage_lite.report import write_report

        if mode not in MODES:
            raise ValueError(f"--mode is {' or '.join(MODES)}, not {mode}")
        listener = evaluation_results.embedding_named(embedding, weights)
        pairs = pairing.pair_folders(generated, truth, split, limit)
        options = {"mode": mode, "split": split, "limit": limit, "seed": seed}
        found = evaluation_results.evaluate_folders(
            pairs, (generated, truth), out, listener, compare, options, workers, sys.stderr.isatty()
        )
        if report:
            write_report(out / "report.html", found, pairs, clips_in_report)
    for line in found.lines:
        echo(line)
    echo(f"{out}: {', '.join(found.written)}{', report.html' if report else ''}")
