"""The 360 degree player in Chromium: what it renders is what `binauralise` gives, and every control does what it says.

The browser is Debian's or Ubuntu's package: `apt install chromium`; any other Chromium or Chrome on the PATH, or named
in CHROMIUM, will do. Without one these tests are skipped; in continuous integration (CI is set) they fail.
Screenshots are kept in build/screenshots, to be looked at.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

import visage_lite
from visage_lite import ambisonics
from visage_lite.binaural import binauralise, ear_filters
from visage_lite.directions import Direction
from visage_lite.player import BINARY, FOAPlayer
from visage_lite.player import STATE as STATE_TRAITS
from visage_lite.scenes import make_scene

RATE = 16000
NOISE = 0.2 * np.random.default_rng(3).standard_normal(RATE // 4)
SCREENSHOTS = Path(__file__).resolve().parent.parent / "build" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Renders clip `clip` with the head at (yaw, pitch), in a browser page that holds the player's module.
RENDER = """async ([facts, pcm, filters, clip, yaw, pitch]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const context = new OfflineAudioContext(2, facts.samples + 512, facts.rate);
  const graph = player.buildGraph(context, facts, new Float32Array(bytes(filters)));
  graph.turn(player.headMatrix(yaw, pitch), true);
  const source = context.createBufferSource();
  source.buffer = player.audioBuffers(context, facts, new Int16Array(bytes(pcm)))[clip];
  source.connect(graph.input);
  source.start();
  const heard = await context.startRendering();
  return [0, 1].map((ear) => Array.from(heard.getChannelData(ear)));
}"""
STATE = "document.querySelector('.foa-player').player"
MODEL = "document.querySelector('.foa-player').model"


def chromium():
    """The browser's path; without one the tests are skipped, or fail in continuous integration."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        notice = "no Chromium: install it (apt install chromium) or name it in CHROMIUM"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(notice)
    return found


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    # Root, as in a container, has no sandbox, and /dev/shm is often small there.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    with playwright.sync_playwright() as started:
        window = started.chromium.launch(executable_path=chromium(), args=arguments)
        yield window
        window.close()


class Tab:
    """A page that remembers what went wrong in it and what it loaded."""

    serious = ("error",)  # messages of the console that count

    def __init__(self, browser, **options):
        self.context = browser.new_context(**{"viewport": {"width": 860, "height": 820}, **options})
        self.page = self.context.new_page()
        self.errors, self.loaded = [], []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in self.serious else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.loaded.append(request.url))

    def open(self, path):
        self.page.goto(path.as_uri())
        self.page.wait_for_function(f"{STATE}?.stage.frame && {STATE}.stage.drawn")
        return self.page

    def drag(self, right, down):
        box = self.page.locator(".fp-stage").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + right, y + down, steps=4)
        self.page.mouse.up()

    def get(self, name):
        return self.page.evaluate(f"{MODEL}.get({json.dumps(name)})")


@pytest.fixture
def tab(browser):
    opened = Tab(browser)
    yield opened
    opened.context.close()
    assert opened.errors == []
    assert [url for url in opened.loaded if not url.startswith(("file:", "blob:", "data:"))] == []


@pytest.fixture(scope="module")
def scene_page(tmp_path_factory):
    """A moving siren with two other clips, as a page; the FOA of the first clip."""
    scene = make_scene(5, kind="siren", moving=True, duration_s=2.0)
    foa = scene.foa(RATE)
    truth = scene.sources[0].vectors(np.linspace(0, scene.duration_s, 9))
    clips = {"ground truth": foa, "turned": ambisonics.rotate_yaw(foa, 1.5), "quiet": 0.1 * foa}
    path = tmp_path_factory.mktemp("page") / "siren.html"
    FOAPlayer(clips, RATE, panorama=scene.panorama(512, 256), truth=truth).save_html(path, "A siren that moves")
    return path


def rendered(tab, player, clip=0, yaw=0.0, pitch=0.0):
    """What the browser makes of a clip, [2, N], in time with the input and without the common gain."""
    if "player" not in tab.page.evaluate("Object.keys(window)"):
        module = player._esm + "\nwindow.player = { headMatrix, audioBuffers, buildGraph, Deck };"
        tab.page.add_script_tag(content=module, type="module")
        tab.page.wait_for_function("window.player")
    parts = [base64.b64encode(data).decode() for data in (player._pcm, player._filters)]
    heard = np.array(tab.page.evaluate(RENDER, [player._facts, *parts, clip, yaw, pitch]))
    delay = ear_filters(RATE)[1]
    return heard[:, delay : delay + player._facts["samples"]] / player.gain


def level_difference(ears):
    left, right = np.sqrt(np.mean(np.square(ears), axis=1))
    return 20 * np.log10(left / right)


# --- sound ---


def test_twenty_directions_sound_as_in_python(tab):
    rng = np.random.default_rng(0)
    places = [(np.pi / 2, 0.0), *zip(rng.uniform(-np.pi, np.pi, 19), np.arcsin(rng.uniform(-1, 1, 19)))]
    player = FOAPlayer({f"{az:.2f} {el:.2f}": ambisonics.encode(NOISE, az, el) for az, el in places}, RATE)
    for clip, (azimuth, elevation) in enumerate(places):
        heard, expected = rendered(tab, player, clip), binauralise(player._sounds[player._facts["labels"][clip]], RATE)
        assert abs(level_difference(heard) - level_difference(expected)) < 0.5, (azimuth, elevation)
        assert np.linalg.norm(heard - expected) < 1e-3 * np.linalg.norm(expected), "not the levels alone"
    assert level_difference(rendered(tab, player, 0)) > 3, "left is louder in the left ear"


def test_the_head_turns_the_sound_as_in_python(tab):
    left = ambisonics.encode(NOISE, np.pi / 2, 0.0)
    field = left + ambisonics.encode(NOISE[::-1], -0.4, 0.9)
    player = FOAPlayer({"left": left, "two": field}, RATE)
    assert abs(level_difference(rendered(tab, player, 0, yaw=np.pi / 2))) < 0.1, "turned to it, both ears hear alike"
    assert level_difference(rendered(tab, player, 0, yaw=np.pi)) < -3
    for yaw, pitch in np.random.default_rng(1).uniform([-np.pi, -np.pi / 2], [np.pi, np.pi / 2], (6, 2)):
        head = ambisonics.rotation_matrix(yaw, pitch)
        matrix = np.array(tab.page.evaluate("([y, p]) => player.headMatrix(y, p)", [yaw, pitch]))
        np.testing.assert_allclose(matrix, head.T, atol=1e-12)
        expected = binauralise(ambisonics.rotate(field, head.T), RATE)
        heard = rendered(tab, player, 1, yaw, pitch)
        assert np.linalg.norm(heard - expected) < 1e-3 * np.linalg.norm(expected)


def test_clips_are_switched_without_a_gap_and_keep_their_levels(tab):
    tone = ambisonics.encode(0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE), 0.0, 0.0)
    player = FOAPlayer({"one": tone, "same": tone.copy(), "quiet": 0.1 * tone}, RATE)
    rendered(tab, player)
    parts = [base64.b64encode(data).decode() for data in (player._pcm, player._filters)]
    heard = np.array(tab.page.evaluate("""async ([facts, pcm, filters]) => {
      const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
      const deck = new player.Deck(facts, new Int16Array(bytes(pcm)), new Float32Array(bytes(filters)));
      const context = deck.context = new OfflineAudioContext(2, 1.5 * facts.rate, facts.rate);
      deck.graph = player.buildGraph(context, facts, deck.filters);
      deck.graph.turn(deck.matrix, true);
      deck.buffers = player.audioBuffers(context, facts, deck.pcm);
      deck.repeat(true);
      deck.start();
      context.suspend(0.4).then(() => { deck.choose(1); context.resume(); });
      context.suspend(0.8).then(() => { deck.choose(2); context.resume(); });
      return Array.from((await context.startRendering()).getChannelData(0));
    }""", [player._facts, *parts]))
    levels = np.sqrt(np.mean(np.square(heard.reshape(-1, RATE // 100)), axis=1))  # of every 10 ms: five periods
    loud, quiet = levels[10:79], levels[95:145]  # the switch at 0.4 s, and the seam of the loop at 1 s, are inside
    assert loud.min() > 0.99 * loud.max() and quiet.min() > 0.98 * quiet.max()
    assert 20 * np.log10(loud.mean() / quiet.mean()) == pytest.approx(20, abs=0.2)


# --- the saved page ---


def test_dragging_arrows_and_switches_turn_the_head(tab, scene_page):
    page = tab.open(scene_page)
    tab.drag(120, 40)
    yaw, pitch = tab.get("yaw"), tab.get("pitch")
    assert yaw > 0.2 and pitch > 0.05, "the view is pulled to the right and down: the head turns left and up"
    matrix = np.array(page.evaluate(f"{STATE}.deck.matrix"))
    np.testing.assert_allclose(matrix, ambisonics.rotation_matrix(yaw, pitch).T, atol=1e-12)
    page.locator(".fp-stage").focus()
    page.keyboard.press("ArrowRight")
    assert tab.get("yaw") == pytest.approx(yaw - np.radians(5))
    page.get_by_role("button", name="head-locked").click()
    assert np.allclose(page.evaluate(f"{STATE}.deck.matrix"), np.eye(3)), "the sound turns with the head"
    page.get_by_role("button", name="head-locked").click()
    page.keyboard.press("Tab")
    page.get_by_role("button", name="face front").click()
    assert tab.get("yaw") == tab.get("pitch") == 0
    page.get_by_role("button", name="panorama").click()
    tab.drag(-100, 0)
    assert tab.get("yaw") > 0.2, "in the panorama it is the head that is pulled to the left"


def test_a_switch_of_clips_keeps_the_head_and_the_time(tab, scene_page):
    page = tab.open(scene_page)
    page.locator(".fp-play").click()
    page.wait_for_function(f"{STATE}.deck.position() > 0.2")
    tab.drag(150, 0)
    yaw = tab.get("yaw")
    before = page.evaluate(f"(window.voices = {STATE}.deck.voices, {STATE}.deck.since)")
    page.get_by_role("radio", name="turned").click()
    assert page.evaluate(f"window.voices === {STATE}.deck.voices && {STATE}.deck.since") == before, "nothing restarts"
    assert tab.get("yaw") == yaw and tab.get("clip") == "turned" and page.evaluate(f"{STATE}.deck.clip") == 1
    page.wait_for_timeout(300)
    gains = page.evaluate(f"{STATE}.deck.voices.map((voice) => voice.gain.gain.value)")
    np.testing.assert_allclose(gains, [0, 1, 0], atol=1e-3)


def test_play_pause_seek_loop_and_the_end(tab, scene_page):
    page = tab.open(scene_page)
    page.locator(".fp-play").click()
    page.keyboard.press("ArrowLeft")  # the button has the focus now, and the arrows still turn the head
    assert tab.get("yaw") == pytest.approx(np.radians(5))
    page.locator(".fp-seek").focus()
    page.keyboard.press("ArrowRight")  # here it is time that moves
    assert tab.get("yaw") == pytest.approx(np.radians(5))
    page.wait_for_function(f"{MODEL}.get('time_s') > 0.25")
    page.wait_for_function(f"Math.max(...{STATE}.deck.levels()) > -40", timeout=5000)
    page.locator(".fp-play").click()
    assert not tab.get("playing")
    paused = page.evaluate(f"{STATE}.deck.position()")
    page.wait_for_timeout(200)
    assert page.evaluate(f"{STATE}.deck.position()") == paused == tab.get("time_s")
    page.locator(".fp-seek").fill("1.5")
    assert page.evaluate(f"{STATE}.deck.position()") == 1.5
    page.locator(".fp-play").click()
    page.wait_for_function(f"{STATE}.deck.position() < 1")  # round the end, and on
    assert tab.get("playing")
    page.get_by_role("button", name="loop").click()
    page.wait_for_function(f"!{MODEL}.get('playing')")
    assert page.evaluate(f"[{STATE}.deck.position(), {STATE}.deck.voices.length]") == [0, 0]


def test_a_place_of_the_panorama_is_seen_where_it_is(tab, tmp_path):
    spot, head = Direction.from_degrees(35, -20), ambisonics.rotation_matrix(0.4, -0.2)
    panorama = np.zeros((256, 512, 3), np.uint8)
    column, row = (int(place) for place in spot.to_pixel(512, 256))
    panorama[row - 2 : row + 3, column - 2 : column + 3] = 255
    silent = FOAPlayer({"silence": np.zeros((4, RATE))}, RATE, panorama=panorama, truth=spot)
    silent.yaw, silent.pitch = 0.4, -0.2
    silent.save_html(tmp_path / "spot.html")
    page = tab.open(tmp_path / "spot.html")
    width, height, green = page.evaluate("""() => { const canvas = document.querySelector('.fp-picture');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return [canvas.width, canvas.height, Array.from({ length: data.length / 4 }, (_, k) => data[4 * k + 1])]; }""")
    down, right = np.argwhere(np.reshape(green, (height, width)) > 128).mean(axis=0) + 0.5
    front, left, up = head.T @ spot.to_vector()
    near = width / 2 / np.tan(np.radians(50)) / front
    assert (right, down) == pytest.approx((width / 2 - near * left, height / 2 - near * up), abs=2)
    page.get_by_role("button", name="panorama").click()
    page.wait_for_function(f"{STATE}.stage.image.height === {STATE}.stage.image.width / 2")


def test_left_is_left_in_the_picture(tab, tmp_path):
    left = ambisonics.encode(NOISE, np.pi / 2, 0.0)
    player = FOAPlayer({"left": left}, RATE, panorama=np.full((64, 128, 3), 40, np.uint8),
                       truth=Direction.from_degrees(90, 0))
    player.projection = "panorama"
    player.save_html(tmp_path / "left.html")
    page = tab.open(tmp_path / "left.html")
    red = """() => { const canvas = document.querySelector('.fp-picture');
      const { data } = canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width, 1);
      return Array.from({ length: canvas.width }, (_, k) => data[4 * k]); }"""
    row = np.array(page.evaluate(red), float)
    assert row[len(row) // 4] > row[3 * len(row) // 4] + 60
    assert "true 90° left of the nose" in page.locator(".fp-words").inner_text()
    page.get_by_role("button", name="panorama").click()  # back to the view
    page.evaluate(f"{MODEL}.set('yaw', Math.PI / 2)")
    page.wait_for_function("document.querySelector('.fp-words').innerText.includes('true straight ahead')")
    row = np.array(page.evaluate(red), float)
    assert row[len(row) // 2] > 20 + max(row[len(row) // 8], row[7 * len(row) // 8])
    page.get_by_role("button", name="head-locked").click()
    page.wait_for_function("document.querySelector('.fp-words').innerText.includes('heard 90° left of the nose')")


@pytest.mark.parametrize("name, options", [
    ("light", {"color_scheme": "light"}), ("dark", {"color_scheme": "dark"}),
    ("phone", {"viewport": {"width": 375, "height": 720}, "device_scale_factor": 2, "is_mobile": True,
               "has_touch": True}),
])
def test_it_fits_notebook_and_phone_in_light_and_dark(browser, scene_page, name, options):
    tab = Tab(browser, **options)
    page = tab.open(scene_page)
    if name == "phone":  # a finger drags
        box, touch = page.locator(".fp-stage").bounding_box(), tab.context.new_cdp_session(page)
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind, right in (("touchStart", 0), ("touchMove", 30), ("touchMove", 60), ("touchEnd", 0)):
            points = [] if kind == "touchEnd" else [{"x": x + right, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert tab.get("yaw") > 0.2
    page.locator(".fp-play").click()
    page.wait_for_function(f"{STATE}.deck.position() > 0.5")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out to the side"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"page_{name}.png", full_page=True)
    tab.context.close()
    assert tab.errors == []


TWO_VIEWS = """([traits, binary]) => {
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer), on = [];
  for (const name of binary) traits[name] = bytes(traits[name]);
  window.model = {
    get: (name) => traits[name], save_changes: () => {}, on: (name, call) => on.push([name, call]),
    off: (name, call) => on.splice(on.findIndex((each) => each[1] === call), 1),
    set: (name, value) => {
      if (traits[name] === value) return;
      traits[name] = value;
      for (const [each, call] of [...on]) if (each === "change:" + name) call();
    },
  };
  window.leave = [0, 1].map(() => {
    const el = document.createElement("div");
    document.body.append(el);
    return player.render({ model, el });
  });
  window.decks = [...document.querySelectorAll(".foa-player")].map((root) => root.player.deck);
}"""


def test_shown_twice_it_sounds_once_and_both_views_agree(tab):
    two = FOAPlayer({"left": ambisonics.encode(np.tile(NOISE, 8), np.pi / 2, 0.0)}, RATE)
    rendered(tab, two)
    tab.page.add_script_tag(content=two._esm + "\nwindow.player = { render };", type="module")
    tab.page.wait_for_function("'render' in window.player")
    traits = {name: getattr(two, name) for name in STATE_TRAITS} | {
        name: base64.b64encode(getattr(two, name)).decode() for name in BINARY}
    tab.page.evaluate(TWO_VIEWS, [traits, list(BINARY)])
    tab.page.mouse.click(5, 5)  # a browser plays no sound before a click
    tab.page.locator(".fp-play").nth(1).click()
    tab.page.wait_for_function("decks[0].position() > 0.6 && decks[1].position() > 0.3")
    assert tab.page.evaluate("decks.map((deck) => deck.voices.length)") == [1, 0], "the second is silent"
    tab.page.locator(".fp-seek").nth(1).fill("1.5")
    assert tab.page.evaluate("Math.abs(decks[0].position() - 1.5) < 0.2"), "but its controls work"
    tab.page.evaluate("leave[0]()")
    assert not tab.page.evaluate("model.get('playing')"), "with the first view the sound goes"
    tab.page.locator(".fp-play").nth(1).click()
    tab.page.wait_for_function("decks[1].voices.length === 1 && model.get('playing')")


def test_in_an_exported_notebook_it_lives_in_a_frame(tab, tmp_path):
    left = ambisonics.encode(NOISE, np.pi / 2, 0.0)
    page = FOAPlayer({"left": left, "</iframe>": 0.5 * left}, RATE)._repr_mimebundle_()[0]["text/html"]
    (tmp_path / "notebook.html").write_text(f"<!doctype html><meta charset=utf-8><main>{page}</main><p>after", "utf-8")
    tab.page.goto((tmp_path / "notebook.html").as_uri())
    frame = next(each for each in tab.page.frames if each.parent_frame)
    frame.wait_for_function(f"{STATE}?.stage.frame && {STATE}.stage.drawn")
    assert not tab.page.locator(".foa-still").is_visible(), "what stood in for it is gone"
    frame.get_by_role("radio", name="</iframe>").click()
    frame.locator(".fp-play").click()
    frame.wait_for_function(f"{STATE}.deck.position() > 0.05")
    for width in (820, 375):
        tab.page.set_viewport_size({"width": width, "height": 800})
        tab.page.wait_for_function("""() => { const frame = document.querySelector("iframe");
          return Math.abs(frame.offsetHeight - frame.contentDocument.body.offsetHeight) < 2; }""")
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tab.page.screenshot(path=SCREENSHOTS / "frame_phone.png", full_page=True)


# --- JupyterLab ---


@pytest.fixture
def lab(tmp_path):
    """A running JupyterLab with a notebook of two cells: it shows a player; it prints the yaw and sets another."""
    first = (
        "import numpy as np\nfrom visage_lite import ambisonics\nfrom visage_lite.player import FOAPlayer\n"
        "foa = ambisonics.encode(0.1 * np.random.default_rng(0).standard_normal(16000), np.pi / 2, 0.0)\n"
        "player = FOAPlayer({'left': foa, 'right': ambisonics.mirror(foa)}, 16000)\nplayer"
    )
    cells = [nbformat.v4.new_code_cell(first), nbformat.v4.new_code_cell("print('yaw', player.yaw); player.yaw = -0.5")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "look.ipynb")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
               "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", f"--notebook-dir={tmp_path}",
               "--LabApp.news_url=None"]
    root = str(Path(visage_lite.__file__).parent.parent)
    folders = os.pathsep.join([os.environ["PYTHONPATH"], root])
    settings = {"PYTHONPATH": folders, "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_PREFER_ENV_PATH": "1",
                "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "s"), "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "w")}
    with open(tmp_path / "lab.log", "w") as log:
        server = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
    for _ in range(240):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.5)
    yield f"http://127.0.0.1:{port}/lab/tree/look.ipynb"
    server.terminate()
    server.wait(timeout=30)


def test_the_widget_in_jupyterlab(browser, lab):
    tab = Tab(browser, viewport={"width": 1280, "height": 1180})
    page = tab.page
    page.set_default_timeout(120_000)
    page.goto(lab)
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel")
    page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.kernelDisplayStatus === 'idle'")
    page.evaluate("jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
    page.wait_for_function(f"{STATE}?.stage.drawn")
    tab.drag(120, 0)
    shown = page.locator(".fp-words").inner_text()
    assert "left" in shown.splitlines()[0], "the head has turned to the left"
    page.locator(".fp-play").click()
    page.wait_for_function(f"{STATE}.deck.position() > 0")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "lab_light.png")
    page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex = 1")
    page.evaluate("jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
    page.wait_for_function("document.querySelector('.fp-words').innerText.startsWith('head 29° right')")
    printed = page.locator(".jp-OutputArea-output", has_text="yaw").last.inner_text()
    assert float(printed.split()[1]) > 0.2, "Python reads what the mouse did, and its own value reached the picture"
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / "lab_dark.png")
    tab.context.close()
    assert [error for error in tab.errors if "foa" in error.lower() or "anywidget" in error.lower()] == []
