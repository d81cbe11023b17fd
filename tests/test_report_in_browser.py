"""The page of an evaluation in Chromium, opened from the disk: it loads nothing, sorts, plays, fits a phone and a dark
room.

The browser is found as `test_foa_player_in_browser` says. Screenshots are kept in build/screenshots, to be looked at.
"""

import numpy as np
import pandas as pd
import pytest
import soundfile
from test_foa_player_in_browser import SCREENSHOTS, Tab, browser  # noqa: F401

from visage_lite.ambisonics import encode, mirror
from visage_lite.directions import Direction
from visage_lite.evaluation_results import evaluate_folders
from visage_lite.pairing import Pair, Pairs, pair_folders
from visage_lite.report import write_report

RATE, SECONDS = 16000, 2
CLIPS = ("b", "a", "clip_10", "clip_9", "mirrored", "moves", "moves back", "no truth", "two")
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page of eight clips, and their table: sources further and further off, one mirrored, two that move, a silent
    truth, and one of two channels, which is not scored."""
    folder, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    path = np.linspace(1.0, -1.0, SECONDS * RATE)  # from the left to the right
    for number, name in enumerate(CLIPS):
        sound = 0.1 * rng.standard_normal(SECONDS * RATE)
        truth = encode(sound, path if name.startswith("moves") else 1.0, 0.1) * (name != "no truth")
        foa = encode(sound, {"moves": 0.9 * path, "moves back": -path}.get(name, 1.0 + 0.08 * number), 0.1)
        foa = mirror(foa) if name == "mirrored" else foa[:2] if name == "two" else foa
        for side, field in (("g", foa), ("t", truth)):
            (folder / side).mkdir(exist_ok=True)
            soundfile.write(folder / side / f"{name}.wav", field.T, RATE, subtype="FLOAT")
    found = pair_folders(folder / "g", folder / "t")
    camera = Direction.from_degrees(60, 10)
    pairs = Pairs([Pair(p.clip, p.video, p.generated, p.truth, camera, None) for p in found.pairs], found.bad)
    results = evaluate_folders(pairs, (folder / "g", folder / "t"), folder / "out", None, workers=0, progress=False)
    write_report(folder / "out" / "report.html", results, pairs)
    return folder / "out" / "report.html", results.clips.set_index("clip")


class Report(Tab):
    """The page, in a tab that remembers warnings as well."""

    serious = ("error", "warning")

    def __init__(self, browser, path, **options):  # noqa: F811
        super().__init__(browser, **{"viewport": {"width": 1100, "height": 900}, **options})
        self.page.goto(path.as_uri())

    def click(self, column):
        self.page.locator(f"#scores thead th[data-key={column}] button").click()

    def order(self):
        """Names in the order of the table; that of the cards must be the same."""
        rows = self.page.locator("#scores tbody tr th").all_inner_texts()
        assert self.page.evaluate("[...document.querySelectorAll('article')].map((a) => a.dataset.clip)") == rows
        return rows

    def sorted_by(self):
        heads = self.page.locator("#scores thead th:not([aria-sort=none])")
        return [(head.get_attribute("data-key"), head.get_attribute("aria-sort")) for head in heads.all()]


@pytest.fixture
def tab(browser, made):  # noqa: F811
    opened = Report(browser, made[0])
    yield opened
    opened.context.close()
    assert opened.errors == []
    assert [url for url in opened.loaded if not url.startswith("data:")] == [made[0].as_uri()]


def test_the_worst_comes_first_and_what_judges_nothing_last(tab, made):
    order = tab.order()
    scores = made[1]["cc_all"][order]
    assert len(order) == 8 and scores.isna().sum() == 1 and order[-1] == "no truth"
    assert order[0] == scores.idxmin() and scores[:-1].is_monotonic_increasing
    assert tab.sorted_by() == [("cc_all", "ascending")]


def test_a_click_on_a_column_sorts_up_and_another_down_with_empty_cells_last(tab, made):
    for column in ("direction_error_deg", "azimuth_correlation", "level_db", "auc_5fps"):
        values = made[1][column]
        for way, up in (("ascending", True), ("descending", False)):
            tab.click(column)
            found = values[tab.order()]
            wanted = values.sort_values(ascending=up, na_position="last")
            np.testing.assert_array_equal(found, wanted, err_msg=f"{column} {way}")
            assert tab.sorted_by() == [(column, way)]
    assert made[1]["azimuth_correlation"].isna().sum() == 6 and made[1]["azimuth_correlation"].min() < -0.9
    assert made[1]["direction_error_deg"].max() > 100  # as text, 9 would come after it


def test_names_are_sorted_as_names(tab):
    tab.click("clip")
    names = tab.order()
    assert names[:3] == ["a", "b", "clip_10"] and names[-1] == "no truth"
    tab.click("clip")
    assert tab.order() == names[::-1]


def test_keys_sort_and_a_name_leads_to_its_clip(tab):
    tab.page.locator("#scores thead th[data-key=cc_all] button").focus()
    tab.page.keyboard.press("Enter")
    assert tab.sorted_by() == [("cc_all", "descending")]
    last = tab.page.locator("#scores tbody tr").last.locator("a")
    last.click()
    card = tab.page.locator(f"article[data-clip='{last.inner_text()}']")
    tab.page.wait_for_function("scrollY > 0")
    box = card.bounding_box()
    assert box["y"] < 900 and box["y"] + box["height"] > 0, "it has been scrolled into sight"


def test_the_cells_are_the_scores(tab, made):
    heads = [head.get_attribute("data-key") for head in tab.page.locator("#scores thead th").all()][1:]
    for row in tab.page.locator("#scores tbody tr").all():
        name, cells = row.locator("th").inner_text(), row.locator("td").all_inner_texts()
        for key, cell in zip(heads, cells, strict=True):
            value = made[1].loc[name, key]
            assert cell == "–" if pd.isna(value) else float(cell.replace("−", "-")) == pytest.approx(value, abs=0.0051)


def test_players_play_one_at_a_time(tab):
    tab.page.evaluate("window.players = [...document.querySelectorAll('audio')]")
    assert tab.page.evaluate("players.length") == 16
    tab.page.evaluate("players[0].play()")
    tab.page.wait_for_function("players[0].currentTime > 0.1")
    assert tab.page.evaluate("players[0].duration") == pytest.approx(SECONDS, abs=0.01)
    tab.page.evaluate("players[3].play()")
    tab.page.wait_for_function("players[3].currentTime > 0.1")
    assert tab.page.evaluate("players.map((p) => p.paused)") == [number != 3 for number in range(16)]
    tab.page.wait_for_function("players[3].ended")


def channels(colour):
    """The three numbers of "rgb(r, g, b)", 0 to 1."""
    return np.array([float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255


def luminance(parts):
    """Relative luminance (WCAG 2) of the numbers of a colour."""
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


COLOURS = """(selector) => {
  const style = getComputedStyle(document.querySelector(selector));
  const probe = document.body.appendChild(document.createElement("p"));
  probe.style.color = "Canvas";
  const canvas = getComputedStyle(probe).color;
  probe.remove();
  return [style.color, canvas, Number(style.opacity)];
}"""


@pytest.mark.parametrize("name, options", [
    ("light", {"color_scheme": "light"}), ("dark", {"color_scheme": "dark"}),
    ("phone", PHONE), ("phone_dark", PHONE | {"color_scheme": "dark"}),
])  # fmt: skip
def test_it_fits_screen_and_phone_in_light_and_dark(browser, made, name, options):  # noqa: F811
    tab = Report(browser, made[0], **options)
    page = tab.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out to the side"
    broken = "[...document.querySelectorAll('pre .row')].filter((row) => row.getClientRects().length > 1).length"
    assert page.locator("pre .row").count() > 10 and page.evaluate(broken) == 0, "a table keeps its columns"
    dark = "dark" in name
    for selector in ("body", "pre", ".note", "#scores thead button", "#scores a", "dt"):
        ink, canvas, opacity = page.evaluate(COLOURS, selector)
        seen = opacity * channels(ink) + (1 - opacity) * channels(canvas)
        ink, canvas = luminance(seen), luminance(channels(canvas))
        assert (canvas < 0.1) == dark
        ratio = (max(ink, canvas) + 0.05) / (min(ink, canvas) + 0.05)
        assert ratio >= 4.5, f"{selector}: contrast {ratio:.1f}"
    card = page.evaluate("getComputedStyle(document.querySelector('img')).backgroundColor")
    assert card == "rgb(255, 255, 255)", "the plot, drawn in black, lies on a light card"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report_{name}.png", full_page=True)
    tab.context.close()
    assert tab.errors == []
