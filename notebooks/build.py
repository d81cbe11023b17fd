"""Runs the notebooks: `python notebooks/build.py tutorial` makes a site, `... refresh [NAME ...]` what is committed.

tutorial    executes every numbered notebook on the toy preset, offline, keeps them in build/executed/, and makes a
            site of them in build/site/ (see site_pages.py), which loads nothing from a network.
site        the same, but executes only what has changed since: a notebook, the package, what data/toy holds.
refresh     executes the named notebooks (all without a name, "02" is enough) and writes them back for committing:
            text and small pictures; sound and widgets become one line of text; at most 400 kB each.

A notebook starts with one markdown cell: `# 02 Title`, a paragraph that is its one-sentence answer, "You will be
able to" with three verbs, and one line `**Time** 20 minutes · **Hardware** two CPU cores · **Paper** section 3.1`.
Its last part has the headings "## Summary", "## Exercises" and "## Next". A cell has at most 25 lines.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from site_cells import SiteError, merged
from site_pages import build_site, digest, first_player, is_fresh, written

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
EXECUTED, SITE = ROOT / "build" / "executed", ROOT / "build" / "site"
HEAR = "  (to hear them: make lab, or the site that make tutorial makes)"
CELL_TIMEOUT_S = 300
LARGEST_BYTES = 400_000
TEXTS = ("text/html", "text/markdown", "text/latex", "image/svg+xml", "text/plain")


class NotebookError(RuntimeError):
    """A notebook did not run, or came out too large; the message names it and the cell."""


# --- execute ---


def numbered(names: list[str] | None = None) -> list[Path]:
    """The numbered notebooks in order; with names (or their numbers), only those."""
    found = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    if not names:
        return found
    wanted = {Path(name).stem for name in names}
    chosen = [path for path in found if path.stem in wanted or path.stem[:2] in wanted]
    if len(chosen) != len(names):
        raise NotebookError(f"no such notebook among {', '.join(p.stem for p in found)}: {' '.join(names)}")
    return chosen


def kernel_environment() -> dict[str, str]:
    """The kernels' environment: offline, with inline pictures, and one thread each.

    The toy models are so small that threads wait for each other: beside other work, generating with two took 138 s
    and with one 6 s. One thread also gives the same numbers on every machine.
    """
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    environment |= {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "JUPYTER_PREFER_ENV_PATH": "1"}
    environment |= {"PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    return environment


async def _execute(path: Path, keep: Path | None) -> nbformat.NotebookNode:
    made_from = digest(path, ROOT) if keep else ""  # before it runs: an edit meanwhile is seen the next time
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", resources=resources,
                            extra_arguments=["--log-level=40"])
    started = time.monotonic()
    try:
        await client.async_execute(env=kernel_environment())
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without the colours of a terminal
        raise NotebookError(f"{path.name}, {_failed_cell(notebook)}:\n{plain}") from None
    print(f"{path.stem}: {time.monotonic() - started:.0f} s", flush=True)
    if keep:
        notebook.metadata["made_from"] = made_from
        written(keep / path.name, nbformat.writes(notebook))
    return notebook


def _failed_cell(notebook: nbformat.NotebookNode) -> str:
    """Which cell raised; without one, the last that was begun."""
    last = 0
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.get("execution_count"):
            last = index
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"cell {index}"
    return f"cell {last} or the one after it"


def execute(
    paths: list[Path], together: int = 2, go_on: bool = False, keep: Path | None = None
) -> list[nbformat.NotebookNode | NotebookError]:
    """The notebooks, executed, two at a time. Each is written into the folder `keep` as soon as it is done.

    Raises: NotebookError naming the notebook and the cell, as soon as one fails; with `go_on` it stands in the list
    in place of the notebook.
    """

    async def run_all() -> list[nbformat.NotebookNode]:
        turn = asyncio.Semaphore(together)

        async def run(path: Path) -> nbformat.NotebookNode:
            async with turn:
                return await _execute(path, keep)

        return await asyncio.gather(*(run(path) for path in paths), return_exceptions=go_on)

    return asyncio.run(run_all())


# --- refresh: what is committed ---


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as it is committed: no sound, no widgets, no timings; what they showed stays as a line of text."""
    clean = nbformat.from_dict(notebook)
    language = clean.metadata.get("kernelspec", {"name": "python3", "display_name": "Python 3", "language": "python"})
    clean.metadata = nbformat.from_dict({"kernelspec": language, "language_info": {"name": "python"}})
    for cell in clean.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        if cell.cell_type == "code":
            cell.outputs = [_stripped(output) for output in merged(cell.outputs)]
    return clean


def _stripped(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    if "data" not in output:
        return output
    data = output.data
    for kind in [k for k in data if k.startswith(("audio/", "video/", "application/vnd.jupyter.widget"))]:
        del data[kind]
    sounding = [k for k in TEXTS if "data:audio" in str(data.get(k, "")) or "data:video" in str(data.get(k, ""))]
    for kind in sounding:
        del data[kind]
    if sounding and "image/png" not in data and "text/plain" in data:
        data["text/plain"] += HEAR
    if "image/png" in data:
        data["image/png"] = _small_picture(data["image/png"])
    if not data or set(data) == {"text/plain"} and "(children=" in data["text/plain"]:
        data["text/plain"] = "(a widget or player: run the cell to use it)"
    output.metadata = nbformat.from_dict({})
    return output


def _small_picture(text: str) -> str:
    """A PNG (base64) in 256 colours where that is smaller: less than half, and hardly to be told from the original."""
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(text)))
    if picture.mode == "RGBA" and picture.getextrema()[3] != (255, 255):
        return text  # see-through places would be lost
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    small = base64.b64encode(buffer.getvalue()).decode()
    return small if len(small) < len(text) else text


def refresh(paths: list[Path]) -> None:
    """Execute notebooks and write them back for committing.

    Raises: NotebookError if one fails or is over 400 kB; nothing of it is written then.
    """
    for path, notebook in zip(paths, execute(paths)):
        text = nbformat.writes(strip(notebook))
        if len(text.encode()) > LARGEST_BYTES:
            size, most = len(text.encode()) // 1000, LARGEST_BYTES // 1000
            raise NotebookError(f"{path.name}: {size} kB, over {most} kB: draw smaller or fewer pictures")
        written(path, text + "\n")


# --- the site ---


def site(again: bool = False) -> Path:
    """Builds the site of the executed notebooks; the path of its first page.

    A notebook is executed unless build/executed/ has it, made from the same notebook, package and data/toy.

    Args: again: execute every notebook, whatever is there.
    Raises: NotebookError naming the notebook and the cell that failed; SiteError where the pages cannot be built.
    """
    paths = numbered()
    kept = {path: EXECUTED / path.name for path in paths}
    stale = [path for path in paths if again or not is_fresh(kept[path], digest(path, ROOT))]
    execute(stale, keep=EXECUTED)
    player = first_player(EXECUTED / "first_player.html", ROOT)
    notebooks = {path: nbformat.read(kept[path], as_version=4) for path in paths}
    return build_site(notebooks, SITE, ROOT, player)


def main() -> int:
    """The command line; 0, or 1 with the notebook and cell that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("tutorial", "site", "refresh"))
    parser.add_argument("names", nargs="*", help="refresh only these, e.g. 02 or 02_ambisonics")
    arguments = parser.parse_args()
    try:
        if arguments.action == "refresh":
            refresh(numbered(arguments.names))
        else:
            os.environ.update(kernel_environment(), MPLBACKEND="Agg")  # the first page's player is made here
            print(f"The tutorial is at {site(again=arguments.action == 'tutorial')} (open it in a browser).")
    except (NotebookError, SiteError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
