"""Plots of a sound field: the gains of a source, the head from above, beams, and maps of several fields at one scale.

Left is drawn on the left, also from above: the nose points up and azimuth runs against the clock.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from visage_lite import ambisonics, plots
from visage_lite.directions import Direction

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#404040")  # Okabe-Ito
SKIN, INK = "#f0e0d0", "#404040"
AZIMUTHS_DEG = (0, 45, 90, 135, 180, -135, -90, -45)


def gains(direction: Direction, ax: Axes | None = None) -> Axes:
    """Draw how much of a source's sound each channel holds.

    Args:
        direction: where the source is.
        ax: axes to draw on; a new small figure if None.
    Returns: the axes; x are the channels W, Y, Z, X, y is the gain, -1 to 1 times the sound.
    Notebook: 02_ambisonics.
    """
    ax = ax or plt.subplots(figsize=(2.6, 2.4), dpi=80, layout="constrained")[1]
    heights = ambisonics.encode(np.ones(1), direction.azimuth, direction.elevation)[:, 0]
    ax.bar(range(4), heights, color=plots.CHANNEL_COLOURS, width=0.7)
    for place, height in enumerate(heights):
        above = height >= 0
        ax.text(place, height + (0.04 if above else -0.04), f"{round(height, 2) + 0.0:.2f}".replace("-", "−"),
                ha="center", va="bottom" if above else "top", fontsize=8)
    ax.axhline(0, color=INK, lw=0.8)
    ax.set(ylim=(-1.35, 1.35), yticks=(-1, -0.5, 0, 0.5, 1), ylabel="gain (times the sound)")
    ax.set_xticks(range(4), ("W", "Y\nleft", "Z\nup", "X\nfront"))
    return ax


def head_from_above(directions: dict[str, Direction], ax: Axes | None = None) -> Axes:
    """Draw a listener's head from above with sources around it: nose up, left ear on the left.

    A source on the horizon lies on the outer ring, one straight above or below in the middle; above is a filled
    mark, below a hollow one.

    Args:
        directions: {label: Direction}.
        ax: polar axes to draw on; a new small figure if None.
    Returns: the axes; the angle is azimuth in degrees, the rings are elevation in degrees.
    Notebook: 02_ambisonics.
    """
    ax = ax or _polar(2.7, 2.7)
    _compass(ax)
    turn = np.linspace(0, 2 * np.pi, 60)
    for ear in (np.pi / 2, -np.pi / 2):
        ax.plot(ear, 0.2, "o", ms=7, mfc=SKIN, mec=INK)
    ax.fill([-0.35, 0, 0.35], [0.17, 0.29, 0.17], fc=SKIN, ec=INK)  # the nose
    ax.fill(turn, np.full(60, 0.19), fc=SKIN, ec=INK)
    for (label, direction), colour in zip(directions.items(), COLOURS * 8):
        radius, low = np.cos(direction.elevation), direction.elevation < 0
        ax.plot(direction.azimuth, radius, "o", ms=10, mfc="white" if low else colour, mec=colour, mew=2, clip_on=False)
        ax.annotate(label, (direction.azimuth, radius), xytext=(0, -13), textcoords="offset points", ha="center",
                    fontsize=8, color=colour)
    ax.set_rgrids((0.5, np.cos(np.pi / 6), 1), ("60°", "30°", "0°"), angle=157, fontsize=7, color="#606060")
    ax.set_rlim(0, 1.02)
    ax.set_xlabel("rings: elevation, up or down", fontsize=7, color="#606060")
    return ax


def beam_patterns(shapes: tuple[str, ...] = tuple(ambisonics.BEAMS), ax: Axes | None = None) -> Axes:
    """Draw the gain of first-order microphones that point to the front, toward every azimuth of the horizon.

    Args:
        shapes: names from `ambisonics.BEAMS`.
        ax: polar axes to draw on; a new small figure if None.
    Returns: the axes; the angle is the source's azimuth in degrees, the radius the gain without its sign; the lobe
        in which the sound comes out upside down is dashed.
    Notebook: 02_ambisonics.
    """
    ax = ax or _polar(5.3, 3.1)
    _compass(ax)
    turn = np.linspace(-np.pi, np.pi, 721)
    circle = ambisonics.encode(np.ones(len(turn)), turn, 0.0)
    for shape, colour in zip(shapes, COLOURS):
        gain = ambisonics.beam(circle, Direction(0.0, 0.0), shape)
        ax.plot(turn, np.where(gain >= 0, gain, np.nan), color=colour, lw=2, label=shape)
        ax.plot(turn, np.where(gain <= 0, -gain, np.nan), color=colour, lw=2, ls=":")
    ax.set_rgrids((0.5, 1), ("", ""))
    ax.set_rlim(0, 1.05)
    ax.set_xlabel("rings: gain 0.5 and 1", fontsize=7, color="#606060")
    ax.legend(loc="center left", bbox_to_anchor=(1.22, 0.5), fontsize=8, frameon=False)
    return ax


def placed_source(direction: Direction) -> list[Axes]:
    """Draw one source in three ways: its gains, its place around the head, and its energy map.

    Args: direction: where the source is.
    Returns: the three axes, of one new figure.
    Notebook: 02_ambisonics.
    """
    figure = plt.figure(figsize=(10, 3), dpi=70, layout="constrained")
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1.35, 2))
    axes = [figure.add_subplot(grid[0]), figure.add_subplot(grid[1], projection="polar"), figure.add_subplot(grid[2])]
    gains(direction, axes[0])
    head_from_above({"": direction}, axes[1])
    source = ambisonics.encode(np.ones(1), direction.azimuth, direction.elevation)
    plots.energy_map(ambisonics.energy_map(source), axes[2], direction)
    height = "above" if direction.elevation > 0 else "below" if direction.elevation < 0 else "on"
    for ax, title in zip(axes, ("gains", f"from the sky; source {height} the horizon", "energy map")):
        ax.set_title(title, fontsize=9)
    return axes


def maps(fields: dict[str, np.ndarray], direction: Direction, columns: int = 2) -> list[Axes]:
    """Draw the energy maps of several fields at one scale.

    Args:
        fields: {label: foa [4, N]}, each drawn under its label.
        direction: where the source really is, marked by a ring; where each map is loudest has a cross.
        columns: maps beside each other.
    Returns: the axes of one new figure, one a field; x is azimuth and y elevation in degrees.
    Raises: ValueError if there are no fields.
    Notebook: 02_ambisonics.
    """
    if not fields:
        raise ValueError("no field to draw: pass {label: foa}")
    levels = {label: ambisonics.energy_map(foa) for label, foa in fields.items()}
    loudest = max(level.max() for level in levels.values())
    rows = -(-len(levels) // columns)
    size = (4.3 * columns, 2.2 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, dpi=68, layout="constrained", squeeze=False)
    for ax, (label, level) in zip(grid.flat, levels.items()):
        plots.energy_map(level, ax, direction).images[-1].set_clim(0, loudest)
        peak = Direction.from_index(*np.unravel_index(level.argmax(), level.shape))
        ax.plot(peak.azimuth_deg, peak.elevation_deg, "x", color="black", ms=8, mew=2)
        ax.set_title(label, fontsize=10)
        ax.set_xlabel("")
    for ax in grid.flat[len(levels):]:
        figure.delaxes(ax)
    return list(grid.flat[: len(levels)])


def _polar(width: float, height: float) -> Axes:
    figure = plt.figure(figsize=(width, height), dpi=80, layout="constrained")
    return figure.add_subplot(projection="polar")


def _compass(ax: Axes) -> None:
    """Azimuth against the clock from the front, which is up; its names around the ring."""
    ax.set_theta_zero_location("N")
    ax.set_theta_direction(1)
    names = {0: "0° front", 90: "90°\nleft", 180: "180° behind", -90: "−90°\nright"}
    labels = [names.get(deg, f"{deg}°".replace("-", "−")) for deg in AZIMUTHS_DEG]
    ax.set_thetagrids([deg % 360 for deg in AZIMUTHS_DEG], labels, fontsize=8)
    ax.grid(color="#d0d0d0", lw=0.6)
