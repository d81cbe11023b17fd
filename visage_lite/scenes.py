"""Synthetic scenes: one visible thing that makes a sound, a camera near it, and the exact sound field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from visage_lite.ambisonics import encode
from visage_lite.directions import Direction, angles, unit_vector
from visage_lite.looks import background, outline_and_shade
from visage_lite.panorama import camera_axes, view_rays

SYNTHESIS_RATE = 48000  # Hz, the rate at which sounds are made before they are resampled
COLOURS = {  # each kind's colour: its name in captions, and red, green, blue
    "bell": ("golden", (235, 185, 40)),
    "drum": ("red", (205, 40, 35)),
    "engine": ("grey", (150, 150, 158)),
    "water": ("blue", (40, 110, 225)),
    "siren": ("violet", (150, 40, 190)),
    "bird": ("green", (60, 190, 70)),
}
KINDS = tuple(COLOURS)
STRUCK = ("bell", "drum")  # kinds heard in separate strokes, each seen as a flash
PERIODS_S = {"bell": (0.9, 1.4), "drum": (0.4, 0.7), "engine": (1.5, 2.5), "water": (2.0, 3.5),
             "siren": (1.5, 2.5), "bird": (0.9, 1.3)}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One object of a scene: what it is, where it goes, and the numbers that its look and its sound share.

    Notebook: 01_dataset.
    """

    kind: str  # one of KINDS
    start: Direction  # where it is when the clip starts
    end: Direction  # where it is when the clip ends; the same place if it stands still
    duration_s: float  # time from start to end, along the great circle
    radius: float  # radians; a nearer object is larger and louder
    pitch: float  # factor on its frequencies
    period_s: float  # time between strokes, chirps or swells
    first_s: float  # time of the first one, less than one period
    colour: tuple[int, int, int]
    noise_seed: int

    def vectors(self, times: np.ndarray) -> np.ndarray:
        """Unit vectors (front, left, up) toward the object at `times` in seconds: float64 [..., 3]."""
        start, end = self.start.to_vector(), self.end.to_vector()
        share = np.clip(np.asarray(times, dtype=float) / self.duration_s, 0.0, 1.0)[..., None]
        angle = self.start.angle_to(self.end)
        if angle < 1e-9:
            return np.broadcast_to(start, share.shape[:-1] + (3,)).copy()
        return (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)

    def strokes(self) -> np.ndarray:
        """Times in seconds at which the object is struck, chirps, or is loudest."""
        return np.arange(self.first_s, self.duration_s, self.period_s)

    def activity(self, times: np.ndarray) -> np.ndarray:
        """How active the object is, 0 to 1, at `times` in seconds: what is seen flashing is what is heard."""
        since = np.asarray(times, dtype=float) - self.first_s
        phase = np.mod(since, self.period_s)
        if self.kind in STRUCK:
            return np.where(since < 0, 0.0, np.exp(-phase / 0.25))
        if self.kind == "bird":
            return np.sin(np.pi * np.clip(phase / (0.5 * self.period_s), 0.0, 1.0)) ** 2
        return 0.5 + 0.5 * np.cos(2 * np.pi * since / self.period_s)


@dataclass(frozen=True)
class Scene:
    """A clip with a known answer. Get one from `make_scene`. Notebook: 01_dataset."""

    seed: int
    camera: Direction  # centre of the 90 degree view
    duration_s: float
    sources: tuple[Source, ...]
    video_rate: float = 4.0  # frames per second

    @property
    def kind(self) -> str:
        """What the (first) object is."""
        return self.sources[0].kind

    def frame_times(self) -> np.ndarray:
        """Times of the video frames in seconds: float64 [F]."""
        return np.arange(int(round(self.duration_s * self.video_rate))) / self.video_rate

    def azimuth(self, times: np.ndarray) -> np.ndarray:
        """Azimuth of the first object at `times`, radians, left positive."""
        return angles(self.sources[0].vectors(times))[0]

    def elevation(self, times: np.ndarray) -> np.ndarray:
        """Elevation of the first object at `times`, radians, up positive."""
        return angles(self.sources[0].vectors(times))[1]

    def view_angles(self, times: np.ndarray) -> np.ndarray:
        """Where the first object is in the camera's view: [..., 2], radians left and up of the view's centre."""
        return np.stack(angles(self.sources[0].vectors(times) @ camera_axes(self.camera).T), axis=-1)

    def caption(self, time_s: float | None = None) -> str:
        """A sentence on what is seen where, such as "a red drum, upper far left".

        With `time_s` it is about that moment and says also whether the object is "loud", "soft" or "quiet" then.
        """
        left, up = np.degrees(self.view_angles(np.asarray(self.duration_s / 2 if time_s is None else time_s)))
        column = ("far left", "left", "centre", "right", "far right")[np.searchsorted([-22, -7, 7, 22], -left)]
        row = ("top", "upper", "middle", "lower", "bottom")[np.searchsorted([-20, -7, 7, 20], -up)]
        words = f"a {COLOURS[self.kind][0]} {self.kind}, {row} {column}"
        if time_s is None:
            return words
        active = self.sources[0].activity(np.asarray(time_s))
        return f"{words}, {('quiet', 'soft', 'loud')[np.searchsorted([0.25, 0.6], active)]}"

    def foa(self, sample_rate: int) -> np.ndarray:
        """The exact sound field of the scene.

        Args: sample_rate: Hz.
        Returns: float32 [4, N], ambiX (W, Y, Z, X; SN3D), N = duration_s * sample_rate.
        Notebook: 01_dataset.
        """
        samples = int(round(self.duration_s * sample_rate))
        times = np.arange(samples) / sample_rate
        total = np.zeros((4, samples), dtype=np.float32)
        for source in self.sources:
            mono = _fit(soxr.resample(sound(source), SYNTHESIS_RATE, sample_rate), samples)
            still = source.start == source.end
            azimuth, elevation = angles(source.vectors(np.zeros(()) if still else times))
            total += encode(mono, azimuth, elevation).astype(np.float32)
        return total

    def view(self, size: int = 224, fov_deg: float = 90.0) -> np.ndarray:
        """What the camera sees: uint8 [F, size, size, 3], drawn directly in the rays of its pixels."""
        return self.render(view_rays(self.camera, fov_deg, size))

    def panorama(self, width: int = 896, height: int = 448) -> np.ndarray:
        """The whole sphere around the camera, equirectangular: uint8 [F, height, width, 3]."""
        azimuth = np.pi * (1 - 2 * (np.arange(width) + 0.5) / width)  # left edge behind, left positive
        elevation = np.pi * (0.5 - (np.arange(height) + 0.5) / height)
        return self.render(unit_vector(azimuth[None, :], elevation[:, None]))

    def render(self, rays: np.ndarray) -> np.ndarray:
        """The colours seen along `rays` (unit vectors [..., 3]) in every frame: uint8 [F, ..., 3]."""
        flat = np.asarray(rays, dtype=np.float32).reshape(-1, 3)
        backdrop = background(self.seed, flat)
        times = self.frame_times()
        frames = np.repeat(backdrop.round().astype(np.uint8)[None], len(times), axis=0)
        for source in self.sources:
            for frame, time_s, centre in zip(frames, times, source.vectors(times)):
                _draw(frame, flat, source, float(time_s), centre)
        return frames.reshape((len(times),) + np.shape(rays))


def make_scene(
    seed: int,
    kind: str | None = None,
    duration_s: float = 5.0,
    moving: bool | None = None,
) -> Scene:
    """One scene, drawn at random from its seed: the same seed gives the same bytes.

    The camera looks near the object, not at it: up to 35 degrees beside and 30 degrees above or below.

    Args:
        seed: any whole number >= 0.
        kind: one of KINDS, or None for a random one.
        duration_s: length of the clip in seconds.
        moving: whether the object moves; None moves it in 30 % of the scenes.
    Returns: a Scene; `foa`, `view`, `panorama` and `caption` make what it holds when asked.
    Raises: ValueError if the kind is unknown or the duration is not positive.
    Notebook: 01_dataset.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"no kind {kind!r}: choose one of {', '.join(KINDS)}")
    if not duration_s > 0:
        raise ValueError(f"duration_s must be positive, not {duration_s}")
    rng = np.random.default_rng(seed)
    drawn_kind, drawn_moving = str(rng.choice(KINDS)), bool(rng.uniform() < 0.3)
    kind, moving = kind or drawn_kind, drawn_moving if moving is None else moving
    camera = Direction(rng.uniform(-np.pi, np.pi), rng.uniform(-np.pi / 4, np.pi / 4))
    places = rng.uniform(-1, 1, (2, 2)) * np.radians([35, 30])  # start and end, left and up in the view
    places = places if moving else places[[0, 0]]
    start, end = (Direction.from_vector(unit_vector(*place) @ camera_axes(camera)) for place in places)
    period_s = rng.uniform(*PERIODS_S[kind])
    source = Source(
        kind, start, start if not moving else end, float(duration_s),
        radius=np.radians(rng.uniform(7.5, 12.5)),
        pitch=rng.uniform(0.85, 1.18),
        period_s=period_s,
        first_s=rng.uniform(0, period_s),
        colour=tuple(int(v) for v in np.clip(COLOURS[kind][1] + rng.integers(-20, 21, 3), 0, 255)),
        noise_seed=int(rng.integers(2**31)),
    )  # fmt: skip
    return Scene(int(seed), camera, float(duration_s), (source,))


def sound(source: Source) -> np.ndarray:
    """What the object sounds like at its own place: float32 [N] at SYNTHESIS_RATE, peak 0.5 for a 12.5 degree radius.

    Notebook: 01_dataset.
    """
    times = np.arange(int(round(source.duration_s * SYNTHESIS_RATE))) / SYNTHESIS_RATE
    active = source.activity(times)
    if source.kind in STRUCK:
        signal = np.zeros(len(times))
        for stroke in source.strokes():
            begin = int(np.ceil(stroke * SYNTHESIS_RATE))
            signal[begin:] += _stroke(source, times[begin:] - stroke)
    elif source.kind == "engine":
        signal = np.tanh(3 * np.sin(2 * np.pi * 90 * source.pitch * times)) * (0.3 + 0.7 * active)
    elif source.kind == "water":
        noise = np.random.default_rng(source.noise_seed).standard_normal(len(times))
        signal = np.convolve(noise, np.hanning(29), "same") * (0.25 + 0.75 * active)
    else:
        middle, swing = (800, 700 * (active - 0.5)) if source.kind == "siren" else (2500, 900 * np.sin(44 * times))
        signal = np.sin(2 * np.pi * np.cumsum(source.pitch * (middle + swing)) / SYNTHESIS_RATE)
        signal = signal * (active if source.kind == "bird" else 1.0)
    level = 0.5 * np.degrees(source.radius) / 12.5
    return (signal * (level / (np.abs(signal).max() + 1e-9))).astype(np.float32)


def _stroke(source: Source, since: np.ndarray) -> np.ndarray:
    """One stroke of a bell or a drum, `since` seconds after it."""
    if source.kind == "drum":
        sweep = 60 * since + 80 / 30 * (1 - np.exp(-30 * since))  # from 140 Hz down to 60 Hz
        return np.exp(-25 * since) * np.sin(2 * np.pi * source.pitch * sweep)
    partials = ((1.0, 1.0), (2.76, 0.5), (5.4, 0.33))  # frequency ratio, amplitude
    tone = 2 * np.pi * 520 * source.pitch * since
    return sum(a * np.exp(-4 * since / a) * np.sin(ratio * tone) for ratio, a in partials)


def _fit(signal: np.ndarray, samples: int) -> np.ndarray:
    """The signal cut or zero-padded to `samples`."""
    return np.pad(signal[:samples], (0, max(0, samples - len(signal))))


def _draw(frame: np.ndarray, rays: np.ndarray, source: Source, time_s: float, centre: np.ndarray) -> None:
    """Draw the object into `frame` [M, 3], in place, along the rays that meet it."""
    near = np.flatnonzero(rays @ centre.astype(np.float32) > np.cos(1.25 * source.radius))
    if not len(near):
        return
    front, left, up = camera_axes(Direction.from_vector(centre)) @ rays[near].T.astype(float)
    across = np.hypot(left, up)
    scale = np.arctan2(across, front) / np.maximum(across, 1e-9) / source.radius
    x, y = -left * scale, up * scale  # right and up on the sphere, in units of the object's radius
    active = float(source.activity(np.asarray(time_s)))
    turn = 2 * np.pi * (time_s - source.first_s) / source.period_s
    outside, shade = outline_and_shade(source.kind, x, y, active, turn)
    colour = np.asarray(source.colour) * shade[:, None]
    colour = colour + 0.55 * active * (255 - colour)  # the flash
    cover = np.clip(0.5 - outside / 0.06, 0, 1)[:, None]  # soft edge of about one pixel
    frame[near] = np.clip(frame[near] * (1 - cover) + colour * cover, 0, 255).round().astype(np.uint8)
