"""What has sliders: they move picture, sound and words, left stays left, and a step is the step that is drawn."""

import base64
import io
import re
import wave

import numpy as np
import pytest

from visage_lite import ambisonics, explorers
from visage_lite.directions import Direction
from visage_lite.explorers import PatternStepper, SourcePlacer, TwoKnobs, place_source, step_through, two_knobs

RATE = 16000
NOISE = np.random.default_rng(3).standard_normal(RATE // 4)


def heard(html):
    """The WAV inside a player: [2, N]."""
    data = re.search(r'src="data:audio/wav;base64,([^"]+)"', html).group(1)
    with wave.open(io.BytesIO(base64.b64decode(data))) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T / 32767


def louder_left_db(html):
    left, right = np.mean(heard(html) ** 2, axis=1)
    return 10 * np.log10(left / right)


def test_the_sliders_move_picture_and_sound():
    placer = SourcePlacer(NOISE, RATE)
    before = placer.picture.value
    assert before[:4] == b"\x89PNG" and louder_left_db(placer.sound.value) > 3
    placer.azimuth.value = -90
    assert placer.picture.value != before and louder_left_db(placer.sound.value) < -6
    beside = placer.picture.value
    placer.elevation.value = 90
    assert placer.picture.value != beside and abs(louder_left_db(placer.sound.value)) < 0.1
    assert np.allclose(placer.field()[[1, 3]], 0) and np.allclose(placer.field()[2], NOISE)


def test_left_is_the_left_end_of_the_slider():
    values = [value for _, value in SourcePlacer(NOISE, RATE).azimuth.options]
    assert values[0] == 180 and values[-1] == -180 and values == sorted(values, reverse=True)


def test_the_gain_is_safe_and_the_same_wherever_the_source_is():
    placer = SourcePlacer(NOISE, RATE)
    peaks = []
    for azimuth in range(-180, 181, 30):
        placer.azimuth.value, placer.elevation.value = azimuth, 0
        peaks.append(np.abs(heard(placer.sound.value)).max())
    assert 0.85 < max(peaks) < 0.9, "1 dB under full scale straight beside an ear"


def test_what_needs_no_slider_comes_first(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    placer = place_source(NOISE, RATE)
    picture = shown[0]["image/png"]
    assert type(picture) is bytes and picture[:4] == b"\x89PNG" and "60°" in shown[0]["text/plain"]
    assert "azimuth 60°" in str(shown[1]) and louder_left_db(shown[1].html) > 3
    bundle = placer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == str(placer) and "slider" in str(placer)
    assert (placer.azimuth.value, placer.elevation.value) == explorers.START_DEG


def test_a_sound_of_several_channels_is_refused():
    with pytest.raises(ValueError, match=r"signal \[N\]"):
        place_source(np.zeros((2, 100)), RATE)


def test_the_step_slider_moves_picture_and_words():
    stepper = PatternStepper(2, 2, 3)
    assert (stepper.step.value, stepper.step.max) == (4, 6) and "Y1 of frame 1" in stepper.line.value
    before = stepper.picture.value
    stepper.step.value = 0
    assert stepper.picture.value != before and stepper.picture.value[:4] == b"\x89PNG"
    assert stepper.line.value.startswith("step 0 predicts W0 of frame 0")
    stepper.scheme.value = "flat"
    assert stepper.step.max == 11
    stepper.step.value = 11
    stepper.scheme.value = "parallel"
    assert (stepper.step.value, stepper.step.max) == (2, 2) and "step 2 predicts W0, W1, Y0, Y1" in stepper.line.value


def test_a_step_is_shown_without_its_slider_first(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    stepper = step_through()
    assert shown[0]["image/png"][:4] == b"\x89PNG" and shown[0]["text/plain"].startswith("step 4 predicts Y1, Y2")
    bundle = stepper._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == str(stepper) and "slider" in str(stepper)


def generator_of(calls):
    """In place of a model: the direction scale turns the sound to the left, the visual scale makes it louder."""

    def make(visual, direction):
        calls.append((visual, direction))
        return (1 + visual) * ambisonics.encode(NOISE, np.pi / 2 * min(direction, 1), 0.0)

    return make


def test_the_knobs_generate_once_for_each_pair_and_show_it():
    calls = []
    knobs = TwoKnobs(generator_of(calls), RATE, Direction.from_degrees(90, 0))
    assert calls == [(1, 1)] and knobs.picture.value[:4] == b"\x89PNG"
    assert "visual scale 1, direction scale 1" in knobs.sound.value and louder_left_db(knobs.sound.value) > 3
    left = knobs.picture.value
    knobs.direction.value = 0.0
    assert calls == [(1, 1), (1, 0)] and knobs.picture.value != left
    assert "direction scale 0" in knobs.sound.value and abs(louder_left_db(knobs.sound.value)) < 0.1
    quiet = np.abs(heard(knobs.sound.value)).max()
    knobs.visual.value = 2.0
    assert np.isclose(np.abs(heard(knobs.sound.value)).max(), 1.5 * quiet, rtol=0.01), "one gain for all"
    knobs.visual.value, knobs.direction.value = 1.0, 1.0
    assert calls == [(1, 1), (1, 0), (2, 0)], "what was made is kept"
    assert knobs.picture.value == left


def test_the_knobs_show_something_without_being_turned(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    knobs = two_knobs(generator_of([]), RATE, Direction.from_degrees(90, 0))
    assert shown[0]["image/png"][:4] == b"\x89PNG" and shown[0]["text/plain"] == knobs.label
    assert knobs.label in str(shown[1]) and louder_left_db(shown[1].html) > 3
    bundle = knobs._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle and "knobs" in bundle["text/plain"]
