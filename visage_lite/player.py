"""What a person listens to: labelled players at one common gain, and a head that turns."""

from __future__ import annotations

import base64
import io
import math
import secrets
import wave
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from visage_lite import ambisonics, plots
from visage_lite.binaural import binauralise

LONGEST_S = 60.0  # a longer sound inside a page makes it heavy enough to stall a browser
PEAK = 10 ** (-1 / 20)  # the loudest sample of a set of players, 1 dB under full scale
TURNER = Path(__file__).with_name("turner.html")


class Players:
    """Labelled players, ready to display in a notebook or to write into a page.

    `html` is the page's text with every sound inside it; `str()` is one line that says what there was to hear.
    """

    def __init__(self, sounds: dict[str, np.ndarray], rate: int, gain: float) -> None:
        self.sounds, self.rate, self.gain = sounds, rate, gain

    def __str__(self) -> str:
        return f"players at one gain ({20 * math.log10(self.gain):+.1f} dB): {' · '.join(self.sounds)}"

    __repr__ = __str__

    @property
    def html(self) -> str:
        """The players as HTML: one `<audio>` a sound, 16-bit PCM WAV inside, nothing to load."""
        rows = "".join(
            f'<figure style="margin:0 1em .6em 0;display:inline-block"><figcaption>{escape(label)}</figcaption>'
            f'<audio controls preload="auto" src="{_data_url(sound, self.rate, self.gain)}"></audio></figure>'
            for label, sound in self.sounds.items()
        )
        return f'<div class="players">{rows}</div>'

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html}


def players(sounds: dict[str, np.ndarray], rate: float, yaw: float = 0.0, gain: float | None = None) -> Players:
    """Labelled players for several sounds at one common gain: what is louder here is louder there.

    Args:
        sounds: {label: sound}; a sound is FOA [4, N] (made binaural for headphones), stereo [2, N] or mono [N].
        rate: samples per second.
        yaw: the listener's head turn in radians, left positive; acts on FOA only.
        gain: applied to every sound; None brings the loudest sample of all of them to −1 dB. Pass an earlier
            `players(...).gain` to compare across cells.

    Returns: Players; a notebook shows it, `.html` is its page.
    Raises: ValueError on no sounds, another shape, numbers that are not finite, or over 60 s.
    Notebook: all.
    """
    if not sounds:
        raise ValueError("nothing to play: pass {label: sound}")
    heard = {label: _heard(sound, rate, yaw, label) for label, sound in sounds.items()}
    loudest = max(float(np.abs(sound).max(initial=0)) for sound in heard.values())
    if gain is None:
        gain = PEAK / loudest if loudest > 0 else 1.0
    return Players(heard, int(rate), float(gain))


def _heard(sound: np.ndarray, rate: float, yaw: float, label: str) -> np.ndarray:
    """The sound as it reaches the headphones: [2, N] or [1, N], float."""
    sound = np.asarray(sound, dtype=float)
    sound = sound[None] if sound.ndim == 1 else sound
    if sound.ndim != 2 or sound.shape[0] not in (1, 2, 4):
        raise ValueError(f"{label}: a sound is FOA [4, N], stereo [2, N] or mono [N], not {list(sound.shape)}")
    if not np.isfinite(sound).all():
        raise ValueError(f"{label}: the sound holds numbers that are not finite")
    if sound.shape[1] > LONGEST_S * rate:
        raise ValueError(f"{label}: {sound.shape[1] / rate:.0f} s is too long for a page: cut it to {LONGEST_S:.0f} s")
    if sound.shape[0] == 4:
        sound = np.asarray(binauralise(sound, rate, yaw=yaw), dtype=float)
    return sound


def wav_bytes(sound: np.ndarray, rate: int, gain: float = 1.0) -> bytes:
    """A 16-bit PCM WAV file as bytes.

    Args:
        sound: [C, N] floats; after the gain, what is over full scale is held at it.
        rate: samples per second.
        gain: multiplies the sound.

    Returns: the file's bytes.
    """
    pcm = np.round(np.clip(np.asarray(sound) * gain, -1, 1) * 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(pcm.shape[0])
        file.setsampwidth(2)
        file.setframerate(int(rate))
        file.writeframes(pcm.T.tobytes())
    return buffer.getvalue()


def _data_url(sound: np.ndarray, rate: int, gain: float = 1.0) -> str:
    """The WAV of `wav_bytes` as a `data:` address that a page can play without loading anything."""
    return "data:audio/wav;base64," + base64.b64encode(wav_bytes(sound, rate, gain)).decode()


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
            "NAME": name, "SOUND": _data_url(self.stems, int(self.rate), self.gain),
            "PICTURE": base64.b64encode(_sphere_picture(self.foa)).decode(),
        }
        page = TURNER.read_text(encoding="utf-8")
        for key, value in values.items():
            page = page.replace(f"[{key}]", value)
        return page

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return {**self.box._repr_mimebundle_(), "text/plain": str(self), "text/html": self.html}


def head_stems(foa: np.ndarray, rate: float) -> np.ndarray:
    """Three sounds of which the ears hear a mix, whichever way the head is turned.

    With the head at yaw: left = s0 + cos(yaw) s1 - sin(yaw) s2, right = s0 - cos(yaw) s1 + sin(yaw) s2. That holds
    because the ears of `binauralise` are mirror images and turning mixes only Y and X.

    Args:
        foa: [4, N] ambisonics.
        rate: samples per second.

    Returns: [3, N].
    Notebook: 02_ambisonics.
    """
    straight, left = (binauralise(foa, rate, yaw=yaw).astype(float) for yaw in (0.0, math.pi / 2))
    return np.stack([straight[0] + straight[1], straight[0] - straight[1], left[1] - left[0]]) / 2


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
