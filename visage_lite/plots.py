"""What a person looks at: small, colour-blind-safe pictures with units on their axes.

Every plot takes `ax=None`, makes its own small figure then, and returns the axes it drew on. Azimuth runs as
the eye sees it: +180 degrees on the left edge, front in the middle, so a sound on the left is drawn on the left.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from visage_lite.directions import Direction
from visage_lite.pattern import Pattern

CHANNEL_NAMES = ("W all around", "Y left − right", "Z up − down", "X front − back")
CHANNEL_COLOURS = ("#404040", "#0072b2", "#009e73", "#d55e00")  # Okabe-Ito: told apart with any colour vision
STAGES = {
    "01": "silent video\n+ sound field", "02": "direction\n+ ambisonics", "03": "features\n+ codes",
    "04": "encoder–\ndecoder", "05": "guided\nsampling", "06": "evaluation",
}


def _axes(ax: Axes | None, width: float, height: float, layout: str = "constrained") -> Axes:
    if ax is not None:
        return ax
    return plt.subplots(figsize=(width, height), dpi=80, layout=layout)[1]


def energy_map(
    levels: np.ndarray, ax: Axes | None = None, direction: Direction | None = None, panorama: np.ndarray | None = None,
) -> Axes:
    """Draw the sound energy of the whole sphere as a panorama, left on the left.

    Args:
        levels: [H, W] energy (RMS), row 0 towards the zenith, column 0 next to azimuth +180 degrees, values at the
            cells' centres, as `ambisonics.energy_map` returns it.
        ax: axes to draw on; a new small figure if None.
        direction: marked by a ring, e.g. the camera's or the true direction.
        panorama: uint8 [h, w, 3], shown in grey under the energy.

    Returns: the axes; x is azimuth in degrees, y elevation in degrees.
    Raises: ValueError if `levels` is not [H, W].
    Notebook: 02_ambisonics.
    """
    levels = np.asarray(levels, dtype=float)
    if levels.ndim != 2:
        raise ValueError(f"an energy map has shape [H, W], not {list(levels.shape)}")
    ax = _axes(ax, 5.2, 2.6)
    extent = (180, -180, -90, 90)  # the cells fill the sphere, each around its centre
    if panorama is not None:
        grey = np.asarray(panorama).mean(axis=-1)
        ax.imshow(grey, extent=extent, cmap="gray", vmin=0, vmax=255, aspect="auto")
    alpha = None if panorama is None else _see_through(levels)
    image = ax.imshow(levels, extent=extent, cmap="magma", vmin=0, aspect="auto", alpha=alpha)
    if direction is not None:
        ax.plot(direction.azimuth_deg, direction.elevation_deg, "o", ms=12, mfc="none", mec="#56b4e9", mew=2.2)
    ax.set(xlim=(180, -180), ylim=(-90, 90), xlabel="azimuth", ylabel="elevation (°)", yticks=(-90, -45, 0, 45, 90))
    ax.set_xticks((180, 90, 0, -90, -180), ("180°\nbehind", "90°\nleft", "0°\nfront", "−90°\nright", "−180°\nbehind"))
    ax.figure.colorbar(image, ax=ax, label="energy (RMS)", fraction=0.04, pad=0.02)
    return ax


def energy_over_view(
    frame: np.ndarray, energy: np.ndarray, camera: Direction | None = None, fov_deg: float = 90, ax: Axes | None = None,
) -> Axes:
    """Lay energy over what the camera sees.

    Args:
        frame: uint8 [h, w, 3], one frame of the view.
        energy: [49] or [7, 7], the patch energy map of this frame; or [H, W], the sound's energy map of the
            whole sphere, of which the part in view is shown (then `camera` is needed).
        camera: where the camera looks, for a map of the sphere.
        fov_deg: the camera's field of view in degrees.
        ax: axes to draw on; a new small figure if None.

    Returns: the axes; x and y are pixels of the frame.
    Raises: ValueError on another shape, or if a map of the sphere comes without `camera`.
    Notebook: 03_features.
    """
    frame, energy = np.asarray(frame), np.asarray(energy, dtype=float)
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"a frame has shape [h, w, 3], not {list(frame.shape)}")
    height, width = frame.shape[:2]
    if energy.size == 49:
        energy, smooth = energy.reshape(7, 7), "nearest"
    elif energy.ndim == 2 and camera is not None:
        energy, smooth = _in_view(energy, camera, fov_deg, width), "bilinear"
    else:
        raise ValueError(f"energy is [49], or [H, W] together with camera=Direction(...), not {list(energy.shape)}")
    ax = _axes(ax, 3.9, 3.0, layout="compressed")  # the picture is square, and "constrained" would cut a label
    extent = (0, width, height, 0)
    ax.imshow(frame, extent=extent)
    image = ax.imshow(energy, extent=extent, cmap="viridis", vmin=0, interpolation=smooth, alpha=_see_through(energy))
    ax.set(xlabel="column (pixels)", xticks=(0, width // 2, width))
    ax.set(ylabel="row (pixels)", yticks=(0, height // 2, height))
    ax.figure.colorbar(image, ax=ax, label="energy", fraction=0.046, pad=0.03)
    return ax


def _see_through(levels: np.ndarray) -> np.ndarray:
    """How much each place covers the picture under it: what is loud covers it, what is quiet lets it through."""
    return 0.1 + 0.65 * (levels / (levels.max() or 1.0)) ** 3


def _in_view(levels: np.ndarray, camera: Direction, fov_deg: float, size: int) -> np.ndarray:
    from visage_lite.panorama import crop

    peak = levels.max() or 1.0
    grey = np.repeat(np.uint8(255 * levels / peak)[..., None], 3, axis=-1)  # [H, W, 3]
    return crop(grey, camera, fov_deg=fov_deg, size=size)[..., 0] * (peak / 255)


def waveforms(foa: np.ndarray, rate: float, ax: Axes | None = None) -> Axes:
    """Draw the channels of a sound under each other, all at one scale.

    Args:
        foa: [4, N] ambisonics, or any [C, N].
        rate: samples per second.
        ax: axes to draw on; a new small figure if None.

    Returns: the axes; x is time in seconds, each channel is named on y.
    Raises: ValueError if `foa` is not [C, N].
    Notebook: 01_dataset.
    """
    foa = np.asarray(foa, dtype=float)
    if foa.ndim != 2:
        raise ValueError(f"sound has shape [channels, samples], not {list(foa.shape)}")
    count, samples = foa.shape
    ax = _axes(ax, 5.6, 0.5 + 0.6 * count)
    peak = np.abs(foa).max(initial=0) or 1.0
    block = max(1, samples // 1200)  # one vertical line for each block's lowest and highest sample
    usable = samples // block * block
    blocks = foa[:, :usable].reshape(count, -1, block) / (2.1 * peak)  # [C, N/block, block]
    seconds = np.arange(usable // block) * block / rate
    names = CHANNEL_NAMES if count == 4 else ("left", "right") if count == 2 else [str(c) for c in range(count)]
    for channel, (low, high) in enumerate(zip(blocks.min(-1), blocks.max(-1))):
        colour = CHANNEL_COLOURS[channel % 4]
        ax.fill_between(seconds, high - channel, low - channel, color=colour, linewidth=0.6, edgecolor=colour)
    ax.set(xlim=(0, samples / rate), ylim=(0.6 - count, 0.6), xlabel="time (s)")
    ax.set_yticks(-np.arange(count), names)
    ax.set_title(f"all channels at one scale, peak {peak:.2g}", fontsize=9)
    return ax


def spectrogram(signal: np.ndarray, rate: float, ax: Axes | None = None) -> Axes:
    """Draw how loud each frequency is over time.

    Args:
        signal: [N], one channel.
        rate: samples per second.
        ax: axes to draw on; a new small figure if None.

    Returns: the axes; x is seconds, y kilohertz, colour decibels under the loudest point.
    Raises: ValueError if `signal` is not [N].
    Notebook: 01_dataset.
    """
    signal = np.asarray(signal, dtype=float)
    if signal.ndim != 1:
        raise ValueError(f"a spectrogram is of one channel [N], not {list(signal.shape)}: choose one, e.g. foa[0]")
    ax = _axes(ax, 5.2, 2.4)
    size = 512
    padded = np.pad(signal, (0, max(0, size - len(signal))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2] * np.hanning(size)
    power = np.abs(np.fft.rfft(windows)).T ** 2  # [frequencies, windows]
    level_db = 10 * np.log10(power / (power.max() or 1.0) + 1e-8)
    extent = (0, len(padded) / rate, 0, rate / 2000)
    image = ax.imshow(level_db, origin="lower", extent=extent, aspect="auto", cmap="magma", vmin=-80, vmax=0)
    ax.set(xlabel="time (s)", ylabel="frequency (kHz)")
    ax.figure.colorbar(image, ax=ax, label="level (dB)", fraction=0.04, pad=0.02)
    return ax


def frame_strip(frames: np.ndarray, rate: float, count: int = 5, ax: Axes | None = None) -> Axes:
    """Draw a few frames of a video side by side, with their times.

    Args:
        frames: uint8 [F, h, w, 3].
        rate: frames per second.
        count: how many frames, evenly spaced.
        ax: axes to draw on; a new small figure if None.

    Returns: the axes; x is time in seconds.
    Raises: ValueError if `frames` is not [F, h, w, 3].
    Notebook: 01_dataset.
    """
    frames = np.asarray(frames)
    if frames.ndim != 4 or len(frames) == 0:
        raise ValueError(f"frames have shape [F, h, w, 3] with F > 0, not {list(frames.shape)}")
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    width = frames.shape[2]
    ax = _axes(ax, 1.6 * len(chosen), 0.5 + 1.6 * frames.shape[1] / width)
    ax.imshow(np.concatenate(frames[chosen], axis=1))
    ax.set(xlabel="time (s)", yticks=())
    ax.set_xticks((np.arange(len(chosen)) + 0.5) * width, [f"{f / rate:.2f}" for f in chosen])
    return ax


def code_grid(codes: Pattern | np.ndarray, ax: Axes | None = None, pad_id: int | None = None, steps: int = 9) -> Axes:
    """Draw which code stream speaks at which step of the pattern.

    Args:
        codes: a Pattern, whose places are coloured by the code frame they carry; or ids [S, Q] as
            `Pattern.build` makes them for one clip, coloured by their value.
        ax: axes to draw on; a new small figure if None.
        pad_id: the id that means "nothing here" in ids; drawn white. Without it no place is empty.
        steps: how many steps, from the first, to draw.

    Returns: the axes; x is the pattern step, y the stream (channel and codebook).
    Raises: ValueError if ids are not [S, Q].
    Notebook: 03_features.
    """
    if isinstance(codes, Pattern):
        frames = (np.arange(steps)[:, None] - np.asarray(codes.offsets)[None, :]) / 2  # [S, Q]
        shown = np.where((frames % 1 == 0) & (frames >= 0), frames, np.nan)
        label, channels, books = "code frame t", codes.channels, codes.codebooks
    else:
        ids = np.asarray(codes)
        if ids.ndim != 2:
            raise ValueError(f"ids of one clip have shape [S, Q], not {list(ids.shape)}: take one, e.g. ids[0]")
        shown = np.where(ids[:steps] == pad_id, np.nan, ids[:steps].astype(float))
        label, channels = "code", 4 if ids.shape[1] % 4 == 0 else 1
        books = ids.shape[1] // channels
    ax = _axes(ax, 1.6 + 0.45 * len(shown), 1.0 + 0.09 * shown.shape[1])
    image = ax.pcolormesh(shown.T, cmap="viridis", edgecolors="white", linewidth=0.6)
    for channel in range(1, channels):
        ax.axhline(channel * books, color="#404040", linewidth=1)
    names = ["W", "Y", "Z", "X"][:channels] if channels > 1 else ["mono"]
    ax.set_yticks((np.arange(channels) + 0.5) * books, names)
    ax.set(xlabel="pattern step", ylabel=f"channel, {books} codebooks each", ylim=(shown.shape[1], 0))
    ax.set_xticks(np.arange(len(shown)) + 0.5, np.arange(len(shown)))
    ax.figure.colorbar(image, ax=ax, label=label, fraction=0.05, pad=0.02, ticks=MaxNLocator(integer=True))
    return ax


def sphere_axes(directions: dict[str, Direction] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the sphere around the listener: +X front, +Y left, +Z up, and labelled directions on it.

    Args:
        directions: {label: Direction}, each drawn as an arrow from the centre.
        ax: three-dimensional axes; a new small figure if None.

    Returns: the axes; lengths are relative to the unit sphere.
    Notebook: 02_ambisonics.
    """
    if ax is None:
        figure = plt.figure(figsize=(4.2, 3.8), dpi=80, layout="constrained")
        ax = figure.add_subplot(projection="3d")
    turn = np.linspace(0, 2 * np.pi, 73)
    for height_deg in (-60, -30, 0, 30, 60):
        radius, height = np.cos(np.deg2rad(height_deg)), np.sin(np.deg2rad(height_deg))
        ax.plot(radius * np.cos(turn), radius * np.sin(turn), height, color="#c0c0c0", lw=0.5 if height_deg else 1.2)
    for yaw in np.deg2rad((0, 45, 90, 135)):
        ax.plot(np.cos(turn) * np.cos(yaw), np.cos(turn) * np.sin(yaw), np.sin(turn), color="#c0c0c0", lw=0.5)
    named = {"X front": (1, 0, 0), "Y left": (0, 1, 0), "Z up": (0, 0, 1)}
    for (label, end), colour in zip(named.items(), (CHANNEL_COLOURS[3], CHANNEL_COLOURS[1], CHANNEL_COLOURS[2])):
        ax.quiver(0, 0, 0, *end, color=colour, arrow_length_ratio=0.1, lw=2)
        ax.text(*(1.2 * np.array(end)), label, color=colour, ha="center", fontsize=9)
    for (label, direction), colour in zip((directions or {}).items(), ("#cc79a7", "#e69f00", "#56b4e9", "#000000") * 8):
        end = direction.to_vector()
        ax.quiver(0, 0, 0, *end, color=colour, arrow_length_ratio=0.12, lw=2.2)
        ax.text(*(1.15 * end), label, color=colour, ha="center", fontsize=9)
    ax.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1), box_aspect=(1, 1, 1))
    ax.view_init(elev=22, azim=-155)  # from behind and above: left is on the left
    ax.set_axis_off()
    return ax


def pipeline(highlight: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the whole system as a row of boxes, numbered like the notebooks, with one of them lit.

    Args:
        highlight: "01" … "06", the box to light; None or "00" lights none.
        ax: axes to draw on; a new small figure if None.

    Returns: the axes.
    Raises: ValueError if there is no such box.
    Notebook: all.
    """
    if highlight not in (None, "00", *STAGES):
        raise ValueError(f"no stage {highlight!r}: choose one of {', '.join(STAGES)}")
    ax = _axes(ax, 7.6, 1.25)
    for place, (number, label) in enumerate(STAGES.items()):
        lit = number == highlight
        face, edge, ink = ("#0072b2", "#0072b2", "white") if lit else ("#f2f2f2", "#b0b0b0", "#303030")
        box = FancyBboxPatch((place * 1.3, 0), 1, 0.8, boxstyle="round,pad=0.02,rounding_size=0.1", fc=face, ec=edge)
        ax.add_patch(box)
        ax.text(place * 1.3 + 0.5, 0.34, label, ha="center", va="center", fontsize=9, color=ink)
        ax.text(place * 1.3 + 0.5, 0.69, number, ha="center", va="center", fontsize=8, color=ink, fontweight="bold")
        if place:
            arrow = {"arrowstyle": "-|>", "color": "#808080"}
            ax.annotate("", (place * 1.3 - 0.03, 0.4), (place * 1.3 - 0.27, 0.4), arrowprops=arrow)
    ax.set(xlim=(-0.05, 1.3 * len(STAGES) - 0.22), ylim=(-0.05, 0.87))
    ax.set_axis_off()
    return ax
