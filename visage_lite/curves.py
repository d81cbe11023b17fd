"""Pictures of a model that learns: loss curves and attention weights."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#404040")  # Okabe-Ito: told apart with any colour vision
MARKS = ("-", "--", ":", "-.", "-")


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
    if chance is not None and math.isfinite(chance):
        ax.axhline(chance, color="#909090", lw=1)
        ax.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    ax.set(xlabel="training step", ylabel=f"{column.replace('_', ' ')} (nats)")
    ax.legend(frameon=False, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


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
