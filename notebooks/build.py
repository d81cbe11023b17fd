"""Runs the notebooks: `python notebooks/build.py tutorial` makes pages, `... refresh [NAME ...]` what is committed.

tutorial    executes every numbered notebook on the toy preset, offline, and writes build/tutorial/: one page a
            notebook with its sound players inside, and index.html. The pages load nothing from a network.
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
import html
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

FOLDER = Path(__file__).resolve().parent
PAGES = FOLDER.parent / "build" / "tutorial"
CELL_TIMEOUT_S = 300
LARGEST_BYTES = 400_000
WIDGET = "application/vnd.jupyter.widget-view+json"
SLIDER_NOTE = '<p class="note">A slider stands here in a running notebook (make lab).</p>'
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


async def _execute(path: Path) -> nbformat.NotebookNode:
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
    notebook.metadata["seconds"] = round(time.monotonic() - started, 1)
    print(f"{path.stem}: {notebook.metadata['seconds']:.0f} s", flush=True)
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


def execute(paths: list[Path], together: int = 2, go_on: bool = False) -> list[nbformat.NotebookNode | NotebookError]:
    """The notebooks, executed, two at a time.

    Raises: NotebookError naming the notebook and the cell, as soon as one fails; with `go_on` it stands in the list
    in place of the notebook.
    """

    async def run_all() -> list[nbformat.NotebookNode]:
        turn = asyncio.Semaphore(together)

        async def run(path: Path) -> nbformat.NotebookNode:
            async with turn:
                return await _execute(path)

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
            cell.outputs = [_stripped(output) for output in _merged(cell.outputs)]
    return clean


def _merged(outputs: list) -> list:
    """Outputs with a progress bar's many pieces joined, and of each line only what was last written over it."""
    joined: list = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(nbformat.from_dict(output))
    for output in joined:
        if output.output_type == "stream":
            output.text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in output.text.split("\n"))
    return [output for output in joined if not _is_progress(output)]


def _is_progress(output: nbformat.NotebookNode) -> bool:
    """A progress bar drawn as a widget, or a stream of which nothing is left."""
    if output.output_type == "stream":
        return not output.text.strip()
    data = output.get("data", {})
    return WIDGET in data and "%|" in data.get("text/plain", "")


def _stripped(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    if "data" not in output:
        return output
    data = output.data
    for kind in [k for k in data if k.startswith(("audio/", "video/", "application/vnd.jupyter.widget"))]:
        del data[kind]
    for kind in [k for k in TEXTS if "data:audio" in str(data.get(k, "")) or "data:video" in str(data.get(k, ""))]:
        del data[kind]
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
        part = path.with_suffix(".ipynb.tmp")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)


# --- tutorial: pages to read ---


def header(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """The title, the one-sentence answer and the minutes, from a notebook's first cell."""
    text = notebook.cells[0].source
    title = re.search(r"^# (.+)$", text, re.M)
    answer = re.search(r"^# .+\n+((?:.+\n?)+)", text)
    minutes = re.search(r"\*\*Time\*\*:? *(?:about )?([\d–-]+)", text)
    return {
        "title": title.group(1).strip() if title else "",
        "answer": " ".join(answer.group(1).replace("**", "").split()) if answer else "",
        "minutes": minutes.group(1) if minutes else "",
    }


def _equation(latex: str, display: str) -> str:
    from latex2mathml.converter import convert

    return convert(latex.strip(), display=display)


def markdown_to_html(source: str) -> str:
    """Markdown as HTML with its equations as MathML, which browsers draw by themselves."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return _equation(body, "block")

        def inline_math(self, body: str) -> str:
            return _equation(body, "inline")

        def latex_environment(self, name: str, body: str) -> str:
            return _equation(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    page = MarkdownWithMath(renderer=Renderer(escape=False)).render(source)
    return re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', page)


def page(notebook: nbformat.NotebookNode, previous: str = "", following: str = "") -> str:
    """An executed notebook as one HTML page that needs no other file and no network."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    shown = nbformat.from_dict(notebook)
    for cell in shown.cells:
        if cell.cell_type == "code":
            cell.outputs = _merged(cell.outputs)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.pop(WIDGET, None) is not None:
                data.setdefault("text/html", SLIDER_NOTE)
    exporter = HTMLExporter(template_name="basic")
    exporter.register_filter("markdown2html", markdown_to_html)
    body, _ = exporter.from_notebook_node(shown)
    back = f'<a href="{previous}.html">← {previous}</a>' if previous else "<span></span>"
    on = f'<a href="{following}.html">{following} →</a>' if following else "<span></span>"
    bar = f'<nav>{back} <a href="index.html">all notebooks</a> {on}</nav>'
    style = HtmlFormatter(style="default").get_style_defs(".highlight")
    return _document(header(notebook)["title"], f"{bar}{body}{bar}", style)


def index(entries: list[dict[str, str]]) -> str:
    """The page that lists the notebooks: title, answer, minutes, and how long the run took."""
    rows = ""
    for entry in entries:
        answer = markdown_to_html(entry["answer"]).replace("<p>", "").replace("</p>", "")
        rows += f'<dt><a href="{entry["name"]}.html">{html.escape(entry["title"])}</a></dt><dd>{answer}<br>'
        rows += f'<small>{entry["minutes"]} minutes to read · ran in {entry["seconds"]} s</small></dd>'
    intro = "<h1>visage_lite: the tutorial</h1><p>Every page was just run here, on the toy preset. Headphones on.</p>"
    return _document("visage_lite: the tutorial", f"{intro}<dl>{rows}</dl>", "")


def _document(title: str, body: str, style: str) -> str:
    style = (FOLDER / "page.css").read_text(encoding="utf-8") + style
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{html.escape(title)}</title><style>{style}</style></head>"
    return f'<!doctype html><html lang="en">{head}<body><main>{body}</main></body></html>\n'


def tutorial(folder: Path = PAGES) -> list[nbformat.NotebookNode]:
    """Execute every notebook and write its page and the index into `folder`.

    Raises: NotebookError naming the notebook and the cell that failed.
    """
    paths = numbered()
    executed = execute(paths)
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for place, (path, notebook) in enumerate(zip(paths, executed)):
        before = paths[place - 1].stem if place else ""
        after = paths[place + 1].stem if place + 1 < len(paths) else ""
        (folder / f"{path.stem}.html").write_text(page(notebook, before, after), encoding="utf-8")
        entries.append({"name": path.stem, "seconds": f"{notebook.metadata['seconds']:.0f}", **header(notebook)})
    (folder / "index.html").write_text(index(entries), encoding="utf-8")
    return executed


def main() -> int:
    """The command line; 0, or 1 with the notebook and cell that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("tutorial", "refresh"))
    parser.add_argument("names", nargs="*", help="refresh only these, e.g. 02 or 02_ambisonics")
    arguments = parser.parse_args()
    try:
        if arguments.action == "refresh":
            refresh(numbered(arguments.names))
        else:
            tutorial()
            print(f"The tutorial is at {PAGES / 'index.html'} (open it in a browser).")
    except NotebookError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
