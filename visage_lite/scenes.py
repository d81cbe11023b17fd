"""Synthetic scenes: visible things that make sounds, a camera near them, and the exact sound field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import soxr

from visage_lite import looks
from visage_lite.ambisonics import encode
from visage_lite.directions import Direction, angles, unit_vector
from visage_lite.panorama import camera_axes, view_rays
from visage_lite.rooms import Room, reverberate
from visage_lite.sounds import ALL_KINDS, PERIODS_S, STRUCK, SYNTHESIS_RATE, Source, sound

__all__ = ["ALL_KINDS", "COLOURS", "KINDS", "STRUCK", "SYNTHESIS_RATE", "TOY_KINDS", "Room", "Scene", "Source",
           "make_scene", "sound"]  # fmt: skip

# The kinds that make_scene draws by default. The shipped toy networks learned these six and know no others, and the
# words of their captions are all that the toy CLIP can read: adding one here would change every scene of a seed.
TOY_KINDS = ("bell", "drum", "engine", "water", "siren", "bird")
KINDS = TOY_KINDS
COLOURS = {kind: looks.COLOURS[kind] for kind in TOY_KINDS}
APART_DEG = 40.0  # two sources are at least so far apart when the clip starts
CORNER = np.arctan(2**0.5)  # radians from the centre of the 90 degree view to its corners
TRIES = 10_000  # draws of a second source; one in about ten fits


@dataclass(frozen=True)
class Scene:
    """A clip with a known answer. Get one from `make_scene`. Notebook: 01_dataset."""

    seed: int
    camera: Direction  # centre of the 90 degree view
    duration_s: float
    sources: tuple[Source, ...]  # the loudest first
    video_rate: float = 4.0  # frames per second
    room: Room | None = None  # None: no walls, only the direct sound

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
        colour = looks.COLOURS[self.kind][0]
        words = f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {self.kind}, {row} {column}"
        if time_s is None:
            return words
        active = self.sources[0].activity(np.asarray(time_s))
        return f"{words}, {('quiet', 'soft', 'loud')[np.searchsorted([0.25, 0.6], active)]}"

    def foa(self, sample_rate: int) -> np.ndarray:
        """The exact sound field of the scene, with the echoes of its room if it has one.

        Args: sample_rate: Hz.
        Returns: float32 [4, N], ambiX (W, Y, Z, X; SN3D), N = duration_s * sample_rate. At most 0.5 for each source;
            the echoes of a room can take it beyond 1.
        Notebook: 01_dataset.
        """
        samples = int(round(self.duration_s * sample_rate))
        total = np.zeros((4, samples), dtype=np.float32)
        for source in self.sources:
            signal = sound(source)
            mono = _fit(soxr.resample(signal, SYNTHESIS_RATE, sample_rate), samples)
            azimuth, elevation = angles(source.vectors(_moments(source, samples, sample_rate)))
            total += encode(mono, azimuth, elevation).astype(np.float32)
            if self.room is not None:  # made at one rate, so that every rate hears the same room
                vectors = source.vectors(_moments(source, len(signal), SYNTHESIS_RATE))
                added = reverberate(self.room, signal, vectors, source.distance_m, SYNTHESIS_RATE)
                total += _fit(soxr.resample(added.T.astype(np.float32), SYNTHESIS_RATE, sample_rate).T, samples)
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
        backdrop = looks.background(self.seed, flat)
        times = self.frame_times()
        frames = np.repeat(backdrop.round().astype(np.uint8)[None], len(times), axis=0)
        for source in sorted(self.sources, key=lambda source: source.radius):  # the nearest last, in front
            turns = 2 * np.pi * (times - source.first_s) / source.period_s
            for frame, centre, active, turn in zip(frames, source.vectors(times), source.activity(times), turns):
                looks.draw(frame, flat, centre, source.radius, source.kind, float(active), float(turn), source.colour)
        return frames.reshape((len(times),) + np.shape(rays))


def make_scene(
    seed: int,
    kind: str | None = None,
    duration_s: float = 5.0,
    moving: bool | None = None,
    *,
    kinds: tuple[str, ...] = TOY_KINDS,
    sources: int = 1,
    off_screen: bool = False,
    room: Room | None = None,
) -> Scene:
    """One scene, drawn at random from its seed: the same seed and options give the same bytes.

    The camera looks near the loudest object, not at it: up to 35 degrees beside and 30 degrees above or below. A second
    object is of another kind, starts at least 40 degrees away from the first, and is softer: its RMS at the listener is
    at most 0.8 of the first one's.

    Args:
        seed: any whole number >= 0.
        kind: what the first, loudest object is, one of ALL_KINDS; None for a random one of `kinds`.
        duration_s: length of the clip in seconds.
        moving: whether the objects move; None moves each with a chance of 30 %.
        kinds: what the random kinds are drawn from, some of ALL_KINDS.
        sources: how many objects, 1 or 2.
        off_screen: whether the second object stays out of the camera's view; it stays in view if not.
        room: walls that echo; None for none.
    Returns: a Scene; `foa`, `view`, `panorama` and `caption` make what it holds when asked.
    Raises: ValueError if an option is unknown or does not go with the others, or the room is too small.
    Notebook: 01_dataset.
    """
    kinds = _checked(kind, kinds, duration_s, sources, off_screen, room)
    rng = np.random.default_rng(seed)
    drawn_kind, drawn_moving = str(rng.choice(kinds)), bool(rng.uniform() < 0.3)
    kind, moves = kind or drawn_kind, drawn_moving if moving is None else moving
    camera = Direction(rng.uniform(-np.pi, np.pi), rng.uniform(-np.pi / 4, np.pi / 4))
    start, end = _in_view(rng, kind, camera, (35, 30))
    objects = [_draw_source(rng, kind, start, end if moves else start, duration_s)]
    if sources == 2:
        objects = [_soon(objects[0])]
        objects.append(_second(seed, objects[0], camera, [k for k in kinds if k != kind], moving, off_screen))
    for source in objects if room is not None else ():
        room.positions(source.vectors(_moments(source, 100, 100 / duration_s)), source.distance_m)  # are they inside?
    return Scene(int(seed), camera, float(duration_s), tuple(objects), room=room)


def _checked(
    kind: str | None, kinds: tuple[str, ...], duration_s: float, sources: int, off_screen: bool, room: Room | None
) -> tuple[str, ...]:
    """The kinds to draw from, after a check of make_scene's options."""
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for name in kinds if kind is None else (kind, *kinds):
        if name not in ALL_KINDS:
            raise ValueError(f"no kind {name!r}: choose one of {', '.join(ALL_KINDS)}")
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(f"kinds must name at least one kind, and none twice, not {kinds}: ALL_KINDS holds them all")
    if not 0 < duration_s < np.inf:
        raise ValueError(f"duration_s must be positive, not {duration_s}")
    if sources not in (1, 2):
        raise ValueError(f"a scene has 1 or 2 sources, not {sources!r}")
    if off_screen and sources == 1:
        raise ValueError("off_screen is about the second source: ask for sources=2 with it")
    if not (room is None or isinstance(room, Room)):
        raise ValueError(f"room must be a Room or None, not {room!r}: Room() is a hall")
    if sources == 2 and len({kind, *kinds} - {None}) < 2:
        raise ValueError(f"two sources are of two kinds, but {kinds} leaves no other: give more kinds")
    return kinds


def _in_view(rng: np.random.Generator, kind: str, camera: Direction, reach_deg: tuple[float, float]) -> list[Direction]:
    """Two random places, `reach_deg` to the left or right and up or down of the view's centre at most."""
    places = rng.uniform(-1, 1, (2, 2)) * np.radians(reach_deg)  # start and end, left and up
    if kind == "ball":  # it rises by up to 20 degrees, and should not leave the view
        places = places * [0.8, 0.63] - [0, np.radians(11)]
    return [Direction.from_vector(unit_vector(*place) @ camera_axes(camera)) for place in places]


def _draw_source(rng: np.random.Generator, kind: str, start: Direction, end: Direction, duration_s: float) -> Source:
    """An object of a kind with a path, the rest of it random."""
    period_s = rng.uniform(*PERIODS_S[kind])
    return Source(
        kind, start, end, float(duration_s),
        radius=np.radians(rng.uniform(7.5, 12.5)),
        pitch=rng.uniform(0.85, 1.18),
        period_s=period_s,
        first_s=rng.uniform(0, period_s),
        colour=tuple(int(v) for v in np.clip(looks.COLOURS[kind][1] + rng.integers(-20, 21, 3), 0, 255)),
        noise_seed=int(rng.integers(2**31)),
    )  # fmt: skip


def _second(seed: int, first: Source, camera: Direction, kinds: list, moving: bool | None, off_screen: bool) -> Source:
    """A second object, from a generator of its own: drawn again and again until it stands and moves where it may."""
    rng = np.random.default_rng([seed, 2])
    for _ in range(TRIES):
        kind, moves = str(rng.choice(kinds)), bool(rng.uniform() < 0.3) if moving is None else moving
        if off_screen:
            places = rng.normal(size=(2, 3)) * [[1], [0.3]]
            start, end = Direction.from_vector(places[0]), Direction.from_vector(places.sum(0))
        else:
            start, end = _in_view(rng, kind, camera, (40, 38))
        extra = _soon(_draw_source(rng, kind, start, end if moves else start, first.duration_s))
        share = rng.uniform(0.4, 0.8)
        front, left, up = camera_axes(camera) @ extra.vectors(np.linspace(0, first.duration_s, 101)).T
        inside = np.all(np.maximum(np.abs(left), np.abs(up)) < front)
        outside = np.all(front < np.cos(CORNER + looks.REACH * extra.radius))
        apart = extra.vectors(0.0) @ first.vectors(0.0) < np.cos(np.radians(APART_DEG))
        if apart and (outside if off_screen else inside):
            return replace(extra, gain=min(1.0, share * _rms(first) / _rms(extra)))
    raise ValueError(f"found no place for a second source with seed {seed}: choose another seed or more kinds")


def _soon(source: Source) -> Source:
    """The object, heard for the first time no later than in the middle of the clip: two silences have no louder one."""
    return replace(source, first_s=min(source.first_s, source.duration_s / 2))


def _rms(source: Source) -> float:
    """How loud the object is at the listener's place over the whole clip."""
    return float(np.sqrt(np.mean(sound(source).astype(float) ** 2)))


def _moments(source: Source, samples: int, rate: float) -> np.ndarray:
    """Times at which the direction of a source is needed: of all samples, or only the start if it keeps still."""
    return np.zeros(()) if source.still else np.arange(samples) / rate


def _fit(signal: np.ndarray, samples: int) -> np.ndarray:
    """The signal cut or zero-padded to `samples` along its last axis."""
    signal = signal[..., :samples]
    return np.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, samples - signal.shape[-1])])
