"""PyAV underneath what `media` writes: containers, ambisonic Opus, and video that is copied or encoded again."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soxr

from visage_lite.streams import NEAR_S, SEEKABLE, MediaError, check_complete, declared_s

OPUS_RATE = 48000  # Hz, the rate of every Opus file
OPUS_BITS = 128000  # bits per second and channel
OPUS_FRAME = 960  # samples, 20 ms
AAC_FRAME = 1024  # samples
CONTAINERS = {".opus": "opus", ".webm": "webm", ".mkv": "matroska", ".mp4": "mp4"}
# Video codecs that a container takes as they are; all others are encoded again.
COPIED = {"mp4": {"h264", "hevc", "av1", "vp9", "mpeg4"}, "webm": {"vp8", "vp9", "av1"}}
COPIED["matroska"] = COPIED["mp4"] | COPIED["webm"]
VIDEO_CLOCK = 90000  # ticks per second of frames that are encoded again


@contextmanager
def output(path: Path, container: str) -> Iterator[av.container.OutputContainer]:
    """An open output file, the same bytes from the same input. In MP4, lengths are kept to the sample.

    What FFmpeg cannot write is an OSError.
    """
    options = {"fflags": "bitexact"}  # no random serial numbers, no version, no date
    if container == "mp4":
        options |= {"movie_timescale": str(OPUS_RATE), "movflags": "faststart"}
    try:
        with av.open(f"file:{path}", "w", format=container, options=options) as out:
            yield out
    except av.error.FFmpegError as error:
        raise OSError(getattr(error, "errno", 0), getattr(error, "strerror", str(error))) from error


def opus_stream(out: av.container.OutputContainer) -> av.AudioStream:
    """A new Opus stream of four ambisonic channels, each coded alone."""
    stream = out.add_stream("libopus", rate=OPUS_RATE, layout="ambisonic 1", options={"mapping_family": "2"})
    stream.bit_rate = 4 * OPUS_BITS
    return stream


def encode_opus(out: av.container.OutputContainer, stream: av.AudioStream, foa: np.ndarray, rate: int) -> None:
    """Encodes foa [4, N] into `stream`, resampled to 48 kHz, to N * 48000 / rate samples."""
    encode_sound(out, stream, foa, rate, "ambisonic 1", OPUS_FRAME)


def encode_sound(
    out: av.container.OutputContainer, stream: av.AudioStream, foa: np.ndarray, rate: int, layout: str, block: int
) -> None:
    """Encodes foa [4, N] into `stream` in blocks, resampled to 48 kHz, to N * 48000 / rate samples."""
    samples = round(foa.shape[1] * OPUS_RATE / rate)
    foa = foa if rate == OPUS_RATE else soxr.resample(foa.T, rate, OPUS_RATE).T
    foa = np.pad(foa, ((0, 0), (0, max(0, samples - foa.shape[1]))))[:, :samples]
    for begin in range(0, samples, block):
        part = np.ascontiguousarray(foa[:, begin : begin + block], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = OPUS_RATE, begin, Fraction(1, OPUS_RATE)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def aac_stream(out: av.container.OutputContainer) -> av.AudioStream:
    """A new AAC stream of four channels, each coded alone: no sums of two channels, nothing left out at high notes."""
    options = {"aac_ms": "0", "aac_is": "0", "aac_pns": "0", "cutoff": "20000"}
    stream = out.add_stream("aac", rate=OPUS_RATE, layout="4.0", options=options)
    stream.bit_rate = 4 * OPUS_BITS
    return stream


def check_360(path: str | Path, panorama: np.ndarray, video_rate: float, foa: np.ndarray, rate: int) -> None:
    """MediaError if picture and sound do not make a 360 degree video together."""
    shape, kind = list(panorama.shape), panorama.dtype
    if Path(path).suffix.lower() != ".mp4":
        raise MediaError(f"{path}: a 360 degree video is .mp4; change the suffix")
    if panorama.ndim != 4 or shape[3] != 3 or kind != np.uint8 or not shape[0]:
        raise MediaError(f"{path}: not written: a panorama is uint8 [F, H, W, 3], got {kind} {shape}")
    if shape[2] != 2 * shape[1] or shape[1] % 2:
        size = f"{shape[2]} x {shape[1]}"
        raise MediaError(f"{path}: not written: a panorama is twice as wide as high, both even, not {size}; resize it")
    if not video_rate > 0 or not 8000 <= rate <= 192000:
        rates = f"{video_rate} frames per second and {rate} Hz"
        raise MediaError(f"{path}: not written: {rates}; give more than 0, and 8000 to 192000")
    seen_s, heard_s = shape[0] / video_rate, foa.shape[1] / rate
    if abs(seen_s - heard_s) > 1 / video_rate:
        lengths = f"{seen_s:.2f} s of picture and {heard_s:.2f} s of sound"
        raise MediaError(f"{path}: not written: {lengths}; cut the longer one")


def packets_between(
    source: av.container.InputContainer, video: av.VideoStream, path: str | Path, start_s: float, stop_s: float
) -> list[av.Packet]:
    """The coded frames on show from start_s to stop_s, time stamps from start_s; none if no key frame is there."""
    base, found, wanted = video.time_base, [], 0
    zero, length_s = (video.start_time or 0) + round(start_s / base), stop_s - start_s
    if start_s > 0 and not source.format.name.startswith(SEEKABLE):
        return []
    if start_s > 0:
        source.seek(zero, stream=video)
    for packet in source.demux(video):
        if packet.pts is None or packet.dts is None:
            continue
        packet.pts, packet.dts = packet.pts - zero, packet.dts - zero
        if not found and (not packet.is_keyframe or abs(packet.pts * base) > NEAR_S):
            return []
        if packet.dts * base >= length_s - NEAR_S:  # whatever is on show before the end has been decoded by now
            return found[:wanted]
        if packet.pts >= 0:
            found.append(packet)
        if packet.pts * base < length_s - NEAR_S:
            wanted = len(found)
    end = max((float((p.pts + (p.duration or 0)) * base) for p in found), default=0.0)
    check_complete(path, start_s + end, stop_s, declared_s(source, video))
    return found[:wanted]


def video_encoder(out: av.container.OutputContainer, container: str, rate: Fraction | int) -> av.VideoStream:
    """A new stream for frames that must be encoded again; its size is set with the first frame.

    One thread, and on Intel and AMD no AVX-512: it gave other bytes for about one clip in 300, other code for none.
    """
    options = {"crf": "18", "preset": "veryfast"}
    if platform.machine().lower() in ("x86_64", "amd64"):
        options["x264-params"] = "asm=SSE4.2"
    if container == "webm":
        options = {"crf": "30", "deadline": "realtime", "cpu-used": "8"}
    name = "libvpx-vp9" if container == "webm" else "libx264"
    stream = out.add_stream(name, rate=rate, options=options)
    stream.codec_context.thread_count = 1
    stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, VIDEO_CLOCK)
    for tag in ("color_primaries", "color_trc", "colorspace"):
        setattr(stream.codec_context, tag, 1)  # BT.709
    return stream


def encode_video(
    out: av.container.OutputContainer, stream: av.VideoStream, shown: Iterator[tuple[np.ndarray, float]]
) -> None:
    """Encodes (picture, seconds) one by one into `stream`; the size is that of the first, made even."""
    for k, (picture, seconds) in enumerate(shown):
        if k == 0:
            stream.width, stream.height = (side + side % 2 for side in (picture.shape[1], picture.shape[0]))
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(stream.width, stream.height, "yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = round(seconds * VIDEO_CLOCK), Fraction(1, VIDEO_CLOCK)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
