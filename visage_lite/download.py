"""Optional: fetch the raw 360 degree videos of YT-Ambigen, one at a time, with a record of each. Nothing else needs it.

    FOLDER/ID.mp4         panorama without sound: the smallest MP4 of at least 480 lines
    FOLDER/ID.webm        YouTube's format 338: 4-channel Opus, W, Y, Z, X
    FOLDER/downloads.csv  id, status, reason, bytes and sha256 (of ID.mp4 followed by ID.webm)

Many videos are no longer there, and YouTube shows format 338 to few players, so expect to get a part. Ask about a few
with `preflight` first. What may be downloaded is between you and YouTube's terms.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import os
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
from tqdm import tqdm

from visage_lite.streams import MediaError, atomic, reading, stream_of

AMBISONIC = "338"  # YouTube's number for 4-channel Opus in WebM
MIN_HEIGHT = 480  # lines
MANIFEST = "downloads.csv"
COLUMNS = ["id", "status", "reason", "bytes", "sha256"]
ID = re.compile(r"[A-Za-z0-9_-]{11}")
NO_ID = "no video id: expected 11 characters of A-Z a-z 0-9 _ -"
PAUSE = "YouTube wants a pause or a sign-in: it takes this computer for a robot"
# What yt-dlp says, and what it means. The first that fits is taken.
REASONS = [
    (r"not a bot|HTTP Error 429|too many requests|rate.limited", PAUSE),
    (r"private", "private"),
    (r"confirm your age|age.restricted", "only for signed-in adults"),
    (r"country|geo.?restrict", "not offered in this country"),
    (r"members.only|join this channel", "only for members of its channel"),
    (r"video (is )?(unavailable|not available)|removed|terminated|no longer|HTTP Error 4(04|10)", "no longer there"),
]


class Source(Protocol):
    """All contact with the outside. Raises OSError for what may pass, ValueError for what will not."""

    def fetch_info(self, video_id: str) -> dict:
        """What is offered, as yt-dlp tells it: {"formats": [{"format_id", "ext", "vcodec", ...}, ...]}."""

    def fetch(self, video_id: str, format_id: str, path: Path) -> None:
        """Writes one format to `path`."""


class YtDlp:
    """Videos by way of yt-dlp.

    Args: address: with {id} where the video's id belongs. clients: the players that yt-dlp passes for; which of them
        are shown format 338 changes over time.
    Raises: ValueError if yt-dlp is not installed. Notebook: 01_dataset.
    """

    def __init__(self, address: str = "https://www.youtube.com/watch?v={id}",
                 clients: tuple[str, ...] = ("default", "android_vr")) -> None:
        try:
            import yt_dlp
        except ImportError:
            raise ValueError("downloading needs yt-dlp: pip install visage_lite[download]") from None
        self._library, self._address, self._known = yt_dlp, address, {}
        self._options = {
            # Its errors are raised; printed too, they would cut through the progress bar.
            "quiet": True, "no_warnings": True, "noprogress": True, "logger": logging.Logger("yt-dlp", level=99),
            "socket_timeout": 30, "retries": 2, "fragment_retries": 2, "skip_unavailable_fragments": False,
            "fixup": "never", "updatetime": False, "overwrites": True, "cachedir": False, "noplaylist": True,
            "extractor_args": {"youtube": {"player_client": list(clients)}},
        }

    def fetch_info(self, video_id: str) -> dict:
        """As `Source` says. The answer is kept for the `fetch` that follows, so that it need not ask again."""
        address = self._address.format(id=video_id)
        self._known = {video_id: self._ask({}, lambda ytdl: ytdl.extract_info(address, download=False, process=False))}
        return self._known[video_id]

    def fetch(self, video_id: str, format_id: str, path: Path) -> None:
        """As `Source` says."""
        info = copy.deepcopy(self._known.get(video_id) or self.fetch_info(video_id))
        chosen = {"format": format_id, "outtmpl": str(path).replace("%", "%%")}
        self._ask(chosen, lambda ytdl: ytdl.process_ie_result(info, download=True))

    def _ask(self, more: dict, question: Callable) -> dict:
        try:
            with self._library.YoutubeDL(self._options | more) as ytdl:
                return question(ytdl)
        except self._library.utils.YoutubeDLError as error:
            reason, lasting = plain_reason(str(error))
            raise (ValueError if lasting else OSError)(reason) from error


def plain_reason(message: str) -> tuple[str, bool]:
    """Why yt-dlp failed: in plain words if they are known, else its own first line; and whether that will last."""
    message = re.sub(r"\x1b\[[0-9;]*m|ERROR:|\[[\w:+]+\] [\w-]+: ", "", message).strip()
    for pattern, reason in REASONS:
        if re.search(pattern, message, re.IGNORECASE):
            return reason, reason is not PAUSE
    return (message.splitlines()[0][:200] if message else "yt-dlp gave no reason"), False


@dataclass(frozen=True)
class Offer:
    """Whether a video can be had, and in which formats. Notebook: 01_dataset."""

    video_id: str
    video: dict | None  # the format that would be taken, as yt-dlp tells it
    audio: dict | None
    reason: str  # empty if both are offered
    passing: bool = False  # the reason may be gone tomorrow

    def __str__(self) -> str:
        found = "" if self.reason else f"338 found; video {self.video['format_id']}, {self.video['height']} lines"
        return f"{self.video_id}: {self.reason or found}"


def preflight(video_id: str, source: Source | None = None) -> Offer:
    """Ask what is offered of a video, without fetching it.

    Args: video_id: 11 characters of A-Z a-z 0-9 _ -. source: who is asked; yt-dlp if left out.
    Returns: Offer; its reason says in plain words what is lacking.
    Raises: ValueError if yt-dlp is needed and not installed. Notebook: 01_dataset.
    """
    if not ID.fullmatch(video_id):
        return Offer(video_id, None, None, NO_ID)
    source = source or YtDlp()
    try:
        formats = source.fetch_info(video_id).get("formats") or []
    except (ValueError, OSError) as error:
        return Offer(video_id, None, None, str(error), passing=isinstance(error, OSError))
    audio = next((f for f in formats if str(f.get("format_id")).split("-")[0] == AMBISONIC), None)
    fitting = [f for f in formats if f.get("ext") == "mp4" and f.get("vcodec") not in (None, "none")
               and f.get("acodec") in (None, "none") and (f.get("height") or 0) >= MIN_HEIGHT]
    video = min(fitting, key=lambda f: (f["height"], f.get("filesize") or f.get("tbr") or 0), default=None)
    offered = ", ".join(f"{f.get('format_id')} ({f.get('ext')})" for f in formats) or "nothing"
    reason = "" if video else f"no fitting video: none in MP4, without sound, of {MIN_HEIGHT} lines; offered {offered}"
    reason = reason if audio else f"no ambisonic audio: offered {offered}"
    return Offer(video_id, video, audio, reason)


@dataclass(frozen=True)
class Downloads:
    """What a run of `download` leaves behind. Notebook: 01_dataset."""

    table: pd.DataFrame  # the manifest: id, status (done, refused, failed, changed), reason, bytes, sha256
    untried: int  # ids beyond the limit, or after the run was stopped
    stopped: str  # why the run ended early; empty if it did not

    def __str__(self) -> str:
        done = self.table["status"] == "done"
        parts = [f"{done.sum():,} videos done ({self.table.loc[done, 'bytes'].sum() / 1e9:.2f} GB)"]
        for status, rows in self.table[~done].groupby("status", sort=False):
            why = Counter(rows["reason"].str.split(":").str[0]).most_common()
            parts.append(f"{len(rows):,} {status} ({', '.join(f'{count:,} {reason}' for reason, count in why)})")
        parts += [f"{self.untried:,} not tried"] * bool(self.untried)
        return ", ".join(parts) + (f"; stopped: {self.stopped}" if self.stopped else "")


def download(clips: pd.DataFrame | Iterable[str], folder: str | Path, limit: int | None = None, pause_s: float = 5.0,
             retry: bool = False, seed: int | None = None, stop_after: int | None = 10, source: Source | None = None,
             hashes: bool = False, progress: bool = True) -> Downloads:
    """Fetch videos and their ambisonic sound, one at a time; what is done already is skipped.

    The manifest is written after each video, so Ctrl-C loses nothing but the video at work: it ends the run in good
    order. Only one run at a time may write to a folder.

    Args:
        clips: Clips.table (its column video_id), or video ids.
        folder: for the files; made if missing.
        limit: try at most so many videos in this run; None tries all.
        pause_s: mean pause between two videos, seconds; each is drawn between half and one and a half of it.
        retry: try again what was refused, failed or changed since, instead of leaving it.
        seed: of the pauses.
        stop_after: end the run after so many failures in a row, which is what being blocked looks like; None never.
        source: where from; yt-dlp if left out.
        hashes: compare the sha256 of what is done already, not only its size.
        progress: show a progress bar.
    Returns: Downloads; printed, it is the summary in one line. Notebook: 01_dataset.
    Raises: ValueError if yt-dlp is needed and not installed; MediaError if the folder or its manifest cannot be used.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit must be 0 or more, not {limit}")
    folder, pauses = Path(folder), random.Random(seed)
    rows = {video_id: _verified(row, folder, hashes) for video_id, row in _read_manifest(folder).items()}
    ids = dict.fromkeys(map(str, clips["video_id"] if isinstance(clips, pd.DataFrame) else clips))
    rows |= {text: _row(text, "refused", NO_ID) for text in ids if not ID.fullmatch(text)}
    waiting = [i for i in ids if i not in rows or (retry and rows[i]["status"] != "done" and ID.fullmatch(i))]
    trying, stopped, tried, failures = waiting[:limit], "", 0, 0
    source = source or (YtDlp() if trying else None)
    _write_manifest(rows, folder)
    try:
        for video_id in tqdm(trying, "videos", disable=not progress):
            time.sleep(pause_s * pauses.uniform(0.5, 1.5) if tried else 0)
            rows[video_id] = _fetched(video_id, folder, source)
            tried += 1
            _write_manifest(rows, folder)
            failures = failures + 1 if rows[video_id]["status"] == "failed" else 0
            if failures == stop_after:
                stopped = f"{failures} failures in a row, the last: {rows[video_id]['reason']}; go on later with retry"
                break
    except KeyboardInterrupt:
        stopped = "interrupted; run it again to go on"
    return Downloads(_table(rows), len(waiting) - tried, stopped)


def _fetched(video_id: str, folder: Path, source: Source) -> dict:
    """Fetches one video; both files come complete and under their names, or neither. Returns its row."""
    offer, partial, files = preflight(video_id, source), folder / ".partial", _files(video_id, folder)
    if offer.reason:
        return _row(video_id, "failed" if offer.passing else "refused", offer.reason)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for kind, chosen, final in zip(("video", "audio"), (offer.video, offer.audio), files):
            source.fetch(video_id, chosen["format_id"], partial / final.name)
            _check(partial / final.name, kind, chosen.get("filesize"))
        for final in files:
            os.replace(partial / final.name, final)
        return _row(video_id, "done", "", *_size_and_hash(files))
    except (ValueError, OSError) as error:
        what = "what came is of no use: " if isinstance(error, MediaError) else ""
        return _row(video_id, "failed", what + str(error).replace(f"{partial}{os.sep}", ""))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check(path: Path, kind: str, size: int | None) -> None:
    """OSError or MediaError unless a fetched file is whole and what it should be."""
    got = path.stat().st_size if path.exists() else 0
    if not got or (size and got != size):
        raise OSError(f"the transfer ended early: {path.name} has {got} bytes of {size or 'more'}")
    with reading(path) as container:
        stream_of(container, kind, path)


def _verified(row: dict, folder: Path, hashes: bool) -> dict:
    """The row of a video, "changed" if it was done and its files are not what was recorded."""
    files, reason = _files(row["id"], folder), ""
    size = sum(path.stat().st_size for path in files if path.is_file())
    if row["status"] != "done":
        return row
    if size != row["bytes"]:
        reason = f"other size: {size} bytes are there, {row['bytes']} were fetched"
    elif hashes and _size_and_hash(files)[1] != row["sha256"]:
        reason = "other content"
    return row | {"status": "changed", "reason": reason} if reason else row


def _files(video_id: str, folder: Path) -> tuple[Path, Path]:
    return folder / f"{video_id}.mp4", folder / f"{video_id}.webm"


def _size_and_hash(files: tuple[Path, Path]) -> tuple[int, str]:
    """Bytes of the two files together, and the sha256 of one followed by the other."""
    size, digest = 0, hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                size += len(block)
                digest.update(block)
    return size, digest.hexdigest()


def _row(video_id: str, status: str, reason: str, size: int = 0, sha256: str = "") -> dict:
    return dict(zip(COLUMNS, (video_id, status, " ".join(reason.split()), size, sha256)))


def _table(rows: dict[str, dict]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), columns=COLUMNS).astype({"bytes": "int64"})


def _read_manifest(folder: Path) -> dict[str, dict]:
    """id -> row; empty if there is no manifest yet."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)[COLUMNS].astype({"bytes": "int64"})
    except (KeyError, ValueError) as error:
        raise MediaError(f"{path}: is no record of downloads ({error}); move it away to begin anew") from None
    return {row["id"]: row for row in table.to_dict("records") if ID.fullmatch(row["id"])}


def _write_manifest(rows: dict[str, dict], folder: Path) -> None:
    with suppress(OSError):  # then it cannot be written either
        folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / MANIFEST) as temporary:
        _table(rows).to_csv(temporary, index=False, lineterminator="\n")
