"""The command that scores generated sound fields against the truth: `visage-lite evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

from visage_lite.command_parts import resumable

GENERATED = "What is scored: a folder of CLIP.wav, as `visage-lite generate-all` writes it, or another system's."
TRUTH = "What it should be: a data set (of `visage-lite scenes`, or prepared YT-Ambigen), or a folder of sound files."
MODE = "Which CC and AUC to show: corrected, or as_released (as the paper's code has them). clips.csv has both."
EMBEDDING = "What listens for FAD and KLD: listener (shipped), audioldm (needs --weights), or none (neither score)."
WEIGHTS = "Only for --embedding audioldm: the folder with its two files of weights, see above. None if left out."
SPLIT = "Only the clips of train, valid or test of a data set. All clips if left out."
LIMIT = "Only the first so many clips that have both sounds. All clips if left out."
COMPARE = "Another system's folder of sounds, or of results: how much better GENERATED is. Nothing if left out."
SEED = "Of the draws behind intervals and p-values. The scores do not depend on it."
WORKERS = "Processes; 0 works in this one. One per core if left out. The scores do not depend on it."
REPORT = "Write report.html, one file that needs no network, or do not."
CLIPS = "So many of the worst clips can be seen and heard in it, about 0.3 MB each."


def evaluate(
    generated: Annotated[Path, Argument(help=GENERATED, metavar="GENERATED")],
    truth: Annotated[Path, Argument(help=TRUTH, metavar="TRUTH")],
    out: Annotated[Path, Option("-o", "--out", help="For the results; made if missing.", metavar="FOLDER")],
    mode: Annotated[str, Option(help=MODE, metavar="MODE")] = "corrected",
    embedding: Annotated[str, Option(help=EMBEDDING, metavar="NAME")] = "listener",
    weights: Annotated[Path | None, Option(help=WEIGHTS, metavar="FOLDER")] = None,
    split: Annotated[str | None, Option(help=SPLIT, metavar="SPLIT")] = None,
    limit: Annotated[int | None, Option(min=1, help=LIMIT, metavar="N")] = None,
    compare: Annotated[Path | None, Option(help=COMPARE, metavar="FOLDER")] = None,
    seed: Annotated[int, Option(min=0, help=SEED, metavar="N")] = 0,
    workers: Annotated[int | None, Option(min=0, help=WORKERS, metavar="N")] = None,
    report: Annotated[bool, Option("--report/--no-report", help=REPORT)] = True,
    clips_in_report: Annotated[int, Option(min=0, help=CLIPS, metavar="N")] = 40,
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

    --embedding listener knows the twelve kinds of sound of the scenes and no
    others. audioldm is for real sounds: VGGish and PANNs Cnn14, from the files
    vggish-10086976.pth and Cnn14_16k_mAP=0.438.pth in the folder --weights;
    nothing is fetched, and a message says from where to get what is missing.

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
        (out / "report.html").unlink(missing_ok=True)  # of an earlier run, whose numbers it would show
        if report:
            write_report(out / "report.html", found, pairs, clips_in_report)
    for line in found.lines:
        echo(line)
    echo(f"{out}: {', '.join(found.written)}{', report.html' if report else ''}")
