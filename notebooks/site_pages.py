"""The site: README, the page on data and the executed notebooks as pages, built by Sphinx in the book theme, offline.

`build_site` writes the sources into a temporary folder beside the site, lets Sphinx make pages of them, and puts the
finished folder in the site's place: what is there is always whole. README is the first page as it stands. Where it has
the line `<!-- player -->` the site has a 360 degree player, where it has `<!-- video FILE -->`, the video, and where it
has `<!-- download -->`, the whole repository as a zip file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import nbformat
from site_cells import SiteError, header, player_frame, source_of

from visage_lite.streams import atomic

SETTINGS = Path(__file__).resolve().parent / "site"
PLAYER, DOWNLOAD = "<!-- player -->", "<!-- download -->"
VIDEO = re.compile(r"^<!-- video (\S+) -->$", re.M)
LINK = re.compile(r"(```.*?```)|(!?\[[^\]]*\])\(([^)\s#]+)(#[^)\s]*)?\)", re.S)
UNUSED = (".buildinfo", "objects.inv", "_static/**/*.map")  # nothing of the site asks for these
SEED, KIND = 709, "siren"  # of the first page's player: the siren of the picture above it (data/hear)
PITCH = -0.5  # radians, of the head at the start: that siren passes below the horizon
IGNORED = set(".git .venv build cache out __pycache__ .ipynb_checkpoints .pytest_cache .ruff_cache".split())
ENDINGS = (".egg-info", ".tmp", ".pyc")


# --- what need not be made again ---


def digest(notebook: Path | None, root: Path) -> str:
    """What an executed notebook depends on, as 64 hexadecimal digits: itself, the package, all that is in data/toy.

    Without a notebook, what the first page's player depends on.
    """
    folders = [root / "visage_lite", root / "data" / "toy"]
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    hasher = hashlib.sha256()
    for path in [notebook or Path(__file__).resolve(), *found]:
        content = path.read_bytes()
        hasher.update(f"{path.name} {len(content)}\n".encode() + content)
    return hasher.hexdigest()


def written(path: Path, text: str) -> Path:
    """Writes a text whole or not at all; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def is_fresh(path: Path, made_from: str) -> bool:
    """Whether a file is there and says that it was made from the sources of that digest."""
    return path.is_file() and made_from in path.read_text(encoding="utf-8")


def first_player(path: Path, root: Path) -> Path:
    """Writes the page of the first page's player, unless it is fresh; its path. It takes some twenty seconds."""
    made_from = digest(None, root)
    if is_fresh(path, made_from):
        return path
    from visage_lite import media
    from visage_lite.pipeline import load_models, video_to_ambisonics
    from visage_lite.player import FOAPlayer
    from visage_lite.scenes import make_scene

    scene = make_scene(SEED, kind=KIND, moving=True)
    with tempfile.TemporaryDirectory() as folder:
        video, page = Path(folder) / "scene.mp4", Path(folder) / "player.html"
        media.write_video(video, scene.view(), scene.video_rate)
        made = video_to_ambisonics(video, scene.camera, load_models("toy"), seed=0)
        sounds = {"made by the toy model": made.foa, "true sound": scene.foa(made.rate)}
        player = FOAPlayer(sounds, made.rate, panorama=scene.panorama(), video_rate=scene.video_rate,
                           truth=scene.sources[0].vectors(scene.frame_times()))
        player.yaw, player.pitch = 0.0, PITCH
        player.save_html(page, f"A {KIND} passes from left to right: press play, drag to look around")
        return written(path, f"{page.read_text(encoding='utf-8')}<!-- made from {made_from} -->\n")


# --- the repository, to take along ---


def followed(root: Path) -> list[Path]:
    """The files of the repository: what git follows or, outside a checkout, all but what git would ignore."""
    if shutil.which("git"):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
        if listed.returncode == 0 and listed.stdout:
            return [root / name for name in sorted(listed.stdout.split("\0")) if name and (root / name).is_file()]
    found = []
    for folder, inner, names in os.walk(root):
        here = Path(folder)
        inner[:] = [name for name in inner if name not in IGNORED and not name.endswith(ENDINGS)
                    and not (here / name / "pyvenv.cfg").is_file()]
        found += [here / name for name in names if name not in IGNORED and not name.endswith(ENDINGS)]
    return sorted(found)


def packed(root: Path, path: Path) -> int:
    """Writes a zip file of the repository, in a folder `visage_lite`, with the files' modes; its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as pack:
        for file in followed(root):
            pack.write(file, f"visage_lite/{file.relative_to(root).as_posix()}")
    return path.stat().st_size


# --- pages from README ---


def page_of(text_file: Path, root: Path, sources: Path) -> str:
    """A README as the source of a page: its links lead to pages, and pictures and files that it names are copied.

    Raises: SiteError if it links to a file that is not there.
    """

    def link(found: re.Match) -> str:
        fence, shown, address, anchor = found.groups()
        if fence or ":" in address:
            return found[0]
        there = (text_file.parent / address).resolve()
        inside = there.relative_to(root)
        if not there.exists():
            raise SiteError(f"{text_file.relative_to(root)}: it links to {address}, which is not there")
        if there.is_dir():
            return shown.strip("![]")
        pages = {"README.md": "index.md", "data/README.md": "data.md"}
        page = there.name if re.fullmatch(r"\d\d_\w+\.ipynb", there.name) else pages.get(inside.as_posix())
        if page is None:
            (sources / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(there, sources / inside)
        return f"{shown}({page or inside.as_posix()}{anchor or ''})"

    return LINK.sub(link, text_file.read_text(encoding="utf-8"))


def first_page(root: Path, sources: Path, player: Path, titles: dict[str, str]) -> str:
    """README with its player, videos and download in place, and the list of pages that makes the navigation.

    Raises: SiteError if the place for the player, or a video, is missing.
    """
    files = sources / "files"

    def video(found: re.Match) -> str:
        if not (root / found[1]).is_file():
            raise SiteError(f"README.md: the video {found[1]} is not there")
        (files / "_media").mkdir(parents=True, exist_ok=True)
        address = f"_media/{Path(shutil.copy(root / found[1], files / '_media')).name}"
        return f'<video controls playsinline preload="metadata" src="{address}"></video>\n'

    text = page_of(root / "README.md", root, sources)
    if text.count(PLAYER) != 1:
        raise SiteError(f"README.md: the line {PLAYER} must stand once, where the site's first player goes")
    text = VIDEO.sub(video, text.replace(PLAYER, player_frame(player.read_text(encoding="utf-8"), files)))
    if DOWNLOAD in text:
        address = "_downloads/visage_lite.zip"
        link = f'<a href="{address}">the repository</a> ({packed(root, files / address) / 1e6:.0f} MB)'
        text = text.replace(DOWNLOAD, f"Download {link} and unpack it.")
    entries = "\n".join(f"{title} <{name}>" for name, title in titles.items())
    contents = "```{{toctree}}\n:hidden:\n:caption: {}\n\n{}\n```\n"
    data = contents.format("Data", "Data and toy models <data>")
    no_list = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n"  # of sections: on this page they are on the left
    return f"{no_list}{text}\n{contents.format('The notebooks', entries)}\n{data}"


# --- the site ---


def write_sources(notebooks: dict[Path, nbformat.NotebookNode], sources: Path, root: Path, player: Path) -> None:
    """Everything that Sphinx reads, written into `sources`: its settings, the pages, the files beside them.

    Raises: SiteError for an exercise without a solution, a link to nothing, no place for the player.
    """
    shutil.copytree(SETTINGS, sources)
    titles, about = {}, {}
    for path, notebook in notebooks.items():
        parts = header(notebook)
        titles[path.stem], about[path.stem] = parts["title"].partition(":")[0], re.sub(r"[*`$]", "", parts["answer"])
        source = source_of(notebook, path.parent / "solutions" / path.name.replace(".ipynb", ".py"), sources / "files")
        nbformat.write(source, sources / path.name)
    first = first_page(root, sources, player, titles)
    (sources / "index.md").write_text(first, encoding="utf-8")
    (sources / "data.md").write_text(page_of(root / "data" / "README.md", root, sources), encoding="utf-8")
    about["index"] = "Learn and reproduce ViSAGe: a silent video and where its camera looks in, spatial sound out."
    (sources / "facts.json").write_text(json.dumps({"descriptions": about}), encoding="utf-8")
    (sources / "files").mkdir(exist_ok=True)


def build_site(notebooks: dict[Path, nbformat.NotebookNode], folder: Path, root: Path, player: Path) -> Path:
    """Builds the site into `folder`, which is replaced only by a whole one; the path of its first page.

    Args:
        notebooks: {path of the notebook: the executed notebook}, in order.
        folder: the site's; its parent holds the temporary files.
        root: the repository, for README and data/README.md.
        player: the page that `first_player` wrote.
    Raises: SiteError with Sphinx's words where it fails or warns, and as `write_sources` does.
    """
    started = time.monotonic()
    work = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}.tmp")
    work.mkdir(parents=True)
    try:
        write_sources(notebooks, work / "sources", root, player)
        _sphinx(work)
        _tidy(work / "pages")
        if folder.exists():
            folder.rename(work / "old")
        (work / "pages").rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"pages: {time.monotonic() - started:.0f} s", flush=True)
    return folder / "index.html"


def _sphinx(work: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(work / "trees"),
               str(work / "sources"), str(work / "pages")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    if done.returncode:
        said = (done.stderr or done.stdout).replace(str(work / "sources") + os.sep, "")
        raise SiteError(f"Sphinx could not build the site:\n{said.strip()}")


def _tidy(folder: Path) -> None:
    """Removes what no page needs. From disk, a browser refuses to fetch fonts ahead, and counts it as an error."""
    for left in [path for name in UNUSED for path in folder.glob(name)]:
        left.unlink()
    for page in folder.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r'<link rel="preload"[^>]*>\n?', "", text), encoding="utf-8")
