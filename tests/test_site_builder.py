"""The builder of the site: what it makes of a small notebook, what it names when something is missing."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import zipfile
from html import escape
from pathlib import Path

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes
from test_repository import body_lines, functions
from test_site import Page

from visage_lite.directions import unit_vector
from visage_lite.player import players
from visage_lite.scenes import make_scene

ROOT = Path(__file__).resolve().parent.parent
cells, pages = (importlib.import_module(name) for name in ("site_cells", "site_pages"))
README = "# Try\n\nWords.\n\n<!-- player -->\n\n## Two\n\n[one](notebooks/99_try.ipynb)\n"
SOLUTIONS = """import numpy as np
from math import pi, tau
import os

N = 3


def helper():
    return N * pi


def other():
    return os


def answer(x):
    return np.sum(x) * helper()
"""
PLAYER = "<!doctype html><title>p</title><main id='try' class='foa-player'>a &amp; b</main><script>1 < 2</script>"


def small_project(folder, *more, readme=README):
    """A repository with one notebook, of an exercise and `more` cells; {its path: the notebook}."""
    first = new_markdown_cell("# 99 Try: it\nAn *answer* with $a_1^2$.\n\n**Time** 5 minutes · **Hardware** none")
    exercise = new_code_cell('def twice(x):\n    raise NotImplementedError\n\ncheck("twice", twice)')
    notebook = new_notebook(cells=[first, exercise, *more])
    for name, text in {
        "README.md": readme, "data/README.md": "# Data\n\nHere.\n", "notebooks/99_try.ipynb": writes(notebook),
        "notebooks/solutions/99_try.py": "import math\nimport os\n\nTWO = 2\n\n\ndef twice(x):\n    return TWO * x\n",
        "player.html": PLAYER,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return {folder / "notebooks" / "99_try.ipynb": notebook}


def built(folder, *more, **options):
    notebooks = small_project(folder, *more, **options)
    return pages.build_site(notebooks, folder / "build" / "site", folder, folder / "player.html").parent


def shown(kind, content):
    return new_code_cell("1", outputs=[new_output("display_data", data={kind: content, "text/plain": "x"})])


def test_what_a_cell_shows_becomes_light_and_lives(tmp_path):
    sound = players({"a tone": [0.0, 0.5] * 400}, 8000).html
    where = "onload=\"this.style.height = '9px'\""
    site = built(
        tmp_path,
        shown("text/html", f'<iframe class="foa-player-page" {where} srcdoc="{escape(PLAYER)}"></iframe>'),
        shown("text/html", sound), shown("text/html", sound), shown("application/vnd.jupyter.widget-view+json", {}),
        new_markdown_cell("$$\\frac{a}{b}$$ and $x_i$, see [here](99_try.ipynb#two-two) `$5`\n\n## Two two"),
    )
    page = Page(site / "99_try.html")
    frame, = [given for tag, given in page.tags if tag == "iframe"]
    assert "onload" not in frame and "srcdoc" not in frame
    inside = (site / frame["src"]).read_text(encoding="utf-8")
    assert inside.startswith(PLAYER) and cells.TALK in inside
    one, again = [given["src"] for tag, given in page.tags if tag == "audio"]
    assert one == again and (site / one).read_bytes()[:4] == b"RIFF"
    assert "A slider stands here" in page.source
    assert page.count("math") == 3 and "<mfrac>" in page.source and "$5" in page.source
    assert "#two-two" in page.links and "two-two" in page.places
    solution = re.sub(r"<[^>]+>", "", re.search(r"<details.*?</details>", page.source, re.S)[0])
    assert "TWO = 2" in solution and "def twice(x):" in solution and "import" not in solution


def test_the_solution_brings_what_it_needs(tmp_path):
    file = tmp_path / "99_try.py"
    file.write_text(SOLUTIONS)
    expected = SOLUTIONS.replace("import os\n", "").replace("def other():\n    return os\n\n\n", "")
    assert cells.solution("answer", file) == expected.replace("tau\n\nN", "tau\n\n\nN").strip()
    with pytest.raises(cells.SiteError, match="99_try.py: no function absent"):
        cells.solution("absent", file)


def test_pictures_videos_and_files_of_the_readme_come_along(tmp_path):
    for name in ("notebooks/pictures/hear.png", "data/hear.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"bytes of " + name.encode())
    site = built(tmp_path, readme=(
        "# Try\n\n![a picture](notebooks/pictures/hear.png)\n\n<!-- player -->\n\n<!-- video data/hear.mp4 -->\n\n"
        "[one](notebooks/99_try.ipynb), [two](data/README.md#data), [three](notebooks/solutions/99_try.py), "
        "[four](notebooks/solutions)\n\n```\n[five](absent.md)\n```\n"
    ))
    page = Page(site / "index.html")
    video, = [given for tag, given in page.tags if tag == "video"]
    assert "controls" in video and (site / video["src"]).read_bytes() == b"bytes of data/hear.mp4"
    picture, = [given["src"] for tag, given in page.tags if tag == "img" and given.get("alt") == "a picture"]
    assert (site / picture).read_bytes() == b"bytes of notebooks/pictures/hear.png"
    assert {"99_try.html", "data.html#data"} <= set(page.links) and "four" in "".join(page.words)
    assert [link for link in page.links if link.endswith("99_try.py")]


def test_outside_a_checkout_the_zip_holds_all_but_what_is_made_here(tmp_path):
    kept = ("notes.txt", "notebooks/build.py", ".ci/run")
    made = ("build/a", ".venv/a", "other/pyvenv.cfg", "other/a", "data/cache/a", "x.egg-info/a", "__pycache__/a.pyc",
            "out/a", "a.tmp", ".git")
    for name in kept + made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".ci" / "run").chmod(0o755)
    site = built(tmp_path, readme=README + "\n<!-- download -->\n")
    with zipfile.ZipFile(site / "_downloads" / "visage_lite.zip") as pack:
        names = {name.removeprefix("visage_lite/") for name in pack.namelist()}
        assert [pack.getinfo(f"visage_lite/{name}").external_attr >> 16 & 0o111 for name in kept] == [0, 0, 0o111]
    project = {"README.md", "data/README.md", "notebooks/99_try.ipynb", "notebooks/solutions/99_try.py", "player.html"}
    assert names == {*kept, *project}
    assert "_downloads/visage_lite.zip" in Page(site / "index.html").links


def test_the_first_player_shows_the_siren_pass_from_left_to_right():
    scene = make_scene(pages.SEED, kind=pages.KIND, moving=True)
    seen = scene.sources[0].vectors(scene.frame_times())
    assert seen[0, 1] > 0.3 and seen[-1, 1] < -0.3, "left is positive"
    ahead = unit_vector(0.0, pages.PITCH)
    assert np.degrees(np.arccos(seen @ ahead)).max() < 35, "in view, and the head is straight"


@pytest.mark.parametrize("readme, message", [
    ("# Try\n", "the line <!-- player --> must stand once"),
    ("# Try\n\n<!-- player -->\n\n[one](absent.md)\n", "links to absent.md, which is not there"),
    ("# Try\n\n<!-- player -->\n\n<!-- video data/absent.mp4 -->\n", "the video data/absent.mp4 is not there"),
    ("# Try\n\n<!-- player -->\n\n[one](data/README.md#absent)\n", "could not build(.|\n)*absent"),
])
def test_what_is_missing_is_named_and_the_old_site_stays(tmp_path, readme, message):
    site = built(tmp_path)
    before = (site / "index.html").read_bytes()
    with pytest.raises(cells.SiteError, match=message):
        built(tmp_path, readme=readme)
    assert (site / "index.html").read_bytes() == before and [path.name for path in site.parent.iterdir()] == ["site"]


def test_an_exercise_without_a_solution_is_an_error(tmp_path):
    notebooks = small_project(tmp_path, new_code_cell('check("thrice", thrice)'))
    with pytest.raises(cells.SiteError, match="99_try.py: no function thrice"):
        pages.build_site(notebooks, tmp_path / "site", tmp_path, tmp_path / "player.html")
    assert not (tmp_path / "site").exists()


def test_the_command_makes_the_site_says_where_and_runs_only_what_has_changed(tmp_path):
    cell = "from visage_lite.player import players\nplayers({'a': [0.0, 0.5] * 400}, 8000)"
    folder, tried = tmp_path / "notebooks", 'check = print\ntwice = None\ncheck("twice", twice)'
    small_project(tmp_path)
    for name in ("build.py", "site_cells.py", "site_pages.py"):
        shutil.copy(ROOT / "notebooks" / name, folder)
    shutil.copytree(ROOT / "notebooks" / "site", folder / "site")

    def run(action, *sources):
        first = new_markdown_cell("# 99 Try: it\nAn answer.\n\n**Time** 5 minutes", id="first")
        code = [new_code_cell(source, id=f"cell{number}") for number, source in enumerate(sources)]
        (folder / "99_try.ipynb").write_text(writes(new_notebook(cells=[first, *code])))
        command = [sys.executable, str(folder / "build.py"), action]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done, index = run("tutorial", cell, tried), tmp_path / "build" / "site" / "index.html"
    assert done.returncode == 0 and str(index) in done.stdout.splitlines()[-1], done.stderr
    assert re.search(r"^99_try: \d+ s$", done.stdout, re.M) and "99_try.html" in index.read_text()
    assert "_sounds/" in (index.parent / "99_try.html").read_text()
    done = run("site", cell, tried)
    assert done.returncode == 0 and "99_try:" not in done.stdout, "it is fresh"
    done = run("site", cell, tried, "print('a new cell')")
    assert done.returncode == 0 and "99_try:" in done.stdout
    assert "a new cell" in re.sub("<[^>]+>", "", (index.parent / "99_try.html").read_text())
    done = run("tutorial", "raise ValueError('a reason')")
    assert done.returncode == 1 and "99_try.ipynb, cell 1" in done.stderr and "a reason" in done.stderr
    assert "a new cell" in re.sub("<[^>]+>", "", (index.parent / "99_try.html").read_text()), "the old site stays"


@pytest.mark.parametrize("name", ["build", "site_cells", "site_pages"])
def test_the_builder_stays_small(name):
    text = (ROOT / "notebooks" / f"{name}.py").read_text()
    assert 60 <= text.count("\n") <= 250
    assert {key: body_lines(node) for key, node in functions(ast.parse(text)) if body_lines(node) > 30} == {}
