"""What a person listens to: labelled players, a head that turns, and the 360 degree player."""

from __future__ import annotations

import base64
import io
import math
import secrets
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from visage_lite import ambisonics, plots
from visage_lite.binaural import binauralise, head_stems
from visage_lite.foa_player import FOAPlayer
from visage_lite.listening import PEAK, Players, data_url, players, wav_bytes

__all__ = ["FOAPlayer", "HeadTurner", "Players", "head_stems", "players", "turn_head", "wav_bytes"]

TURNER = Path(__file__).with_name("turner.html")


def turn_head(foa: np.ndarray, rate: float) -> object:
    """A slider that turns the listener's head, with the picture and the sound that follow it.

    First it displays what needs no slider: the energy map straight ahead, and players for the head turned
    left, straight and right. In an exported page, where no Python runs, the slider is one that the page runs itself.

    Args:
        foa: [4, N] ambisonics.
        rate: samples per second.

    Returns: HeadTurner; a notebook shows it, its `box.children[0]` is the slider in degrees, left positive.
    Raises: ValueError if `foa` is not [4, N].
    Notebook: 00_quickstart.
    """
    from IPython.display import display

    foa = np.asarray(foa, dtype=float)
    if foa.ndim != 2 or foa.shape[0] != 4:
        raise ValueError(f"a head turns inside FOA [4, N], not {list(foa.shape)}")
    turner = HeadTurner(foa, rate)
    places = {"head turned left, 90°": 90, "head straight": 0, "head turned right, −90°": -90}
    turned = {label: binauralise(foa, rate, yaw=math.radians(deg)) for label, deg in places.items()}
    display({"image/png": _head_picture(foa, 0), "text/plain": "energy map, head straight"}, raw=True)
    display(players(turned, rate, gain=turner.gain))
    return turner


class HeadTurner:
    """A head-turning slider: ipywidgets where Python runs (`box`), plain HTML where it does not (`html`)."""

    def __init__(self, foa: np.ndarray, rate: float) -> None:
        import ipywidgets

        self.foa, self.rate, self.stems = foa, rate, head_stems(foa, rate)
        middle, side = self.stems[0], np.hypot(self.stems[1], self.stems[2])
        self.gain = PEAK / (float((np.abs(middle) + side).max(initial=0)) or PEAK)  # peak-safe however the head turns
        slider = ipywidgets.IntSlider(0, -180, 180, 10, description="head (°)", continuous_update=False)
        self.box = ipywidgets.VBox([slider, ipywidgets.Image(format="png"), ipywidgets.HTML()])
        slider.observe(lambda change: self._turn(change["new"]), names="value")
        self._turn(0)

    def _turn(self, yaw_deg: int) -> None:
        yaw = math.radians(yaw_deg)
        self.box.children[1].value = _head_picture(self.foa, yaw)
        self.box.children[2].value = players({f"head at {yaw_deg}°": self.foa}, self.rate, yaw, self.gain).html

    def __str__(self) -> str:
        return "a slider that turns the head: run the cell, or open the page, to use it"

    __repr__ = __str__

    @property
    def html(self) -> str:
        """The slider as HTML that needs no Python: three sounds are mixed as the head turns, the picture slides."""
        name = f"turner{secrets.token_hex(4)}"
        values = {
            "NAME": name, "SOUND": data_url(self.stems, int(self.rate), self.gain),
            "PICTURE": base64.b64encode(_sphere_picture(self.foa)).decode(),
        }
        page = TURNER.read_text(encoding="utf-8")
        for key, value in values.items():
            page = page.replace(f"[{key}]", value)
        return page

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return {**self.box._repr_mimebundle_(), "text/plain": str(self), "text/html": self.html}


def _head_picture(foa: np.ndarray, yaw: float) -> bytes:
    """The energy map around a head turned by yaw, as PNG bytes: the scene turns the other way."""
    ax = plots.energy_map(ambisonics.energy_map(ambisonics.rotate_yaw(foa, -yaw)))
    side = "left" if yaw > 0 else "right"
    turned = f"turned {abs(math.degrees(yaw)):.0f}° to the {side}" if yaw else "straight"
    ax.set_title(f"around the head, {turned}", fontsize=9)
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png")
    plt.close(ax.figure)
    return buffer.getvalue()


def _sphere_picture(foa: np.ndarray) -> bytes:
    """The energy map alone, without axes, as PNG bytes; its left edge is azimuth +180 degrees."""
    buffer = io.BytesIO()
    plt.imsave(buffer, ambisonics.energy_map(foa), cmap="magma", vmin=0, format="png")
    return buffer.getvalue()
