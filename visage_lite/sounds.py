"""What the things of the synthetic scenes do and what they sound like: their path, their rhythm, their sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visage_lite.directions import Direction, angles, unit_vector

SYNTHESIS_RATE = 48000  # Hz, the rate at which sounds are made before they are resampled
PERIODS_S = {  # shortest and longest time between two strokes, chirps, notes or swells
    "bell": (0.9, 1.4), "drum": (0.4, 0.7), "engine": (1.5, 2.5), "water": (2.0, 3.5), "siren": (1.5, 2.5),
    "bird": (0.9, 1.3), "ball": (0.55, 0.75), "clock": (0.4, 0.6), "horn": (0.6, 1.0), "singer": (0.5, 0.8),
    "woodpecker": (1.1, 1.6), "guitar": (0.45, 0.8),
}  # fmt: skip
ALL_KINDS = tuple(PERIODS_S)
DECAY_S = {"bell": 0.25, "drum": 0.25, "ball": 0.15, "clock": 0.1, "woodpecker": 0.04, "guitar": 0.35}
STRUCK = tuple(DECAY_S)  # kinds heard in separate strokes, each seen as a flash that fades in this time
BEATS_S = {"woodpecker": tuple(0.09 * n for n in range(6))}  # strokes within a period; the others have one
RING_S = {"ball": 0.5, "clock": 0.15, "woodpecker": 0.15, "guitar": 2.5}  # a stroke's length; else to the end
VOWELS_HZ = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))  # a e i o u
STEPS = np.array([0, 3, 5, 7, 10])  # semitones, the scale of horn and guitar
GRAVITY = 9.81  # m/s^2


@dataclass(frozen=True)
class Source:
    """One object of a scene: what it is, where it goes, and the numbers that its look and its sound share.

    Notebook: 01_dataset.
    """

    kind: str  # one of ALL_KINDS
    start: Direction  # where it is when the clip starts; a ball: where it would touch the ground
    end: Direction  # where it is when the clip ends; the same place if it stands still
    duration_s: float  # time from start to end, along the great circle
    radius: float  # radians; a nearer object is larger and louder
    pitch: float  # factor on its frequencies
    period_s: float  # time between strokes, chirps, notes or swells
    first_s: float  # time of the first one, less than one period
    colour: tuple[int, int, int]
    noise_seed: int
    gain: float = 1.0  # how loud it is, compared with others of its kind at the same distance

    @property
    def distance_m(self) -> float:
        """How far away it is: 2 m for a radius of 12.5 degrees, 4 m for half of that.

        All objects are thus about 0.44 m from middle to edge, and `sound`, which is louder the larger an object looks,
        has a peak of 1 / distance_m.
        """
        return float(2.0 * 12.5 / np.degrees(self.radius))

    @property
    def still(self) -> bool:
        """Whether it stays in one direction for the whole clip."""
        return self.start == self.end and self.kind != "ball"

    def vectors(self, times: np.ndarray) -> np.ndarray:
        """Unit vectors (front, left, up) toward the object at `times` in seconds: float64 [..., 3]."""
        start, end = self.start.to_vector(), self.end.to_vector()
        share = np.clip(np.asarray(times, dtype=float) / self.duration_s, 0.0, 1.0)[..., None]
        angle = self.start.angle_to(self.end)
        if angle < 1e-9:
            path = np.broadcast_to(start, share.shape[:-1] + (3,)).copy()
        else:
            path = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)
        if self.kind != "ball":
            return path
        azimuth, elevation = angles(path)
        lift = self.lift(times)[..., None]
        return np.cos(lift) * path + np.sin(lift) * unit_vector(azimuth, elevation + np.pi / 2)

    def lift(self, times: np.ndarray) -> np.ndarray:
        """How far a ball is above the ground at `times` in seconds, radians: 0 at each stroke, a parabola between."""
        share = np.mod(np.asarray(times, dtype=float) - self.first_s, self.period_s) / self.period_s
        top_m = GRAVITY * self.period_s**2 / 8  # what falls back after one period rose so high
        return top_m / self.distance_m * 4 * share * (1 - share)

    def strokes(self) -> np.ndarray:
        """Times in seconds at which the object is struck, starts a chirp or a note, or is loudest."""
        periods = np.arange(self.first_s, self.duration_s, self.period_s)
        strokes = (periods[:, None] + BEATS_S.get(self.kind, (0.0,))).ravel()
        return strokes[strokes < self.duration_s]

    def activity(self, times: np.ndarray) -> np.ndarray:
        """How active the object is, 0 to 1, at `times` in seconds: what is seen flashing is what is heard."""
        since = np.asarray(times, dtype=float) - self.first_s
        phase = np.mod(since, self.period_s)
        if self.kind in STRUCK:
            beats = np.array(BEATS_S.get(self.kind, (0.0,)))
            after = phase - beats[np.searchsorted(beats, phase, side="right") - 1]
            return np.where(since < 0, 0.0, np.exp(-after / DECAY_S[self.kind]))
        if self.kind == "bird":
            return np.sin(np.pi * np.clip(phase / (0.5 * self.period_s), 0.0, 1.0)) ** 2
        if self.kind == "singer":
            return np.sin(np.pi * np.clip(phase / (0.8 * self.period_s), 0.0, 1.0)) ** 2
        if self.kind == "horn":
            share = phase / self.period_s
            return np.clip(np.minimum(share / 0.15, (0.85 - share) / 0.15), 0.0, 1.0)
        return 0.5 + 0.5 * np.cos(2 * np.pi * since / self.period_s)


def sound(source: Source) -> np.ndarray:
    """What the object sounds like at the listener's place: float32 [N] at SYNTHESIS_RATE.

    Its peak is 0.5 * gain for a 12.5 degree radius, and less for a smaller one, in proportion.
    Notebook: 01_dataset.
    """
    times = np.arange(int(round(source.duration_s * SYNTHESIS_RATE))) / SYNTHESIS_RATE
    signal = _struck(source, times) if source.kind in STRUCK else _SOUNDS[source.kind](source, times)
    level = 0.5 * np.degrees(source.radius) / 12.5 * source.gain
    return (signal * (level / (np.abs(signal).max() + 1e-9))).astype(np.float32)


def _struck(source: Source, times: np.ndarray) -> np.ndarray:
    """The sum of all strokes."""
    signal = np.zeros(len(times))
    ring = int(RING_S.get(source.kind, source.duration_s) * SYNTHESIS_RATE) + 1
    for number, stroke in enumerate(source.strokes()):
        begin = int(np.ceil(stroke * SYNTHESIS_RATE))
        part = slice(begin, begin + ring)
        if source.kind == "guitar":
            signal[part] = 0  # the finger that plucks the string anew stops it first
        signal[part] += _stroke(source, times[part] - stroke, number)
    return signal


def _stroke(source: Source, since: np.ndarray, number: int) -> np.ndarray:
    """One stroke, `since` seconds after it; `number` counts the strokes."""
    if source.kind == "drum":
        sweep = 60 * since + 80 / 30 * (1 - np.exp(-30 * since))  # from 140 Hz down to 60 Hz
        return np.exp(-25 * since) * np.sin(2 * np.pi * source.pitch * sweep)
    if source.kind == "guitar":
        return _plucked(source, len(since), number)
    tone = 2 * np.pi * source.pitch * since
    if source.kind == "ball":  # a hollow thump that glides down, and the short ring of the rubber
        sweep = tone + 2 * np.pi * source.pitch * (1 - np.exp(-40 * since)) / 40
        return np.exp(-30 * since) * np.sin(260 * sweep) + 0.5 * np.exp(-60 * since) * np.sin(900 * tone)
    if source.kind == "clock":
        tone = tone * (1.0, 0.8)[number % 2]  # tick, tock
        return sum(a * np.exp(-150 * since) * np.sin(f * tone) for f, a in ((2600, 1), (4300, 0.8), (6100, 0.5)))
    if source.kind == "woodpecker":
        return np.exp(-90 * since) * np.sin(850 * tone) + 0.7 * np.exp(-200 * since) * np.sin(1500 * tone)
    partials = ((1.0, 1.0), (2.76, 0.5), (5.4, 0.33))  # a bell's frequency ratio, amplitude
    tone = 2 * np.pi * 520 * source.pitch * since
    return sum(a * np.exp(-4 * since / a) * np.sin(ratio * tone) for ratio, a in partials)


def _plucked(source: Source, samples: int, number: int) -> np.ndarray:
    """A string by Karplus and Strong (1983): one period of noise goes round and is smoothed a little every time."""
    rng = np.random.default_rng([source.noise_seed, number])
    frequency = 147 * source.pitch * 2 ** (rng.choice(STEPS) / 12)
    string = rng.uniform(-1, 1, int(round(SYNTHESIS_RATE / frequency)))
    string = np.convolve(np.tile(string, 3), np.hanning(18)[1:-1] / 8.5, "same")[len(string) : -len(string)]
    string = string / np.abs(string).max()  # a finger is softer than noise, and every pluck is equally strong
    keep, turns = np.exp(-1 / (frequency * DECAY_S["guitar"])), []
    for _ in range(samples // len(string) + 1):
        turns.append(string)
        string = keep * 0.5 * (string + np.roll(string, 1))
    return np.concatenate(turns)[:samples]


def _engine(source: Source, times: np.ndarray) -> np.ndarray:
    return np.tanh(3 * np.sin(2 * np.pi * 90 * source.pitch * times)) * (0.3 + 0.7 * source.activity(times))


def _water(source: Source, times: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(source.noise_seed).standard_normal(len(times))
    return np.convolve(noise, np.hanning(29), "same") * (0.25 + 0.75 * source.activity(times))


def _siren(source: Source, times: np.ndarray) -> np.ndarray:
    swing = 700 * (source.activity(times) - 0.5)
    return np.sin(2 * np.pi * np.cumsum(source.pitch * (800 + swing)) / SYNTHESIS_RATE)


def _bird(source: Source, times: np.ndarray) -> np.ndarray:
    swing = 900 * np.sin(44 * times)
    return np.sin(2 * np.pi * np.cumsum(source.pitch * (2500 + swing)) / SYNTHESIS_RATE) * source.activity(times)


def _horn(source: Source, times: np.ndarray) -> np.ndarray:
    """Notes of a scale with vibrato; the harder it is blown, the brighter it is."""
    note = np.floor((times - source.first_s) / source.period_s).astype(int) + 1
    steps = np.random.default_rng(source.noise_seed).choice(STEPS, note.max() + 1)[note]
    frequency = 330 * source.pitch * 2 ** (steps / 12) * (1 + 0.008 * np.sin(2 * np.pi * 5.5 * times))
    phase = 2 * np.pi * np.cumsum(frequency) / SYNTHESIS_RATE
    active, tone = source.activity(times), 0.0
    for harmonic in range(8, 0, -1):  # active * (h1 + active * (h2 + ...)): the high ones need a strong breath
        tone = active * (np.sin(harmonic * phase) / harmonic**0.5 + tone)
    return tone


def _singer(source: Source, times: np.ndarray) -> np.ndarray:
    """Syllables a, e, i, o, u: the harmonics of a voice, strong where the mouth resounds."""
    vowel = np.floor((times - source.first_s) / source.period_s).astype(int) % 5
    number = np.arange(1, 25)
    apart = source.pitch * 160 * number - np.array(VOWELS_HZ)[..., None]  # [5, 3, H]: from each formant, Hz
    levels = np.einsum("f,vfh->vh", [1.0, 0.6, 0.3], 1 / (1 + (apart / 80) ** 2)) / number**0.3
    levels = levels / np.linalg.norm(levels, axis=1, keepdims=True)
    frequency = 160 * source.pitch * (1 + 0.012 * np.sin(2 * np.pi * 5 * times))
    phase = 2 * np.pi * np.cumsum(frequency) / SYNTHESIS_RATE
    tone = sum(levels[vowel, k - 1] * np.sin(k * phase) for k in number)
    return tone * source.activity(times)


_SOUNDS = {"engine": _engine, "water": _water, "siren": _siren, "bird": _bird, "horn": _horn, "singer": _singer}
