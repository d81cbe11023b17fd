"""Plots of generation and its scores: what guidance does to a code's probabilities, sweeps of its scales, streaming.

What is left is drawn on the left: a code of Y that says "left, loud" stands at the left end of its axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from visage_lite.toy_codec import GAIN_LEVELS, SILENCE

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#404040")  # Okabe-Ito
SIDES = {"Y": ("left", "right"), "Z": ("up", "down"), "X": ("front", "back")}


def signed_gains(probabilities: dict[str, np.ndarray], channel: str = "Y") -> list[Axes]:
    """Draw how probable each first code of Y, Z or X is, in the toy codec: a sign, which is a side, and a gain.

    Args:
        probabilities: {label: [V]}, each drawn in its own row.
        channel: "Y", "Z" or "X", for the names of the sides.
    Returns: the axes of one new figure, one a row; x is loud on the plus side, down to silent, up to loud on the minus
        side; y is the probability.
    Raises: ValueError without probabilities or for another channel.
    Notebook: 05_generation.
    """
    if not probabilities or channel not in SIDES:
        raise ValueError(f"pass {{label: probabilities}} and a channel of {', '.join(SIDES)}, not {channel!r}")
    order = [*range(GAIN_LEVELS - 1, -1, -1), SILENCE, *range(GAIN_LEVELS, SILENCE)]
    count, (plus, minus) = len(probabilities), SIDES[channel]
    figure, grid = plt.subplots(count, 1, figsize=(6.2, 0.4 + 0.75 * count), dpi=72, layout="constrained", sharex=True,
                                sharey=True, squeeze=False)
    colours = [COLOURS[0]] * GAIN_LEVELS + [COLOURS[5]] + [COLOURS[1]] * GAIN_LEVELS
    places = np.arange(len(order)) - GAIN_LEVELS
    for ax, (label, values) in zip(grid[:, 0], probabilities.items()):
        ax.bar(places, np.asarray(values, float)[order], width=1.0, color=colours)
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        ax.axvline(0, color="#b0b0b0", lw=0.6, zorder=0)
    grid[-1, 0].set_xticks((-GAIN_LEVELS, 0, GAIN_LEVELS), (f"{plus}, loud", "silent", f"{minus}, loud"))
    figure.supylabel("probability", fontsize=9)
    return list(grid[:, 0])


def bars(table: pd.DataFrame, unit: str, ax: Axes | None = None) -> Axes:
    """Draw a table as groups of bars: a group for each column, a bar for each row.

    Args:
        table: numbers of one unit. unit: what they are, for the axis.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x are the columns, y the numbers.
    Notebook: 05_generation.
    """
    ax = ax or plt.subplots(figsize=(5.6, 2.5), dpi=72, layout="constrained")[1]
    width = 0.8 / len(table)
    for row, (name, values) in enumerate(table.iterrows()):
        places = np.arange(len(values)) + (row - (len(table) - 1) / 2) * width
        ax.bar(places, values, 0.92 * width, color=COLOURS[row % len(COLOURS)], label=name)
    ax.set_xticks(range(table.shape[1]), table.columns)
    ax.set_ylabel(unit)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax


def sweep(table: pd.DataFrame, along: str, marked: float | None = None) -> list[Axes]:
    """Draw how scores change along one setting, each score on its own axes.

    Args:
        table: a row for each value of the setting, in its index; a column for each score, named with its unit.
        along: what the setting is, for the axis. marked: one value of it, e.g. the preset's, drawn as a grey line.
    Returns: the axes of one new figure, one a score.
    Notebook: 05_generation.
    """
    count = table.shape[1]
    _, grid = plt.subplots(1, count, figsize=(3.0 * count, 2.3), dpi=72, layout="constrained", squeeze=False)
    for place, (ax, name) in enumerate(zip(grid[0], table)):
        if marked is not None:
            ax.axvline(marked, color="#c0c0c0", lw=4)
        ax.plot(table.index, table[name], "o-", color=COLOURS[place % len(COLOURS)])
        ax.set(xlabel=along, ylabel=name, ylim=(0, 1.15 * max(float(table[name].max()), 1e-9)))
        ax.grid(color="#e0e0e0", lw=0.6)
    return list(grid[0])


def two_way_grid(scores: dict[str, pd.DataFrame], better: Sequence[str] = ()) -> list[Axes]:
    """Draw scores over both scales of two-way guidance: darker is better, the number is in the cell.

    Args:
        scores: {name with unit: table}, with the visual scales in its index and the direction scales in its columns.
        better: names of the scores of which more is better; of the others less is.
    Returns: the axes of one new figure, one a score; x is the direction scale, y the visual scale.
    Raises: ValueError without scores.
    Notebook: 05_generation.
    """
    if not scores:
        raise ValueError("nothing to draw: pass {name: table}")
    count = len(scores)
    _, grid = plt.subplots(1, count, figsize=(3.1 * count, 2.7), dpi=72, layout="constrained", squeeze=False)
    for ax, (name, table) in zip(grid[0], scores.items()):
        values = table.to_numpy(float)
        ax.imshow(values, cmap="Blues" if name in better else "Blues_r", aspect="auto", origin="lower")
        dark = np.ptp(values) / 2 + values.min()
        for (row, column), value in np.ndenumerate(values):
            white = (value > dark) == (name in better) and value != dark
            ax.text(column, row, f"{value:.2g}", ha="center", va="center", color="white" if white else "black")
        ax.set_xticks(range(table.shape[1]), [f"{scale:g}" for scale in table.columns])
        ax.set_yticks(range(table.shape[0]), [f"{scale:g}" for scale in table.index])
        ax.set(xlabel="direction scale", ylabel="visual scale")
        ax.set_title(name, fontsize=9)
    return list(grid[0])


def streamed(arrived_s: Sequence[float], lengths_s: Sequence[float], ax: Axes | None = None) -> Axes:
    """Draw how much of a sound is there, and how much has been played if it plays from its first piece on.

    Args:
        arrived_s: seconds after the start at which each piece came. lengths_s: seconds of sound in each.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x is the time since the start, y seconds of sound. Where the stairs are above the line, no piece
        comes too late.
    Raises: ValueError if the two are not as many.
    Notebook: 05_generation.
    """
    if len(arrived_s) != len(lengths_s) or not len(arrived_s):
        raise ValueError(f"{len(arrived_s)} times for {len(lengths_s)} pieces: give one for each")
    ax = ax or plt.subplots(figsize=(5.2, 2.4), dpi=72, layout="constrained")[1]
    there, end = np.cumsum(lengths_s), float(np.sum(lengths_s))
    last = max(float(arrived_s[0]) + end, float(arrived_s[-1]))
    ax.step([0, *arrived_s, last], [0, *there, end], where="post", color=COLOURS[0], label="made")
    ax.plot([arrived_s[0], arrived_s[0] + end], [0, end], "--", color=COLOURS[1], label="played")
    ax.set(xlabel="time since the start (s)", ylabel="sound (s)", xlim=(0, 1.02 * last), ylim=(0, 1.08 * end))
    ax.legend(fontsize=8, loc="lower right")
    return ax


def azimuths(seconds: np.ndarray, lines_deg: dict[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Draw azimuths over time: of a source, of the camera, of the sound.

    Args:
        seconds: [n]. lines_deg: {label: [n]}, degrees, left positive; NaN is left out. The last one is drawn as dots.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x is time, y the azimuth, left is up.
    Notebook: 05_generation.
    """
    ax = ax or plt.subplots(figsize=(5.2, 2.5), dpi=72, layout="constrained")[1]
    for place, (label, degrees) in enumerate(lines_deg.items()):
        style = "o" if place == len(lines_deg) - 1 else ("-", "--", ":")[place % 3]
        ax.plot(seconds, degrees, style, color=COLOURS[(5, 1, 0, 2)[place % 4]], label=label)
    ax.set(xlabel="time (s)", ylabel="azimuth (°), left is up")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax
