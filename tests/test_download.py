"""Downloads from a server on this machine: what is offered, what comes whole, what is recorded, what is never tried."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import av
import numpy as np
import pandas as pd
import pytest

from visage_lite import download as module
from visage_lite.download import YtDlp, download, plain_reason, preflight
from visage_lite.media import MediaError, read_audio, read_video, write_foa, write_video

A, B, C, D = (letter * 11 for letter in "ABCD")
needs_yt_dlp = pytest.mark.skipif(importlib.util.find_spec("yt_dlp") is None, reason="yt-dlp is not installed")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """The bytes of a small video without sound and of a 4-channel WebM."""
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "a.mp4", np.random.default_rng(0).integers(0, 255, (30, 64, 128, 3), np.uint8), 10)
    write_foa(folder / "a.webm", np.random.default_rng(1).normal(0, 0.1, (4, 96000)).clip(-1, 1), 48000)
    return {"video": (folder / "a.mp4").read_bytes(), "audio": (folder / "a.webm").read_bytes()}


class Server:
    """Serves `files`: path -> bytes. Those in `short` are announced whole and end halfway. `asked`: every request."""

    def __init__(self):
        self.files, self.short, self.asked = {}, set(), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                data = outer.files.get(self.path)
                self.send_response(200 if data is not None else 404)
                self.send_header("Content-Length", str(len(data or b"")))
                self.send_header("Content-Type", "video/webm" if self.path.endswith("webm") else "application/json")
                self.end_headers()
                data = data or b""
                try:
                    self.wfile.write(data[: len(data) // 2] if self.path in outer.short else data)
                except OSError:
                    pass  # the client had enough

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def offer(self, video_id, media, without=()):
        """Puts a video and the list of its formats on the server."""
        formats = [
            {"format_id": "251", "ext": "webm", "vcodec": "none", "acodec": "opus"},
            {"format_id": "18", "ext": "mp4", "vcodec": "avc1", "acodec": "mp4a", "height": 480},  # has sound
            {"format_id": "137", "ext": "mp4", "vcodec": "avc1", "acodec": "none", "height": 1080},
            {"format_id": "135", "ext": "mp4", "vcodec": "avc1", "acodec": "none", "height": 480},
            {"format_id": "134", "ext": "mp4", "vcodec": "avc1", "acodec": "none", "height": 360},  # too small
            {"format_id": "244", "ext": "webm", "vcodec": "vp9", "acodec": "none", "height": 480},
            {"format_id": "338", "ext": "webm", "vcodec": "none", "acodec": "opus"},
        ]
        formats = [f for f in formats if f["format_id"] not in without]
        for f in formats:
            data = media["audio" if f["vcodec"] == "none" else "video"]
            self.files[f"/{video_id}/{f['format_id']}.webm"] = data
            f["filesize"] = len(data)
        self.files[f"/{video_id}"] = json.dumps({"formats": formats}).encode()


class Loopback:
    """A source that asks the server with urllib."""

    def __init__(self, server):
        self.address, self.opener = server.address, build_opener(ProxyHandler({}))

    def fetch_info(self, video_id):
        try:
            with self.opener.open(f"{self.address}/{video_id}") as answer:
                return json.loads(answer.read())
        except HTTPError:
            raise ValueError("no longer there") from None

    def fetch(self, video_id, format_id, path):
        with self.opener.open(f"{self.address}/{video_id}/{format_id}.webm") as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file)


class LoopbackYtDlp(Loopback):
    """A source that asks for the formats with urllib and fetches them through yt-dlp's extractor for plain links."""

    def fetch(self, video_id, format_id, path):
        YtDlp(f"{self.address}/{{id}}/{format_id}.webm").fetch(video_id, "webm", path)


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(params=["urllib", pytest.param("yt-dlp", marks=needs_yt_dlp)])
def source(request, server):
    return (Loopback if request.param == "urllib" else LoopbackYtDlp)(server)


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made, which here take no time."""
    made = []
    monkeypatch.setattr(module.time, "sleep", lambda seconds: made.append(seconds) if seconds else None)
    return made


def run(ids, folder, source, **named):
    return download(ids, folder, source=source, progress=False, **{"pause_s": 0} | named)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def statuses(folder):
    table = pd.read_csv(folder / "downloads.csv", dtype=str, keep_default_na=False)
    assert list(table) == ["id", "status", "reason", "bytes", "sha256"]
    return dict(zip(table["id"], table["status"]))


# --- before


def test_preflight_says_what_would_be_taken(server, media):
    server.offer(A, media)
    offer = preflight(A, Loopback(server))
    assert (offer.audio["format_id"], offer.video["format_id"], offer.reason) == ("338", "135", "")
    assert str(offer) == f"{A}: 338 found; video 135, 480 lines"
    assert server.asked == [f"/{A}"]  # nothing was fetched


@pytest.mark.parametrize(("without", "reason"), [
    (["338"], "no ambisonic audio: offered 251 (webm), 18 (mp4)"),
    (["135", "137"], "no fitting video: none in MP4, without sound, of 480 lines; offered 251"),
])
def test_preflight_says_what_is_lacking(server, media, without, reason):
    server.offer(A, media, without)
    offer = preflight(A, Loopback(server))
    assert offer.reason.startswith(reason) and not offer.passing
    assert preflight(B, Loopback(server)).reason == "no longer there"


@pytest.mark.parametrize(("said", "reason", "lasting"), [
    ("ERROR: [youtube] private42901: Video unavailable", "no longer there", True),
    ("ERROR: [youtube] AAAAAAAAAAA: Private video. Sign in if you've been granted access", "private", True),
    ("ERROR: [youtube] A: Video unavailable. The uploader has not made this video available in your country",
     "not offered in this country", True),
    ("ERROR: [youtube] A: This video has been removed by the uploader", "no longer there", True),
    ("ERROR: [youtube] A: Sign in to confirm you\u2019re not a bot.", module.PAUSE, False),
    ("ERROR: unable to download video data: HTTP Error 403: Forbidden",
     "unable to download video data: HTTP Error 403: Forbidden", False),
    ("\x1b[0;31mERROR:\x1b[0m [youtube] A: HTTP Error 503: Service Unavailable", "HTTP Error 503: Service Unavailable",
     False),
    ("", "yt-dlp gave no reason", False),
])
def test_reasons_are_plain(said, reason, lasting):
    assert plain_reason(said) == (reason, lasting)


def test_without_yt_dlp_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    for ask in (lambda: preflight(A), lambda: download([A], tmp_path / "raw", progress=False)):
        with pytest.raises(ValueError, match=r"pip install visage_lite\[download\]"):
            ask()
    assert not (tmp_path / "raw").exists()


# --- fetched


def test_videos_come_whole_and_are_recorded(server, media, source, tmp_path):
    server.offer(A, media)
    server.offer(B, media, ["338"])
    found = run(pd.DataFrame({"video_id": [A, B, A, C]}), tmp_path / "raw", source)
    folder = tmp_path / "raw"
    assert names(folder) == [f"{A}.mp4", f"{A}.webm", "downloads.csv"]
    assert (folder / f"{A}.mp4").read_bytes() == media["video"]
    assert (folder / f"{A}.webm").read_bytes() == media["audio"]
    assert len(read_video(folder / f"{A}.mp4").frames) and read_audio(folder / f"{A}.webm")[0].shape == (4, 96000)
    row = found.table.set_index("id").loc[A]
    assert row["bytes"] == len(media["video"]) + len(media["audio"])
    assert row["sha256"] == hashlib.sha256(media["video"] + media["audio"]).hexdigest()
    assert statuses(folder) == {A: "done", B: "refused", C: "refused"}
    assert str(found) == "1 videos done (0.00 GB), 2 refused (1 no ambisonic audio, 1 no longer there)"
    assert f"/{A}/135.webm" in server.asked and not any(f"/{A}/137" in path for path in server.asked)


@pytest.mark.parametrize("part", ["135", "338"])
def test_a_transfer_that_ends_early_leaves_no_file(server, media, source, tmp_path, monkeypatch, part):
    server.offer(A, media)
    server.short.add(f"/{A}/{part}.webm")
    found = run([A], tmp_path, source)
    assert names(tmp_path) == ["downloads.csv"]
    assert found.table["status"].tolist() == ["failed"] and found.table["reason"][0]
    assert str(tmp_path) not in found.table["reason"][0]
    server.short.clear()
    assert statuses(tmp_path) == {A: "failed"}
    asked = len(server.asked)
    run([A], tmp_path, source)
    assert len(server.asked) == asked  # not tried again unless told to
    assert run([A], tmp_path, source, retry=True).table["status"].tolist() == ["done"]
    assert names(tmp_path) == [f"{A}.mp4", f"{A}.webm", "downloads.csv"]


@pytest.mark.parametrize("came", ["a page", "a video"])
def test_what_is_not_the_sound_is_not_kept(server, media, tmp_path, came):
    server.offer(A, media | {"audio": media["video"] if came == "a video" else b"<html>Please sign in</html>" * 50})
    reason = run([A], tmp_path, Loopback(server)).table["reason"][0]
    assert reason.startswith(f"what came is of no use: {A}.webm") and names(tmp_path) == ["downloads.csv"]


def test_a_second_run_skips_what_is_done(server, media, tmp_path):
    for video_id in (A, B):
        server.offer(video_id, media)
    run([A], tmp_path, Loopback(server))
    asked, written = len(server.asked), (tmp_path / f"{A}.mp4").stat().st_mtime_ns
    found = run([A, B], tmp_path, Loopback(server))
    assert not any(A in path for path in server.asked[asked:])
    assert (tmp_path / f"{A}.mp4").stat().st_mtime_ns == written
    assert found.table["status"].tolist() == ["done", "done"]


@pytest.mark.parametrize("damage", ["longer", "gone", "same size"])
def test_a_changed_file_is_noticed_and_fetched_again_when_told(server, media, tmp_path, damage):
    server.offer(A, media)
    run([A], tmp_path, Loopback(server))
    path = tmp_path / f"{A}.webm"
    data = path.read_bytes()
    path.write_bytes({"longer": data + b"x", "gone": b"", "same size": data[:-1] + bytes([data[-1] ^ 1])}[damage])
    if damage == "gone":
        path.unlink()
    found = run([A], tmp_path, Loopback(server), hashes=damage == "same size")
    assert statuses(tmp_path) == {A: "changed"} and found.table["reason"][0].startswith("other ")
    assert "1 changed" in str(found)
    assert run([A], tmp_path, Loopback(server), retry=True).table["status"].tolist() == ["done"]
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "name", ["../../../etc", "AAAAAAAAAA", "AAAAAAAAAAAA", "AAAAAAAAAA/", "AAAAAAAAAA\u00e9", "", "AAAAAAAAAAA\n"]
)
def test_what_is_no_id_is_neither_asked_nor_used_as_a_path(server, tmp_path, name):
    for retry in (False, True):
        found = run([name], tmp_path / "raw", Loopback(server), retry=retry)
        assert server.asked == [] and names(tmp_path / "raw") == ["downloads.csv"] and names(tmp_path) == ["raw"]
        assert found.table["status"].tolist() == ["refused"] and "no video id" in found.table["reason"][0]
    assert "no video id" in preflight(name, Loopback(server)).reason and server.asked == []


def test_the_limit_counts_what_is_tried_and_says_what_is_left(server, media, tmp_path):
    for video_id in (A, B, C, D):
        server.offer(video_id, media)
    found = run([A, B, C, D], tmp_path, Loopback(server), limit=1)
    assert statuses(tmp_path) == {A: "done"} and found.untried == 3 and "3 not tried" in str(found)
    assert run([A, B, C, D], tmp_path, Loopback(server), limit=2).untried == 1  # A is done and does not count
    assert list(statuses(tmp_path)) == [A, B, C]
    assert run([A, B, C, D], tmp_path, Loopback(server), limit=0).untried == 1
    assert run([A, B, C, D], tmp_path, Loopback(server)).untried == 0
    with pytest.raises(ValueError, match="limit"):
        run([A], tmp_path, Loopback(server), limit=-1)


def test_one_pause_between_two_videos(server, media, tmp_path, pauses):
    for video_id in (A, B, C):
        server.offer(video_id, media)
    for name in ("one", "two"):
        run([A, B, C, "no id"], tmp_path / name, Loopback(server), pause_s=8, seed=3)
    assert len(pauses) == 4 and pauses[:2] == pauses[2:] and pauses[0] != pauses[1]
    assert all(4 <= seconds <= 12 for seconds in pauses)


def test_failures_in_a_row_end_the_run_aloud(server, media, tmp_path):
    class Down(Loopback):
        def fetch_info(self, video_id):
            raise ConnectionRefusedError("nobody answers")

    found = run([A, B, C, D], tmp_path, Down(server), stop_after=2)
    assert statuses(tmp_path) == {A: "failed", B: "failed"} and found.untried == 2
    assert "stopped: 2 failures in a row, the last: nobody answers" in str(found)
    assert run([A, B, C, D], tmp_path, Down(server), stop_after=None).untried == 0


def test_ctrl_c_keeps_what_is_done(server, media, tmp_path):
    for video_id in (A, B, C):
        server.offer(video_id, media)

    class Interrupted(Loopback):
        def fetch(self, video_id, format_id, path):
            super().fetch(video_id, format_id, path)
            if video_id == B:
                raise KeyboardInterrupt

    found = run([A, B, C], tmp_path, Interrupted(server))
    assert statuses(tmp_path) == {A: "done"} and names(tmp_path) == [f"{A}.mp4", f"{A}.webm", "downloads.csv"]
    assert "1 videos done" in str(found) and "2 not tried" in str(found) and "interrupted" in str(found)
    assert run([A, B, C], tmp_path, Loopback(server)).table["status"].tolist() == ["done"] * 3


def test_left_overs_of_a_killed_run_are_cleared(server, media, tmp_path):
    server.offer(A, media)
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / f"{B}.mp4.part").write_bytes(b"half")
    run([A], tmp_path, Loopback(server))
    assert names(tmp_path) == [f"{A}.mp4", f"{A}.webm", "downloads.csv"]


def test_folders_and_manifests_of_no_use_are_refused(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="cannot be written"):
        run([A], tmp_path / "file", Loopback(server))
    for text in ("something else\n1\n", "id,status,reason,bytes,sha256\nx,done,,many,\n", ""):
        (tmp_path / "downloads.csv").write_text(text)
        with pytest.raises(MediaError, match="no record of downloads"):
            run([A], tmp_path, Loopback(server))
        assert (tmp_path / "downloads.csv").read_text() == text and server.asked == []


@needs_yt_dlp
def test_yt_dlp_is_quiet_and_its_failures_are_plain(server, media, tmp_path, capfd, caplog):
    server.files[f"/{A}.webm"] = media["audio"]
    ytdl = YtDlp(server.address + "/{id}.webm")
    with caplog.at_level(logging.DEBUG):
        assert preflight(A, ytdl).reason == "no ambisonic audio: offered webm (webm)"
        assert preflight(B, ytdl).reason == "no longer there"
        asked = len(server.asked)
        ytdl.fetch_info(A)
        ytdl.fetch(A, "webm", tmp_path / "100% %(id)s.webm")
        assert len(server.asked) == asked + 2  # what was offered is asked once
        with pytest.raises(OSError, match="not available"):
            ytdl.fetch(A, "338", tmp_path / "b.webm")
    assert names(tmp_path) == ["100% %(id)s.webm"]
    assert capfd.readouterr() == ("", "") and not [r for r in caplog.records if r.name.startswith("yt")]
    with av.open(str(tmp_path / "100% %(id)s.webm")) as container:
        assert container.streams.audio[0].channels == 4
