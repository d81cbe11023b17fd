"""The page of an evaluation: one file that loads nothing, worst clips first, left on the left, one gain a pair."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import soundfile

from visage_lite.ambisonics import encode, mirror
from visage_lite.directions import Direction
from visage_lite.evaluation_results import evaluate_folders
from visage_lite.pairing import Pair, Pairs, pair_folders
from visage_lite.report import worst_first, write_report

RATE, LEFT = 16000, np.radians(70)


class Page(HTMLParser):
    """What a test looks for in a page: tags with their attributes, and that all are closed in order."""

    EMPTY = {"meta", "img", "image", "circle", "br", "link"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def data(address):
    return io.BytesIO(base64.b64decode(address.split(",", 1)[1]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four clips of a source on the left: right, mirrored, silent, half as loud; a fifth has two channels."""
    folder, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    changes = {"a&<b>": lambda f: f, "mirrored": mirror, "silent": lambda f: 0 * f, "half": lambda f: f / 2,
               "stereo": lambda f: f[:2]}  # fmt: skip
    for name, change in changes.items():
        truth = encode(0.1 * rng.standard_normal(2 * RATE), LEFT, 0.1)
        for side, foa in (("g", change(truth)), ("t", truth)):
            (folder / side).mkdir(exist_ok=True)
            soundfile.write(folder / side / f"{name}.wav", foa.T, RATE, subtype="FLOAT")
    pairs = pair_folders(folder / "g", folder / "t")
    camera = Direction.from_degrees(90, 30)
    pairs = Pairs([Pair(p.clip, p.video, p.generated, p.truth, camera, None) for p in pairs.pairs], pairs.bad)
    folders = (folder / "g", folder / "t")
    return evaluate_folders(pairs, folders, folder / "out", None, workers=0, progress=False), pairs, folder


@pytest.fixture(scope="module")
def page(made):
    results, pairs, folder = made
    write_report(folder / "page.html", results, pairs)
    return Page((folder / "page.html").read_text())


def test_the_page_loads_nothing_and_tells_no_folders(made, page):
    text = (made[2] / "page.html").read_text()
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    for tag, attributes in page.tags:
        for key in ("src", "href", "action", "data"):
            assert attributes.get(key, "data:").startswith(("data:", "#clip")), (tag, attributes)
    assert page.of("link") == [] and str(made[2]) not in text
    assert any("width=device-width" in each.get("content", "") for each in page.of("meta"))
    assert "light dark" in text and "[" + "CLIPS]" not in text


def test_the_worst_clip_comes_first_and_the_others_follow(made, page):
    cards = page.of("article")
    assert [card["data-clip"] for card in cards] == ["mirrored", "silent", "half", "a&<b>"] or [
        card["data-clip"] for card in cards] == ["mirrored", "silent", "a&<b>", "half"]  # fmt: skip
    clips = made[0].clips.set_index("clip")
    rows = [row for row in page.of("tr") if "data-card" in row]
    assert [(row["data-card"], row["data-clip"]) for row in rows] == [(c["id"], c["data-clip"]) for c in cards]
    for row in rows:
        assert float(row["data-cc_all"]) == pytest.approx(clips.loc[row["data-clip"], "cc_all"])
    heads = {each["data-key"]: each["aria-sort"] for each in page.of("th") if "data-key" in each}
    assert {"clip", "cc_all", "auc_5fps", "direction_error_deg"} <= set(heads)
    assert [key for key, sort in heads.items() if sort != "none"] == ["cc_all"]
    assert all(f"data-{key}" in rows[0] for key in heads if key != "azimuth_correlation")


def test_the_page_says_what_the_command_says(made, page):
    words = "".join(page.words)
    assert all(line in words for line in made[0].lines)
    assert "give all four channels" in words and "stereo" in words and "scores.versions.numpy" in words
    assert "4 of 4 clips" in words and "silent" in words


def test_left_is_left_in_maps_and_ears_and_mirrored_is_right(page):
    cards = [card["data-clip"] for card in page.of("article")]
    sounds = [soundfile.read(data(each["src"])) for each in page.of("audio")]
    maps = [matplotlib.image.imread(data(each["href"])) for each in page.of("image")]
    assert len(sounds) == len(maps) == 2 * len(cards) and {rate for _, rate in sounds} == {RATE}
    for number, name in enumerate(cards):
        for side in (0, 1):
            power = np.square(sounds[2 * number + side][0]).mean(axis=0)
            light = maps[2 * number + side][..., :3].sum(axis=-1)
            left_hotter = light[:, :90].mean() > light[:, 90:].mean()
            if side and name == "silent":
                assert (power == 0).all()
            elif side and name == "mirrored":
                assert power[1] > 2 * power[0] and not left_hotter
            else:
                assert power[0] > 2 * power[1] and left_hotter


def test_lines_of_a_table_are_not_broken_and_sentences_are(made):
    text = (made[2] / "page.html").read_text()
    assert '<span class="row">CC, over the clip  ' in text and '<span class="row">WHERE' not in text


def test_both_players_have_one_gain(page):
    place = [card["data-clip"] for card in page.of("article")].index("half")
    truth, half = (soundfile.read(data(page.of("audio")[2 * place + side]["src"]))[0] for side in (0, 1))
    np.testing.assert_allclose(half, truth / 2, atol=1e-4)
    assert 0.85 < np.abs(truth).max() < 0.95


def test_the_camera_is_marked_where_it_looks(page):
    rings = page.of("circle")
    assert len(rings) == 8 and all((ring["cx"], ring["cy"]) == ("90.0", "60.0") for ring in rings)


def test_so_many_clips_as_asked(made):
    results, pairs, folder = made
    write_report(folder / "one.html", results, pairs, 1)
    page = Page((folder / "one.html").read_text())
    assert [card["data-clip"] for card in page.of("article")] == ["mirrored"] and len(page.of("audio")) == 2
    write_report(folder / "none.html", results, pairs, 0)
    none = Page((folder / "none.html").read_text())
    assert none.of("article") == [] and all("data-key" not in each for each in none.of("th"))


def test_clips_that_judge_nothing_come_last():
    table = pd.DataFrame({"clip": ["x", "y", "z"], "cc_all": [np.nan, 0.5, 0.1], "released_cc_all": [0.2, 0.1, np.nan]})
    assert list(worst_first(table)["clip"]) == ["z", "y", "x"]
    assert list(worst_first(table, "as_released")["clip"]) == ["y", "x", "z"]
    with pytest.raises(ValueError, match="no mode"):
        worst_first(table, "right")
