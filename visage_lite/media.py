"""Video frames and 4-channel audio in and out of files. Channels keep their order; nothing is mixed down or normalised.

Files are written under a temporary name in their folder and renamed when complete. PyAV is in `streams` and `muxing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from visage_lite.muxing import (
    AAC_FRAME,
    CONTAINERS,
    COPIED,
    OPUS_RATE,
    aac_stream,
    check_360,
    encode_opus,
    encode_sound,
    encode_video,
    opus_stream,
    output,
    packets_between,
    video_encoder,
)
from visage_lite.spatial_boxes import XML, ambisonic_box, insert_spatial, read_spatial, spherical_boxes
from visage_lite.streams import (
    MediaError,
    atomic,
    check_complete,
    codec_name,
    declared_s,
    decoded,
    display_size,
    frames_between,
    late_samples,
    on_show,
    picture_of,
    reading,
    samples_of,
    stream_of,
)


@dataclass(frozen=True)
class Video:
    """Frames of a video at a steady rate. Notebook: 01_dataset."""

    frames: np.ndarray  # uint8 [F, H, W, 3], RGB, upright
    rate: float  # frames per second; frame k was on show at start_s + k / rate
    start_s: float  # where in the file frame 0 was taken, seconds
    duration_s: float  # length of the part that was read, seconds
    source_s: float  # length of the whole video, seconds
    width: int  # pixels of the source as displayed, after rotation
    height: int
    codec: str  # such as "h264"


def read_video(
    path: str | Path,
    rate: float = 4.0,
    duration_s: float | None = None,
    size: int | tuple[int, int] | None = None,
    start_s: float = 0.0,
    max_bytes: int = 2**31,
) -> Video:
    """Upright RGB frames of any video file at a steady rate, taken by time stamp.

    Args:
        path: a local video file in any container; sound is not needed.
        rate: frames per second, > 0. At each instant k / rate the frame then on show is taken.
        duration_s: read at most this many seconds; None reads to the end.
        size: None keeps the displayed size; an int scales the shorter side to it and keeps the central square;
            (width, height) scales to exactly that.
        start_s: where to begin, seconds from the first frame, >= 0.
        max_bytes: refuse to hold more than this.

    Returns: Video with frames uint8 [F, H, W, 3]; F = ceil(seconds read * rate).

    Raises: MediaError for a missing file, a folder, no video stream, a truncated or corrupt file, no frames,
        a start after the end, or frames beyond `max_bytes`.

    Differs: the released code writes the frames to disk with ffmpeg first. Notebook: 01_dataset.
    """
    if not rate > 0 or not start_s >= 0 or (duration_s is not None and not duration_s > 0):
        raise MediaError(f"{path}: rate and duration must be > 0 and start >= 0; got {rate}, {duration_s}, {start_s}")
    stop_s = start_s + duration_s if duration_s is not None else float("inf")
    pictures, last, end = [], None, None
    with reading(path) as container:
        stream = stream_of(container, "video", path)
        declared, aspect = declared_s(container, stream), stream.sample_aspect_ratio
        for frame, ended in on_show(decoded(container, stream, path, start_s), rate, start_s, stop_s):
            end = ended
            if frame is not None:
                pictures.append(pictures[-1] if frame is last else picture_of(frame, aspect, size))
                last = frame
            if pictures and len(pictures) * pictures[0].nbytes > max_bytes:
                raise MediaError(f"{path}: its frames need over {max_bytes / 2**30:.1f} GB; give a duration or a size")
        if end is not None:
            check_complete(path, end, stop_s, declared)
        if last is None:
            raise MediaError(f"{path}: " + (f"ends at {end:.2f} s; start before that" if end else "has no frames"))
        width, height, _ = display_size(last, aspect)
        stop_s, codec = stop_s if end is None else min(end, stop_s), codec_name(stream)
    return Video(np.stack(pictures), rate, start_s, stop_s - start_s, max(declared, stop_s), width, height, codec)


def read_audio(path: str | Path, start_s: float = 0.0, duration_s: float | None = None) -> tuple[np.ndarray, int]:
    """All channels of a file's sound, in the order in which they are stored, and the sample rate.

    Time 0 is where the file begins: sound that sets in later gets silence before it, and the pre-skip of Opus is gone.

    Args:
        path: any container, a video too.
        start_s: leave out what comes before, seconds.
        duration_s: read at most this many seconds; None reads to the end.

    Returns: (float32 [C, N], rate in Hz). Full scale is 1; float files may exceed it.

    Raises: MediaError for a missing file, a folder, no sound, a truncated or corrupt file.

    Notebook: 01_dataset.
    """
    blocks, count, late = [], 0, 0
    with reading(path) as container:
        stream = stream_of(container, "audio", path)
        rate, declared = stream.codec_context.sample_rate, declared_s(container, stream)
        first = round(start_s * rate)
        stop = float("inf") if duration_s is None else round((start_s + duration_s) * rate)
        for frame, _, _ in decoded(container, stream, path):
            if not count:
                late = late_samples(container, frame, rate)
                blocks.append(np.zeros((len(frame.layout.channels), max(0, late - first)), np.float32))
                count = late
            blocks.append(samples_of(frame)[:, max(0, first - count) :])
            count += frame.samples
            if count >= stop:
                break
        padding = count - late - round(declared * rate)
        if container.format.name.startswith("mov") and 0 < padding < rate / 10:
            count -= padding  # MP4 states its length only in the edit list; the last packet decodes beyond it
        check_complete(path, count / rate, stop / rate, declared)
    if min(count, stop) <= first:
        raise MediaError(f"{path}: its sound ends at {count / rate:.2f} s; start before that, or give another file")
    return np.concatenate(blocks, axis=1)[:, : min(count, stop) - first], rate


def _checked(foa: np.ndarray, path: str | Path, full_scale: bool) -> np.ndarray:
    """foa as float32 [4, N]; with `full_scale`, MediaError where a sample lies outside [-1, 1]."""
    foa = np.asarray(foa)
    if foa.ndim != 2 or foa.shape[0] != 4 or foa.shape[1] == 0:
        raise MediaError(f"{path}: not written: first-order ambisonics is [4, N] (W, Y, Z, X), got {list(foa.shape)}")
    if not np.isfinite(foa).all():
        raise MediaError(f"{path}: not written: the sound has values that are not finite; check what made it")
    peak = float(np.abs(foa).max())
    if full_scale and peak > 1:
        raise MediaError(f"{path}: not written: it would clip (peak {peak:.3f}); divide by it or write a float32 WAV")
    return foa.astype(np.float32)


def write_foa(path: str | Path, foa: np.ndarray, rate: int, subtype: str = "float32") -> None:
    """Writes first-order ambisonics, whole or not at all. The suffix of `path` says how.

    `.wav`: 4 channels at `rate`, "float32" (any level) or "pcm24". `.opus`, `.webm`, `.mkv`, `.mp4`: Opus at 48 kHz
    (resampled if needed), layout "ambisonic 1", channel mapping family 2.

    Args:
        path: file in an existing folder; an old file is replaced.
        foa: [4, N] W, Y, Z, X in ambiX; full scale 1. Opus and pcm24 take no sample outside [-1, 1].
        rate: Hz.
        subtype: "float32" or "pcm24", for `.wav`.

    Raises: MediaError for another suffix, another number of channels, values that are not finite or would clip,
        a folder that cannot be written.

    Source: RFC 8486 (ambisonics in Opus). Notebook: 01_dataset.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".wav" and subtype in ("float32", "pcm24"):
        foa = _checked(foa, path, full_scale=subtype == "pcm24")
        with atomic(path) as temporary, open(temporary, "wb") as file:
            subtype = {"float32": "FLOAT", "pcm24": "PCM_24"}[subtype]
            soundfile.write(file, foa.T, rate, format="WAV", subtype=subtype)
    elif suffix in CONTAINERS:
        foa = _checked(foa, path, full_scale=True)
        with atomic(path) as temporary, output(temporary, CONTAINERS[suffix]) as out:
            encode_opus(out, opus_stream(out), foa, rate)
    else:
        raise MediaError(f"{path}: cannot write {suffix or 'no suffix'} as {subtype}; use .wav, .opus, .webm or .mp4")


def write_video(path: str | Path, frames: np.ndarray, rate: float) -> None:
    """Writes pictures as a silent video, whole or not at all: H.264, or VP9 in WebM.

    Args:
        path: `.mp4`, `.mkv` or `.webm`, in an existing folder.
        frames: uint8 [F, H, W, 3], RGB, at least one.
        rate: frames per second.

    Raises: MediaError for another suffix or shape, or a folder that cannot be written.
    Notebook: 00_quickstart.
    """
    container, frames = CONTAINERS.get(Path(path).suffix.lower()), np.asarray(frames)
    if container in (None, "opus"):
        raise MediaError(f"{path}: a video is .mp4, .mkv or .webm; change the suffix")
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise MediaError(f"{path}: not written: frames are uint8 [F, H, W, 3], got {frames.dtype} {list(frames.shape)}")
    with atomic(path) as temporary, output(temporary, container) as out:
        timed = ((frame, index / rate) for index, frame in enumerate(frames))
        encode_video(out, video_encoder(out, container, Fraction(rate).limit_denominator(1000)), timed)


def mux(video_path: str | Path, foa: np.ndarray, rate: int, out_path: str | Path, start_s: float = 0.0) -> bool:
    """Writes the picture of a video with first-order ambisonics as its only sound, whole or not at all.

    The picture begins at start_s and ends with the sound (or where the video ends). Its stream is copied as it is if
    the container takes its codec and start_s falls on a key frame; a copied stream may run on for the few frames
    (mostly none) that others before the end need for decoding. Otherwise it is encoded again (H.264; VP9 in WebM).

    Args:
        video_path: the source; its own sound is left out.
        foa: [4, N] W, Y, Z, X in ambiX, within [-1, 1].
        rate: Hz; the file gets 48 kHz Opus as in `write_foa`.
        out_path: `.mp4`, `.mkv` or `.webm`, in an existing folder, not the source.
        start_s: second of the source at which the sound begins.

    Returns: True if the video stream was copied.

    Raises: MediaError as `read_video` and `write_foa` do.

    Notebook: 01_dataset.
    """
    foa, container = _checked(foa, out_path, full_scale=True), CONTAINERS.get(Path(out_path).suffix.lower())
    if container in (None, "opus"):
        raise MediaError(f"{out_path}: a video with sound is .mp4, .mkv or .webm; change the suffix")
    stop_s = start_s + foa.shape[1] / rate
    with atomic(out_path) as temporary, reading(video_path) as source:
        video = stream_of(source, "video", video_path)
        copied = codec_name(video) in COPIED[container]
        packets = packets_between(source, video, video_path, start_s, stop_s) if copied else []
        with output(temporary, container) as out:
            if packets:
                picture = out.add_stream_from_template(video, opaque=True)  # AV1's decoder names no encoder
            else:
                picture = video_encoder(out, container, video.average_rate or 25)
            sound = opus_stream(out)
            for packet in packets:
                packet.stream = picture
                out.mux(packet)
            if not packets:
                encode_video(out, picture, frames_between(video_path, start_s, stop_s))
            encode_opus(out, sound, foa, rate)
    return bool(packets)


def export_360(path: str | Path, panorama: np.ndarray, video_rate: float, foa: np.ndarray, rate: int) -> None:
    """Writes a 360 degree video with spatial sound as players expect it, reads it back, and checks it.

    H.264, and AAC at 48 kHz with four channels in the order W, Y, Z, X: what 360 players and YouTube read. Opus in MP4
    and PCM in MP4 are read by few of them. Each channel is coded alone, as the encoder's sums of two would mix W and Y.

    Args:
        path: `.mp4`, in an existing folder.
        panorama: uint8 [F, H, W, 3], equirectangular, the front in the middle; W = 2 H, both even.
        video_rate: frames per second.
        foa: [4, N] W, Y, Z, X in ambiX, within [-1, 1]; as long as the picture, to one frame.
        rate: Hz, 8000 to 192000.

    Raises: MediaError on another shape, length, rate or suffix, or if what was read back differs.
    Source: google/spatial-media, spatial-audio-rfc and spherical-video-v2-rfc. Notebook: 02_ambisonics.
    """
    panorama, foa = np.asarray(panorama), _checked(foa, path, full_scale=True)
    check_360(path, panorama, video_rate, foa, rate)
    with atomic(path) as temporary:
        with output(temporary, "mp4") as out:
            picture = video_encoder(out, "mp4", Fraction(video_rate).limit_denominator(1000))
            sound = aac_stream(out)
            encode_video(out, picture, ((frame, index / video_rate) for index, frame in enumerate(panorama)))
            encode_sound(out, sound, foa, rate, "4.0", AAC_FRAME)
        temporary.write_bytes(insert_spatial(temporary.read_bytes()))
        _verify_360(temporary, path, panorama.shape[:3], round(foa.shape[1] * OPUS_RATE / rate))


def _verify_360(written: Path, path: str | Path, picture: tuple[int, int, int], samples: int) -> None:
    """MediaError if a file is not the 360 degree video that it should be."""
    boxes, read = (ambisonic_box(), spherical_boxes(), XML.encode()), read_spatial(written.read_bytes())
    seen, (heard, rate) = read_video(written, rate=1.0), read_audio(written)
    if read != boxes or heard.shape != (4, samples) or rate != OPUS_RATE or seen.frames.shape[1:3] != picture[1:]:
        found = [len(part) for part in read], list(heard.shape), list(seen.frames.shape)
        raise MediaError(f"{path}: not written: what was read back differs {found}; try another version of PyAV")
