"""Eight variants from six signals, or from flipped bits: the same codes as encoding the turned and mirrored sound."""

import numpy as np
import pytest
import torch

from visage_lite import presets
from visage_lite.ambisonics import mirror, rotate_yaw
from visage_lite.codec import DacCodec, load_codec
from visage_lite.directions import Direction
from visage_lite.scenes import make_scene
from visage_lite.variants import SIGNALS, VARIANTS, Variant, six_signals


def turned(foa, variant):
    """The oracle: mirror and rotate the sound field."""
    return rotate_yaw(mirror(foa) if variant.mirrored else foa, variant.quarter_turns * np.pi / 2)


@pytest.fixture(scope="module")
def field():
    return make_scene(4, duration_s=1.0).foa(16000)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_channels_are_those_of_the_turned_field(variant, field):
    assert np.allclose(variant.foa(field), turned(field, variant), atol=1e-6)
    assert variant.foa(field).dtype == np.float32


def test_there_are_eight_and_they_use_six_signals(field):
    assert len({tuple(variant.rows) for variant in VARIANTS}) == 8 and VARIANTS[0] == Variant()
    assert {row for variant in VARIANTS for row in variant.rows} == set(range(len(SIGNALS)))
    assert np.array_equal(six_signals(field)[[0, 1, 3, 4]], field)
    assert np.array_equal(Variant().foa(field), field)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_directions_turn_with_the_sound(variant):
    camera = Direction.from_degrees(50, 20)
    flipped = Direction(-camera.azimuth if variant.mirrored else camera.azimuth, camera.elevation)
    wanted = flipped.rotated(variant.quarter_turns * np.pi / 2).to_model_input()
    assert np.allclose(variant.direction(camera.to_model_input()), wanted, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_toy_codes_are_those_of_the_turned_sound(variant, field):
    codec = load_codec(presets.toy())
    assert np.array_equal(variant.codes(codec.encode(field)), codec.encode(variant.foa(field)))


@pytest.fixture(scope="module")
def small_dac():
    import dac

    torch.manual_seed(0)
    return DacCodec(dac.DAC(encoder_dim=8, decoder_dim=64, latent_dim=16), frame_rate=86)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_dac_codes_are_those_of_the_turned_sound(variant, small_dac):
    field = make_scene(4, duration_s=0.5).foa(44100)
    six = small_dac.encode(six_signals(field))
    assert six.shape == (6, 9, 43)
    assert np.array_equal(variant.codes(six), small_dac.encode(turned(field, variant).astype(np.float32)))


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match=r"\[6, K, T\].*not \[5, 2, 3\]"):
        Variant().codes(np.zeros((5, 2, 3), int))
