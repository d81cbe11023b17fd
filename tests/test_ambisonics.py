"""The sound field: against loops, against spaudiopy, against the stored numbers, and left stays left."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from visage_lite import ambisonics as am
from visage_lite.directions import Direction, unit_vector

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def spaudiopy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wants a sound card
        return pytest.importorskip("spaudiopy", exc_type=ImportError)


def noise(samples=200, seed=0):
    return np.random.default_rng(seed).standard_normal(samples)


def some_angles(count=20, seed=1):
    return np.random.default_rng(seed).uniform([-np.pi, -1.5], [np.pi, 1.5], (count, 2))


def field(samples=300, seed=2):
    return np.random.default_rng(seed).standard_normal((4, samples))


def test_encode_against_a_loop_for_a_moving_source():
    signal, azimuth, elevation = noise(50), np.linspace(-3, 3, 50), np.linspace(-1, 1, 50)
    fast = am.encode(signal, azimuth, elevation)
    for n, (s, a, e) in enumerate(zip(signal, azimuth, elevation)):
        expected = [s, s * np.sin(a) * np.cos(e), s * np.sin(e), s * np.cos(a) * np.cos(e)]
        np.testing.assert_allclose(fast[:, n], expected, atol=1e-15)


def test_encode_agrees_with_spaudiopy(spaudiopy):
    signal = noise(10)
    for azimuth, elevation in some_angles():
        w, x, y, z = spaudiopy.sph.src_to_b(signal, azimuth, np.pi / 2 - elevation)
        np.testing.assert_allclose(am.encode(signal, azimuth, elevation), [w, y, z, x], atol=1e-12)
        ours = am.encode(signal, azimuth, elevation)
        np.testing.assert_allclose(am.convert(ours, target="n3d"), spaudiopy.sph.sn3d_to_n3d(ours, 0), atol=1e-12)


def test_rotate_agrees_with_spaudiopy(spaudiopy):
    foa = field()
    for yaw, pitch, roll in ((0.7, 0, 0), (0, 0.7, 0), (0, 0, 0.7), (1.0, -0.4, 2.5)):
        # It counts yaw and roll the other way round.
        theirs = spaudiopy.sph.sh_rotation_matrix(1, -yaw, pitch, -roll) @ foa
        np.testing.assert_allclose(am.rotate(foa, am.rotation_matrix(yaw, pitch, roll)), theirs, atol=1e-12)


def test_rotating_a_field_is_moving_its_source():
    signal = noise()
    rng = np.random.default_rng(3)
    for azimuth, elevation in some_angles():
        matrix = am.rotation_matrix(*rng.uniform(-3, 3, 3))
        moved = Direction.from_vector(matrix @ unit_vector(azimuth, elevation))
        expected = am.encode(signal, moved.azimuth, moved.elevation)
        np.testing.assert_allclose(am.rotate(am.encode(signal, azimuth, elevation), matrix), expected, atol=1e-12)


def test_yaw_pitch_roll_go_where_they_say():
    front, left = np.array([1, 0, 0]), np.array([0, 1, 0])
    assert np.allclose(am.rotation_matrix(yaw=np.pi / 2) @ front, [0, 1, 0])
    assert np.allclose(am.rotation_matrix(pitch=np.pi / 2) @ front, [0, 0, 1])
    assert np.allclose(am.rotation_matrix(roll=np.pi / 2) @ left, [0, 0, 1])
    turned = am.rotate_yaw(am.encode(noise(), 0.3, 0.2), 0.5)
    np.testing.assert_allclose(turned, am.encode(noise(), 0.8, 0.2), atol=1e-12)


def test_the_released_rotation_augmentation():
    foa = field()
    turned = am.rotate_yaw(foa, -np.pi / 2)
    np.testing.assert_allclose(turned, [foa[0], -foa[3], foa[2], foa[1]], atol=1e-12)


@pytest.mark.parametrize("axis, sign", [("left-right", [-1, 1]), ("up-down", [1, -1])])
def test_mirror(axis, sign):
    for azimuth, elevation in some_angles(5):
        mirrored = am.mirror(am.encode(noise(), azimuth, elevation), axis)
        np.testing.assert_allclose(mirrored, am.encode(noise(), sign[0] * azimuth, sign[1] * elevation), atol=1e-12)


def test_mirror_front_back_and_leaves_its_input_alone():
    foa = field()
    before = foa.copy()
    mirrored = am.mirror(am.encode(noise(), 0.4, 0.2), "front-back")
    np.testing.assert_allclose(mirrored, am.encode(noise(), np.pi - 0.4, 0.2), atol=1e-12)
    np.testing.assert_allclose(am.mirror(am.mirror(foa, "front-back"), "front-back"), foa)
    np.testing.assert_array_equal(foa, before)


@pytest.mark.parametrize("shape", am.BEAMS)
def test_beam_gain_against_its_formula(shape):
    toward, signal = Direction(0.7, -0.3), noise()
    for azimuth, elevation in some_angles():
        angle = toward.angle_to(Direction(azimuth, elevation))
        gain = am.BEAMS[shape] + (1 - am.BEAMS[shape]) * np.cos(angle)
        heard = am.beam(am.encode(signal, azimuth, elevation), toward, shape)
        np.testing.assert_allclose(heard, gain * signal, atol=1e-12)


def test_conventions():
    foa = field()
    w, y, z, x = foa
    np.testing.assert_allclose(am.convert(foa, target="fuma"), [w / 2**0.5, x, y, z])
    np.testing.assert_allclose(am.convert(foa, target="n3d"), [w, 3**0.5 * y, 3**0.5 * z, 3**0.5 * x])
    for source in am.CONVENTIONS:
        for target in am.CONVENTIONS:
            there = am.convert(foa, source, target)
            np.testing.assert_allclose(am.convert(there, target, source), foa, atol=1e-12)


def test_energy_map_against_a_loop_over_cells():
    foa = field(80)
    for weighting, place, level in (("sn3d", 0.5, 1.0), ("as_released", 1.0, 2**0.5)):
        fast = am.energy_map(foa, 6, 12, weighting)
        for i in range(6):
            for j in range(12):
                e, a = np.pi * (0.5 - (i + place) / 6), np.pi * (1 - 2 * (j + place) / 12)
                level_, up = level * np.cos(e), np.sin(e)
                heard = foa[0] + level_ * np.sin(a) * foa[1] + up * foa[2] + level_ * np.cos(a) * foa[3]
                assert fast[i, j] == pytest.approx(np.sqrt(np.mean(heard**2)), rel=1e-9)


def test_energy_map_equals_the_stored_one():
    stored = np.load(REFERENCE / "audio_energy_map.npz")
    ours = am.energy_map(stored["foa"], weighting="as_released")
    np.testing.assert_allclose(ours, stored["energy_map"], rtol=1e-5)
    peaks = [np.unravel_index(levels.argmax(), levels.shape) for levels in ours]
    np.testing.assert_array_equal(peaks, stored["peak_index"])


def test_energy_map_peaks_at_the_source_only_with_the_right_weights():
    for i, j in ((10, 20), (22, 89), (45, 44), (70, 150)):
        source = Direction.from_index(i, j)
        levels = am.energy_map(am.encode(noise(), source.azimuth, source.elevation))
        assert np.unravel_index(levels.argmax(), levels.shape) == (i, j)
    released = am.energy_map(am.encode(noise(), 0.0, np.pi / 4), weighting="as_released")
    peak_elevation = 88 - 2 * np.unravel_index(released.argmax(), released.shape)[0]
    assert peak_elevation == 36  # not 45


def test_left_is_hotter_on_the_left():
    levels = am.energy_map(am.encode(noise(), np.pi / 3, 0.1))
    assert levels[:, :90].mean() > 1.5 * levels[:, 90:].mean()


def test_energy_map_of_many_fields_at_once_and_of_silence():
    many = np.random.default_rng(4).standard_normal((2, 3, 4, 60))
    levels = am.energy_map(many, 10, 20)
    np.testing.assert_allclose(levels[1, 2], am.energy_map(many[1, 2], 10, 20))
    assert np.array_equal(am.energy_map(np.zeros((4, 10))), np.zeros((90, 180)))


def test_intensity_points_at_the_source():
    for azimuth, elevation in some_angles():
        found = am.intensity_direction(am.encode(noise(), azimuth, elevation))
        np.testing.assert_allclose(found, unit_vector(azimuth, elevation), atol=1e-9)
    omni = np.concatenate([noise()[None], np.zeros((3, 200))])
    assert np.array_equal(am.intensity_direction(omni), np.zeros(3))


def test_diffuseness_of_plane_waves_and_of_sound_from_everywhere():
    for azimuth, elevation in some_angles():
        assert am.diffuseness(am.encode(noise(), azimuth, elevation)) == pytest.approx(0, abs=1e-12)
    around = unit_vector(*some_angles(4000, seed=5).T)
    directions = np.concatenate([around, -around])  # sounds that know nothing of each other, alike from both sides
    weights = np.concatenate([np.ones((len(directions), 1)), directions[:, [1, 2, 0]]], axis=1)
    assert am.diffuseness_of_covariance(weights.T @ weights) == pytest.approx(1, abs=1e-12)
    assert am.diffuseness(np.zeros((4, 9))) == 1


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_diffuseness_is_the_diffuse_share_of_the_energy(share):
    direct = np.outer(w := np.array([1, 0.6, 0.0, 0.8]), w)
    everywhere = np.diag([1, 1 / 3, 1 / 3, 1 / 3])  # of the same energy
    mixed = (1 - share) * direct + share * everywhere
    assert am.diffuseness_of_covariance(7 * mixed) == pytest.approx(share, abs=1e-12)


def test_diffuseness_against_its_formula_for_many_fields():
    many = np.random.default_rng(4).standard_normal((2, 3, 4, 60))
    for place in np.ndindex(2, 3):
        w, *velocity = many[place]
        flow = np.linalg.norm([np.mean(w * v) for v in velocity])
        energy = (np.mean(w**2) + sum(np.mean(v**2) for v in velocity)) / 2
        assert am.diffuseness(many)[place] == pytest.approx(1 - flow / energy)
    turned = am.rotate(many, am.rotation_matrix(1.0, 0.4, -2.0))
    np.testing.assert_allclose(am.diffuseness(turned), am.diffuseness(many))


def test_pan_and_decode_mono_equal_the_stored_numbers():
    stored = np.load(REFERENCE / "mono_ambisonics.npz")
    mono, direction = stored["mono"], Direction(-float(stored["azimuth"]), float(stored["elevation"]))
    encoded = am.pan_mono(mono, direction, "as_released")
    np.testing.assert_allclose(encoded, stored["encoded"], atol=1e-6)
    decoded = am.decode_mono(stored["encoded"], direction, "as_released_truth")
    np.testing.assert_allclose(decoded, stored["decoded_of_encoded"], atol=1e-6)


def test_decode_mono_hears_what_the_camera_looks_at():
    left = Direction.from_degrees(90, 0)
    foa = am.pan_mono(noise(), left)
    np.testing.assert_allclose(foa, am.encode(noise(), left.azimuth, 0))
    np.testing.assert_allclose(am.decode_mono(foa, left), 2 * noise(), atol=1e-12)
    np.testing.assert_allclose(am.decode_mono(foa, left), 2 * am.beam(foa, left), atol=1e-12)
    np.testing.assert_allclose(am.decode_mono(foa, left, "as_released_truth"), 0 * noise(), atol=1e-12)


def test_the_released_decode_of_generated_sound_multiplies_where_it_should_add():
    foa, direction = field(), Direction(0.6, 0.4)
    w, y, z, x = foa
    e, a = 0.4, -0.6
    expected = w + np.cos(e) * np.cos(a) * x / np.cos(e) * np.sin(a) * y + np.sin(e) * z
    np.testing.assert_allclose(am.decode_mono(foa, direction, "as_released_generated"), expected, atol=1e-12)


def test_float32_stays_float32():
    foa = field().astype(np.float32)
    results = [am.encode(foa[0], 0.1, 0.2), am.rotate_yaw(foa, 1.0), am.mirror(foa), am.convert(foa, target="fuma")]
    results += [am.beam(foa, Direction(0, 0)), am.decode_mono(foa, Direction(0, 0))]
    results += [am.pan_mono(foa[0], Direction(0, 0), "as_released")]
    assert all(result.dtype == np.float32 for result in results)


@pytest.mark.parametrize("wrong", [
    lambda: am.encode(np.zeros((2, 9)), 0, 0),
    lambda: am.encode(np.zeros(9), np.zeros(8), 0),
    lambda: am.rotate(np.zeros((3, 9)), np.eye(3)),
    lambda: am.rotate(np.zeros((4, 9)), np.eye(4)),
    lambda: am.rotate(np.zeros((4, 9)), 2 * np.eye(3)),
    lambda: am.mirror(np.zeros((4, 9)), "sideways"),
    lambda: am.beam(np.zeros((4, 9)), Direction(0, 0), "laser"),
    lambda: am.convert(np.zeros((4, 9)), "ambix", "b-format"),
    lambda: am.energy_map(np.zeros((4, 0))),
    lambda: am.energy_map(np.zeros((9, 4))),
    lambda: am.energy_map(np.zeros((4, 9)), weighting="n3d"),
    lambda: am.diffuseness(np.zeros((3, 9))),
    lambda: am.pan_mono(np.zeros(9), Direction(0, 0), "released"),
    lambda: am.decode_mono(np.zeros((4, 9)), Direction(0, 0), "released"),
])
def test_wrong_input_raises(wrong):
    with pytest.raises(ValueError):
        wrong()
