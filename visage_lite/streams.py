"""PyAV underneath what `media` reads: local files opened and decoded, every failure told in one line."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

NEAR_S = 1e-3  # instants closer than this are the same: Matroska rounds its time stamps to 1 ms
MISSING_S = 0.5  # a file that ends this much before the length it declares is called truncated
SEEKABLE = ("mov", "matroska")  # formats that find any time exactly; others are decoded from their beginning
ABANDONED_S = 3600  # a temporary file of that age belongs to a run that was killed
PICTURE = av.stream.Disposition.attached_pic


class MediaError(ValueError):
    """A file cannot be read or written. The message is one line: the file, what was wrong, what to do."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; renames it to `path` at the end, or removes it on any failure.

    Raises: MediaError if the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise MediaError(f"{path}: cannot be written ({reason}); choose an existing folder you may write to") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def clear_abandoned(folder: Path) -> None:
    """Delete temporary files and folders that killed runs left behind: those an hour old or more."""
    for left in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime >= ABANDONED_S:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextmanager
def reading(path: str | Path) -> Iterator[av.container.InputContainer]:
    """The opened file; whatever the decoder raises inside becomes a MediaError. Only local files are opened."""
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: is a folder; give a file")
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check the name")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path}: may not be read; change its permissions")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: is empty (0 bytes); copy or download it again")
    try:
        # "file:" and the whitelist keep a name or a playlist from opening anything on the network.
        with av.open(f"file:{path.resolve()}", options={"protocol_whitelist": "file"}) as container:
            yield container
    except (av.error.FFmpegError, EOFError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise MediaError(f"{path}: truncated, corrupt or no media file ({reason}); copy or convert it again") from error


def stream_of(container: av.container.InputContainer, kind: str, path: str | Path) -> av.stream.Stream:
    """The first `kind` ("video", "audio") stream that can be decoded; cover art and still pictures do not count."""
    streams = [s for s in container.streams if s.type == kind and PICTURE not in s.disposition]
    if kind == "video" and (container.format.name.endswith("_pipe") or container.format.name == "image2"):
        raise MediaError(f"{path}: is a still picture; give a video")
    if not streams:
        raise MediaError(f"{path}: has no {kind} stream; give a file with one")
    if streams[0].codec_context is None:
        raise MediaError(f"{path}: its {kind} codec is not supported; convert it, for example to H.264 in MP4")
    return streams[0]


def decoded(
    container: av.container.InputContainer, stream: av.stream.Stream, path: str | Path, start_s: float = 0.0
) -> Iterator[tuple]:
    """(frame, begin, end) of every frame from the key frame before start_s, seconds from the stream's first frame."""
    stream.codec_context.options = {"err_detect": "explode"}  # an error, not a made-up picture, where data is damaged
    stream.thread_type = "AUTO"
    step = float(1 / stream.average_rate) if stream.type == "video" and stream.average_rate else 0.04
    zero, end = None, 0.0
    if start_s > 1 and container.format.name.startswith(SEEKABLE):  # a second early: some seek by decoding time
        zero = float((stream.start_time or 0) * stream.time_base)
        container.seek(round((zero + start_s - 1) / stream.time_base), stream=stream)
    for frame in container.decode(stream):
        if zero is None and frame.time is not None:
            zero = frame.time
        begin = frame.time - zero if frame.time is not None else end
        end = begin + (float(frame.duration * frame.time_base) if getattr(frame, "duration", 0) else step)
        if frame.is_corrupt and end > start_s:
            raise MediaError(f"{path}: damaged {begin:.2f} s after its start; copy or convert it again")
        yield frame, begin, end


def declared_s(container: av.container.InputContainer, stream: av.stream.Stream) -> float:
    """The stream's length as the file states it, in seconds; 0 if it does not."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    text = stream.metadata.get("DURATION", "")  # Matroska: "00:00:10.000000000"
    with suppress(ValueError):
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    return container.duration / av.time_base if container.duration and len(container.streams) == 1 else 0.0


def check_complete(path: str | Path, end: float, stop_s: float, declared: float) -> None:
    """MediaError if the stream ended at `end` seconds, before both stop_s and the length it declares."""
    if end and min(stop_s, declared) - end > MISSING_S:
        raise MediaError(
            f"{path}: truncated: it ends at {end:.2f} of {declared:.2f} s; copy it again or ask for less of it"
        )


def codec_name(stream: av.stream.Stream) -> str:
    """What the stream is coded in, such as "av1", whichever decoder reads it."""
    return stream.codec_context.codec.canonical_name


def display_size(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int, int]:
    """Width and height as displayed, and the quarter turns anticlockwise that make the frame upright."""
    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
    width = max(1, round(frame.width * (aspect or 1)))
    return (frame.height, width, quarters) if quarters % 2 else (width, frame.height, quarters)


def picture_of(frame: av.VideoFrame, aspect: Fraction | None, size: int | tuple[int, int] | None) -> np.ndarray:
    """One upright RGB picture, uint8 [H, W, 3]; `size` as in `read_video`."""
    width, height, quarters = display_size(frame, aspect)
    if isinstance(size, int):
        scale = size / min(width, height)
        width, height = max(size, round(width * scale)), max(size, round(height * scale))
    elif size is not None:
        width, height = size
    stored = {"width": height, "height": width} if quarters % 2 else {"width": width, "height": height}
    picture = np.rot90(frame.reformat(format="rgb24", interpolation="BICUBIC", **stored).to_ndarray(), quarters)
    if isinstance(size, int):
        top, left = (height - size) // 2, (width - size) // 2
        picture = picture[top : top + size, left : left + size]
    return np.ascontiguousarray(picture)


def samples_of(frame: av.AudioFrame) -> np.ndarray:
    """The samples of a decoded frame in file order, float32 [C, N]; integers are scaled to [-1, 1)."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    scale = 1 if samples.dtype.kind == "f" else -float(np.iinfo(samples.dtype).min)
    return (samples / scale).astype(np.float32)


def _late(container: av.container.InputContainer, frame: av.AudioFrame, rate: int) -> int:
    """How many samples after the file's beginning its sound sets in."""
    seconds = (frame.time or 0) - (container.start_time or 0) / av.time_base
    return round(seconds * rate) if seconds > 2 * NEAR_S else 0


def on_show(timed: Iterator[tuple], rate: float, start_s: float, stop_s: float) -> Iterator[tuple]:
    """(frame, None) for each instant start_s + k / rate before stop_s: the latest frame that had begun by then.

    After the last, if the stream ended before stop_s, (None, end): where it ended, seconds.
    """
    shown, end, k = None, 0.0, 0
    for frame, begin, frame_end in timed:
        while shown is not None and start_s + k / rate < begin - NEAR_S:
            if start_s + k / rate > stop_s - NEAR_S:
                return
            yield shown, None
            k += 1
        shown, end = frame, max(end, frame_end)
    while shown is not None and start_s + k / rate < min(end, stop_s) - NEAR_S:
        yield shown, None
        k += 1
    yield None, end


def late_samples(container: av.container.InputContainer, frame: av.AudioFrame, rate: int) -> int:
    """How many samples after the file's beginning its sound sets in."""
    seconds = (frame.time or 0) - (container.start_time or 0) / av.time_base
    return round(seconds * rate) if seconds > 2 * NEAR_S else 0


def frames_between(path: str | Path, start_s: float, stop_s: float) -> Iterator[tuple[np.ndarray, float]]:
    """(upright picture, seconds from start_s) of every frame on show from start_s to stop_s."""
    with reading(path) as source:
        video, end = stream_of(source, "video", path), 0.0
        for frame, begin, end in decoded(source, video, path, start_s):
            if begin >= stop_s - NEAR_S:
                return
            if end > start_s + NEAR_S:
                yield picture_of(frame, video.sample_aspect_ratio, None), max(0.0, begin - start_s)
        check_complete(path, end, stop_s, declared_s(source, video))
    if end <= start_s + NEAR_S:
        raise MediaError(f"{path}: " + (f"ends at {end:.2f} s; start before that" if end else "has no frames"))
