"""The headphones: louder and earlier in the nearer ear, the same mirrored, and no gain of its own."""

import numpy as np
import pytest
from scipy.special import eval_legendre

from visage_lite import ambisonics, binaural

RATE = 16000


def noise(samples=RATE // 2, seed=0):
    return np.random.default_rng(seed).standard_normal(samples)


def heard(azimuth_deg, elevation_deg=0.0, signal=None, yaw=0.0, rate=RATE):
    signal = noise() if signal is None else signal
    foa = ambisonics.encode(signal, np.radians(azimuth_deg), np.radians(elevation_deg))
    return binaural.binauralise(foa, rate, yaw).astype(float)


def level_db(sound):
    return 10 * np.log10(np.mean(sound**2, axis=-1))


def lead_s(stereo, highest_hz=500, rate=RATE):
    """How much earlier the left ear hears the low frequencies: where the two ears agree best."""
    size, finer = stereo.shape[1], 16
    left, right = np.fft.rfft(stereo)
    cross = right * left.conj() * (np.fft.rfftfreq(size, 1 / rate) < highest_hz)
    alike = np.fft.irfft(cross, size * finer)
    lag = int(alike.argmax())
    return (lag if lag < size * finer / 2 else lag - size * finer) / (finer * rate)


def test_a_source_on_the_left_is_louder_and_earlier_in_the_left_ear():
    stereo = heard(90)
    left, right = level_db(stereo)
    assert left > right + 6
    assert 0.0005 < lead_s(stereo) < 0.0009  # a head is 0.0175 m / 343 m/s = 0.5 ms wide, and sound walks round it


def test_right_is_left_in_a_mirror():
    for azimuth_deg in (20, 90, 150):
        np.testing.assert_allclose(heard(-azimuth_deg)[::-1], heard(azimuth_deg), atol=1e-6)
    assert lead_s(heard(-90)) == pytest.approx(-lead_s(heard(90)))


@pytest.mark.parametrize("place", [(0, 0), (180, 0), (0, 90), (0, -90), (180, 40)])
def test_both_ears_hear_the_middle_alike(place):
    left, right = heard(*place)
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_level_and_lead_grow_from_the_front_to_the_side():
    sounds = [heard(azimuth_deg) for azimuth_deg in (0, 15, 30, 60, 90)]
    levels = [float(np.subtract(*level_db(sound))) for sound in sounds]
    leads = [lead_s(sound) for sound in sounds]
    assert all(np.diff(levels) > 0) and all(np.diff(leads) > 0)


def test_turning_the_head_to_the_source_brings_it_to_the_middle():
    left, right = heard(70, yaw=np.radians(70))
    np.testing.assert_allclose(left, right, atol=1e-5)
    np.testing.assert_allclose(heard(70, yaw=np.radians(30)), heard(40), atol=1e-6)


def test_no_normalisation_and_no_mixing_in_of_anything_else():
    signal = noise()
    np.testing.assert_allclose(heard(50, signal=0.01 * signal), 0.01 * heard(50, signal=signal), rtol=1e-4, atol=1e-7)
    assert not heard(50, signal=np.zeros(100)).any()
    both = ambisonics.encode(signal, 1.0, 0.2) + ambisonics.encode(noise(seed=1), -2.0, 0.1)
    apart = binaural.binauralise(ambisonics.encode(signal, 1.0, 0.2), RATE)
    apart = apart + binaural.binauralise(ambisonics.encode(noise(seed=1), -2.0, 0.1), RATE)
    np.testing.assert_allclose(binaural.binauralise(both, RATE), apart, atol=1e-5)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_in_time_with_the_picture_and_neither_louder_nor_softer(rate):
    click = np.zeros(rate // 10)
    click[rate // 20] = 1
    stereo = heard(0, signal=click, rate=rate)
    assert stereo.shape == (2, rate // 10)
    assert abs(np.abs(stereo[0]).argmax() - rate // 20) < 0.001 * rate
    assert abs(level_db(heard(0, signal=noise(rate), rate=rate))[0]) < 3


def test_series_against_a_loop_with_its_wronskian():
    """On the sphere j_n h'_n - j'_n h_n = i / x^2: the loop sums the incoming and the scattered wave apart."""
    from scipy.special import spherical_jn, spherical_yn

    frequencies = np.array([150.0, 900.0, 5000.0])
    series = binaural.sphere_series(frequencies, orders=30)
    for column, frequency in enumerate(frequencies):
        ka = 2 * np.pi * frequency * binaural.HEAD_RADIUS_M / binaural.SPEED_OF_SOUND
        for n in range(8):
            j, dj = spherical_jn(n, ka), spherical_jn(n, ka, derivative=True)
            h = j - 1j * spherical_yn(n, ka)
            dh = dj - 1j * spherical_yn(n, ka, derivative=True)
            expected = (2 * n + 1) * 1j**n * (j - dj / dh * h)
            assert abs(series[n, column] - expected) < 1e-9


def test_a_rigid_sphere_at_low_and_high_frequencies():
    low = binaural.sphere_series(np.array([5.0]), 5)[:, 0]
    ka = 2 * np.pi * 5 * binaural.HEAD_RADIUS_M / binaural.SPEED_OF_SOUND
    np.testing.assert_allclose(low[:2], [1, 1.5j * ka], atol=1e-4)  # the sphere makes the path half as long again
    high = binaural.sphere_series(np.array([12000.0]), 80)[:, 0]
    facing = abs(np.sum(high * eval_legendre(np.arange(80), 1.0)))
    assert facing == pytest.approx(2, abs=0.1)  # pressure doubles on a wall


def test_levels_stay_near_those_of_the_whole_series():
    frequencies = np.geomspace(60, 12000, 60)
    series = binaural.sphere_series(frequencies, 80)
    first = binaural.first_order_response(frequencies)
    cosines, areas = np.polynomial.legendre.leggauss(40)
    whole = np.abs(eval_legendre(np.arange(80)[:, None], cosines).T @ series)
    ours = np.abs(first[0] + np.outer(cosines, first[1]))
    error_db = 20 * np.log10(ours / whole)
    assert np.sqrt(areas @ error_db**2 / 2).max() < 4


@pytest.mark.parametrize("shape", [(2, 100), (4,), (1, 4, 100), (4, 0)])
def test_wrong_shapes_raise(shape):
    with pytest.raises(ValueError, match="W, Y, Z, X"):
        binaural.binauralise(np.zeros(shape), RATE)


@pytest.mark.parametrize("yaw_deg", [0, 37, 90, -120, 180])
def test_three_stems_make_what_the_ears_hear_however_the_head_is_turned(yaw_deg):
    foa = np.random.default_rng(1).standard_normal((4, 3000))
    middle, side, front = binaural.head_stems(foa, RATE)
    yaw = np.deg2rad(yaw_deg)
    turned = np.cos(yaw) * side - np.sin(yaw) * front
    expected = binaural.binauralise(foa, RATE, yaw=yaw)
    np.testing.assert_allclose([middle + turned, middle - turned], expected, atol=1e-5)
