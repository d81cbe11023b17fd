"""The codecs: exact lengths, a perfect transform, signs that tell direction, turns without decoding, DAC's contract."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from visage_lite import presets
from visage_lite.codec import Codec, DacCodec, load_codec
from visage_lite.toy_codec import (
    GAIN_LEVELS,
    GAIN_STEP_DB,
    SILENCE,
    ToyCodec,
    fit_shapes,
    gain_and_shape,
    inverse_mdct,
    mdct,
    mirror_codes,
    rotate_codes,
)  # fmt: skip

HOP = 320
torch.set_num_threads(1)  # on a busy machine a second thread mostly waits


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def point_source(azimuth, elevation, samples=16000, seed=0):
    """Swelling tones from one direction, ambiX."""
    rng, times = np.random.default_rng(seed), np.arange(samples) / 16000
    signal = 0.2 * sum(np.sin(2 * np.pi * f * times + p) for f, p in rng.uniform([200, 0], [900, 6], (3, 2)))
    signal *= 0.6 + 0.4 * np.cos(7 * times)
    gains = [1, np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
    return np.outer(gains, signal).astype(np.float32)


def intensity(foa):
    """Front, left, up."""
    vector = (foa[:1] * foa[[3, 1, 2]]).sum(1)
    return vector / np.linalg.norm(vector)


@pytest.fixture(scope="module")
def codec():
    fields = [point_source(0.4, 0.2, 32000, seed) for seed in range(20)]
    return ToyCodec(fit_shapes(fields, HOP, 4, 256, np.random.default_rng(0), points=2000, rounds=3))


def test_mdct_equals_a_loop_and_inverts():
    signal = noise((2, 5 * HOP))
    n, k = np.arange(2 * HOP), np.arange(HOP)
    window = np.sin(np.pi * (n + 0.5) / (2 * HOP))
    padded = np.pad(signal, ((0, 0), (HOP // 2, HOP // 2)))
    slow = np.zeros((2, 5, HOP))
    for channel in range(2):
        for frame in range(5):
            piece = padded[channel, frame * HOP : frame * HOP + 2 * HOP] * window
            for row in k:
                cosine = np.cos(np.pi / HOP * (n + 0.5 + HOP / 2) * (row + 0.5))
                slow[channel, frame, row] = np.sqrt(2 / HOP) * (piece * cosine).sum()
    np.testing.assert_allclose(mdct(signal, HOP), slow, atol=1e-4)
    np.testing.assert_allclose(inverse_mdct(mdct(signal, HOP)), signal, atol=1e-4)  # the edges too


def test_lengths_are_exact(codec):
    codes = codec.encode(noise((4, 80000)))
    assert codes.shape == (4, 4, 250) and codes.dtype == np.int64
    assert codes.min() >= 0 and codes.max() < codec.vocab
    assert codec.decode(codes).shape == (4, 80000) and codec.decode(codes).dtype == np.float32
    assert codec.encode(noise((1, 321))).shape == (1, 4, 2)
    assert codec.encode(noise((4, 1))).shape == (4, 4, 1)


def test_signs_of_the_codes_say_where_the_sound_is(codec):
    for azimuth, elevation in [(1.0, 0.3), (-1.0, 0.3), (2.5, -0.4), (-2.5, -0.4)]:
        first = codec.encode(point_source(azimuth, elevation))[:, 0]
        minus = (first >= GAIN_LEVELS) & (first < SILENCE)
        gains = [None, np.sin(azimuth), np.sin(elevation), np.cos(azimuth)]
        for channel in (1, 2, 3):
            assert (minus[channel] == (gains[channel] < 0)).all()


def test_the_sign_of_other_channels_is_that_of_the_intensity(codec):
    field = noise((4, 3200))
    coefficients = mdct(field, HOP)
    _, sign, _ = gain_and_shape(coefficients)
    for channel in (1, 2, 3):
        for frame in range(10):
            assert sign[channel, frame] == np.sign(coefficients[0, frame] @ coefficients[channel, frame])


def test_direction_and_loudness_survive(codec):
    for seed, (azimuth, elevation) in enumerate([(1.0, 0.3), (-2.0, -0.5), (0.1, 0.0)]):
        field = point_source(azimuth, elevation, seed=100 + seed)
        heard = codec.decode(codec.encode(field))
        assert np.degrees(np.arccos(min(1, intensity(heard) @ intensity(field)))) < 3
        assert abs(10 * np.log10((heard[0] ** 2).mean() / (field[0] ** 2).mean())) < GAIN_STEP_DB / 2


def test_only_the_shape_is_lost(codec):
    """Codes made from the codec's own shapes decode and encode to themselves."""
    rng = np.random.default_rng(3)
    codes = codec.encode(point_source(0.7, 0.2, seed=9))
    coefficients = mdct(codec.decode(codes), HOP)
    again = np.where(codes[:, 0] == SILENCE, SILENCE, gain_and_shape(coefficients)[0] % GAIN_LEVELS)
    inner = slice(2, -2)  # the first and last frames touch the edge
    expected = np.where(codes[:, 0] == SILENCE, SILENCE, codes[:, 0] % GAIN_LEVELS)
    assert np.abs(again[:, inner] - expected[:, inner]).max() <= 1
    any_codes = rng.integers(0, 256, (4, 4, 20))
    assert np.isfinite(codec.decode(any_codes)).all()


def test_silence_stays_silence(codec):
    codes = codec.encode(np.zeros((4, 3200)))
    assert (codes[:, 0] == SILENCE).all() and (codes[:, 1:] == 0).all()
    assert not codec.decode(codes).any()
    half = point_source(1.0, 0.0, 6400)
    half[:, 3200:] = 0
    assert not codec.decode(codec.encode(half))[:, 4000:].any()
    unheard_above = np.full((4, 4, 3), 255)
    assert not codec.decode(unheard_above).any()


def test_silent_w_still_decodes_the_others(codec):
    field = point_source(1.0, 0.3)
    field[0] = 0
    heard = codec.decode(codec.encode(field))
    assert not heard[0].any()
    assert (heard[1] * field[1]).sum() > 0.5 * (field[1] ** 2).sum()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, -1, 5])
def test_turned_codes_decode_to_the_turned_field(codec, turns):
    codes = codec.encode(noise((4, 3200)) * np.array([[1], [0.1], [0], [0.5]]))
    turned = codec.decode(codes)
    for _ in range(turns % 4):
        w, y, z, x = turned
        turned = np.stack([w, x, z, -y])  # what was in front is now on the left
    np.testing.assert_array_equal(codec.decode(rotate_codes(codes, turns)), turned)


def test_a_quarter_turn_moves_the_front_to_the_left(codec):
    front, left = codec.encode(point_source(0.0, 0.2)), codec.encode(point_source(np.pi / 2, 0.2))
    np.testing.assert_allclose(codec.decode(rotate_codes(front, 1)), codec.decode(left), atol=1e-3)


def test_mirrored_codes_decode_to_the_mirrored_field(codec):
    codes = codec.encode(noise((2, 4, 3200))[0])
    field = codec.decode(codes)
    np.testing.assert_array_equal(codec.decode(mirror_codes(codes)), field * np.array([[1], [-1], [1], [1]]))
    np.testing.assert_array_equal(mirror_codes(mirror_codes(codes)), codes)


def test_fitting_repeats_and_beats_random_shapes():
    fields = [point_source(0.4, 0.2, 16000, seed) for seed in range(12)]
    fit = [fit_shapes(fields, HOP, 3, 128, np.random.default_rng(5), points=600, rounds=3) for _ in range(2)]
    np.testing.assert_array_equal(*fit)
    field = point_source(0.9, 0.2, 16000, 3)

    def error(shapes):
        codec = ToyCodec(shapes)
        return ((codec.decode(codec.encode(field)) - field) ** 2).sum()

    assert error(fit[0]) < 0.5 * error(noise((2, 128, HOP), 1))


def test_wrong_input_is_refused(codec):
    with pytest.raises(ValueError, match=r"\[C, N\]"):
        codec.encode(np.zeros(100))
    with pytest.raises(ValueError, match="finite"):
        codec.encode(np.full((4, 400), np.nan))
    with pytest.raises(ValueError, match="N > 0"):
        codec.encode(np.zeros((4, 0)))
    with pytest.raises(ValueError, match=r"\[C, 4, T\]"):
        codec.decode(np.zeros((4, 3, 10), int))
    with pytest.raises(ValueError, match="pad id"):
        codec.decode(np.full((4, 4, 10), 256))
    with pytest.raises(ValueError, match="V > "):
        ToyCodec(np.zeros((3, 16, HOP)))


def test_the_shipped_toy_codec():
    codec = load_codec(presets.toy())
    assert isinstance(codec, Codec) and "toy" in codec.name
    assert (codec.sample_rate, codec.hop, codec.frame_rate, codec.codebooks, codec.vocab) == (16000, 320, 50, 4, 256)
    field = point_source(1.0, 0.3, 80000, seed=7)
    heard = codec.decode(codec.encode(field))
    assert np.degrees(np.arccos(min(1, intensity(heard) @ intensity(field)))) < 3


def test_the_recipe_remakes_the_shipped_codec_in_kind():
    """The centres in the file are what k-means gives: no stage is worse than leaving the residual alone."""
    from visage_lite.scenes import make_scene

    codec = load_codec(presets.toy())
    field = make_scene(890_000, kind="bell").foa(codec.sample_rate)
    error = ((codec.decode(codec.encode(field)) - field) ** 2).sum()
    assert 10 * np.log10((field**2).sum() / error) > 6


def test_load_codec_says_what_to_do_without_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="download=True"):
        load_codec(presets.paper())
    with pytest.raises(FileNotFoundError, match="dac download"):
        load_codec(presets.paper(), tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match="fit_codec"):
        load_codec(presets.toy(), tmp_path / "none.safetensors")
    other = replace(presets.toy(), codec=replace(presets.toy().codec, vocab=512))
    with pytest.raises(ValueError, match="vocab"):
        load_codec(other)


def save_random_dac(path, **sizes):
    """A DAC of random weights, in the package's own file format."""
    import dac

    torch.manual_seed(0)
    model = dac.DAC(**sizes)
    model.metadata = {"kwargs": sizes}
    model.save(path, package=False)


def test_full_size_dac_keeps_430_frames_of_5_seconds(tmp_path):
    """Random weights of the published size (76 M) through the package's own loader; a second of two channels."""
    save_random_dac(tmp_path / "dac.pth", sample_rate=44100)
    codec = load_codec(presets.paper(), tmp_path / "dac.pth")
    assert isinstance(codec, Codec) and codec.name == "DAC 44.1 kHz"
    field = 0.1 * noise((2, 22050))
    codes = codec.encode(field)
    assert codes.shape == (2, 9, 43)
    heard = codec.decode(codes[:, :, :8])
    assert heard.shape == (2, 8 * 512) and heard.dtype == np.float32
    with pytest.raises(ValueError, match="pad id"):
        codec.decode(np.full((2, 9, 3), 1024))


@pytest.mark.parametrize("rates, sample_rate, frame_rate, frames", [
    ([2, 4, 8, 8], 44100, 86, 430), ([2, 4, 5, 8], 16000, 50, 250),
])  # fmt: skip
def test_dac_lengths_of_5_seconds(rates, sample_rate, frame_rate, frames):
    """The contract at both published rates, on a narrow DAC: channels are a batch, T = floor(N rate / sample rate)."""
    import dac

    torch.manual_seed(0)
    model = dac.DAC(2, rates, 8, 16, rates[::-1], n_codebooks=3, codebook_size=16, sample_rate=sample_rate)
    codec = DacCodec(model, frame_rate)
    field = 0.1 * noise((2, 5 * sample_rate))
    codes = codec.encode(field)
    assert codes.shape == (2, 3, frames) and codes.dtype == np.int64
    np.testing.assert_array_equal(codes[1:], codec.encode(field[1:]))  # each channel by itself
    assert codec.decode(codes[..., :9]).shape == (2, 9 * codec.hop)
    with torch.inference_mode():
        whole = codec.model.encode(codec.model.preprocess(torch.from_numpy(field[:1, None]), sample_rate))[1]
    assert whole.shape[-1] == (431 if sample_rate == 44100 else 250)
