"""What is heard: every kind has its own sound, struck kinds peak at their strokes, a ball sounds when it is down."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest
from scipy.signal import find_peaks

from visage_lite.directions import Direction, angles
from visage_lite.scenes import TOY_KINDS, make_scene
from visage_lite.sounds import ALL_KINDS, DECAY_S, GRAVITY, PERIODS_S, STRUCK, SYNTHESIS_RATE, VOWELS_HZ, Source, sound


def source_of(kind: str, seed: int = 0, duration_s: float = 2.0, **changes) -> Source:
    """An object that stands still, 12.5 degrees from middle to edge."""
    source = make_scene(seed, kind=kind, duration_s=duration_s, moving=False).sources[0]
    return dataclasses.replace(source, **{"radius": np.radians(12.5), **changes})


def envelope(signal: np.ndarray, step_s: float = 0.004) -> np.ndarray:
    """The largest value in every step."""
    step = int(step_s * SYNTHESIS_RATE)
    return np.abs(signal[: len(signal) // step * step]).reshape(-1, step).max(1)


def bands(signal: np.ndarray) -> np.ndarray:
    """Levels in 24 bands of a third of an octave from 60 Hz up, dB, at least -40; then how peaked and how sudden."""
    power = np.abs(np.fft.rfft(signal.astype(float))) ** 2
    hz = np.fft.rfftfreq(len(signal), 1 / SYNTHESIS_RATE)
    edges = 60 * 2 ** (np.arange(25) / 3)
    level = np.array([power[(hz >= a) & (hz < b)].sum() for a, b in zip(edges, edges[1:])])
    crest = 20 * np.log10(np.abs(signal).max() / np.sqrt(np.mean(signal.astype(float) ** 2)))
    steps = np.diff(envelope(signal, 0.01)) / np.abs(signal).max()
    return np.r_[np.maximum(10 * np.log10(level / level.max()), -40), 5 * crest, 100 * np.sort(steps)[-2]]


def test_there_are_twelve_kinds_and_the_first_six_are_the_toy_ones():
    assert len(ALL_KINDS) >= 12 and ALL_KINDS[:6] == TOY_KINDS
    assert set(PERIODS_S) == set(ALL_KINDS) and set(DECAY_S) == set(STRUCK)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_peak_and_bytes(kind):
    one, two = sound(source_of(kind)), sound(source_of(kind))
    assert one.tobytes() == two.tobytes() != sound(source_of(kind, 1)).tobytes()
    assert one.dtype == np.float32 and one.shape == (2 * SYNTHESIS_RATE,)
    assert 0.499 < np.abs(one).max() <= 0.5
    assert np.abs(sound(source_of(kind, gain=0.5))).max() == pytest.approx(0.25, rel=1e-3)
    assert np.abs(sound(source_of(kind, radius=np.radians(7.5)))).max() == pytest.approx(0.3, rel=1e-3)


def test_every_kind_sounds_different():
    known = np.array([np.mean([bands(sound(source_of(kind, seed))) for seed in range(3)], 0) for kind in ALL_KINDS])
    heard = np.array([bands(sound(source_of(kind, 3))) for kind in ALL_KINDS])
    nearest = np.linalg.norm(heard[:, None] - known, axis=-1).argmin(1)
    assert [ALL_KINDS[k] for k in nearest] == list(ALL_KINDS)


@pytest.mark.parametrize("kind", STRUCK)
def test_struck_kinds_peak_at_their_strokes(kind):
    source = source_of(kind, first_s=0.1, period_s=PERIODS_S[kind][0])
    heard = envelope(sound(source), 0.01)
    strokes = source.strokes()[source.strokes() < 1.95]
    assert len(strokes) >= 2
    assert not heard[:10].any()
    peaks = 0.01 * find_peaks(heard, prominence=0.1)[0] + 0.005
    near = np.abs(peaks[:, None] - strokes)
    assert near.min(0).max() < 0.02  # every stroke has its peak
    assert near.min(1).max() < 0.02  # and every peak its stroke


@pytest.mark.parametrize("kind", sorted(set(ALL_KINDS) - set(STRUCK) - {"siren"}))
def test_loud_when_active(kind):
    source = source_of(kind)
    heard = np.sqrt(np.mean(sound(source).astype(float).reshape(-1, 960) ** 2, 1))
    active = source.activity((np.arange(len(heard)) + 0.5) * 0.02)
    assert np.corrcoef(heard, active)[0, 1] > 0.9
    assert active.min() >= 0 and active.max() <= 1 and np.ptp(active) > 0.9


def test_siren_is_high_when_active():
    source = source_of("siren")
    crossings = np.diff(np.signbit(sound(source)), append=False).reshape(-1, 4800).sum(1)
    assert np.corrcoef(crossings, source.activity((np.arange(20) + 0.5) * 0.1))[0, 1] > 0.95


def test_ball_is_down_exactly_when_it_sounds():
    source = source_of("ball", first_s=0.3, period_s=0.6)
    strokes = source.strokes()
    ground = source.start.to_vector()
    np.testing.assert_allclose(source.vectors(strokes), np.broadcast_to(ground, (len(strokes), 3)), atol=1e-12)
    times = np.arange(0, 2, 0.001)
    lift = np.arccos(np.clip(source.vectors(times) @ ground, -1, 1))
    assert np.all(lift[np.abs(times[:, None] - strokes).min(1) > 0.0015] > 0)
    top = GRAVITY * 0.6**2 / 8 / 2.0  # metres high, 2 metres away
    assert lift.max() == pytest.approx(top, rel=1e-3)
    azimuth, elevation = angles(source.vectors(np.array(0.6)))  # half a period after a stroke
    assert azimuth == pytest.approx(source.start.azimuth) and elevation == pytest.approx(source.start.elevation + top)
    second = np.diff(lift[310:890], 2) / 0.001**2  # between two strokes it falls freely
    np.testing.assert_allclose(second, -GRAVITY / 2.0, rtol=1e-2)


def test_moving_ball_touches_the_ground_along_its_path():
    ends = {"start": Direction.from_degrees(10, -5), "end": Direction.from_degrees(-30, 15)}
    ball, rolling = source_of("ball", **ends), source_of("drum", **ends)
    strokes = ball.strokes()
    np.testing.assert_allclose(ball.vectors(strokes), rolling.vectors(strokes), atol=1e-9)
    assert not ball.still and not rolling.still and not source_of("ball").still and source_of("drum").still
    assert np.allclose(np.linalg.norm(ball.vectors(np.linspace(0, 2, 50)), axis=1), 1)


def test_distance_is_the_inverse_of_loudness():
    for degrees in (7.5, 10.0, 12.5):
        source = source_of("engine", radius=np.radians(degrees))
        assert np.abs(sound(source)).max() == pytest.approx(1 / source.distance_m, rel=1e-3)
    assert source.distance_m == pytest.approx(2.0)


def test_woodpecker_pecks_six_times_in_a_row():
    source = source_of("woodpecker", first_s=0.1, period_s=1.2)
    np.testing.assert_allclose(source.strokes(), np.r_[0.1 + 0.09 * np.arange(6), 1.3 + 0.09 * np.arange(6)])
    before, after = source.activity(source.strokes() - 1e-6), source.activity(source.strokes() + 1e-6)
    assert np.all(after > 0.99) and np.all(before < 0.15)


def test_tick_is_not_tock():
    source = source_of("clock", first_s=0.1, period_s=0.5)
    parts = [sound(source)[int(t * SYNTHESIS_RATE) :][:4800] for t in source.strokes()[:3]]
    middle = [np.argmax(np.abs(np.fft.rfft(part))) for part in parts]
    assert middle[0] == middle[2] and middle[1] == pytest.approx(0.8 * middle[0], rel=0.02)


def test_singer_sings_the_vowels_in_turn():
    source = source_of("singer", duration_s=4.4, first_s=0.3, period_s=0.8, pitch=1.0)
    signal = sound(source).astype(float)[int(0.3 * SYNTHESIS_RATE) :]
    hz = 160 * np.arange(1, 25)
    for (vowel, formants), begin_s in product(enumerate(VOWELS_HZ), (0.05, 0.25, 0.48)):
        part = signal[int((0.8 * vowel + begin_s) * SYNTHESIS_RATE) :][:6000]
        power = np.abs(np.fft.rfft(part)) ** 2
        frequencies = np.fft.rfftfreq(len(part), 1 / SYNTHESIS_RATE)
        strongest = hz[np.argmax([power[np.abs(frequencies - f) < 40].sum() for f in hz])]
        assert abs(strongest - formants[0]) <= 80  # the harmonic nearest to the first formant


def test_horn_keeps_its_pitch_for_a_note_and_is_brighter_when_louder():
    source = source_of("horn", duration_s=4.0, first_s=0.35, period_s=0.8)
    signal, pitches = sound(source).astype(float), []
    for begin in (source.strokes() * SYNTHESIS_RATE).astype(int)[:4]:
        rising, middle, falling = (
            np.abs(np.fft.rfft(signal[begin + int(a * SYNTHESIS_RATE) :][:4800], SYNTHESIS_RATE))
            for a in (0.02, 0.3, 0.56)
        )
        low = slice(250, 750)
        assert abs(np.argmax(rising[low]) - np.argmax(middle[low])) < 15
        assert abs(np.argmax(falling[low]) - np.argmax(middle[low])) < 15
        bright = [np.sum(part[1500:] ** 2) / np.sum(part**2) for part in (rising, middle)]
        assert bright[1] > 1.2 * bright[0]
        pitches.append(np.argmax(middle[low]))
    assert np.ptp(pitches) > 20


def test_string_has_its_pitch_and_fades():
    source = source_of("guitar", first_s=0.0, period_s=2.5, pitch=1.0)
    signal = sound(source).astype(float)
    part = signal[4800 : 4800 + 24000]
    power = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * len(part)))
    lowest = np.fft.rfftfreq(8 * len(part), 1 / SYNTHESIS_RATE)[find_peaks(power, height=0.05 * power.max())[0][0]]
    steps = 12 * np.log2(lowest / 147)
    assert np.abs(steps - np.array([0, 3, 5, 7, 10])).min() < 0.2  # semitones
    heard = envelope(signal, 0.1)
    assert heard[0] > 2 * heard[5] > 4 * heard[15] > 0
