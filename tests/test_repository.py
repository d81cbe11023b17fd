"""What the whole project promises: sizes, docstrings, the direction of imports, nothing left over."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "visage_lite"
MODULES = sorted(PACKAGE.glob("*.py"))

# A module imports only from rows above its own.
ROWS = [
    ["jobs"], ["presets"], ["directions"], ["ambisonics"], ["binaural"], ["panorama"], ["streams"], ["spatial_boxes"],
    ["muxing"], ["media"], ["looks"], ["sounds"], ["rooms"], ["scenes"], ["clips"], ["cutting"], ["download"],
    ["dataset"], ["toy_clip", "towers"], ["vision"], ["toy_codec"], ["quick_dac"], ["codec"], ["pattern"], ["streaming"],
    ["variants"], ["store"], ["cluster"], ["batches"], ["features"], ["plots", "curves", "pictures"], ["listening"],
    ["player"], ["field_plots", "pattern_plots", "dataset_plots"], ["score_plots"], ["explorers"],
    ["layers", "losses"], ["model"], ["timing"], ["sizing"], ["released"], ["checkpoints"],
    ["dots"], ["packing"], ["kernels"], ["graphs"], ["decoding"], ["sampling"], ["generation"],
    ["ranks"], ["evaluation"], ["spatial"], ["intervals"], ["ladder"], ["baselines"],
    ["listener"], ["embeddings", "frechet"], ["semantics"], ["evaluation_plots"], ["scene_scores"],
    ["pairing"], ["evaluation_run"], ["evaluation_tables"], ["evaluation_results"], ["report"],
    ["optimisation"], ["runs"], ["validation"], ["training"], ["train_command"],
    ["pipeline"], ["long_video"], ["outputs"], ["batch_generation"], ["command_parts"],
    ["generate_all_command", "evaluate_command"],
    ["checking"], ["tasks_sound", "tasks_model"], ["exercises"], ["cli"],
]
# Parts of another module that no reader calls, and the command line, whose options explain themselves.
PLUMBING = {"streams", "spatial_boxes", "muxing", "dots", "packing", "kernels", "graphs", "decoding", "layers",
            "losses", "released", "towers", "looks", "ranks", "quick_dac", "cli", "train_command", "command_parts",
            "generate_all_command", "evaluate_command"}
ROW = {name: number for number, row in enumerate(ROWS) for name in row}


def committed():
    """Every file of the project: what git follows, or, outside a checkout, what is not ignored."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    ignored = {".venv", "build", "cache", "out", ".git", "__pycache__", ".pytest_cache", "visage_lite.egg-info"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not ignored & set(path.relative_to(ROOT).parts)]


def texts():
    for path in committed():
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


LEFT_OVER = {
    "a path of one machine": r"(?<![\w./])/(home|root|work|Users|tmp|mnt|opt)/\w",
    "a note to oneself": r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b",
    "an error let through": r"allow_" + r"errors",
    "a package index": r"(index-url|find-links)" + r"\s*[=:]|py" + r"pi\.org|python" + r"hosted",
}


@pytest.mark.parametrize("what", LEFT_OVER)
def test_nothing_is_left_over(what):
    pattern = re.compile(LEFT_OVER[what])
    found = [f"{path}: {match.group(0)}" for path, text in texts() for match in [pattern.search(text)] if match]
    assert found == []


def test_no_large_files():
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in committed()}
    assert {name: size for name, size in sizes.items() if size > 12_000_000} == {}
    assert sum(size for name, size in sizes.items() if name.startswith("data/toy/")) <= 12_000_000


def functions(tree, public=False):
    """(name, node) of every function of a module, methods included; or of the public ones only."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not (public and node.name.startswith("_")):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not (public and node.name.startswith("_")):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not (public and inner.name.startswith("_")):
                    yield f"{node.name}.{inner.name}", inner


def body_lines(node):
    """Lines of a function's body, without its docstring."""
    statements = node.body[1:] if ast.get_docstring(node) else node.body
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_and_functions_stay_small(path):
    text = path.read_text()
    assert text.count("\n") <= 300
    long = {name: body_lines(node) for name, node in functions(ast.parse(text)) if body_lines(node) > 30}
    assert long == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_public_functions_say_what_they_take_and_return(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the module says what it is"
    missing = []
    for name, node in functions(tree, public=True):
        text = ast.get_docstring(node) or ""
        takes = [a.arg for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
        missing += [f"{name}: no docstring"] * (not text)
        if path.stem in PLUMBING or "." in name or len(takes) < 3 or re.search(r"\bas (for )?`\w+", text):
            continue  # one or two arguments may be said in a sentence, and another function may be pointed to
        missing += [f"{name}: no Args:"] * ("Args:" not in text)
        missing += [f"{name}: {a} unexplained" for a in takes if not re.search(rf"\b{a}\b", text)]
    assert missing == []


def imported(tree):
    """The names of this package's modules that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "visage_lite":
            yield from (alias.name for alias in node.names if not alias.name.startswith("__"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("visage_lite."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield from [node.module] if node.module else (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("visage_lite."))


@pytest.mark.parametrize("path", [p for p in MODULES if p.stem != "__init__"], ids=lambda path: path.stem)
def test_imports_go_one_way(path):
    assert path.stem in ROW, f"{path.stem} has no row yet: add it to ROWS where it belongs"
    wrong = [name for name in imported(ast.parse(path.read_text())) if ROW[name] >= ROW[path.stem]]
    assert wrong == []


def test_nothing_is_sent_to_one_device_by_hand():
    found = [path.name for path in MODULES if re.search(r"\.cuda\(\)", path.read_text())]
    assert found == []
    assert not (PACKAGE / "utils.py").exists()
