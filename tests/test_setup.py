"""The set-up: everything asked for is installed, the two ways to install agree, nothing reaches a network."""

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it there

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()


def bare(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9_.-]+", requirement).group(0).rstrip(".-").lower().replace("_", "-")


@pytest.mark.parametrize("module", [
    "torch", "torchvision", "torchaudio", "jupyterlab", "dac", "open_clip", "ipywidgets", "matplotlib", "librosa",
    "pandas", "audioldm_eval", "soundfile", "soxr", "av", "safetensors", "huggingface_hub", "typer", "tqdm", "scipy",
    "spaudiopy", "anywidget", "playwright",
])
def test_every_package_imports(module):
    importlib.import_module(module)


def test_the_evaluation_package_brings_its_evaluator():
    from audioldm_eval import EvaluationHelper

    assert callable(EvaluationHelper)


def test_the_clip_that_fits_the_released_weights_is_known():
    import open_clip

    assert "openai" in open_clip.list_pretrained_tags_by_model("ViT-B-32-quickgelu")


# Without a network

OUTSIDE = [("192.0.2.1", 80), ("example.com", 80), ("2001:db8::1", 80)]


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_outside_connection_fails_at_once(address):
    with pytest.raises(OSError, match="without a network"):
        socket.create_connection(address, timeout=2)
    with pytest.raises(OSError, match="without a network"):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        socket.socket(family).connect_ex(address if family == socket.AF_INET else (*address, 0, 0))


def test_programs_that_a_test_starts_are_offline_too():
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0 and "without a network" in done.stderr
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_kernels_can_talk_to_their_own_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=2).close()


# What is written down agrees

def test_conda_users_get_what_pyproject_says():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]
    pip, = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == [f"-e .[{','.join(PROJECT['optional-dependencies'])}]"]
    assert f"pip install -e \"{pip[0].removeprefix('-e ')}\"" in MAKEFILE


def test_the_packages_installed_alone_have_one_version_everywhere():
    alone = re.search(r"^NO_DEPS := (.+)$", MAKEFILE, re.M).group(1)
    assert f"--no-deps {alone}" in (ROOT / "environment.yml").read_text()
    assert f"--no-deps {alone}" in (ROOT / "README.md").read_text()
    for requirement in alone.split():
        name, version = requirement.split("==")
        assert importlib.metadata.version(name) == version


def test_the_readme_says_what_each_dependency_is_for():
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", (ROOT / "README.md").read_text(), re.M)
    explained = {bare(name) for names, _ in rows for name in re.findall(r"`([^`]+)`", names)}
    asked = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
    asked += re.search(r"^NO_DEPS := (.+)$", MAKEFILE, re.M).group(1).split()
    assert len(asked) > 25
    assert {bare(name) for name in asked} - explained == set()


def test_the_readme_names_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert "make tutorial" in readme and "make test" in readme and "make lab" in readme


def test_the_continuous_integration_runs_the_tests():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()


# make

make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def run_make(*arguments):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60)


def fake_python(folder, refuse):
    """A python3 that fails when what it is asked to run contains `refuse`."""
    script = folder / "python3"
    script.write_text(f'#!/bin/sh\ncase "$*" in *"{refuse}"*) exit 1;; esac\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return script


@make
@pytest.mark.parametrize("refuse, message", [
    ("version_info", "needs Python 3.10 or newer"), ("ensurepip", "install python3-venv"),
])
def test_an_unfit_python_gets_one_clear_line(tmp_path, refuse, message):
    done = run_make("setup", f"PYTHON={fake_python(tmp_path, refuse)}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0 and message in done.stdout
    assert not (tmp_path / "venv").exists()
    done = run_make("setup", f"PYTHON={tmp_path / 'absent'}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0 and "needs Python 3.10 or newer" in done.stdout


@make
def test_a_second_run_reuses_and_an_unfinished_one_goes_on(tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    unfinished = run_make("-n", "tutorial", f"VENV={tmp_path}").stdout
    assert "-m venv" not in unfinished and "pip install -e" in unfinished
    (tmp_path / ".visage_lite_ready").touch()
    finished = run_make("-n", "tutorial", f"VENV={tmp_path}").stdout
    assert "pip install" not in finished and "notebooks/build.py tutorial" in finished
    os.utime(tmp_path / ".visage_lite_ready", (0, 0))
    assert "pip install -e" in run_make("-n", "test", f"VENV={tmp_path}").stdout, "pyproject.toml is newer"
