"""What a person listens to: labelled players at one common gain, with every sound inside the page."""

from __future__ import annotations

import base64
import io
import math
import wave
from html import escape

import numpy as np

from visage_lite.binaural import binauralise

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
            f'<audio controls preload="auto" src="{data_url(sound, self.rate, self.gain)}"></audio></figure>'
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
        gain = gain_for(loudest)
    return Players(heard, int(rate), float(gain))


def gain_for(loudest: float) -> float:
    """The gain that brings the loudest sample to 1 dB under full scale; 1 for silence."""
    return PEAK / loudest if loudest > 0 else 1.0


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


def data_url(sound: np.ndarray, rate: int, gain: float = 1.0) -> str:
    """The same WAV as `wav_bytes`, as a `data:` address that a page can play without loading anything."""
    return "data:audio/wav;base64," + base64.b64encode(wav_bytes(sound, rate, gain)).decode()
