"""Four orders in which codes can be predicted, as grids: flat, parallel, delay and ViSAGe's own.

A grid has a column for each step and a row for each stream; the number in a cell is the code frame, its colour the
codebook. Whatever stands left of a step may be seen when that step is predicted.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from visage_lite.pattern import Pattern

SCHEMES = ("flat", "parallel", "delay", "ViSAGe")
LIT = "#d55e00"  # Okabe-Ito: what is being predicted


def places(scheme: str, channels: int, codebooks: int, frames: int) -> np.ndarray:
    """The step at which each code is predicted.

    Flat takes one code at a time; parallel a whole frame; delay moves codebook k of every channel k steps later.

    Args:
        scheme: one of `SCHEMES`.
        channels: C, of which the first is W.
        codebooks: K, per channel.
        frames: T, code frames.
    Returns: int [T, C * K], from 0.
    Raises: ValueError on another scheme.
    Source: Copet et al. 2023 (arXiv 2306.05284), codebook interleaving patterns; ViSAGe. Notebook: 03_features.
    """
    time, stream = np.arange(frames)[:, None], np.arange(channels * codebooks)[None]
    if scheme == "flat":
        return time * channels * codebooks + stream
    if scheme == "parallel":
        return time + 0 * stream
    if scheme == "delay":
        return time + stream % codebooks
    if scheme == "ViSAGe":
        return 2 * time + Pattern(channels, codebooks).offsets.numpy()
    raise ValueError(f"no scheme {scheme!r}: choose one of {', '.join(SCHEMES)}")


def stream_names(channels: int, codebooks: int) -> list[str]:
    """The streams in order, channel and codebook: W0, W1, ..., Y0, ... Args: channels: C, at most 4. codebooks: K."""
    return [f"{channel}{book}" for channel in "WYZX"[:channels] for book in range(codebooks)]


def pattern_grid(scheme: str, channels: int = 2, codebooks: int = 3, frames: int = 3, step: int | None = None,
                 ax: Axes | None = None) -> Axes:
    """Draw which code is predicted at which step.

    Args:
        scheme: one of `SCHEMES`.
        channels: C, at most 4.
        codebooks: K, per channel.
        frames: T, code frames.
        step: lit: its codes are framed and their heads coloured, and what it may not see is pale; None lights none.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x is the step, y the stream; cells are coloured by codebook and numbered by code frame.
    Raises: ValueError as `places`, or if there is no such step.
    Notebook: 03_features.
    """
    at = places(scheme, channels, codebooks, frames)
    steps, streams = at.max() + 1, channels * codebooks
    if step is not None and not 0 <= step < steps:
        raise ValueError(f"{scheme} has no step {step}: {frames} frames take {steps}")
    ax = ax or plt.subplots(figsize=(0.7 + 0.27 * steps, 0.75 + 0.24 * streams), dpi=80, layout="constrained")[1]
    shades = plt.get_cmap("viridis")(np.linspace(0.2, 0.95, codebooks))
    for frame, stream in np.ndindex(at.shape):
        book, column = stream % codebooks, at[frame, stream]
        now = column == step
        alpha = 1.0 if step is None or column < step or now else 0.18
        ax.add_patch(Rectangle((column, stream), 1, 1, fc=shades[book], ec="white", lw=0.8, alpha=alpha))
        if now:
            ax.add_patch(Rectangle((column + 0.06, stream + 0.06), 0.88, 0.88, fill=False, ec=LIT, lw=2.5, zorder=3))
        ink = "white" if shades[book][:3].mean() < 0.45 else "black"
        ax.text(column + 0.5, stream + 0.53, str(frame), ha="center", va="center", fontsize=8,
                color=ink if alpha == 1 else "#909090")
    for channel in range(1, channels):
        ax.axhline(channel * codebooks, color="#404040", lw=0.8)
    ax.set(xlim=(0, steps), ylim=(streams, 0), xlabel="step", title=f"{scheme}: {steps} steps")
    ax.set_xticks(np.arange(steps) + 0.5, range(steps), fontsize=8)
    ax.set_yticks(np.arange(streams) + 0.5, stream_names(channels, codebooks), fontsize=8)
    if step is not None:
        for stream in np.flatnonzero((at == step).any(0)):
            ax.get_yticklabels()[stream].set(color=LIT, fontweight="bold")
    ax.title.set_fontsize(10)
    ax.tick_params(length=0)
    return ax


def side_by_side(channels: int = 2, codebooks: int = 3, frames: int = 3) -> list[Axes]:
    """Draw all four schemes at one size of cell: flat above, the others beside each other under it.

    Args: as for `pattern_grid`.
    Returns: the axes, in the order of `SCHEMES`, of one new figure.
    Notebook: 03_features.
    """
    widths = [places(scheme, channels, codebooks, frames).max() + 1 for scheme in SCHEMES]
    gap = 2.2  # cells between two grids
    across = max(widths[0], sum(widths[1:]) + 2 * gap)
    tall = channels * codebooks
    figure = plt.figure(figsize=(0.7 + 0.31 * across, 1.1 + 0.26 * (2 * tall + 3)), dpi=80)
    left, top = 0.5 / figure.get_figwidth(), 1 - 0.35 / figure.get_figheight()
    cell_x, cell_y = 0.31 / figure.get_figwidth(), 0.26 / figure.get_figheight()
    lower = top - (2 * tall + 3.5) * cell_y
    axes, x = [], left
    for scheme, width in zip(SCHEMES, widths):
        row = top - tall * cell_y if scheme == "flat" else lower
        axes.append(figure.add_axes((x, row, width * cell_x, tall * cell_y)))
        pattern_grid(scheme, channels, codebooks, frames, ax=axes[-1])
        x = left if scheme == "flat" else x + (width + gap) * cell_x
    return axes


def said(scheme: str, channels: int, codebooks: int, frames: int, step: int) -> str:
    """One step in words: which heads predict a code of which frame, and what they may see of their own frame.

    Args: as for `pattern_grid`.
    Returns: a line of text. Notebook: 03_features.
    """
    at, names = places(scheme, channels, codebooks, frames), np.array(stream_names(channels, codebooks))
    parts = []
    for frame in range(frames):
        now = at[frame] == step
        if now.any():
            seen = ", ".join(names[at[frame] < step]) or "nothing"
            parts.append(f"{', '.join(names[now])} of frame {frame} (seen of this frame: {seen})")
    return f"step {step} predicts " + ("; ".join(parts) or "nothing") + f". Seen in all: {(at < step).sum()} codes."
