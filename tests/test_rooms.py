"""A room: mirrored sources where a loop puts them, the right delays and levels, a tail that decays and has no side."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest

from visage_lite.ambisonics import encode, intensity_direction
from visage_lite.directions import Direction, angles
from visage_lite.rooms import SPEED_OF_SOUND, Room, echoes, mirrors, reverberate, tail
from visage_lite.scenes import make_scene
from visage_lite.sounds import sound

RATE = 48000
PLACE = Direction.from_degrees(25, 10)
DISTANCE = 2.5


def click(samples: int = 4800, at: int = 10) -> np.ndarray:
    """Silence but for one sample."""
    return np.eye(1, samples, at)[0]


def by_reflection(room: Room, position: np.ndarray) -> dict[tuple, int]:
    """The images of a source by reflecting it in one wall after the other: place from the listener -> walls met."""
    found = {tuple(np.round(position - room.listener, 6)): 0}
    level = [np.array(position, float)]
    for walls in range(1, room.order + 1):
        following = []
        for point, axis, side in product(level, range(3), (0, 1)):
            image = point.copy()
            image[axis] = 2 * side * room.size[axis] - point[axis]
            key = tuple(np.round(image - room.listener, 6))
            if key not in found:
                found[key] = walls
                following.append(image)
        level = following
    return {key: walls for key, walls in found.items() if walls}


@pytest.mark.parametrize("order", range(5))
def test_images_are_reflections_of_reflections(order):
    room = Room(order=order)
    position = room.positions(PLACE.to_vector(), DISTANCE)
    signs, shifts, walls = mirrors(room)
    places = np.round(signs * position + shifts - room.listener, 6)
    assert {tuple(place): wall for place, wall in zip(places, walls)} == by_reflection(room, position)
    assert len(places) == (0, 6, 24, 62, 128)[order]


def test_first_echoes_have_the_right_delay_level_and_direction():
    room = Room(order=1, absorption=0.3)
    heard = echoes(room, click(), PLACE.to_vector(), DISTANCE, RATE)
    for place, walls in by_reflection(room, room.positions(PLACE.to_vector(), DISTANCE)).items():
        place = np.array(place)
        distance = np.linalg.norm(place)
        at = 10 + (distance - DISTANCE) / SPEED_OF_SOUND * RATE
        part = heard[:, int(at) : int(at) + 2]  # the click lies between two samples
        assert part[0].sum() == pytest.approx(DISTANCE / distance * 0.7 ** (walls / 2), rel=1e-6)
        assert np.sum(part[0] * np.array([int(at), int(at) + 1])) / part[0].sum() == pytest.approx(at, abs=1e-3)
        np.testing.assert_allclose(intensity_direction(part), place / distance, atol=1e-6)
    assert np.count_nonzero(heard[0]) <= 12  # and nothing else


def test_echoes_equal_a_loop_over_samples_and_images():
    room, rng = Room(order=2, absorption=0.4), np.random.default_rng(0)
    signal, samples = rng.standard_normal(900), 900
    path = np.linspace(-0.5, 0.7, samples)
    vectors = np.stack([np.cos(path), np.sin(path), np.zeros(samples)], 1)  # it moves along the horizon
    heard = echoes(room, signal, vectors, DISTANCE, 16000)
    for at in (0, 300, 555, 899):
        expected = np.zeros(4)
        for place, walls in by_reflection(room, room.positions(vectors[at], DISTANCE)).items():
            distance = np.linalg.norm(place)
            when = at - (distance - DISTANCE) / SPEED_OF_SOUND * 16000
            value = np.interp(when, np.arange(samples), signal) if when >= 0 else 0.0
            front, left, up = np.array(place) / distance
            expected += value * DISTANCE / distance * 0.6 ** (walls / 2) * np.array([1, left, up, front])
        np.testing.assert_allclose(heard[:, at], expected, atol=2e-4)  # the oracle rounds its places


def test_still_and_moving_agree():
    room, signal = Room(), np.random.default_rng(1).standard_normal(2000)
    vector = PLACE.to_vector()
    still = reverberate(room, signal, vector, DISTANCE, RATE)
    np.testing.assert_allclose(still, reverberate(room, signal, np.tile(vector, (2000, 1)), DISTANCE, RATE), atol=1e-12)


def test_tail_follows_the_echoes_of_a_click_at_the_level_of_its_distance():
    room, vector = Room(seed=5), PLACE.to_vector()
    late = reverberate(room, click(), vector, DISTANCE, RATE) - echoes(room, click(), vector, DISTANCE, RATE)
    np.testing.assert_allclose(late[:, 10:], DISTANCE * tail(room, RATE)[:, : 4800 - 10], atol=1e-12)
    assert np.abs(late[:, :10]).max() < 1e-12


@pytest.mark.parametrize("room", [Room(), Room(absorption=0.2), Room((5, 6, 4), (2, 3, 2), 0.1)])
def test_tail_decays_by_60_db_in_rt60(room):
    power = (tail(room, 16000) ** 2).sum(0)
    begin = int((room.order + 1) * room.bounce_s * 16000)  # when it has faded in
    left_over = 10 * np.log10(np.cumsum(power[::-1])[::-1][begin:])  # Schroeder 1965
    first, last = (np.argmax(left_over < left_over[0] - drop) for drop in (5, 35))
    assert 2 * (last - first) / 16000 == pytest.approx(room.rt60_s, rel=0.15)
    assert not power[: int(room.order * room.bounce_s * 16000)].any()


def test_rt60_is_eyrings():
    room = Room((5, 6, 4), (2, 3, 2), 0.1)
    assert room.rt60_s == pytest.approx(0.161 * 120 / (-148 * np.log(0.9)), rel=0.01)
    assert Room(absorption=0.6).rt60_s < Room(absorption=0.3).rt60_s


def test_tail_comes_from_everywhere():
    late = tail(Room(absorption=0.05), 16000)[:, 4000:40000]
    late = late * 10 ** (3 * np.arange(36000) / 16000 / Room(absorption=0.05).rt60_s)  # as if it did not decay
    power = (late**2).mean(1)
    np.testing.assert_allclose(power[1:] / power[0], 1 / 3, rtol=0.1)
    correlation = np.corrcoef(late)
    assert np.abs(correlation - np.eye(4)).max() < 0.03
    intensity = late[0] * late[1:]
    assert np.linalg.norm(intensity.mean(1)) < 0.03 * power[0]


@pytest.mark.parametrize("absorption", [0.2, 0.5])
def test_echoes_and_tail_together_have_the_energy_of_all_image_sources(absorption):
    room, every = (Room(absorption=absorption, order=order) for order in (2, 12))
    position = room.positions(PLACE.to_vector(), DISTANCE)
    signs, shifts, walls = mirrors(every)
    distance = np.linalg.norm(signs * position + shifts - room.listener, axis=1)
    energy, times = (1 - absorption) ** walls / distance**2, (distance - DISTANCE) / SPEED_OF_SOUND
    late = tail(room, RATE)[0] ** 2
    for begin, end in ((0.02, 0.05), (0.05, 0.08), (0.08, 0.11), (0.11, 0.14)):
        inside = (times >= begin) & (times < end)
        made = energy[inside & (walls <= 2)].sum() + late[int(begin * RATE) : int(end * RATE)].sum()
        assert 10 * np.log10(made / energy[inside].sum()) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("moving", [False, True])
def test_direct_sound_is_first_and_unchanged(moving):
    seed = next(s for s in range(99) if make_scene(s, kind="drum", moving=moving).sources[0].first_s > 0.05)
    dry = make_scene(seed, kind="drum", duration_s=1.0, moving=moving)
    wet = make_scene(seed, kind="drum", duration_s=1.0, moving=moving, room=Room())
    assert dataclasses.replace(wet, room=None) == dry
    source = wet.sources[0]
    signs, shifts, _ = mirrors(wet.room)
    position = wet.room.positions(source.vectors(0.0), source.distance_m)
    nearest = np.linalg.norm(signs * position + shifts - wet.room.listener, axis=1).min()
    gap = (nearest - source.distance_m) / SPEED_OF_SOUND if not moving else 0.002
    begin, end = int(source.first_s * RATE), int((source.first_s + gap) * RATE) - 40
    one, two = dry.foa(RATE), wet.foa(RATE)
    assert gap >= 0.002 and np.abs(two[:, : begin - 200]).max() < 1e-6
    np.testing.assert_allclose(two[:, :end], one[:, :end], atol=1e-6)
    assert np.abs(one[:, begin:end]).max() > 0.01
    stated = Direction.from_vector(source.vectors(source.first_s))
    heard = Direction.from_vector(intensity_direction(two[:, begin:end]))
    assert np.degrees(heard.angle_to(stated)) < 1
    assert np.abs(two - one)[:, end + 80 :].max() > 0.01  # then come the echoes


def test_room_adds_what_reverberate_says_at_any_rate():
    scene = make_scene(4, kind="water", duration_s=0.5, moving=False, room=Room(seed=3))
    added = scene.foa(RATE) - dataclasses.replace(scene, room=None).foa(RATE)
    source = scene.sources[0]
    expected = reverberate(scene.room, sound(source), source.vectors(0.0), source.distance_m, RATE)
    np.testing.assert_allclose(added, expected, atol=1e-6)
    low, high = scene.foa(16000)[:, 200:-200], scene.foa(RATE)[:, ::3][:, 200:-200]
    assert np.sqrt(np.mean((low - high) ** 2)) < 0.01 * np.sqrt(np.mean(low**2))
    assert scene.foa(16000).tobytes() == scene.foa(16000).tobytes()
    other = dataclasses.replace(scene, room=Room(seed=4))
    assert other.foa(16000).tobytes() != scene.foa(16000).tobytes()


def test_a_bare_room_rings_longer_and_louder():
    levels = []
    for absorption in (0.1, 0.5, 0.9):
        field = reverberate(Room(absorption=absorption), click(24000), PLACE.to_vector(), DISTANCE, RATE)
        levels.append(np.sum(field[0] ** 2))
    assert levels[0] > 2 * levels[1] > 8 * levels[2] > 0
    direct = encode(click(), *angles(PLACE.to_vector()))
    assert np.sum(direct[0] ** 2) == 1


def test_bad_rooms_are_refused():
    with pytest.raises(ValueError, match="three lengths"):
        Room(size=(4, 0, 3))
    with pytest.raises(ValueError, match="outside the room"):
        Room(size=(4, 4, 3))
    with pytest.raises(ValueError, match="between 0 and 1"):
        Room(absorption=1.0)
    with pytest.raises(ValueError, match="whole number"):
        Room(order=-1)
    with pytest.raises(ValueError, match="make the room larger"):
        Room((4, 4, 3), (2, 2, 1.5)).positions(np.array([0.0, 0.0, 1.0]), 2.0)
    with pytest.raises(ValueError, match="signal"):
        echoes(Room(), np.zeros((2, 9)), PLACE.to_vector(), DISTANCE, RATE)
