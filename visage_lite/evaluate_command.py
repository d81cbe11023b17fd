"""The command that scores generated sound fields against the truth: `visage-lite evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

from visage_lite.command_parts import resumable


def evaluate(
    generated: Annotated[Path, Argument(help="Folder of CLIP.wav, as `visage-lite generate-all` writes it.")],
    truth: Annotated[Path, Argument(help="A data set (scenes, or prepared YT-Ambigen), or a folder of sound files.")],
    out: Annotated[Path, Option("-o", "--out", help="Folder for the results; made if missing.")],
    mode: Annotated[str, Option(help="corrected or as_released: what is shown; clips.csv has both.")] = "corrected",
    embedding: Annotated[str, Option(help="What FAD and KLD listen with: listener, audioldm or none.")] = "listener",
    weights: Annotated[Path | None, Option(help="Folder of VGGish and Cnn14, for --embedding audioldm.")] = None,
    split: Annotated[str | None, Option(help="Only the clips of train, valid or test; all if left out.")] = None,
    limit: Annotated[int | None, Option(min=1, help="Only the first so many clips.")] = None,
    compare: Annotated[Path | None, Option(help="Another folder of sounds, or of results: paired difference.")] = None,
    seed: Annotated[int, Option(help="Of the bootstrap over videos.")] = 0,
    workers: Annotated[int | None, Option(min=0, help="Processes; one per core if left out.")] = None,
    report: Annotated[bool, Option("--report/--no-report", help="Write report.html.")] = True,
    clips_in_report: Annotated[int, Option(min=0, help="So many of the worst clips can be heard in it.")] = 40,
) -> None:
    """Score the sounds of GENERATED against those of TRUTH.

    Files belong together by their names. A generated file of another sampling
    rate is resampled to that of the truth; lengths may differ by 0.1 s, then
    the longer is cut. What cannot be compared is listed with the remedy.

    Writes clips.csv, a row for each clip; summary.csv, means with 95 %
    intervals over videos; semantics.csv, FAD and KLD; bad.csv, what was not
    scored and why; recipe.json; report.html, where the worst clips can be
    heard. FAD and KLD toward the camera need a data set with ambi.json.

    An interrupted run, even a killed one, goes on when the command is given
    again; clips whose files have changed are scored again.
    """
    from visage_lite import evaluation_results, pairing
    from visage_lite.evaluation import MODES

    if mode not in MODES:
        raise ValueError(f"--mode is {' or '.join(MODES)}, not {mode}")
    listener = evaluation_results.embedding_named(embedding, weights)
    pairs = pairing.pair_folders(generated, truth, split, limit)
    options = {"mode": mode, "split": split, "limit": limit, "seed": seed}
    with resumable():
        found = evaluation_results.evaluate_folders(
            pairs, (generated, truth), out, listener, compare, options, workers, sys.stderr.isatty()
        )
        if report:
            from visage_lite.report import write_report

            write_report(out / "report.html", found, pairs, clips_in_report)
    for line in found.lines:
        echo(line)
    echo(f"{out}: {', '.join(found.written)}{', report.html' if report else ''}")
