"""Plots of scores and what they mean: the calibration ladder, means with intervals, AUC's ROC curve, FAD's clouds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from visage_lite.evaluation import auc_judd
from visage_lite.frechet import gaussian
from visage_lite.ladder import ANGLE, KINDS, LEVEL, degrees_off
from visage_lite.score_plots import COLOURS

NAMES = {"cc": "CC", "auc": "AUC-Judd"}
GUESS = {"cc": 0.0, "auc": 0.5}
GREY, PALE = "#8a8a8a", "#dddddd"


def ladder(
    tables: Mapping[str, pd.DataFrame], kind: str = "cc", systems: Mapping[str, float] | None = None,
    change: str = ANGLE, ax: Axes | None = None,
) -> Axes:
    """Draw how a score falls from rung to rung, and on which rung systems stand.

    Args:
        tables: {mode: `ladder.ladder(mode)`}; the first is drawn as a line, the others dashed.
        kind: "cc" or "auc".
        systems: {name: score in the first mode}, marked on the ladder of angles at the angle that scores the same.
        change: `ladder.ANGLE` or `ladder.DIFFUSE`.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x is the change in its unit, y the score.
    Raises: ValueError for another kind or change, without tables, or if systems stand on another change than ANGLE.
    Notebook: 06_evaluation.
    """
    if kind not in NAMES or not tables or change == LEVEL or (systems and change != ANGLE):
        raise ValueError("pass {mode: ladder(mode)}, a kind of cc or auc, and ANGLE, or DIFFUSE without systems")
    ax = ax or plt.subplots(figsize=(6.4, 3.3), dpi=72, layout="constrained")[1]
    for place, (mode, table) in enumerate(tables.items()):
        rows = table[table["change"] == change]
        if rows.empty:
            raise ValueError(f"no rungs of {change!r}: choose ladder.ANGLE or ladder.DIFFUSE")
        ax.plot(rows["amount"], rows[kind], "--" if place else "-", color=GREY if place else COLOURS[0], lw=2,
                label=mode.replace("_", " "))
    last, least = float(rows["amount"].max()), KINDS[kind][0] if change == ANGLE else 0.0
    ax.set(xlabel=change, ylabel=NAMES[kind], xlim=(0, last), ylim=(least - 0.04 * (1 - least), 1.04 - 0.02 * least))
    ax.set_xticks(np.linspace(0, last, 7 if change == ANGLE else 6))
    ax.axhline(GUESS[kind], color=PALE, lw=1, zorder=0)
    ax.text(0.01, GUESS[kind], "guessing", transform=ax.get_yaxis_transform(), fontsize=8, color=GREY, va="bottom")
    _mark(ax, systems or {}, kind, next(iter(tables)))
    ax.spines[["top", "right"]].set_visible(False)
    if len(tables) > 1:
        ax.legend(fontsize=8, loc="lower left" if change == ANGLE else "center left", frameon=False)
    return ax


def _mark(ax: Axes, systems: Mapping[str, float], kind: str, mode: str) -> None:
    """Marks on the curve, and their names beside the axes, apart from each other."""
    ordered = sorted(systems.items(), key=lambda item: item[1])
    gap = min(0.082, 1 / max(len(ordered), 1))  # of the axes' height: a line of small text
    low, high = ax.get_ylim()
    heights = _apart([(score - low) / (high - low) for _, score in ordered], gap)
    for (name, score), height in zip(ordered, heights):
        degrees = degrees_off(score, kind, mode)
        ax.plot(degrees, score, "o", ms=7, color=COLOURS[1], mec="white", zorder=3, clip_on=False)
        text = f"{name}: {_signed(score)}, {degrees:.0f}°"
        ax.annotate(text, (degrees, score), (1.04, height), textcoords="axes fraction", fontsize=8, va="center",
                    arrowprops=dict(arrowstyle="-", color=PALE, shrinkB=5, relpos=(0, 0.5)), zorder=2)


def _signed(score: float) -> str:
    """Two digits, with a minus as long as a plus."""
    return f"{score:.2f}".replace("-", "−")


def _apart(heights: Sequence[float], gap: float) -> np.ndarray:
    """Rising heights moved as little as needed to lie `gap` apart, inside 0 to 1 where there is room."""
    steps = gap * np.arange(len(heights))
    if not len(heights):
        return steps
    return np.clip(isotonic_regression(heights - steps).x, 0, max(0.0, 1 - steps[-1])) + steps


def intervals(
    numbers: pd.DataFrame, score: str, controls: Sequence[str] = (), unit: str | None = None,
    marked: float | None = None, ax: Axes | None = None,
) -> Axes:
    """Draw the mean of each system with its interval, one under the other.

    Args:
        numbers: from `intervals.table` or `intervals.difference_table`.
        score: which of its scores.
        controls: names of systems that are drawn in grey.
        unit: label of the axis; the score's name if None.
        marked: a value drawn as a line: what guessing scores, or 0 for differences.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x is the score, the rows are the systems in the table's order, from the top. A system without
        an interval has a mark alone, one without a score is named and says so.
    Raises: ValueError if the table has no such score.
    Notebook: 06_evaluation.
    """
    known = numbers.index.get_level_values("score")
    if score not in known:
        raise ValueError(f"no score {score!r}: choose one of {', '.join(dict.fromkeys(known))}")
    rows = numbers.xs(score, level="score")
    ax = ax or plt.subplots(figsize=(6.4, 0.7 + 0.27 * len(rows)), dpi=72, layout="constrained")[1]
    if marked is not None:
        ax.axvline(marked, color=GREY, lw=1, ls=":", zorder=0)
    for place, (system, row) in enumerate(rows.iterrows()):
        colour = GREY if system in controls else COLOURS[0]
        if not np.isnan(row["low"]):
            ax.plot([row["low"], row["high"]], [place, place], color=colour, lw=2.2, solid_capstyle="butt")
        ax.plot(row["mean"], place, "o", ms=6, color=colour, mec="white", mew=0.8)
        text = "no score" if np.isnan(row["mean"]) else _signed(row["mean"])
        ax.text(1.02, place, text, transform=ax.get_yaxis_transform(), va="center", fontsize=9, color=colour)
    ax.set_yticks(range(len(rows)), rows.index, fontsize=9)
    for label in ax.get_yticklabels():
        label.set_color(GREY if label.get_text() in controls else "black")
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel=(unit or score) + ", mean and 95 % interval over videos")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.grid(axis="x", color="#eeeeee", lw=0.8)
    ax.set_axisbelow(True)
    return ax


def roc(prediction: np.ndarray, truth: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw the ROC curve whose area is AUC-Judd: a threshold sinks through the predicted map.

    Args:
        prediction, truth: equal-area samples of two maps, as `evaluation.equal_area` returns them, corrected.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; y is the share of the places where the truth is loud (over max - standard deviation) that lie
        over the threshold, x the share of the other places that do.
    Raises: ValueError if the shapes differ, a number is not finite, or the truth has no loud or no other places.
    Notebook: 06_evaluation.
    """
    area = auc_judd(prediction, truth)
    prediction, truth = np.ravel(prediction), np.ravel(truth)
    loud = truth > truth.max() - truth.std()
    if loud.all() or not loud.any():
        raise ValueError("the truth is the same everywhere: no place is louder than another")
    thresholds, which = np.unique(-prediction, return_inverse=True)  # from the loudest on
    hits, alarms = (np.cumsum(np.bincount(which, of)) / of.sum() for of in (loud, ~loud))
    hits, alarms = np.r_[0, hits], np.r_[0, alarms]
    ax = ax or plt.subplots(figsize=(3.6, 3.4), dpi=72, layout="constrained")[1]
    ax.fill_between(alarms, hits, color=COLOURS[0], alpha=0.15, lw=0)
    ax.plot(alarms, hits, color=COLOURS[0], lw=2.2, clip_on=False)
    ax.plot([0, 1], [0, 1], ":", color=GREY, lw=1.2)
    ax.text(0.96, 0.06, f"area: AUC {area:.2f}", ha="right", fontsize=10, color=COLOURS[0])
    ax.text(0.55, 0.5, "guessing", fontsize=8, color=GREY, rotation=45, va="center", ha="center")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="false alarms (share of the other places)", aspect="equal",
           ylabel="hits (share of the loud places)")
    ax.set_xticks(np.linspace(0, 1, 5))
    ax.set_yticks(np.linspace(0, 1, 5))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def clouds(points: Mapping[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Draw clouds of points and the Gaussian that stands for each: its mean and the ellipse of two standard deviations.

    Args:
        points: {name: [n, 2]}, embeddings of two numbers.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes, one scale for both.
    Raises: ValueError without clouds, or if the points of one are not [n, 2] with n >= 2 or not finite.
    Notebook: 06_evaluation.
    """
    if not points or any(np.ndim(each) != 2 or np.shape(each)[1] != 2 for each in points.values()):
        raise ValueError("pass {name: points [n, 2]}: embeddings of more numbers have no picture")
    ax = ax or plt.subplots(figsize=(4.2, 3.2), dpi=72, layout="constrained")[1]
    circle = 2 * np.exp(1j * np.linspace(0, 2 * np.pi, 181))
    for place, (name, each) in enumerate(points.items()):
        colour, (mean, covariance) = COLOURS[place % len(COLOURS)], gaussian(each)
        values, vectors = np.linalg.eigh(covariance)
        ellipse = (vectors * np.sqrt(np.maximum(values, 0))) @ np.stack([circle.real, circle.imag]) + mean[:, None]
        ax.plot(*np.transpose(each), ".", ms=4, alpha=0.35, color=colour, mew=0)
        ax.plot(*ellipse, color=colour, lw=2, label=name)
        ax.plot(*mean, "+", color=colour, ms=11, mew=2.2)
    ax.set(xlabel="first number of the embedding", ylabel="second number", aspect="equal")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax
