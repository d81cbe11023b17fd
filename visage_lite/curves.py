"""Pictures of a model that learns: loss curves, live or of a finished run, and attention weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#404040")  # Okabe-Ito: told apart with any colour vision
MARKS = ("-", "--", ":", "-.", "-")
PARTS = {"first_w": "book 0 of W", "first_others": "book 0 of Y, Z, X", "later": "later books"}


def loss_curves(
    logs: dict[str, str | Path | pd.DataFrame],
    column: str = "loss",
    chance: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a column of training logs over the steps.

    Args:
        logs: {label: the `log.csv` of `training.train`, or its table}.
        column: which column, such as "loss" or "later".
        chance: what a model that knows nothing has, drawn as a grey line.
        ax: axes to draw on; a new small figure if None.

    Returns: the axes; x is the training step, y the loss in nats.
    Raises: ValueError if there is no such column.
    Notebook: 04_training.
    """
    if ax is None:
        ax = plt.subplots(figsize=(5.2, 2.6), dpi=80, layout="constrained")[1]
    for (label, log), colour, mark in zip(logs.items(), COLOURS, MARKS):
        table = log if isinstance(log, pd.DataFrame) else pd.read_csv(log)
        if column not in table:
            raise ValueError(f"the log of {label!r} has no column {column!r}: choose one of {', '.join(table)}")
        ax.plot(table["step"], table[column], mark, color=colour, label=label)
    _chance(ax, chance)
    ax.set(xlabel="training step", ylabel=f"{column.replace('_', ' ')} (nats)")
    ax.legend(frameon=False, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def loss_parts(log: str | Path | pd.DataFrame, chance: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw the parts of the loss that a log holds: book 0 of W, book 0 of the other channels, the later books.

    A log of several stages, told by its column "stage", is drawn as one: a line stands where a stage begins, and the
    steps are counted on if every stage counts its own.

    Args:
        log: the `log.csv` of `training.train`, or its table.
        chance: what a model that knows nothing has, drawn as a grey line.
        ax: axes to draw on; a new small figure if None.

    Returns: the axes; x is the training step, y the loss of a stream in nats.
    Raises: ValueError if the log holds none of the parts.
    Notebook: 04_training.
    """
    table = log if isinstance(log, pd.DataFrame) else pd.read_csv(log)
    columns = [name for name in PARTS if name in table]
    if not columns:
        raise ValueError(f"the log has none of the columns {', '.join(PARTS)}: is it a training log?")
    if ax is None:
        ax = plt.subplots(figsize=(6.4, 2.8), dpi=80, layout="constrained")[1]
    stage = table["stage"] if "stage" in table else pd.Series("", index=table.index)
    steps, begins = _counted_on(table["step"], stage)
    for name in columns:
        look = list(PARTS).index(name)
        ax.plot(steps, table[name], MARKS[look], color=COLOURS[look], label=PARTS[name])
    _chance(ax, chance)
    top = ax.get_ylim()[1] * (1.3 if any(begins) else 1)  # room for the stages' names
    for place, (name, begin) in enumerate(begins.items()):
        if name:
            ax.axvline(begin, color="#909090", lw=0.8)
            at = (begin, 1 - 0.07 * (place % 3))  # at three heights: names are longer than short stages
            ax.annotate(f" {name}", at, xycoords=("data", "axes fraction"), va="top", fontsize=8)
    ax.set(xlabel="training step", ylabel="loss of a stream (nats)", ylim=(0, top))
    ax.legend(frameon=False, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def live_losses(folder: str | Path, chance: float | None = None) -> Callable[[int], None]:
    """A plot that grows while a model trains: pass it as `show` to `training.train`.

    In a running notebook one figure is drawn anew at every logged row; executed without a screen, the last one stays.

    Args:
        folder: of the run, whose log is read each time.
        chance: as for `loss_parts`.

    Returns: a function of the steps done so far.
    Notebook: 04_training.
    """
    from IPython.display import display

    handle = None

    def show(step: int) -> None:
        nonlocal handle
        ax = loss_parts(Path(folder) / "log.csv", chance)
        ax.set_title(f"after {step:,} steps", fontsize=9)
        if handle is None:
            handle = display(ax.figure, display_id=True)
        else:
            handle.update(ax.figure)
        plt.close(ax.figure)

    return show


def _counted_on(step: pd.Series, stage: pd.Series) -> tuple[np.ndarray, dict[str, int]]:
    """Steps that grow over all stages, and where each stage begins."""
    counted, begins = [], {}
    for name, part in step.groupby(stage, sort=False):
        before = counted[-1] if counted else 0
        done = before if part.iloc[0] <= before else 0  # 0: the log counts on by itself
        begins[str(name)] = before
        counted += (part + done).tolist()
    return np.array(counted), begins


def _chance(ax: Axes, chance: float | None) -> None:
    if chance is not None and math.isfinite(chance):
        ax.axhline(chance, color="#909090", lw=1)
        ax.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)


def attention_weights(weights: np.ndarray, ax: Axes | None = None, rows: str = "query", columns: str = "key") -> Axes:
    """Draw who looks at whom: a table of attention weights, each row summing to 1.

    Args:
        weights: [L, M], 0 to 1; M up to 12 shows the numbers too.
        ax: axes to draw on; a new small figure if None.
        rows, columns: what the axes are called.

    Returns: the axes.
    Raises: ValueError if the weights are not [L, M].
    Notebook: 04_training.
    """
    weights = np.asarray(weights, dtype=float)
    if weights.ndim != 2:
        raise ValueError(f"attention weights have shape [L, M], not {list(weights.shape)}: take one head of one clip")
    if ax is None:
        size = (1.6 + 0.35 * weights.shape[1], 0.9 + 0.3 * weights.shape[0])
        ax = plt.subplots(figsize=size, dpi=80, layout="constrained")[1]
    image = ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if weights.shape[1] <= 12:
        for (row, column), weight in np.ndenumerate(weights):
            if weight > 0:
                ink = "white" if weight > 0.6 else "#303030"
                ax.text(column, row, f"{weight:.2f}".lstrip("0"), ha="center", va="center", fontsize=7, color=ink)
    ax.set(xlabel=columns, ylabel=rows, xticks=range(weights.shape[1]), yticks=range(weights.shape[0]))
    ax.figure.colorbar(image, ax=ax, label="weight", fraction=0.05, pad=0.03)
    return ax
