"""The thirty seconds that the README offers are what its table says."""

import re
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
FILM = ROOT / "data" / "hear" / "hear.mp4"


@pytest.fixture(scope="module")
def film():
    """The sound [2, N] of the film at 48 kHz, and its number of pictures."""
    with av.open(str(FILM)) as opened:
        assert opened.streams.audio[0].rate == 48000 and opened.streams.audio[0].layout.name == "stereo"
        blocks, pictures = [], 0
        for frame in opened.decode(audio=0, video=0):
            if isinstance(frame, av.AudioFrame):
                blocks.append(frame.to_ndarray())
            else:
                pictures += 1
    return np.concatenate(blocks, axis=1), pictures


def test_it_is_thirty_seconds_with_a_picture_every_tenth(film):
    sound, pictures = film
    assert pictures == 300 and sound.shape[1] / 48000 == pytest.approx(30, abs=0.1)
    assert np.abs(sound).max() < 1 and FILM.stat().st_size < 1.2e6


def test_the_ears_hear_what_the_table_of_the_readme_says(film):
    sound, _ = film
    rows = re.findall(r"^\| (\d+)–\d+ \| .+ \| (.+?) \|$", (ROOT / "README.md").read_text(), re.M)
    assert len(rows) == 6
    for start, said in rows:
        both = said.replace("nothing", "0").replace(" dB", "").replace("−", "-").split(", then ")
        begin = int(start) * 48000
        for half, expected in enumerate(both if len(both) == 2 else both * 2):
            left, right = sound[:, begin + half * 120000 : begin + (half + 1) * 120000]
            louder = 10 * np.log10(np.sum(left**2) / np.sum(right**2))
            assert louder == pytest.approx(float(expected), abs=0.6), (start, half)
