"""Every test runs offline and on one thread, and so does every program that a test starts.

The notebooks are executed once, for all tests that look at them: `runs` are the executed ones, `site` is made of them.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["OMP_NUM_THREADS"] = "1"  # the models of the tests are so small that threads would wait for each other
os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])])
sys.path.insert(0, str(OFFLINE))
sys.modules.pop("sitecustomize", None)  # Python may have loaded another one at its start
import sitecustomize  # noqa: E402, F401

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell started the suite in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what the tests start must hear Ctrl-C all the same

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))  # build.py and what it imports


@pytest.fixture(scope="session")
def runs():
    """{name: the executed notebook}; what failed is an exception in its place."""
    build = importlib.import_module("build")
    paths = build.numbered()
    return {path.stem: run for path, run in zip(paths, build.execute(paths, go_on=True))}


@pytest.fixture(scope="session")
def site(runs, tmp_path_factory):
    """The folder of the site, made of the executed notebooks."""
    pages = importlib.import_module("site_pages")
    for run in runs.values():
        if isinstance(run, Exception):
            raise run
    folder = tmp_path_factory.mktemp("site")
    player = pages.first_player(folder / "first_player.html", ROOT)
    notebooks = {ROOT / "notebooks" / f"{name}.ipynb": run for name, run in runs.items()}
    return pages.build_site(notebooks, folder / "site", ROOT, player).parent
