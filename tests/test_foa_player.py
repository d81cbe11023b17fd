"""The 360 degree player as Python sees it: what is sent to the browser, what is shown without one, what is refused."""

import base64
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import traitlets

from visage_lite import ambisonics
from visage_lite.binaural import binauralise
from visage_lite.directions import Direction
from visage_lite.player import FOAPlayer, moments_of
from visage_lite.streams import MediaError

RATE = 16000
NOISE = np.random.default_rng(3).standard_normal(RATE // 2)
LEFT = ambisonics.encode(NOISE, np.pi / 2, 0.0)
PANORAMA = np.random.default_rng(4).integers(0, 255, (3, 32, 64, 3)).astype(np.uint8)


def test_samples_are_sent_at_one_common_gain_that_no_turn_of_the_head_can_overdrive():
    player = FOAPlayer({"loud": 7 * LEFT, "quiet": 0.07 * LEFT}, RATE)
    pcm = np.frombuffer(player._pcm, "<i2").reshape(2, 4, len(NOISE))
    heard = pcm / 32767 * player._facts["gain"] / player.gain  # what the browser plays, before the common gain
    np.testing.assert_allclose(heard[0], 7 * LEFT, atol=7e-4)
    np.testing.assert_allclose(heard[1], 0.07 * LEFT, atol=7e-4)
    loudest = [np.abs(binauralise(7 * LEFT, RATE, yaw=np.radians(yaw))).max() for yaw in range(0, 360, 5)]
    assert 0.8 < max(loudest) * player.gain <= 10 ** (-1 / 20) + 1e-6


def test_silence_and_clips_of_unequal_length():
    player = FOAPlayer({"nothing": np.zeros((4, 100)), "left": LEFT}, RATE)
    pcm = np.frombuffer(player._pcm, "<i2").reshape(2, 4, -1)
    assert pcm.shape[2] == len(NOISE) and not pcm[0].any() and pcm[1].any()
    silent = FOAPlayer({"nothing": np.zeros((4, 100))}, RATE)
    assert silent.gain == 1.0 and np.isfinite(np.frombuffer(silent._fields, "<f4")).all()


def test_moments_hold_the_energy_map_of_each_tenth_of_a_second():
    half = LEFT.copy()
    half[:, RATE // 4 :] = 0.5 * ambisonics.encode(NOISE, -np.pi / 2, 0.2)[:, RATE // 4 :]
    moments = moments_of(np.stack([half]), RATE)[0]
    assert moments.shape == (5, 18)
    for k in (0, 4):
        part = half[:, k * RATE // 10 : (k + 1) * RATE // 10]
        np.testing.assert_allclose(moments[k, :16].reshape(4, 4), part @ part.T / part.shape[1], atol=1e-12)
        assert moments[k, 16] == pytest.approx(ambisonics.energy_map(part).max() ** 2, rel=0.01)
    assert moments[:, 17].max() == 1 and moments[4, 17] == pytest.approx(0.25, abs=0.05)


def test_pictures_are_sent_in_order_and_a_view_is_put_where_its_camera_looks():
    greys = np.stack([np.full((32, 64, 3), level, np.uint8) for level in (9, 99, 199)])
    player = FOAPlayer({"left": LEFT}, RATE, panorama=greys)
    ends = [0, *player._facts["picture_ends"]]
    parts = [player._pictures[a:b] for a, b in zip(ends, ends[1:])]
    assert len(parts) == 3 and all(part[:2] == b"\xff\xd8" for part in parts)
    white, camera = np.full((40, 40, 3), 255, np.uint8), Direction.from_degrees(90, 0)
    player = FOAPlayer({"left": LEFT}, RATE, view=white, camera=camera)
    seen = player._frame[player._frame.shape[0] // 2, :, 0]
    assert seen[len(seen) // 4] == 255 and seen[len(seen) // 2] < 50, "the camera looks left"
    assert player.yaw == pytest.approx(np.pi / 2)


def test_without_javascript_it_is_a_picture_and_stereo_players():
    truth = Direction.from_degrees(90, 0)
    player = FOAPlayer({"<b>truth</b>": LEFT, "ours": 0.5 * LEFT}, RATE, panorama=PANORAMA, truth=truth)
    data, _ = player._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data, "in a running notebook it is the widget"
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    static, frame = data["text/html"].split("<iframe")
    assert static.count("<audio") == 2 and 'src="data:image/png' in static
    assert 'srcdoc="' in frame and "<script" not in frame, "the player alive, escaped, in a frame of its own"
    assert "<b>" not in data["text/html"] and "http" not in data["text/html"]
    assert data["text/plain"] == "360 degree player, 0.5 s: <b>truth</b> · ours"
    assert not plt.get_fignums(), "no figure is left open"


def test_the_page_holds_everything_and_loads_nothing(tmp_path):
    player = FOAPlayer({"</script><b>": LEFT, "[MODULE]": LEFT}, RATE, panorama=PANORAMA)
    player.yaw, player.clip = 0.5, "[MODULE]"
    player.save_html(tmp_path / "page.html", title="<em>")
    page = (tmp_path / "page.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)|url\((?!data:)|@import|from \"http", page)
    assert "</script><b>" not in page and "<em>" not in page
    state = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S)[1])
    assert state["traits"]["yaw"] == 0.5 and state["traits"]["clip"] == "[MODULE]" and not state["traits"]["playing"]
    assert base64.b64decode(state["traits"]["_pcm"]) == player._pcm
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(MediaError, match="existing folder"):
        player.save_html(tmp_path / "nowhere" / "page.html")


def test_traits_take_only_what_makes_sense():
    player = FOAPlayer({"left": LEFT}, RATE)
    player.yaw, player.pitch, player.time_s = 10.0, -1.0, 0.2
    for name, value in {"clip": "other", "pitch": 2.0, "projection": "map", "time_s": -1.0}.items():
        with pytest.raises(traitlets.TraitError):
            setattr(player, name, value)


def test_a_moving_truth_is_sent_as_unit_vectors():
    player = FOAPlayer({"left": LEFT}, RATE, truth=np.array([[2.0, 0, 0], [0, 0, 3.0]]))
    assert player._facts["truth"] == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("wrong, message", [
    ({"sounds": {}}, "nothing to play"), ({"sounds": {"x": LEFT[:2]}}, "x: a head turns inside FOA"),
    ({"sounds": {"x": np.full((4, 9), np.nan)}}, "not finite"), ({"sounds": {"x": np.zeros((4, 61 * RATE))}}, "cut it"),
    ({"rate": 4000}, "resample"), ({"rate": 16000.5}, "resample"), ({"video_rate": 0}, "frames per second"),
    ({"panorama": PANORAMA / 255}, "uint8"), ({"panorama": PANORAMA[..., 0]}, "uint8"),
    ({"view": PANORAMA[:, :, :32]}, "camera"), ({"panorama": PANORAMA, "view": PANORAMA}, "not both"),
    ({"truth": np.zeros((2, 3))}, "length 0"), ({"truth": np.ones(3)}, "K, 3"),
])
def test_what_cannot_be_played_is_refused_with_the_remedy(wrong, message):
    with pytest.raises(ValueError, match=message):
        FOAPlayer(**{"sounds": {"left": LEFT}, "rate": RATE, **wrong})
