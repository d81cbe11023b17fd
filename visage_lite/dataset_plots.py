"""Pictures of a data set: where its cameras look, what is in it, which clips stand out, how many a video has."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from visage_lite import ambisonics, pictures
from visage_lite.directions import Direction
from visage_lite.scenes import Scene

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe-Ito
INK = "#404040"
STEP_DEG = 2  # the grid on which YT-Ambigen stores its cameras


def contact_sheet(images: dict[str, np.ndarray], columns: int = 6) -> list[Axes]:
    """Draw small pictures in rows, each under its name.

    Args:
        images: {label: uint8 [h, w, 3]}.
        columns: pictures in a row.
    Returns: the axes of one new figure, one a picture.
    Raises: ValueError if there are no pictures.
    Notebook: 01_dataset.
    """
    if not images:
        raise ValueError("no picture to show: pass {label: image}")
    rows = -(-len(images) // columns)
    size = (1.45 * columns, 1.7 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, dpi=64, layout="constrained", squeeze=False)
    for ax, (label, image) in zip(grid.flat, images.items()):
        ax.imshow(image)
        ax.set_title(label, fontsize=10)
    for ax in grid.flat:
        ax.set_axis_off()
    return list(grid.flat[: len(images)])


def scene_maps(scenes: dict[str, Scene], rate: int, frame: int = 0) -> list[Axes]:
    """Draw panoramas of scenes in grey, and over each the energy of its sound, all at one scale.

    Rings are the sources, the cross is where the map is loudest, the outline is what the camera sees.

    Args:
        scenes: {label: Scene}.
        rate: Hz, at which the sound is made.
        frame: which frame of the panorama is shown.
    Returns: the axes of one new figure, one a scene; x is azimuth and y elevation in degrees.
    Raises: ValueError if there are no scenes.
    Notebook: 01_dataset.
    """
    if not scenes:
        raise ValueError("no scene to draw: pass {label: scene}")
    levels = {label: ambisonics.energy_map(scene.foa(rate)) for label, scene in scenes.items()}
    size = (4.4 * len(scenes), 2.6)
    figure, grid = plt.subplots(1, len(scenes), figsize=size, dpi=66, layout="constrained", squeeze=False)
    for ax, (label, scene) in zip(grid.flat, scenes.items()):
        level = levels[label]
        grey = np.repeat(scene.panorama(448, 224)[frame].mean(-1, keepdims=True) / 255, 3, axis=-1)
        pictures.camera_on_panorama(grey, scene.camera, ax=ax).get_legend().remove()
        share = level / (max(each.max() for each in levels.values()) or 1.0)
        extent, alpha = (180, -180, -90, 90), 0.15 + 0.6 * share**1.5
        ax.imshow(share, extent=extent, cmap="magma", vmin=0, vmax=1, aspect="auto", alpha=alpha)
        for source in scene.sources:
            place = Direction.from_vector(source.vectors(frame / scene.video_rate))
            ax.plot(place.azimuth_deg, place.elevation_deg, "o", ms=15, mfc="none", mec=pictures.SOURCE_COLOUR, mew=2.4)
        peak = Direction.from_index(*np.unravel_index(level.argmax(), level.shape))
        ax.plot(peak.azimuth_deg, peak.elevation_deg, "x", color="white", ms=9, mew=2.4)
        ax.set_title(label, fontsize=10)
        ax.set_xlabel("")
    return list(grid.flat)


def camera_directions(table: pd.DataFrame, zoom_deg: float = 14.0) -> list[Axes]:
    """Draw where the cameras of clips look: on the whole sphere, and where they are densest with the grid of 2 degrees.

    Args:
        table: with columns azimuth_deg, elevation_deg and split, as `clips.read_clips` gives it.
        zoom_deg: how far the second picture reaches to each side.
    Returns: the two axes of one new figure; x is azimuth, left on the left, y elevation, in degrees.
    Raises: ValueError if no clip has a direction.
    Notebook: 01_dataset.
    """
    known = table.dropna(subset=["azimuth_deg", "elevation_deg"])
    if known.empty:
        raise ValueError("no clip of the table has a direction: put ambi.json beside the split files")
    near = _densest(known[["azimuth_deg", "elevation_deg"]].to_numpy(float), zoom_deg)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), dpi=70, layout="constrained", width_ratios=(2, 1))
    for ax in axes:
        for (split, part), colour, mark in zip(known.groupby("split", sort=False), COLOURS, "os^Dv"):
            places = part["azimuth_deg"], part["elevation_deg"]
            ax.plot(*places, mark, color=colour, ms=6, label=split, clip_on=ax is axes[1])
    axes[0].set(xlim=(180, -180), ylim=(-90, 90), ylabel="elevation (°)", yticks=(-90, -45, 0, 45, 90))
    axes[0].set_xticks((180, 90, 0, -90, -180), ("180°\nbehind", "90°\nleft", "0°\nfront", "−90°\nright", "behind"))
    axes[0].grid(color="#e0e0e0", lw=0.6)
    axes[0].legend(fontsize=8, loc="lower left")
    corner = near - zoom_deg
    axes[0].add_patch(Rectangle(corner, 2 * zoom_deg, 2 * zoom_deg, fill=False, ec=INK, lw=1, ls="--"))
    axes[1].set_xticks(np.arange(-180, 181, STEP_DEG), minor=True)  # the edges of the cells
    axes[1].set_yticks(np.arange(-90, 91, STEP_DEG), minor=True)
    axes[1].grid(which="minor", color="#c8c8c8", lw=0.6)
    axes[1].set(xlim=(near[0] + zoom_deg, near[0] - zoom_deg), ylim=(near[1] - zoom_deg, near[1] + zoom_deg),
                xlabel="azimuth (°)", ylabel="elevation (°)", aspect="equal")
    axes[0].set_title(f"{len(known)} cameras on the sphere", fontsize=10)
    axes[1].set_title("the dashed square: cells of 2°", fontsize=10)
    return list(axes)


def _densest(places: np.ndarray, reach: float) -> np.ndarray:
    """The place of [P, 2] with most others within `reach` in both coordinates, held off the edges of the sphere."""
    near = np.all(np.abs(places[:, None] - places[None]) <= reach, axis=-1).sum(1)
    return np.clip(places[near.argmax()], (reach - 180, reach - 90), (180 - reach, 90 - reach))


def number_scatter(
    numbers: pd.DataFrame, pairs: list[tuple[str, str]], limits: dict[str, float], marked: dict[str, str] | None = None,
) -> list[Axes]:
    """Draw every clip as a dot, once for each pair of its numbers, with the limits that divide good from bad.

    Args:
        numbers: a row a clip, indexed by its name, a column a number.
        pairs: [(column on x, column on y)], one picture each.
        limits: {column: limit}, drawn as a dashed line.
        marked: {clip: what it is}, drawn in colour and named; the others are grey.
    Returns: the axes of one new figure, one a pair.
    Raises: ValueError if there are no pairs, or numbers has no such column.
    Notebook: 01_dataset.
    """
    wanted = {name for pair in pairs for name in pair}
    if not pairs or not wanted <= set(numbers.columns):
        raise ValueError(f"pairs name columns of numbers ({', '.join(numbers.columns)}), not {pairs}")
    marked = marked or {}
    plain = numbers[~numbers.index.isin(list(marked))]
    size = (3.2 * len(pairs), 2.9)
    figure, grid = plt.subplots(1, len(pairs), figsize=size, dpi=72, layout="constrained", squeeze=False)
    for ax, (across, up) in zip(grid.flat, pairs):
        ax.plot(plain[across], plain[up], "o", color="#909090", ms=5, alpha=0.7, label="the others")
        for (clip, what), colour, mark in zip(marked.items(), COLOURS * 8, "sD^vPX*" * 8):
            ax.plot(numbers.loc[clip, across], numbers.loc[clip, up], mark, color=colour, ms=9, label=what)
        if across in limits:
            ax.axvline(limits[across], color=INK, lw=1, ls="--")
        if up in limits:
            ax.axhline(limits[up], color=INK, lw=1, ls="--")
        ax.set(xlabel=across, ylabel=up)
        ax.margins(0.08)
    handles = grid[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return list(grid.flat)


def clips_of_videos(table: pd.DataFrame, top: float = 0.1) -> list[Axes]:
    """Draw how unevenly clips are spread over videos.

    Args:
        table: a row a clip, with column video_id.
        top: the share of videos, those with most clips, that is named in the second picture.
    Returns: the two axes of one new figure: videos by their number of clips, and the share of all clips that the
        videos with most clips hold, both between 0 and 100 %.
    Raises: ValueError if the table is empty.
    Notebook: 01_dataset.
    """
    if table.empty:
        raise ValueError("no clips: the table is empty")
    counts = table["video_id"].value_counts().to_numpy()  # the largest first
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 2.7), dpi=72, layout="constrained")
    axes[0].hist(counts, bins=_whole_steps(counts.max()), color=COLOURS[0])
    middle, top_y = float(np.median(counts)), 1.2 * axes[0].get_ylim()[1]
    axes[0].axvline(middle, color=COLOURS[1], lw=1.6)
    axes[0].text(middle * 1.15, top_y * 0.92, f"median {middle:g}", color=COLOURS[1], fontsize=9)
    axes[0].annotate(f"one video: {counts.max():,}", (counts.max(), 1), xytext=(0, 60), textcoords="offset points",
                     ha="right", fontsize=9, color=INK, arrowprops={"arrowstyle": "->", "color": INK})
    axes[0].set(xscale="log", ylim=(0, top_y), xlabel="clips of a video (log scale)", ylabel="videos")
    videos = np.arange(len(counts) + 1) / len(counts)
    held = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    axes[1].plot(100 * videos, 100 * held, color=COLOURS[0], lw=2)
    axes[1].plot([0, 100], [0, 100], color="#b0b0b0", lw=1, ls="--")
    share = float(np.interp(top, videos, held))
    axes[1].plot(100 * top, 100 * share, "o", color=COLOURS[1])
    axes[1].annotate(f"{top:.0%} of the videos\nhold {share:.0%} of the clips", (100 * top, 100 * share),
                     xytext=(42, 10), fontsize=9, color=COLOURS[1],
                     arrowprops={"arrowstyle": "->", "color": COLOURS[1]})
    axes[1].set(xlim=(0, 100), ylim=(0, 102), xlabel="videos, those with most clips first (%)", ylabel="clips (%)")
    return list(axes)


def _whole_steps(most: int) -> np.ndarray:
    """Edges of bins that grow by about a quarter, between whole numbers, so that no bin lies between two of them."""
    return np.unique(np.geomspace(1, most + 1, 32).round()) - 0.5
