"""Baselines and controls: left is left, levels stay, the energy map leads, and no clip is its own stranger."""

import inspect

import numpy as np
import pytest

from visage_lite import baselines as bl
from visage_lite.ambisonics import covariance, encode, energy_map, intensity_direction, pan_mono
from visage_lite.directions import Direction
from visage_lite.evaluation import spatial_scores
from visage_lite.panorama import pixel_of, view_rays

RATE, SAMPLES = 800, 4000
CAMERA = Direction.from_degrees(70, 20)


def known(patches=None, seed=0, camera=CAMERA, frames=20, **more):
    """A clip of noise; the energy map has one hot patch, or one a frame."""
    energy = np.full((frames, 49), 1 / 49)
    if patches is not None:
        energy = np.eye(49)[np.broadcast_to(patches, frames)]
    return bl.Known(np.random.default_rng(seed).standard_normal(SAMPLES), camera, energy, RATE, seed, **more)


def truth(seed=0, **more):
    mono = np.random.default_rng(seed).standard_normal(SAMPLES).astype(np.float32)
    return bl.Truth(encode(mono, 1.0, 0.3), RATE, seed, **more)


class HalfCodec:
    """A codec that loses half the level and the end of the sound."""

    name, sample_rate = "half", RATE

    def encode(self, foa):
        return foa / 2

    def decode(self, codes):
        return codes[:, :-100]


# --- baselines ---


@pytest.mark.parametrize("name", bl.BASELINES)
def test_every_baseline_keeps_the_mono_sound_in_w(name):
    clip = known()
    field = bl.field_of(bl.BASELINES[name], clip)
    np.testing.assert_array_equal(field[0], clip.mono)
    half = bl.Known(clip.mono.astype(np.float32), CAMERA, clip.energy_map, RATE, 0)
    assert bl.field_of(bl.BASELINES[name], half).dtype == np.float32
    assert "Knows" in inspect.getdoc(bl.BASELINES[name]), "each says what it knows"


def test_left_is_left_and_as_released_it_is_right():
    clip = known(camera=Direction.from_degrees(90, 0))
    np.testing.assert_allclose(bl.toward_camera(clip)[1], clip.mono)
    np.testing.assert_allclose(bl.toward_camera_as_released(clip)[1], -(2**0.5) * clip.mono)
    assert np.argmax(energy_map(bl.toward_camera(clip)).sum(0)) < 90 <= np.argmax(
        energy_map(bl.toward_camera_as_released(clip)).sum(0))


def test_mono_in_w_has_no_direction_and_guesses():
    score = spatial_scores(bl.in_w_only(known()), truth().foa, RATE)["all"]
    assert (score.cc, score.auc) == (0, 0.5)


def test_random_directions_are_drawn_by_clip_and_cover_the_sphere():
    field = bl.toward_random(known(seed=4))
    np.testing.assert_array_equal(field, bl.toward_random(known(seed=4)))
    places = np.array([intensity_direction(bl.toward_random(known(seed=seed))) for seed in range(300)])
    np.testing.assert_allclose(np.sum(field[1:] ** 2, axis=0), field[0] ** 2)  # one point source
    np.testing.assert_allclose(places.mean(0), 0, atol=0.12)
    np.testing.assert_allclose((places**2).mean(0), 1 / 3, atol=0.07)


@pytest.mark.parametrize("patch", [0, 6, 24, 30, 48])
def test_one_hot_patch_is_panning_to_it(patch):
    clip = known(patch)
    place = Direction.from_vector(view_rays(CAMERA, 90, 7)[patch // 7, patch % 7])
    column, row = pixel_of(place, CAMERA, 90, 7)
    assert (int(column), int(row)) == (patch % 7, patch // 7)
    np.testing.assert_allclose(bl.by_energy_map(clip), pan_mono(clip.mono, place), atol=1e-12)


def test_a_hot_patch_on_the_left_is_heard_on_the_left_of_the_camera():
    left, right = (intensity_direction(bl.by_energy_map(known(patch))) for patch in (21, 27))
    across = np.array([-np.sin(CAMERA.azimuth), np.cos(CAMERA.azimuth), 0])
    assert left @ across > 0.5 and right @ across < -0.5


def test_energy_map_panning_against_a_loop_over_patches_and_samples():
    rng = np.random.default_rng(3)
    energy, mono = rng.random((3, 49)), rng.standard_normal(30)
    field = bl.by_energy_map(bl.Known(mono, CAMERA, energy, RATE, 0))
    rays = view_rays(CAMERA, 90, 7)
    for n in range(30):
        place = min(n / 10, 2)  # the frames are at samples 0, 10, 20
        expected = np.zeros(4)
        for patch in range(49):
            gains = [energy[f, patch] / energy[f].sum() for f in range(3)]
            gain = np.interp(place, range(3), gains)
            front, left, up = rays[patch // 7, patch % 7]
            expected += gain * mono[n] * np.array([1, left, up, front])
        np.testing.assert_allclose(field[:, n], expected, atol=1e-12)


def test_two_hot_patches_have_the_mean_intensity_of_two_sources():
    energy = np.zeros((1, 49))
    energy[0, [10, 40]] = 0.7, 0.3
    rays = view_rays(CAMERA, 90, 7).reshape(49, 3)
    field = bl.by_energy_map(bl.Known(np.random.default_rng(0).standard_normal(SAMPLES), CAMERA, energy, RATE, 0))
    intensity = covariance(field)[0]
    np.testing.assert_allclose(intensity[[3, 1, 2]] / intensity[0], 0.7 * rays[10] + 0.3 * rays[40], atol=1e-12)


def test_the_field_of_view_is_that_of_the_clip():
    narrow = intensity_direction(bl.by_energy_map(known(21, fov_deg=30)))
    wide = intensity_direction(bl.by_energy_map(known(21)))
    assert narrow @ CAMERA.to_vector() > wide @ CAMERA.to_vector() + 0.1


# --- controls ---


def test_controls_are_what_they_say():
    clip = truth(other=truth(1).foa, codec=HalfCodec())
    made = {name: bl.field_of(control, clip) for name, control in bl.CONTROLS.items()}
    w, y, z, x = clip.foa
    np.testing.assert_array_equal(made["truth mirrored"], [w, -y, z, x])
    np.testing.assert_array_equal(made["truth of another clip"], truth(1).foa)
    np.testing.assert_array_equal(made["truth in W only"], [w, 0 * w, 0 * w, 0 * w])
    assert not made["silence"].any()
    coded = made["truth through the codec"]
    np.testing.assert_array_equal(coded[:, :-100], clip.foa[:, :-100] / 2)
    assert not coded[:, -100:].any()
    assert all(field.dtype == np.float32 for field in made.values())


def test_noise_has_the_truths_level_and_no_direction():
    clip = truth(5)
    made = bl.noise(clip)
    assert np.mean(made[0] ** 2) == pytest.approx(np.mean(clip.foa[0] ** 2), rel=1e-5)
    np.testing.assert_allclose(covariance(made) / covariance(made)[0, 0], np.diag([1, 1 / 3, 1 / 3, 1 / 3]), atol=0.06)
    np.testing.assert_array_equal(made, bl.noise(clip))
    assert np.abs(made - bl.noise(truth(6))).max() > 0.1
    assert not bl.noise(bl.Truth(np.zeros((4, 100)), RATE, 0)).any(), "a silent truth has silent noise"


# --- another clip ---


@pytest.mark.parametrize("videos", ["aabbc", "abcdefgh", "aaabbbccc", "aabb", "aaab", "ab"])
def test_every_clip_gets_a_stranger(videos):
    for seed in range(20):
        others = bl.other_clips(list(videos), seed)
        assert sorted(others) == list(range(len(videos))) and (others != np.arange(len(videos))).all()
        at_home = sum(videos[other] == videos[place] for place, other in enumerate(others))
        most = max(map(videos.count, videos))
        assert at_home == max(0, 2 * most - len(videos)), "in the same video only as often as must be"


def test_strangers_of_one_video_and_seeds():
    others = bl.other_clips(["v"] * 5, 0)
    assert (others != np.arange(5)).all() and sorted(others) == list(range(5))
    np.testing.assert_array_equal(bl.other_clips(list("abcdefgh"), 1),
                                  bl.other_clips(list("abcdefgh"), 1))
    assert len({tuple(bl.other_clips(list("abcdefgh"), seed)) for seed in range(10)}) > 5


# --- what is refused ---


def test_your_own_baseline_is_checked():
    assert bl.field_of(lambda clip: np.tile(clip.mono, (4, 1)), known()).shape == (4, SAMPLES)

    def short(clip):
        return np.zeros((4, 10))

    with pytest.raises(ValueError, match=r"short gave \[4, 10\]"):
        bl.field_of(short, known())
    with pytest.raises(ValueError, match="finite"):
        bl.field_of(lambda clip: np.full((4, SAMPLES), np.nan), known())


@pytest.mark.parametrize("wrong, match", [
    (lambda: bl.Known(np.zeros((2, 9)), CAMERA, np.ones((1, 49)), RATE, 0), "one channel"),
    (lambda: bl.Known(np.array([np.nan]), CAMERA, np.ones((1, 49)), RATE, 0), "finite"),
    (lambda: bl.Known(np.zeros(9), CAMERA, np.ones((1, 7, 7)), RATE, 0), "7 x 7"),
    (lambda: bl.Known(np.zeros(9), CAMERA, np.ones((0, 49)), RATE, 0), "49"),
    (lambda: bl.by_energy_map(bl.Known(np.zeros(9), CAMERA, np.zeros((1, 49)), RATE, 0)), "sum over 0"),
    (lambda: bl.by_energy_map(bl.Known(np.zeros(9), CAMERA, -np.ones((1, 49)), RATE, 0)), "patches >= 0"),
    (lambda: bl.Truth(np.zeros((3, 9)), RATE, 0), "foa"),
    (lambda: bl.Truth(np.zeros((4, 9)), RATE, 0, other=np.zeros(9)), "other"),
    (lambda: bl.through_codec(truth()), "no codec"),
    (lambda: bl.through_codec(bl.Truth(np.zeros((4, 9)), 2 * RATE, 0, codec=HalfCodec())), "half at 800 Hz"),
    (lambda: bl.shuffled(truth()), "other_clips"),
    (lambda: bl.shuffled(truth(other=np.zeros((4, 9)))), r"\[4, 9\]"),
    (lambda: bl.other_clips(["v"], 0), "two or more"),
])
def test_wrong_input_raises(wrong, match):
    with pytest.raises(ValueError, match=match):
        wrong()
