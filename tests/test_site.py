"""The site of the notebooks: complete, offline, alive in a browser. How it is built: test_site_builder."""

import base64
import importlib
import json
import re
import shutil
import subprocess
import threading
import zipfile
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from test_foa_player_in_browser import SCREENSHOTS, Tab, browser  # noqa: F401
from test_repository import committed

from visage_lite.exercises import EXERCISES

ROOT = Path(__file__).resolve().parent.parent
STAGES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PAGES = ["index", *STAGES, "data", "search"]
ASSETS = {("script", "src"), ("img", "src"), ("audio", "src"), ("video", "src"), ("video", "poster"), ("source", "src"),
          ("iframe", "src"), ("embed", "src"), ("object", "data"), ("use", "href"), ("image", "href")}

cells = importlib.import_module("site_cells")  # conftest has put its folder on the path


class Page(HTMLParser):
    """The addresses, the places and the words of a page."""

    def __init__(self, path):
        super().__init__()
        self.assets, self.links, self.places, self.tags, self.hidden, self.words = [], [], set(), [], 0, []
        self.source, self.stands_in = path.read_text(encoding="utf-8"), 0  # inside <noscript>: 1
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.stands_in += tag == "noscript"
        if not self.stands_in:
            self.tags.append((tag, given))
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        self.assets += [given[name] for kind, name in ASSETS if kind == tag and given.get(name)]
        if tag == "link" and not {"next", "prev", "search"} & set(given.get("rel", "").split()):
            self.assets.append(given["href"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.hidden += tag in ("script", "style", "pre", "code")

    def handle_endtag(self, tag):
        self.stands_in -= tag == "noscript"
        self.hidden -= tag in ("script", "style", "pre", "code")

    def handle_data(self, text):
        if not self.hidden:
            self.words.append(text)

    def count(self, tag, name=None):
        return sum(1 for kind, given in self.tags if kind == tag and (not name or name in given.get("class", "")))


@pytest.fixture(scope="module")
def read(site):
    return {path.stem: Page(path) for path in sorted(site.glob("*.html"))}


def shows(notebook):
    """The HTML of a notebook's outputs, one text each."""
    return [output["data"]["text/html"] for cell in notebook.cells if cell.cell_type == "code"
            for output in cell.outputs if "text/html" in output.get("data", {})]


# What is there


def test_the_pages_are_those_of_the_navigation(read):
    assert set(read) == set(PAGES)
    for name in PAGES:
        links = {urlsplit(link).path for link in read[name].links}
        assert {f"{other}.html" for other in STAGES} - links <= {f"{name}.html"}, "every page leads to every notebook"
    assert {"#two-commands", "data.html"} <= set(read["index"].links)
    assert "index.html#two-commands" in read["02_ambisonics"].links, "and to the sections of the first page"
    assert ">On the first page</span>" in read["02_ambisonics"].source


@pytest.mark.parametrize("name", STAGES)
def test_the_notebook_is_a_page_with_title_and_description(read, runs, name):
    parts = cells.header(runs[name])
    page = read[name]
    assert f"<title>{parts['title']}" in page.source.replace("&#8212;", "—")
    description, = [given["content"] for tag, given in page.tags
                    if tag == "meta" and given.get("name") == "description"]
    assert description == re.sub(r"[*`$]", "", parts["answer"])
    short = parts["title"].partition(":")[0]
    assert re.search(rf'href="{name}.html">\s*{re.escape(short)}\s*<', read["index"].source), "in the navigation"
    assert re.search(rf"Time\W+{parts['minutes']} minutes", " ".join("".join(page.words).split()))


@pytest.mark.parametrize("name", STAGES)
def test_every_exercise_folds_out_its_solution(read, name):
    page = read[name].source
    asked = [key for key, exercise in EXERCISES.items() if exercise.notebook == name]
    assert page.count('<details class="solution">') == len(asked) == page.count("<summary>Solution</summary>")
    for key in asked:
        after = page[page.index(f'not done yet: {key}'):]
        folded = re.search(r"<details.*?</details>", after, re.S)
        text = re.sub(r"<[^>]+>", "", folded[0])
        assert f"def {key}(" in text and "raise NotImplementedError" not in text
        assert "<details" not in after[: folded.start()] and "cell_input" not in after[: folded.start()], "right after"


@pytest.mark.parametrize("name", STAGES)
def test_every_sound_and_player_is_there_and_nothing_else_is_shown(read, site, runs, name):
    page = read[name]
    still = [text for text in shows(runs[name]) if "<script" not in text and "srcdoc=" not in text]
    asked = [sound for text in still for sound in re.findall(r"data:audio/wav;base64,([^\"]+)", text)]
    played = [given["src"] for tag, given in page.tags if tag == "audio"]
    assert [(site / address).read_bytes() for address in played] == [base64.b64decode(sound) for sound in asked]
    alive = len(shows(runs[name])) - len(still)
    assert page.count("iframe", "foa-player-page") == alive
    stand_ins = re.findall(r"<noscript><img .*?</noscript>", page.source, re.S)
    assert len(stand_ins) == alive and all("<audio" in text for text in stand_ins), "where no script runs"
    if name in ("00_quickstart", "01_dataset", "02_ambisonics", "05_generation"):
        assert asked, "there is something to hear"
    if name in ("00_quickstart", "02_ambisonics"):
        assert alive, "and a head to turn"
    assert "$$" not in "".join(page.words) and "\\frac" not in "".join(page.words), "equations are drawn"
    assert "%|" not in page.source and "widget-view" not in page.source and 'class="prompt"' not in page.source


def test_the_first_page_has_its_player_and_its_sections(read):
    page = read["index"]
    assert page.count("iframe", "foa-player-page") == 1 and "<!-- player" not in page.source
    assert page.source.index("<iframe") < page.source.index('<section id="two-commands">')
    for words in ("ViSAGe", "make tutorial", "visage-lite generate video.mp4"):
        assert words in re.sub(r"<[^>]+>", "", page.source)


def test_the_site_carries_the_repository(read, site, tmp_path):
    file = site / "_downloads" / "visage_lite.zip"
    words = " ".join("".join(read["index"].words).split())
    size = f"({file.stat().st_size / 1e6:.0f} MB)"
    assert f"Download the repository {size} and unpack it." in words
    assert "_downloads/visage_lite.zip" in read["index"].links
    with zipfile.ZipFile(file) as pack:
        names = set(pack.namelist())
        assert names == {f"visage_lite/{path.relative_to(ROOT).as_posix()}" for path in committed()}
        assert pack.getinfo("visage_lite/.ci/run").external_attr >> 16 & 0o111, "what can be run stays so"
        pack.extractall(tmp_path)
    asked = ["README.md", "Makefile", "data/toy/model.safetensors", *(f"notebooks/{name}.ipynb" for name in STAGES)]
    assert {f"visage_lite/{name}" for name in asked} <= names
    assert [name for name in names if {".git", "build", ".venv"} & set(name.split("/"))] == []
    if shutil.which("make"):
        done = subprocess.run(["make", "-n", "tutorial"], cwd=tmp_path / "visage_lite", capture_output=True, text=True)
        assert done.returncode == 0 and "notebooks/build.py tutorial" in done.stdout, done.stderr


# Without a network


def local(address):
    """Whether an address is inside the site or inside the page."""
    parts = urlsplit(address)
    return parts.scheme == "data" or not parts.scheme and not parts.netloc and not address.startswith("/")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_outside(read, site, name):
    assert len(read[name].assets) > 5
    for address in read[name].assets:
        assert local(address), address
        assert address.startswith("data:") or (site / unquote(urlsplit(address).path)).is_file(), address
    scripts = re.findall(r"<script\b[^>]*>(.*?)</script>", read[name].source, re.S)
    assert not re.search(r"@import|\bimport\s*\(|\bfetch\s*\(|url\(\s*[\"']?https?:", "".join(scripts))


OUTSIDE = {
    "a style": r"(?:url\(|@import)\s*(?:url\()?[\"']?(?:https?:)?//",
    "a script": r"(?:\bfrom|\bimport|\bimport\(|\bfetch\(|\bimportScripts\(|\.src\s*=)\s*[\"'`](?:https?:)?//",
    "a tag": r"<(?:script|img|iframe|audio|video|source|link)\b[^>]*?\b(?:src|href)=[\"'](?:https?:)?//",
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_no_file_asks_for_anything_outside(site, kind):
    texts = [path for path in site.rglob("*") if path.suffix in (".css", ".js", ".html", ".svg")]
    found = [(path.name, hit) for path in texts for hit in re.findall(OUTSIDE[kind], path.read_text(encoding="utf-8"))]
    assert found == [] and len(texts) > 20


def test_every_link_leads_somewhere(read, site):
    broken = []
    for name, page in read.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https"):
                continue
            there = Path(unquote(parts.path)).stem if parts.path else name
            if parts.path and not (site / unquote(parts.path)).is_file():
                broken.append((name, link))
            elif parts.fragment and there in read and unquote(parts.fragment) not in read[there].places:
                broken.append((name, link))
    assert broken == []


@pytest.mark.parametrize("name, word", list(zip(STAGES, (
    "bell", "panorama", "ambix", "codebook", "acceler", "logit", "interv",
))))
def test_the_search_finds_each_notebook(site, name, word):
    index = json.loads((site / "searchindex.js").read_text()[len("Search.setIndex(") : -1])
    lists = [found for kind in ("terms", "titleterms") for stem, found in index[kind].items() if stem.startswith(word)]
    found = {page for pages in lists for page in (pages if isinstance(pages, list) else [pages])}
    assert index["docnames"].index(name) in found


def test_the_site_is_light_and_leaves_nothing_beside_it(site):
    assert {path.name: path.stat().st_size for path in site.glob("*.html") if path.stat().st_size > 1_000_000} == {}
    sizes = {path.name: path.stat().st_size for path in site.rglob("*") if path.is_file()}
    assert sum(size for name, size in sizes.items() if name != "visage_lite.zip") < 60_000_000
    assert list(site.parent.glob("*.tmp")) == list(site.parent.glob(".*.tmp")) == []


# In a browser


@pytest.fixture(scope="module", params=["file", "http"])
def address(request, site):
    """Where the site is: on disk, or at `python -m http.server`."""
    if request.param == "file":
        yield site.as_uri()
        return

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Reader(Tab):
    """A tab that also knows what it asked for in vain, and what it asked for outside the site."""

    def __init__(self, browser, address, width=1280, scheme="light"):  # noqa: F811
        super().__init__(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.address, self.width = address, width
        self.page.on("requestfailed", lambda request: self.missed(request.url, request.failure))
        self.page.on("response", lambda response: response.status < 400 or self.missed(response.url, response.status))

    def missed(self, url, why):
        if why != "net::ERR_ABORTED":  # a page that is left stops loading: nothing was missing
            self.errors.append(f"{why}: {url}")

    def read(self, name):
        self.page.goto(f"{self.address}/{name}.html")
        self.page.wait_for_function("document.documentElement.dataset.theme")
        return self.page

    def close(self):
        """Closes the tab, and says what was wrong."""
        outside = [url for url in self.loaded if not url.startswith((self.address, "blob:", "data:"))]
        self.context.close()
        return outside + self.errors

    def cut(self, of):
        """How many of the boxes hide something at their side."""
        wide = "boxes => boxes.filter((box) => box.scrollWidth > box.clientWidth + 1).length"
        return self.page.locator(of).evaluate_all(wide)

    def fits(self):
        return self.page.evaluate("document.documentElement.scrollWidth") <= self.width


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (390, "dark")])
def test_every_page_opens_without_an_error_and_fits(browser, address, width, scheme):  # noqa: F811
    tab = Reader(browser, address, width, scheme)
    for name in PAGES:
        tab.read(name)
        assert tab.fits(), f"{name} sticks out to the side at {width} pixels"
    assert tab.close() == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_page_and_a_notebook_are_alive(browser, address, width, scheme):  # noqa: F811
    tab = Reader(browser, address, width, scheme)
    page = tab.read("index")
    inside = page.frame_locator("iframe.foa-player-page").first
    inside.locator(".foa-player .fp-play").wait_for()
    frame = page.frames[1]
    frame.wait_for_function("document.querySelector('.foa-player').player?.stage.drawn")
    frame.wait_for_function(f"getComputedStyle(document.documentElement).colorScheme === '{scheme}'")
    frame.wait_for_function("document.documentElement.scrollHeight <= innerHeight + 1")  # nothing to scroll inside
    frame.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    inside.locator(".fp-play").click()
    frame.wait_for_function("document.querySelector('.foa-player').player.deck.position() > 0.2")
    screenshot(page, f"site_index_{width}_{scheme}")
    page = tab.read("02_ambisonics")
    summary = page.locator("details.solution summary").first
    code = page.locator("details.solution pre").first
    assert not code.is_visible()
    summary.click()
    assert code.is_visible() and "def encoding_gains" in code.inner_text() and tab.fits()
    page.locator("iframe.foa-player-page").first.scroll_into_view_if_needed()
    page.frame_locator("iframe.foa-player-page").first.locator(".foa-player").wait_for()
    screenshot(page, f"site_02_player_{width}_{scheme}")
    page.evaluate("scrollTo(0, 0)")
    screenshot(page, f"site_02_{width}_{scheme}")
    assert tab.close() == []


def screenshot(page, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(300)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def test_the_search_finds_azimuth(browser, address):  # noqa: F811
    tab = Reader(browser, address)
    tab.page.goto(f"{address}/search.html?q=azimuth")
    tab.page.locator("#search-results li a").first.wait_for()
    found = tab.page.locator("#search-results li a").evaluate_all("links => links.map((link) => link.href)")
    assert any("02_ambisonics.html" in link for link in found)
    tab.page.wait_for_function("!document.querySelector('#search-progress')?.innerText.includes('...')")
    assert tab.close() == []


def test_the_search_finds_a_section_and_lands_where_the_word_is(browser, address):  # noqa: F811
    tab = Reader(browser, address)
    page = tab.page
    page.goto(f"{address}/search.html?q=energy map")
    place = "02_ambisonics.html#where-is-it-loud-the-energy-map"
    page.locator(f'#search-results li a[href="{place}"]').wait_for()
    page.goto(f"{address}/search.html?q=recording")
    page.locator('#search-results li a[href="02_ambisonics.html"]').click()
    page.locator(".bd-article .highlighted").first.wait_for()
    page.wait_for_function("scrollY > 100")
    assert "recording" in page.locator(".bd-article .highlighted").first.inner_text().lower()
    assert tab.close() == []


@pytest.mark.parametrize("name, of", [("02_ambisonics", "div.cell_input"), ("index", "#two-commands div.highlight")])
def test_code_is_copied(browser, address, name, of):  # noqa: F811
    tab = Reader(browser, address)
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = tab.read(name)
    box = page.locator(of).first
    box.hover()
    box.locator("button.copybtn").click()
    page.locator("button.copybtn.success").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").strip() == box.locator("pre").inner_text().strip()
    assert page.locator("div.cell_output button.copybtn").count() == 0, "what was computed needs no button"
    assert tab.close() == []


def test_code_fits_the_width_of_a_page(browser, address):  # noqa: F811
    tab = Reader(browser, address)
    tab.read("02_ambisonics")
    one = "pre => { const s = document.createElement('span'); s.textContent = '0'.repeat(100); pre.append(s); "
    character = tab.page.locator("div.cell_input pre").first.evaluate(one + "return s.offsetWidth / 100 }")
    style = "pre => pre.clientWidth - 2 * parseFloat(getComputedStyle(pre).paddingLeft)"
    assert tab.page.locator("div.cell_input pre").nth(1).evaluate(style) >= 112 * character
    assert tab.close() == []
    tab = Reader(browser, address, 390)
    page = tab.read("index")
    assert tab.cut(".bd-article pre") == 0, "commands go on in the next line"
    page.evaluate("scrollTo(0, 3000)")
    page.evaluate("scrollBy(0, -200)")
    page.wait_for_timeout(200)
    assert not page.locator("#pst-back-to-top").is_visible(), "it would lie over the words"
    assert tab.close() == []


def test_a_player_follows_the_switch_of_the_theme(browser, address):  # noqa: F811
    tab = Reader(browser, address, scheme="light")
    page = tab.read("index")
    page.frame_locator("iframe.foa-player-page").first.locator(".foa-player").wait_for()
    for theme in ("dark", "light"):
        for _ in range(3):  # a list to choose from, or in earlier versions of the theme one after the other
            page.locator(".theme-switch-button:visible").first.click()
            if page.locator(".theme-change-button").count():
                page.locator(f".theme-change-button[data-mode={theme}]:visible").first.click()
            if page.evaluate("document.documentElement.dataset.theme") == theme:
                break
        page.frames[1].wait_for_function(f"getComputedStyle(document.documentElement).colorScheme === '{theme}'")
    assert tab.close() == []
