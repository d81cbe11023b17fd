"""The notebooks run from a fresh kernel, and what is committed is small and complete. Their pages: test_site."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from visage_lite.exercises import EXERCISES, check, verdict

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
STAGES = (
    "00_quickstart", "01_dataset", "02_ambisonics", "03_features", "04_training", "05_generation", "06_evaluation",
)


def module_at(path):
    specification = importlib.util.spec_from_file_location(f"notebooks_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


build = importlib.import_module("build")  # conftest has put the folder on the path
header = importlib.import_module("site_cells").header


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def test_all_stages_are_there():
    assert tuple(path.stem for path in NOTEBOOKS) == STAGES


# As they are committed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_notebook_is_complete_and_small(path):
    assert path.stat().st_size <= 400_000
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "executed from the top"
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert sum(1 for cell in cells if cell.outputs) >= len(cells) / 2, "most cells show something"
    text = path.read_text(encoding="utf-8")
    assert "data:audio" not in text and "audio/" not in text and "data:video" not in text
    assert "widget-state" not in text and "widget-view" not in text and "widgets" not in notebook.metadata
    assert {str(cell.id): len(cell.source.splitlines()) for cell in cells if len(cell.source.splitlines()) > 25} == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_has_its_parts(path):
    notebook = nbformat.read(path, as_version=4)
    parts = header(notebook)
    assert parts["title"].startswith(path.stem[:2]), "# 02 Title"
    assert 20 < len(parts["answer"]) < 400, "the answer in one sentence stands under the title"
    assert parts["minutes"], "**Time** 20 minutes"
    first = notebook.cells[0].source
    for part in ("You will be able to", "**Hardware**", "**Paper**"):
        assert part in first
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for heading in ("## Summary", "## Exercises", "## Next"):
        assert heading in prose
    asked = {name for name, exercise in EXERCISES.items() if exercise.notebook == path.stem}
    checked = set(re.findall(r'^check\("(\w+)"', "\n".join(c.source for c in code_cells(notebook)), re.M))
    assert checked == asked and asked, "every exercise of the notebook is registered, and the other way round"
    for link in re.findall(r"\]\((\d\d_\w+)\.ipynb", prose):
        assert link in STAGES


# As they run


@pytest.fixture
def executed(runs, name):
    if isinstance(runs[name], Exception):
        raise runs[name]
    return runs[name]


@pytest.mark.parametrize("name", STAGES)
def test_the_notebook_runs_and_shows_what_is_committed(executed, name):
    fresh = executed
    assert not [output for output in outputs(fresh) if output.output_type == "error"]
    assert all(cell.execution_count for cell in code_cells(fresh))
    committed = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert [cell.source for cell in committed.cells] == [cell.source for cell in fresh.cells]
    kinds = [[kind for o in cell.outputs for kind in o.get("data", {}) if kind.startswith("image/")]
             for cell in code_cells(build.strip(fresh))]
    assert kinds == [[kind for o in cell.outputs for kind in o.get("data", {}) if kind.startswith("image/")]
                     for cell in code_cells(committed)], "the same pictures (make refresh writes the outputs again)"


# Their exercises


@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_the_solution_passes_its_own_check_and_a_stub_does_not(name, capsys):
    solutions = module_at(FOLDER / "solutions" / f"{EXERCISES[name].notebook}.py")
    assert verdict(name, getattr(solutions, name)) == f"ok: {name}"

    def stub(*_, **__):
        raise NotImplementedError

    check(name, stub)
    assert capsys.readouterr().out == f"not done yet: {name}\n"
    assert verdict(name, lambda *_, **__: None).startswith(f"not right yet: {name}")
    assert EXERCISES[name].hint in verdict(name, lambda *_, **__: None)


def test_every_solution_belongs_to_an_exercise():
    for path in sorted((FOLDER / "solutions").glob("*.py")):
        asked = {name for name, exercise in EXERCISES.items() if exercise.notebook == path.stem}
        assert asked <= set(vars(module_at(path)))
    assert {exercise.notebook for exercise in EXERCISES.values()} <= set(STAGES)
    with pytest.raises(ValueError, match="no exercise 'absent'"):
        verdict("absent", len)


# The builder itself


def notebook_at(folder, *cells):
    folder.mkdir(exist_ok=True)
    first = new_markdown_cell("# 99 Try\nAn *answer* with $a_1^2$.\n\n**Time** 5 minutes · **Hardware** none")
    path = folder / "99_try.ipynb"
    nbformat.write(new_notebook(cells=[first, *cells]), path)
    return path


def test_a_failing_cell_is_named(tmp_path):
    path = notebook_at(tmp_path, new_code_cell("print(1)"), new_code_cell("def f(): return 1 / 0\nf()"))
    before = path.read_bytes()
    with pytest.raises(build.NotebookError, match=r"99_try.ipynb, cell 2(.|\n)*ZeroDivisionError"):
        build.refresh([path])
    assert path.read_bytes() == before


def test_refresh_keeps_text_and_pictures_and_drops_sound_widgets_and_bars(tmp_path):
    path = notebook_at(
        tmp_path,
        new_code_cell("from visage_lite.player import players\nplayers({'a tone': [0.0, 0.5] * 400}, 8000)"),
        new_code_cell("import ipywidgets\nipywidgets.IntSlider(3)"),
        new_code_cell("for i in range(3): print(f'\\r{i} of 3', end='')"),
        new_code_cell("from tqdm.auto import tqdm\nlist(tqdm(range(3)))\nprint('done')"),
        new_code_cell("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);"),
        new_code_cell("import socket\ntry: socket.create_connection(('192.0.2.1', 80))\nexcept OSError as e: print(e)"),
    )
    build.refresh([path])
    player, slider, bar, tqdm, picture, offline = [cell.outputs for cell in nbformat.read(path, as_version=4).cells[1:]]
    assert player[0].data == {"text/plain": "players at one gain (+5.0 dB): a tone" + build.HEAR}
    assert list(slider[0].data) == ["text/plain"]
    assert bar[0].text == "2 of 3"
    assert [output.get("text") for output in tqdm] == ["done\n"]
    assert "image/png" in picture[0].data
    assert "without a network" in offline[0].text
    assert "widget-view" not in path.read_text()


def test_a_notebook_over_the_limit_is_not_written(tmp_path):
    path = notebook_at(tmp_path, new_code_cell("print('x' * 500_000)"))
    before = path.read_bytes()
    with pytest.raises(build.NotebookError, match="over 400 kB"):
        build.refresh([path])
    assert path.read_bytes() == before and list(tmp_path.glob("*.tmp")) == []
