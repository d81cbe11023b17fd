"""An executed notebook as a source of the site: clean outputs, sounds and players in files of their own, solutions.

A page with its sounds inside weighs megabytes before its first word is shown. So every sound becomes a WAV file, and
every 360 degree player, which brings a script of its own, becomes a small page in an iframe, loaded when it comes into
view.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

WIDGET = "application/vnd.jupyter.widget-view+json"
SLIDER_NOTE = '<p class="note">A slider stands here in a running notebook (make lab).</p>'
PLAYER_FRAME = re.compile(r'<iframe\b[^>]*?\bsrcdoc=(?:"([^"]*)"|\'([^\']*)\')[^>]*>\s*(?:</iframe>)?')
STAND_IN = re.compile(r'<div class="foa-still">(.*)</div>(?=<iframe)', re.S)  # of a player, where no script runs
SOUND = re.compile(r'\b(?:preload="\w+" )?src="data:audio/wav;base64,([A-Za-z0-9+/=]+)"')
CHECK = re.compile(r'^check\("(\w+)"', re.M)
# A page inside a page: it takes the theme of the page around it, and says how tall it is. From disk the two may not
# look into each other, but they may send messages.
TALK = """<style>:root { background: none; overflow: hidden } body { padding: 0; max-width: none }</style>
<script>
addEventListener("message", (event) => {
  if (event.source === parent && event.data.theme) document.documentElement.style.colorScheme = event.data.theme;
});
new ResizeObserver(() => {
  parent.postMessage({ playerHeight: document.documentElement.offsetHeight }, "*");
}).observe(document.documentElement);
</script>
"""


class SiteError(RuntimeError):
    """The site cannot be built; the message says what is missing and where."""


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


# --- outputs ---


def merged(outputs: list) -> list:
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


def lighter(text: str, files: Path) -> str:
    """An output's HTML with its sounds and players written to files, and asked for from there.

    Args:
        text: HTML, as a cell shows it.
        files: the folder that becomes the site's root; `_sounds/` and `_players/` are made in it.
    """

    def sound(found: re.Match) -> str:
        return f'preload="metadata" src="{_kept(base64.b64decode(found[1]), files, "_sounds", "wav")}"'

    text = STAND_IN.sub(r"<noscript>\1</noscript>", text)
    text = PLAYER_FRAME.sub(lambda found: player_frame(html.unescape(found[1] or found[2]), files), text)
    return SOUND.sub(sound, text)


def player_frame(page: str, files: Path) -> str:
    """The iframe that shows a page, which is written into `files`/_players with a script to talk to the one around."""
    address = _kept((page + TALK).encode(), files, "_players", "html")
    style = "height: 660px"  # until the page inside has said how tall it is
    return f'<iframe class="foa-player-page" src="{address}" style="{style}" loading="lazy" title="player"></iframe>'


def _kept(content: bytes, files: Path, folder: str, ending: str) -> str:
    """Writes a file named by its content; its address in the site. The same sound twice is one file."""
    path = files / folder / f"{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{folder}/{path.name}"


# --- solutions ---


def solution(name: str, path: Path) -> str:
    """The source of function `name` of a solutions file, after the imports and helpers that it needs.

    Raises: SiteError if the file or the function is missing.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    tree = ast.parse(text)
    given = {bound: node for node in tree.body for bound in _binds(node)}
    if not isinstance(given.get(name), ast.FunctionDef):
        raise SiteError(f"{path.name}: no function {name}, which an exercise of {path.stem} asks for")
    needed, waiting = [], [given[name]]
    while waiting:
        needed.append(waiting.pop())
        used = {node.id for node in ast.walk(needed[-1]) if isinstance(node, ast.Name)}
        waiting += [given[other] for other in given if other in used and given[other] not in [*needed, *waiting]]
    shown = [node for node in tree.body if node in needed]  # in the order of the file
    parts = [ast.get_source_segment(text, node) for node in shown]
    imports = [part for part, node in zip(parts, shown) if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = [part for part in parts if part not in imports]
    return "\n\n\n".join([*filter(None, ["\n".join(imports)]), *rest])


def _binds(node: ast.stmt) -> list[str]:
    """The names that a statement of a module gives a meaning to."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name)]


def folded(name: str, path: Path) -> nbformat.NotebookNode:
    """A cell that folds out the solution of an exercise."""
    code = f"```python\n{solution(name, path)}\n```"
    return new_markdown_cell(f'<details class="solution">\n<summary>Solution</summary>\n\n{code}\n\n</details>')


# --- the whole notebook ---


def source_of(notebook: nbformat.NotebookNode, solutions: Path, files: Path) -> nbformat.NotebookNode:
    """An executed notebook as the site's source of one page.

    Args:
        notebook: executed, with its sounds inside.
        solutions: the file with the functions that its exercises ask for.
        files: where sounds and players are written; it becomes the site's root.
    Raises: SiteError for an exercise without a solution.
    """
    shown = nbformat.from_dict(notebook)
    language = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    shown.metadata = nbformat.from_dict({**language, "language_info": {"name": "python"}})
    cells = []
    for cell in shown.cells:
        cells.append(cell)
        if cell.cell_type == "code":
            cell.outputs = [_light(output, files) for output in merged(cell.outputs)]
            cells += [folded(name, solutions) for name in CHECK.findall(cell.source)]
    shown.cells = cells
    return shown


def _light(output: nbformat.NotebookNode, files: Path) -> nbformat.NotebookNode:
    data = output.get("data", {})
    if data.pop(WIDGET, None) is not None:
        data.setdefault("text/html", SLIDER_NOTE)
    if "text/html" in data:
        data["text/html"] = lighter(data["text/html"], files)
    return output
