"""Players: what is embedded is what was given, at one gain, with left on the left."""

import base64
import io
import re
import wave

import matplotlib.pyplot as plt
import numpy as np
import pytest

from visage_lite import ambisonics, player
from visage_lite.binaural import binauralise
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


def test_the_slider_turns_picture_and_sound(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    foa = ambisonics.encode(NOISE, np.pi / 2, 0.0)
    turner = player.turn_head(foa, RATE)
    slider, picture, sound = turner.box.children
    assert "image/png" in shown[0], "a picture that needs no slider comes first"
    fallback = [s for s, _ in embedded(shown[1].html)]
    assert [bool(rms(s[0]) > 1.2 * rms(s[1])) for s in fallback] == [False, True, False]  # head left, straight, right
    before = picture.value
    slider.value = 180
    assert picture.value != before and picture.value[:4] == b"\x89PNG"
    (turned, _), = embedded(sound.value)
    assert rms(turned[1]) > 1.5 * rms(turned[0])
    bundle = turner._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle, "in a running notebook it is ipywidgets"
    assert "<input type=\"range\"" in bundle["text/html"] and "http" not in bundle["text/html"]
    assert not re.search(r"\[[A-Z]+\]", bundle["text/html"]), "every place of the page is filled in"
    with pytest.raises(ValueError, match="FOA"):
        player.turn_head(foa[:2], RATE)


@pytest.mark.parametrize("yaw_deg", [0, 37, 90, -120, 180])
def test_three_stems_make_what_the_ears_hear_however_the_head_is_turned(yaw_deg):
    foa = np.random.default_rng(1).standard_normal((4, 3000))
    middle, side, front = player.head_stems(foa, RATE)
    yaw = np.deg2rad(yaw_deg)
    turned = np.cos(yaw) * side - np.sin(yaw) * front
    expected = binauralise(foa, RATE, yaw=yaw)
    np.testing.assert_allclose([middle + turned, middle - turned], expected, atol=1e-5)
    assert np.abs(expected).max() * player.HeadTurner(foa, RATE).gain <= 1


def test_the_page_of_the_slider_holds_the_stems_and_the_unturned_sphere():
    foa = ambisonics.encode(NOISE, np.pi / 2, 0.0)
    turner = player.HeadTurner(foa, RATE)
    text = re.search(r'atob\("data:audio/wav;base64,([^"]+)"', turner.html).group(1)
    with wave.open(io.BytesIO(base64.b64decode(text))) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 3).T / 32767
    np.testing.assert_allclose(pcm, player.head_stems(foa, RATE) * turner.gain, atol=2e-5)
    picture = base64.b64decode(re.search(r"data:image/png;base64,([^)]+)", turner.html).group(1))
    levels = plt.imread(io.BytesIO(picture))[..., :3].sum(-1)
    assert np.unravel_index(levels.argmax(), levels.shape)[1] == pytest.approx(levels.shape[1] / 4, abs=1), "left"
