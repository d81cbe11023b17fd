"""Players: what is embedded is what was given, at one gain, with left on the left."""

import base64
import io
import re
import wave

import numpy as np
import pytest

from visage_lite import ambisonics
from visage_lite.player import players

RATE = 16000
NOISE = np.random.default_rng(3).standard_normal(RATE // 2)


def embedded(html):
    """Every WAV inside a page, as [C, N] floats with its rate."""
    sounds = []
    for text in re.findall(r'src="data:audio/wav;base64,([^"]+)"', html):
        with wave.open(io.BytesIO(base64.b64decode(text))) as file:
            assert file.getsampwidth() == 2
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            sounds.append((pcm.reshape(-1, file.getnchannels()).T / 32767, file.getframerate()))
    return sounds


def rms(sound):
    return np.sqrt(np.mean(np.square(sound)))


def test_embedded_wavs_share_one_gain_and_stay_under_full_scale():
    shown = players({"loud": 7 * NOISE, "quiet": 0.07 * NOISE, "stereo": np.stack([NOISE, -NOISE])}, RATE)
    (loud, rate), (quiet, _), (stereo, _) = embedded(shown.html)
    assert rate == RATE and loud.shape == (1, len(NOISE)) and stereo.shape == (2, len(NOISE))
    assert np.abs(loud).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    np.testing.assert_allclose(loud[0], 7 * NOISE * shown.gain, atol=2e-5)
    np.testing.assert_allclose(quiet[0], 0.07 * NOISE * shown.gain, atol=2e-5)  # a hundred times quieter, still
    np.testing.assert_allclose(stereo[1], -stereo[0], atol=1e-9)


def test_an_earlier_gain_can_be_kept_and_never_wraps_round():
    gain = players({"quiet": 0.1 * NOISE}, RATE).gain
    (loud, _), = embedded(players({"loud": 100 * NOISE}, RATE, gain=gain).html)
    assert np.abs(loud).max() == 1.0
    assert (np.sign(loud[0]) == np.sign(NOISE))[np.abs(NOISE) > 0.01].all()


def test_left_is_left_in_the_players():
    foa = ambisonics.encode(NOISE, np.pi / 2, 0.0)
    (straight, _), = embedded(players({"left": foa}, RATE).html)
    assert rms(straight[0]) > 1.5 * rms(straight[1])
    (turned, _), = embedded(players({"left": foa}, RATE, yaw=np.pi / 2).html)  # head to the left: now in front
    assert rms(turned[0]) == pytest.approx(rms(turned[1]), rel=0.02)
    (past, _), = embedded(players({"left": foa}, RATE, yaw=np.pi).html)
    assert rms(past[1]) > 1.5 * rms(past[0])


def test_silence_is_played_as_silence():
    (sound, _), = embedded(players({"nothing": np.zeros((2, 100))}, RATE).html)
    assert not sound.any()


def test_labels_are_text_and_the_plain_form_names_them():
    shown = players({'<b onload="x">&': NOISE}, RATE)
    assert "<b onload" not in shown.html and "&lt;b" in shown.html
    bundle = shown._repr_mimebundle_()
    assert "<b" in bundle["text/plain"] and "data:audio" not in bundle["text/plain"]
    assert "http" not in shown.html


@pytest.mark.parametrize("sound, message", [
    (np.zeros((3, 10)), "FOA"), (np.zeros((1, 4, 10)), "FOA"), (np.full(10, np.nan), "not finite"),
    (np.zeros(61 * RATE), "cut it"),
])
def test_what_cannot_be_played_is_refused(sound, message):
    with pytest.raises(ValueError, match=message):
        players({"x": sound}, RATE)
    with pytest.raises(ValueError, match="nothing to play"):
        players({}, RATE)
