"""One page about an evaluation: what the scores are, and the worst clips to look at and listen to. Loads nothing.

Every clip has two energy maps, each by its own loudest place, and two players for headphones at one common gain. The
page holds the sound itself (16 kHz, FLAC), about 0.3 MB a clip of 5 s.
"""

from __future__ import annotations

import base64
import io
import re
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import soundfile
import soxr

from visage_lite import evaluation_plots, evaluation_tables
from visage_lite.ambisonics import energy_map
from visage_lite.binaural import binauralise
from visage_lite.directions import Direction
from visage_lite.evaluation import MODES
from visage_lite.evaluation_results import Results
from visage_lite.ladder import ladder
from visage_lite.listening import gain_for
from visage_lite.pairing import Pair, Pairs, read_pair
from visage_lite.streams import atomic

PAGE = Path(__file__).with_name("report_page.html")
HEARD_RATE = 16_000  # Hz
PLACES = ("behind", "left", "front", "right", "behind")  # below a map, from its left edge to its right one
BAD_ROWS = 200  # listed in the page; bad.csv has all
SHOWN = {"direction_error_deg": "direction error (°)", "peak_error_deg": "loudest place off by (°)",
         "diffuseness": "diffuseness", "true_diffuseness": "diffuseness, truth", "level_db": "level (dB)",
         "true_level_db": "level, truth (dB)", "azimuth_correlation": "azimuth over time",
         "kld_mean": "KLD, mean of channels", "kld_camera": "KLD toward the camera"}  # fmt: skip


def write_report(path: str | Path, results: Results, pairs: Pairs, count: int = 40) -> None:
    """Write the page, whole or not at all.

    Args:
        path: `.html` in an existing folder.
        results: from `evaluation_results.evaluate_folders`.
        pairs: the files of its clips.
        count: how many of the worst clips are in it, by CC over the clip in the mode of the results.
    Raises: Mismatch (a ValueError) if a file has gone since it was scored.
    Notebook: 06_evaluation.
    """
    mode, files = results.recipe["run"]["mode"], {pair.clip: pair for pair in pairs.pairs}
    rows = worst_first(results.clips, mode).head(count)
    columns = _columns(rows, mode)
    clips = "".join(_clip(number, row, files[row["clip"]], mode) for number, (_, row) in enumerate(rows.iterrows()))
    parts = {
        "TABLE": _table(rows, columns, mode),
        "TITLE": escape(f"{Path(results.recipe['scores'].get('generated', '')).name} against "
                        f"{Path(results.recipe['scores'].get('truth', '')).name}"),
        "SUMMARY": "\n".join(map(_line, results.lines)),
        "LADDER": _ladder(results.summary, mode),
        "RECIPE": escape("\n".join(_flat(results.recipe))),
        "BAD": _bad(results.bad),
        "HOW_MANY": f"{len(rows):,} of {len(results.clips):,} clips",
        "CLIPS": clips,
    }  # fmt: skip
    page = re.sub(r"\[([A-Z_]+)\]", lambda found: parts[found[1]], PAGE.read_text(encoding="utf-8"))
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def worst_first(clips: pd.DataFrame, mode: str = "corrected") -> pd.DataFrame:
    """The clips from the worst CC over the clip on; those whose truth judges nothing come last.

    Args: clips: from `evaluation_tables.clip_table`. mode: one of `evaluation.MODES`.
    Raises: ValueError if the mode has another name.
    Notebook: 06_evaluation.
    """
    if mode not in MODES:
        raise ValueError(f"no mode {mode!r}: choose one of {', '.join(MODES)}")
    return clips.sort_values(evaluation_tables.score_columns(mode)[0], kind="stable", na_position="last")


def _columns(rows: pd.DataFrame, mode: str) -> dict[str, str]:
    """What the clips can be sorted by: column -> its name in words."""
    scores = {column: evaluation_tables.label(column) for column in evaluation_tables.score_columns(mode)}
    return {column: words for column, words in (scores | SHOWN).items() if column in rows}


def _table(rows: pd.DataFrame, columns: dict[str, str], mode: str) -> str:
    """The scores of the clips, a row each; a click on a column's name sorts by it, without a score last."""
    if rows.empty:
        return ""
    first = evaluation_tables.score_columns(mode)[0]  # what `worst_first` sorts by
    head = "".join(
        f'<th scope="col" data-key="{key}" aria-sort="{"ascending" if key == first else "none"}">'
        f'<button type="button">{escape(words)}</button></th>'
        for key, words in ({"clip": "clip"} | columns).items()
    )
    body = "".join(
        f'<tr data-card="clip{number}" data-clip="{escape(row["clip"])}"'
        + "".join(f' data-{key}="{row[key]}"' for key in columns if pd.notna(row[key]))
        + f'><th scope="row"><a href="#clip{number}">{escape(row["clip"])}</a></th>'
        + "".join(f"<td>{_number(row[key])}</td>" for key in columns) + "</tr>"
        for number, (_, row) in enumerate(rows.iterrows())
    )  # fmt: skip
    return f'<div class="wide"><table id="scores"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _clip(number: int, row: pd.Series, pair: Pair, mode: str) -> str:
    """One clip: its scores, maps and players."""
    made, true, rate = _fields(pair)
    heard = [_for_headphones(foa, rate) for foa in (true, made)]
    gain = gain_for(max(float(np.abs(sound).max()) for sound in heard))
    figures = "".join(
        f"<figure><figcaption>{side}</figcaption>{_map(foa, pair.camera)}"
        f'<audio controls preload="none" src="{_sound(sound, gain)}"></audio></figure>'
        for side, foa, sound in zip(("truth", "generated"), (true, made), heard)
    )
    columns = _columns(row.to_frame().T, mode)
    scores = "".join(f"<div><dt>{escape(words)}</dt><dd>{_number(row[key])}</dd></div>"
                     for key, words in columns.items())  # fmt: skip
    note = f' <span class="note">{escape(row["note"])}</span>' if row["note"] else ""
    return (
        f'<article id="clip{number}" data-clip="{escape(row["clip"])}"><h3>{escape(row["clip"])}{note}</h3>'
        f'<div class="pair">{figures}</div><p class="gain">both players at one gain, {20 * np.log10(gain):+.1f} dB</p>'
        f"<dl>{scores}</dl></article>"
    )


def _fields(pair: Pair) -> tuple[np.ndarray, np.ndarray, int]:
    """Generated, truth and their rate; numbers that are not finite are silence, as they are scored."""
    sounds = read_pair(pair)
    made, true = (each if np.isfinite(each).all() else np.zeros_like(each) for each in sounds.both)
    return made, true, sounds.rate


def _for_headphones(foa: np.ndarray, rate: int) -> np.ndarray:
    """What the ears hear, at HEARD_RATE: float32 [2, n]."""
    return soxr.resample(binauralise(foa, rate).T, rate, HEARD_RATE, quality="HQ").T


def _sound(sound: np.ndarray, gain: float) -> str:
    """A data address of the sound."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(sound.T * gain, -1, 1), HEARD_RATE, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode()


def _map(foa: np.ndarray, camera: Direction | None) -> str:
    """The energy map as a picture, left on the left, with a ring where the camera looks."""
    levels, buffer = energy_map(foa), io.BytesIO()
    plt.imsave(buffer, levels, cmap="magma", vmin=0, vmax=float(levels.max()) or 1.0, format="png")
    ring = ""
    if camera is not None:
        x, y = 180 - camera.azimuth_deg, 90 - camera.elevation_deg
        ring = f'<circle class="camera" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
    picture = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<svg viewBox="0 0 360 180" role="img" aria-label="energy map"><image width="360" height="180" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{picture}"/>{ring}</svg>'
        f'<p class="axis">{"".join(f"<span>{place}</span>" for place in PLACES)}</p>'
    )


def _ladder(summary: pd.DataFrame, mode: str) -> str:
    """The calibration ladder with this system on it."""
    column = evaluation_tables.score_columns(mode)[0]
    mean = summary.loc[column, "mean"]
    systems = {} if pd.isna(mean) else {"this system": float(mean)}
    others = [other for other in MODES if other != mode]
    ax = evaluation_plots.ladder({name: ladder(name) for name in (mode, *others)}, "cc", systems)
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=110)
    plt.close(ax.figure)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="CC against the angle by which a single source is off" src="data:image/png;base64,{picture}">'


def _line(text: str) -> str:
    """A line of the summary; one of a table, with gaps in it, is never broken."""
    return f'<span class="row">{escape(text)}</span>' if "  " in text else escape(text)


def _bad(bad: pd.DataFrame) -> str:
    if bad.empty:
        return "<p>Every clip was scored.</p>"
    rows = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>"
                   for row in bad.head(BAD_ROWS).itertuples(index=False))  # fmt: skip
    head = "".join(f"<th>{escape(name)}</th>" for name in bad.columns)
    more = f"<p>The first {BAD_ROWS} of {len(bad):,}; bad.csv lists all.</p>" if len(bad) > BAD_ROWS else ""
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>{more}'


def _flat(what: dict, path: str = "") -> list[str]:
    """A nested recipe as lines "a.b: value"; folders by their names alone, so that the page can be given away."""
    lines = []
    for key, value in what.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{path}{key}.")
        else:
            is_folder = path in ("scores.", "run.") and key in ("generated", "truth", "compare") and value
            lines.append(f"{path}{key}: {Path(value).name if is_folder else value}")
    return lines


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{float(value):.2f}".replace("-", "−")
