"""What a person listens to: labelled players at one common gain, and a head that turns."""

from __future__ import annotations

import base64
import io
import math
import wave
from html import escape

import numpy as np

LONGEST_S = 60.0  # a longer sound inside a page makes it heavy enough to stall a browser
PEAK = 10 ** (-1 / 20)  # the loudest sample of a set of players, 1 dB under full scale


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
        from visage_lite.binaural import binauralise

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
    right, straight and left. These stay in an exported page; the slider needs a running notebook.

    Args:
        foa: [4, N] ambisonics.
        rate: samples per second.

    Returns: an ipywidgets box; `children[0]` is the slider in degrees, left positive.
    Raises: ValueError if `foa` is not [4, N].
    Notebook: 00_quickstart.
    """
    import ipywidgets
    from IPython.display import display

    foa = np.asarray(foa, dtype=float)
    if foa.ndim != 2 or foa.shape[0] != 4:
        raise ValueError(f"a head turns inside FOA [4, N], not {list(foa.shape)}")
    from visage_lite.binaural import binauralise

    places = {"head turned left, 90°": 90, "head straight": 0, "head turned right, −90°": -90}
    turned = {label: binauralise(foa, rate, yaw=math.radians(deg)) for label, deg in places.items()}
    static = players(turned, rate)
    display({"image/png": _head_picture(foa, 0), "text/plain": "energy map, head straight"}, raw=True)
    display(static)
    slider = ipywidgets.IntSlider(0, -180, 180, 10, description="head (°)", continuous_update=False)
    picture = ipywidgets.Image(value=_head_picture(foa, 0), format="png")
    sound = ipywidgets.HTML(players({"head at 0°": foa}, rate, gain=static.gain).html)

    def follow(change: dict) -> None:
        yaw_deg = change["new"]
        picture.value = _head_picture(foa, math.radians(yaw_deg))
        sound.value = players({f"head at {yaw_deg}°": foa}, rate, math.radians(yaw_deg), static.gain).html

    slider.observe(follow, names="value")
    return ipywidgets.VBox([slider, picture, sound])


def _head_picture(foa: np.ndarray, yaw: float) -> bytes:
    """The energy map around a head turned by yaw, as PNG bytes: the scene turns the other way."""
    import matplotlib.pyplot as plt

    from visage_lite import ambisonics, plots

    ax = plots.energy_map(ambisonics.energy_map(ambisonics.rotate_yaw(foa, -yaw)))
    ax.set_title(f"around the head, turned {math.degrees(yaw):.0f}° to the left", fontsize=9)
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png")
    plt.close(ax.figure)
    return buffer.getvalue()
