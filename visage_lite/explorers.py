"""Things to try with sliders: a source placed by hand, a code pattern step by step, guidance with two knobs."""

from __future__ import annotations

import io
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np

from visage_lite import ambisonics, field_plots, pattern_plots, plots
from visage_lite.directions import Direction
from visage_lite.player import players

START_DEG = (60, 20)
SCALES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # of guidance; knobs start at 1


def place_source(signal: np.ndarray, rate: float) -> SourcePlacer:
    """Two sliders that place a source, with its gains, its place around the head, its map and its sound.

    First it displays what needs no slider: the pictures and the sound of a source at azimuth 60 and elevation 20.

    Args:
        signal: [N], what the source sounds like.
        rate: samples per second.
    Returns: SourcePlacer; a notebook shows it. `azimuth` and `elevation` are its sliders, in degrees.
    Raises: ValueError if `signal` is not [N].
    Notebook: 02_ambisonics.
    """
    from IPython.display import display

    placer = SourcePlacer(signal, rate)
    azimuth_deg, elevation_deg = START_DEG
    label = f"source at azimuth {azimuth_deg}°, elevation {elevation_deg}°"
    display({"image/png": bytes(placer.picture.value), "text/plain": label}, raw=True)
    display(players({label: placer.field()}, rate, gain=placer.gain))
    return placer


class SourcePlacer:
    """Sliders for azimuth (its left end is left) and elevation, and under them a picture and a player."""

    def __init__(self, signal: np.ndarray, rate: float) -> None:
        import ipywidgets

        self.signal, self.rate = np.asarray(signal, dtype=float), rate
        # An ear is loudest when the source is straight beside it, so this gain is safe wherever the source goes.
        self.gain = players({"left": ambisonics.encode(self.signal, np.pi / 2, 0.0)}, rate).gain
        around = [(f"{deg}°".replace("-", "−"), deg) for deg in range(180, -181, -10)]
        self.azimuth = ipywidgets.SelectionSlider(options=around, value=START_DEG[0], description="azimuth",
                                                  continuous_update=False)
        self.elevation = ipywidgets.IntSlider(START_DEG[1], -90, 90, 10, description="elevation (°)",
                                              continuous_update=False)
        self.picture, self.sound = ipywidgets.Image(format="png"), ipywidgets.HTML()
        sliders = ipywidgets.HBox([self.azimuth, self.elevation])
        self.box = ipywidgets.VBox([sliders, self.picture, self.sound])
        for slider in (self.azimuth, self.elevation):
            slider.observe(lambda change: self._show(), names="value")
        self._show()

    @property
    def direction(self) -> Direction:
        """Where the sliders put the source."""
        return Direction.from_degrees(self.azimuth.value, self.elevation.value)

    def field(self) -> np.ndarray:
        """The sound field of the source where it is now: [4, N]."""
        return ambisonics.encode(self.signal, self.direction.azimuth, self.direction.elevation)

    def _show(self) -> None:
        label = f"azimuth {self.azimuth.value}°, elevation {self.elevation.value}°".replace("-", "−")
        self.picture.value = _png(field_plots.placed_source(self.direction)[0])
        self.sound.value = players({label: self.field()}, self.rate, gain=self.gain).html

    def __str__(self) -> str:
        return "two sliders that place the source: run the cell to use them"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return {**self.box._repr_mimebundle_(), "text/plain": str(self)}


def step_through(channels: int = 4, codebooks: int = 3, frames: int = 4) -> PatternStepper:
    """A code pattern step by step: which heads predict, and what they may see.

    First it displays what needs no slider: the fifth step of ViSAGe's pattern.

    Args: channels: C, at most 4. codebooks: K. frames: T, code frames.
    Returns: PatternStepper; a notebook shows it. `scheme` and `step` are its controls, `line` what a step is in words.
    Notebook: 03_features.
    """
    from IPython.display import display

    stepper = PatternStepper(channels, codebooks, frames)
    display({"image/png": bytes(stepper.picture.value), "text/plain": stepper.line.value}, raw=True)
    return stepper


class PatternStepper:
    """Buttons for the pattern and a slider for the step, and under them the grid and the step in words."""

    def __init__(self, channels: int = 4, codebooks: int = 3, frames: int = 4) -> None:
        import ipywidgets

        self.sizes = channels, codebooks, frames
        self.scheme = ipywidgets.ToggleButtons(options=pattern_plots.SCHEMES[::-1], value="ViSAGe")
        self.step = ipywidgets.IntSlider(4, 0, self._last(), description="step")
        self.picture, self.line = ipywidgets.Image(format="png"), ipywidgets.Label()
        self.box = ipywidgets.VBox([self.scheme, self.step, self.picture, self.line])
        self.scheme.observe(lambda change: self._choose(), names="value")
        self.step.observe(lambda change: self._show(), names="value")
        self._show()

    def _last(self) -> int:
        return int(pattern_plots.places(self.scheme.value, *self.sizes).max())

    def _choose(self) -> None:
        self.step.max = self._last()  # moves the slider back if it stood further on
        self._show()

    def _show(self) -> None:
        self.picture.value = _png(pattern_plots.pattern_grid(self.scheme.value, *self.sizes, step=self.step.value))
        self.line.value = pattern_plots.said(self.scheme.value, *self.sizes, step=self.step.value)

    def __str__(self) -> str:
        return "buttons and a slider that step through the pattern: run the cell to use them"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return {**self.box._repr_mimebundle_(), "text/plain": str(self)}


def two_knobs(make: Callable[[float, float], np.ndarray], rate: int, truth: Direction) -> TwoKnobs:
    """Two knobs for two-way guidance, with the map and the sound of what is generated at their scales.

    First it displays what needs no slider: the map and the sound with both scales at 1.

    Args:
        make: generates the sound field [4, N] for a visual and a direction scale; called once for each pair.
        rate: samples per second.
        truth: where the source really is, marked by a ring.
    Returns: TwoKnobs; a notebook shows it. `visual` and `direction` are its knobs.
    Notebook: 05_generation.
    """
    from IPython.display import display

    knobs = TwoKnobs(make, rate, truth)
    display({"image/png": bytes(knobs.picture.value), "text/plain": knobs.label}, raw=True)
    display(players({knobs.label: knobs.field()}, rate, gain=knobs.gain))
    return knobs


class TwoKnobs:
    """Sliders for the visual and the direction scale, and under them a picture and a player."""

    def __init__(self, make: Callable[[float, float], np.ndarray], rate: int, truth: Direction) -> None:
        import ipywidgets

        self.make, self.rate, self.truth = make, rate, truth
        self.made: dict[tuple[float, float], np.ndarray] = {}
        options = [(f"{scale:g}", scale) for scale in SCALES]
        self.visual, self.direction = (
            ipywidgets.SelectionSlider(options=options, value=1.0, description=name, continuous_update=False)
            for name in ("visual", "direction")
        )
        self.picture, self.sound = ipywidgets.Image(format="png"), ipywidgets.HTML()
        self.box = ipywidgets.VBox([ipywidgets.HBox([self.visual, self.direction]), self.picture, self.sound])
        self.gain = players({"start": self.field()}, rate).gain / 2  # 6 dB of room for what is louder elsewhere
        for knob in (self.visual, self.direction):
            knob.observe(lambda change: self._show(), names="value")
        self._show()

    @property
    def label(self) -> str:
        """The scales that the knobs are at, in words."""
        return f"visual scale {self.visual.value:g}, direction scale {self.direction.value:g}"

    def field(self) -> np.ndarray:
        """The sound field at the knobs' scales: [4, N]."""
        scales = self.visual.value, self.direction.value
        if scales not in self.made:
            self.made[scales] = self.make(*scales)
        return self.made[scales]

    def _show(self) -> None:
        field = self.field()
        ax = plots.energy_map(ambisonics.energy_map(field), direction=self.truth)
        ax.set_title(self.label, fontsize=9)
        self.picture.value = _png(ax)
        self.sound.value = players({self.label: field}, self.rate, gain=self.gain).html

    def __str__(self) -> str:
        return "two knobs that guide the model: run the cell to use them"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return {**self.box._repr_mimebundle_(), "text/plain": str(self)}


def _png(ax: plt.Axes) -> bytes:
    """The figure of some axes as a picture; the figure is closed."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png")
    plt.close(ax.figure)
    return buffer.getvalue()
