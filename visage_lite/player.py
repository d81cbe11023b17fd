"""What a person looks at and listens to: labelled players, and the 360 degree player, in which the head turns.

The browser turns and filters the sound itself (foa_sound.js, with the ear filters of `binaural`) and draws the picture
(foa_picture.js): no Python is needed while it plays, so the same player works in a notebook and in a saved page.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
from html import escape
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import traitlets

from visage_lite import ambisonics, plots
from visage_lite.binaural import ear_filters, head_stems
from visage_lite.directions import Direction
from visage_lite.listening import LONGEST_S, Players, gain_for, players, wav_bytes
from visage_lite.panorama import uncrop
from visage_lite.pictures import graticule
from visage_lite.streams import atomic

__all__ = ["FOAPlayer", "Players", "common_gain", "moments_of", "players", "wav_bytes"]

FOLDER = Path(__file__).parent
STEP_S = 0.1  # seconds of sound behind one energy map
BINARY = ("_pcm", "_filters", "_fields", "_pictures")
STATE = ("yaw", "pitch", "time_s", "playing", "looping", "head_locked", "clip", "projection", "_facts")
# An exported page: the frame brings its own JavaScript, grows to what it holds, and hides what stands in for it.
FRAME = """<div class="foa-still">[STATIC]</div><iframe class="foa-frame" title="[TITLE]" srcdoc="[PAGE]"
onload="this.previousElementSibling.hidden = true"
style="width:100%;max-width:860px;aspect-ratio:5/4;border:0"></iframe>"""


class FOAPlayer(anywidget.AnyWidget):
    """A player to look around in: drag, and the sound field turns with the head. Best with headphones.

    Clips are labelled, run side by side at one common gain, and are switched without a gap. The energy map of what
    plays lies over the picture; a blue ring is the true direction, a yellow one where the sound comes from. Where no
    JavaScript runs, the same output is a picture and stereo players with the head straight.

    Traits, to read and to set: `yaw` and `pitch` (radians, left and up positive), `time_s`, `clip` (a label),
    `playing`, `looping`, `head_locked` (the sound turns with the head, as in plain headphones), `projection` ("view" or
    "panorama"). Notebook: 02_ambisonics.
    """

    _esm = "\n".join((FOLDER / f"foa_{part}.js").read_text(encoding="utf-8") for part in ("sound", "picture", "player"))
    _css = (FOLDER / "foa_player.css").read_text(encoding="utf-8")
    yaw = traitlets.Float(0.0).tag(sync=True)
    pitch = traitlets.Float(0.0, min=-math.pi / 2, max=math.pi / 2).tag(sync=True)
    time_s = traitlets.Float(0.0, min=0.0).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    looping = traitlets.Bool(True).tag(sync=True)
    head_locked = traitlets.Bool(False).tag(sync=True)
    clip = traitlets.Unicode().tag(sync=True)
    projection = traitlets.Enum(("view", "panorama"), "view").tag(sync=True)
    _facts = traitlets.Dict().tag(sync=True)
    _pcm, _filters, _fields, _pictures = (traitlets.Bytes().tag(sync=True) for _ in BINARY)

    def __init__(
        self, sounds: dict[str, np.ndarray], rate: int, panorama: np.ndarray | None = None,
        view: np.ndarray | None = None, camera: Direction | None = None, video_rate: float = 4.0,
        truth: Direction | np.ndarray | None = None,
    ) -> None:
        """A player for labelled sound fields.

        Args:
            sounds: {label: FOA [4, N]}; shorter ones get silence at their end.
            rate: Hz, 8000 to 96000.
            panorama: uint8 [F, H, W, 3], equirectangular, the front in the middle; or a still one, [H, W, 3].
            view: instead of it, what a camera sees through 90 degrees: uint8 [F, h, h, 3] or [h, h, 3], with `camera`.
            camera: where that camera looks; the head is turned there at first.
            video_rate: frames per second; frame k is shown from k / video_rate on, the last one until the end.
            truth: where the sound comes from, a Direction, or unit vectors (front, left, up) [K, 3] for a moving one,
                the first at the beginning and the last at the end.
        Raises: ValueError on no sounds, fields that are not [4, N] or not finite, over 60 s, another rate, pictures of
            another shape.
        """
        sounds = _checked(sounds, rate)
        frames = _frames(panorama, view, camera)
        if not video_rate > 0:
            raise ValueError(f"video_rate is frames per second, more than 0, not {video_rate}")
        fields = np.stack(list(sounds.values()))  # [clips, 4, N]
        peak, gain = float(np.abs(fields).max()) or 1.0, common_gain(fields, rate)
        pictures = [_jpeg(frame) for frame in frames]
        moments = moments_of(fields, rate)
        facts = {
            "labels": list(sounds), "rate": int(rate), "samples": fields.shape[2], "gain": gain * peak,
            "video_rate": float(video_rate), "picture_ends": np.cumsum([len(p) for p in pictures]).tolist(),
            "step_s": STEP_S, "steps": moments.shape[1], "truth": _vectors(truth),
        }
        super().__init__(
            yaw=camera.azimuth if camera else 0.0, pitch=camera.elevation if camera else 0.0,
            clip=facts["labels"][0], _facts=facts, _pictures=b"".join(pictures),
            _pcm=np.round(fields / peak * 32767).astype("<i2").tobytes(),
            _filters=ear_filters(int(rate))[0].astype("<f4").tobytes(), _fields=moments.astype("<f4").tobytes(),
        )
        self._sounds, self._frame, self.gain = sounds, frames[len(frames) // 2], gain

    @traitlets.validate("clip")
    def _known(self, proposal: dict) -> str:
        labels = self._facts.get("labels") or [proposal["value"]]
        if proposal["value"] not in labels:
            raise traitlets.TraitError(f"no clip {proposal['value']!r}: choose one of {', '.join(labels)}")
        return proposal["value"]

    def __repr__(self) -> str:
        seconds = self._facts["samples"] / self._facts["rate"]
        return f"360 degree player, {seconds:.1f} s: {' · '.join(self._facts['labels'])}"

    @property
    def still(self) -> bytes:
        """A PNG for where no JavaScript runs: the picture, the energy map of the clip, the true direction."""
        truth = self._facts["truth"]
        direction = Direction.from_vector(np.array(truth[len(truth) // 2])) if truth else None
        levels = ambisonics.energy_map(self._sounds[self.clip])
        ax = plots.energy_map(levels, direction=direction, panorama=self._frame)
        ax.set_title(f"{self.clip}, head straight", fontsize=9)
        buffer = io.BytesIO()
        ax.figure.savefig(buffer, format="png")
        plt.close(ax.figure)
        return buffer.getvalue()

    def _static(self, picture: str) -> str:
        """The picture (PNG in base64) and stereo players, head straight, for places where no JavaScript runs."""
        sound = players(self._sounds, self._facts["rate"], gain=self.gain).html
        return f'<img alt="{escape(repr(self))}" src="data:image/png;base64,{picture}">{sound}'

    def _repr_mimebundle_(self, **named: object) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**named)
        picture = base64.b64encode(self.still).decode()
        parts = {"STATIC": self._static(picture), "TITLE": escape(repr(self)), "PAGE": escape(self._page("", picture))}
        return {**data, "text/plain": repr(self), "image/png": picture, "text/html": _filled(FRAME, parts)}, metadata

    def save_html(self, path: str | Path, title: str = "Look around") -> None:
        """Writes one page that works from disk and loads nothing: the player as it is now, at rest.

        Args: path: a file in an existing folder. title: the page's heading.
        Raises: MediaError if the folder cannot be written.
        Notebook: 02_ambisonics.
        """
        page = self._page(title, base64.b64encode(self.still).decode())
        with atomic(path) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def _page(self, title: str, picture: str) -> str:
        """One page with everything in it; without a title, for a frame inside another page."""
        traits = {name: getattr(self, name) for name in STATE} | {"playing": False}
        traits |= {name: base64.b64encode(getattr(self, name)).decode() for name in BINARY}
        parts = {
            "TITLE": escape(title), "CSS": self._css, "MODULE": self._esm,
            "STATE": json.dumps({"traits": traits, "binary": BINARY}).replace("</", "<\\/"),
            "STATIC": f'<p>The player needs JavaScript.</p><img src="data:image/png;base64,{picture}">',
        }
        return _filled((FOLDER / "foa_player.html").read_text(encoding="utf-8"), parts)


def _filled(template: str, parts: dict[str, str]) -> str:
    """The template with each [NAME] replaced."""
    return re.sub(rf"\[({'|'.join(parts)})\]", lambda found: parts[found[1]], template)


def common_gain(fields: np.ndarray, rate: int) -> float:
    """One gain for all clips that keeps both ears 1 dB under full scale however the head is turned.

    Args: fields: [clips, 4, N]. rate: Hz.
    """
    loudest = 0.0
    for field in fields:
        middle, side, front = head_stems(field, rate)
        loudest = max(loudest, float((np.abs(middle) + np.hypot(side, front)).max()))
    return gain_for(loudest)


def moments_of(fields: np.ndarray, rate: int) -> np.ndarray:
    """What the energy map needs of each tenth of a second: float64 [clips, steps, 18].

    16 numbers of the covariance, the largest square of the energy map, and the power of W as a share of the loudest
    moment of all clips.

    Args: fields: [clips, 4, N]. rate: Hz.
    """
    step = round(STEP_S * rate)
    steps = -(-fields.shape[2] // step)
    padded = np.pad(fields, ((0, 0), (0, 0), (0, steps * step - fields.shape[2])))
    windows = padded.reshape(len(fields), 4, steps, step).swapaxes(1, 2)
    covariance = ambisonics.covariance(windows)  # [clips, steps, 4, 4]
    peak = ambisonics.energy_map_of_covariance(covariance, 30, 60).max(axis=(2, 3)) ** 2
    power = covariance[..., 0, 0] / (covariance[..., 0, 0].max() or 1.0)
    flat = covariance.reshape(*covariance.shape[:2], 16)
    return np.concatenate([flat, peak[..., None], power[..., None]], axis=-1)


def _checked(sounds: dict[str, np.ndarray], rate: int) -> dict[str, np.ndarray]:
    """The fields as floats of one length."""
    if not sounds:
        raise ValueError("nothing to play: pass {label: FOA [4, N]}")
    if not 8000 <= rate <= 96000 or rate != int(rate):
        raise ValueError(f"browsers play whole rates from 8000 to 96000 Hz, not {rate}: resample first")
    fields = {str(label): np.asarray(sound, float) for label, sound in sounds.items()}
    for label, field in fields.items():
        if field.ndim != 2 or field.shape[0] != 4 or field.shape[1] == 0:
            raise ValueError(f"{label}: a head turns inside FOA [4, N] (W, Y, Z, X), not {list(field.shape)}")
        if not np.isfinite(field).all():
            raise ValueError(f"{label}: the sound holds numbers that are not finite")
        if field.shape[1] > LONGEST_S * rate:
            raise ValueError(f"{label}: over {LONGEST_S:.0f} s is too long for a page: cut it")
    longest = max(field.shape[1] for field in fields.values())
    return {label: np.pad(field, ((0, 0), (0, longest - field.shape[1]))) for label, field in fields.items()}


def _frames(panorama: np.ndarray | None, view: np.ndarray | None, camera: Direction | None) -> np.ndarray:
    """The panoramas to show: uint8 [F, H, W, 3]."""
    if panorama is not None and view is not None:
        raise ValueError("pass a panorama or a view with its camera, not both")
    shown = panorama if view is None else view
    if shown is None:
        return graticule()[None]
    shown = np.asarray(shown)
    shown = shown[None] if shown.ndim == 3 else shown
    if shown.ndim != 4 or shown.shape[3] != 3 or shown.dtype != np.uint8 or 0 in shown.shape:
        raise ValueError(f"pictures are uint8 [F, H, W, 3] or [H, W, 3], not {shown.dtype} {list(shown.shape)}")
    if view is None:
        return shown
    if camera is None:
        raise ValueError("a view needs its camera: pass camera=Direction(...)")
    return uncrop(shown, camera)


def _vectors(truth: Direction | np.ndarray | None) -> list[list[float]] | None:
    """The true directions as a list of unit vectors."""
    if truth is None:
        return None
    vectors = truth.to_vector()[None] if isinstance(truth, Direction) else np.asarray(truth, float)
    if vectors.ndim != 2 or vectors.shape[1:] != (3,) or 0 in vectors.shape:
        raise ValueError(f"truth is a Direction or vectors (front, left, up) [K, 3], not {list(vectors.shape)}")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(length) & (length > 0)).all():
        raise ValueError("truth has vectors of length 0 or not finite: give unit vectors (front, left, up)")
    return (vectors / length).tolist()


def _jpeg(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    plt.imsave(buffer, frame, format="jpg", pil_kwargs={"quality": 88})
    return buffer.getvalue()
