"""Raw videos become the clips of a data set: 5 s of panorama, of ambisonics, and of what a camera sees.

Clips are cut by decoded frames and samples, so a clap is seen and heard at the same instant wherever a clip begins.
Copying coded sound instead begins at a packet, up to 20 ms beside the picture.

    RAW/ID.mp4, RAW/ID.webm  ->  DATASET/video/ID_START.mp4   panorama, 896 x 448, 4 frames per second
                                 DATASET/audio/ID_START.opus  W, Y, Z, X, 48 kHz, layout "ambisonic 1"
                                 DATASET/nfov/ID_START.mp4    view of the camera, 90 degrees, 224 x 224
                                 DATASET/train.csv ... ambi.json, prepared.csv
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from visage_lite.clips import camera_indices, parse_name
from visage_lite.directions import Direction
from visage_lite.media import MediaError, read_video
from visage_lite.muxing import encode_opus, encode_video, opus_stream, output, video_encoder
from visage_lite.panorama import crop
from visage_lite.streams import atomic, decoded, reading, samples_of, stream_of

CLIP_S = 5.0  # seconds in a clip
FRAME_RATE = 4.0  # frames per second
PANORAMA = (896, 448)  # pixels, width and height
FOV_DEG = 90.0  # of the camera's view, in both axes
VIEW = 224  # pixels along an edge of it
FILES = {"video": ".mp4", "audio": ".opus", "nfov": ".mp4"}  # folders of a data set, and their suffixes
SETTLE_S = 0.5  # the Opus decoder has forgotten by then that it began in the middle
GAP_S = 0.005  # a sound whose time stamps jump by more has lost a part
SHORT_S = 0.1  # a sound that ends this little early is filled up with silence


@dataclass(frozen=True)
class Cut:
    """A clip as it was cut, before it is encoded again. Notebook: 01_dataset."""

    frames: np.ndarray  # uint8 [F, H, W, 3], RGB
    frame_rate: float  # frames per second; frame k was on show at start + k / frame_rate
    foa: np.ndarray  # float32 [4, N], W, Y, Z, X as they were stored; sample 0 is at the start
    rate: int  # Hz


def cut(raw_video: str | Path, raw_audio: str | Path, start_s: float, duration_s: float = CLIP_S,
        frame_rate: float = FRAME_RATE, size: int | tuple[int, int] | None = PANORAMA) -> Cut:
    """The frames and samples of one clip of a video and its separate 4-channel sound.

    Time 0 is the first frame of the one and the first sample of the other. Nothing is mixed or normalised.

    Args:
        raw_video: a video file; its own sound is left out.
        raw_audio: a file with 4 channels of sound, W, Y, Z, X.
        start_s: where the clip begins, seconds.
        duration_s: length of the clip, seconds.
        frame_rate: frames per second; the frame on show at each instant is taken.
        size: of the frames, as for `read_video`.

    Returns: Cut with F = ceil(duration_s * frame_rate) and N = duration_s * rate.
    Raises: MediaError for files that cannot be read, that end before the clip does, or without exactly 4 channels.
    Differs: the released code copies coded sound, which begins at a packet, not at the start.
    Notebook: 01_dataset.
    """
    video = read_video(raw_video, frame_rate, duration_s, size, start_s)
    wanted = int(np.ceil(duration_s * frame_rate - 1e-9))
    if len(video.frames) < wanted:
        raise MediaError(
            f"{raw_video}: ends at {start_s + video.duration_s:.2f} s, the clip at {start_s + duration_s:.2f} s; "
            "download it again or leave the clip out"
        )
    foa, rate = _sound(raw_audio, start_s, duration_s)
    return Cut(video.frames[:wanted], frame_rate, foa, rate)


def _sound(path: str | Path, start_s: float, duration_s: float) -> tuple[np.ndarray, int]:
    """float32 [4, duration_s * rate] from start_s on, and the rate in Hz."""
    foa, rate = _samples(path, start_s, duration_s, start_s) or _samples(path, start_s, duration_s, 0.0)
    if len(foa) != 4:
        raise MediaError(f"{path}: has {len(foa)} channels of sound, ambisonics has 4; take YouTube's format 338")
    missing = round((start_s + duration_s) * rate) - round(start_s * rate) - foa.shape[1]
    if missing > SHORT_S * rate:
        raise MediaError(
            f"{path}: its sound ends before the clip does, at {start_s + duration_s:.2f} s; "
            "download it again or leave the clip out"
        )
    return np.pad(foa, ((0, 0), (0, missing))), rate


def _samples(path: str | Path, start_s: float, duration_s: float, seek_s: float) -> tuple[np.ndarray, int] | None:
    """The sound from start_s on, as far as there is any, and the rate; None if seeking seek_s led beyond start_s.

    To the sample what decoding from the beginning gives: time stamps of WebM are rounded to 1 ms and may or may not
    count the pre-skip of Opus, so how far they stand from the number of decoded samples is read off at the beginning.
    """
    zero, offset = _stamps(path)
    with reading(path) as container:
        stream = stream_of(container, "audio", path)
        rate, blocks, end = stream.codec_context.sample_rate, [], None
        first, stop = round(start_s * rate), round((start_s + duration_s) * rate)
        for k, (frame, _, _) in enumerate(decoded(container, stream, path, seek_s)):
            here = round(frame.time * rate) + offset if frame.time > zero else 0
            if k == 0 and here:
                continue  # after a seek, the first frame lacks the pre-skip once more
            if end is None and here > max(0, first - SETTLE_S * rate):
                return None
            if end is not None and abs(here - end) > GAP_S * rate:
                raise MediaError(f"{path}: its sound has a gap at {end / rate:.2f} s; download it again")
            begin = here if end is None else end
            end = begin + frame.samples
            blocks.append(samples_of(frame)[:, max(0, first - begin) : max(0, stop - begin)])
            if end >= stop:
                return np.concatenate(blocks, axis=1), rate
    return np.concatenate(blocks or [np.zeros((4, 0), np.float32)], axis=1), rate


def _stamps(path: str | Path) -> tuple[float, int]:
    """Time stamp of the first frame, seconds; samples from the stamp of a later frame to where its samples stand."""
    with reading(path) as container:
        stream = stream_of(container, "audio", path)
        begin = [frame for frame, _, _ in islice(decoded(container, stream, path), 2)]
    rate = stream.codec_context.sample_rate
    return (begin[0].time, begin[0].samples - round(begin[1].time * rate)) if len(begin) == 2 else (0.0, 0)


def prepare(table: pd.DataFrame, raw_folder: str | Path, dataset_folder: str | Path, workers: int = 2,
            sampling: str = "centres", progress: bool = True) -> pd.DataFrame:
    """Make the data set's files of every clip whose raw files are there, and its tables.

    Files that are there are kept, so an interrupted run goes on where it stopped; on one machine the bytes are the
    same however often it stopped. To make a clip again (after a change of its direction, say), delete its files.

    Args:
        table: Clips.table, with directions; clips without one are recorded as such and left out.
        raw_folder: holds ID.mp4 (panorama) and ID.webm (4 channels of sound).
        dataset_folder: made if missing. Its split files and `ambi.json` are written from `table`.
        workers: processes; 0 works in this one.
        sampling: of the camera's view, as for `crop`.
        progress: show a progress bar.

    Returns: one row a clip: clip, status ("done", "missing" raw files, "no direction", "failed") and reason.
        The same is written to prepared.csv.
    Raises: ValueError if the table lacks a column; MediaError if the folder cannot be written.
    Notebook: 01_dataset.
    """
    lacking = {"clip", "split"} - set(table)
    if lacking:
        raise ValueError(f"the table of clips has no column {', '.join(sorted(lacking))}; read it with read_clips")
    dataset = Path(dataset_folder)
    for folder in FILES:
        _make_folder(dataset / folder)
    directions = camera_indices(table)
    _write_tables(table, directions, dataset)
    jobs = [_Job(clip, directions.get(clip), Path(raw_folder), dataset, sampling) for clip in table["clip"].unique()]
    outcomes = {}
    for job, outcome in tqdm(in_processes(prepare_clip, jobs, workers), "clips", len(jobs), disable=not progress):
        outcomes[job.clip] = outcome or ("failed", "its process died; check its files, or use fewer workers")
    rows = [(job.clip, *outcomes[job.clip]) for job in jobs]
    prepared = pd.DataFrame(rows, columns=["clip", "status", "reason"])
    with atomic(dataset / "prepared.csv") as temporary:
        prepared.to_csv(temporary, index=False, lineterminator="\n")
    return prepared


def summary(prepared: pd.DataFrame) -> str:
    """One line: how many clips were done, how many not and why, with the first failure, of what `prepare` returned."""
    counts = prepared["status"].value_counts()
    text = ", ".join(f"{counts[status]:,} {status}" for status in counts.index) or "no clips"
    failed = prepared.loc[prepared["status"] == "failed", "reason"]
    return text + (f"; the first failure: {failed.iloc[0]}" if len(failed) else "")


@dataclass(frozen=True)
class _Job:
    clip: str
    index: tuple[int, int] | None  # of its direction
    raw: Path
    dataset: Path
    sampling: str


def prepare_clip(job: _Job) -> tuple[str, str]:
    """Makes the files of one clip that are not there yet. Returns its status and the reason for it."""
    try:
        video_id, start_s = parse_name(job.clip)
        if job.index is None:
            return "no direction", "it is not in ambi.json"
        targets = {kind: job.dataset / kind / f"{job.clip}{suffix}" for kind, suffix in FILES.items()}
        targets = {kind: path for kind, path in targets.items() if not path.is_file() or not path.stat().st_size}
        raw = [job.raw / f"{video_id}.mp4", job.raw / f"{video_id}.webm"]
        absent = [path.name for path in raw if not path.is_file()]
        if targets and absent:
            return "missing", f"no {' and no '.join(absent)} in the raw folder; download it"
        if targets:
            check_equirectangular(raw[0])
            _write_clip(cut(*raw, start_s), Direction.from_index(*job.index), job.sampling, targets)
    except (ValueError, OSError, MemoryError) as error:
        return "failed", str(error) or type(error).__name__
    return "done", ""


def check_equirectangular(path: str | Path) -> None:
    """MediaError if an MP4 says that it holds a cube map or mesh, as YouTube serves to some players; else nothing."""
    with open(path, "rb") as file:
        head = file.read(2**20)
    place = head.find(b"sv3d")
    if place >= 0 and b"proj" in head[place : place + 2048] and b"equi" not in head[place : place + 2048]:
        raise MediaError(f"{path}: is a cube map, no equirectangular panorama; download it for another player (client)")


def _write_clip(clip: Cut, direction: Direction, sampling: str, targets: dict[str, Path]) -> None:
    """Each target whole or not at all."""
    for kind, path in targets.items():
        if kind == "audio":
            with atomic(path) as temporary, output(temporary, "opus") as out:
                stream = opus_stream(out)
                stream.codec_context.format = "flt"  # 16 bits would clip what the decoder put beyond full scale
                encode_opus(out, stream, clip.foa, clip.rate)
        else:
            frames = clip.frames if kind == "video" else crop(clip.frames, direction, FOV_DEG, VIEW, sampling)
            with atomic(path) as temporary, output(temporary, "mp4") as out:
                stream = video_encoder(out, "mp4", Fraction(clip.frame_rate).limit_denominator(1001))
                encode_video(out, stream, ((frame, k / clip.frame_rate) for k, frame in enumerate(frames)))


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{path}: cannot be made ({error.strerror}); choose a folder you may write to") from error


def _write_tables(table: pd.DataFrame, directions: dict[str, tuple[int, int]], dataset: Path) -> None:
    for split, rows in table.groupby("split", sort=False):
        with atomic(dataset / f"{split}.csv") as temporary:
            temporary.write_text("".join(f"{line}\n" for line in ["file_path", *(rows["clip"] + ".npy")]))
    with atomic(dataset / "ambi.json") as temporary:
        temporary.write_text(json.dumps(directions))


def in_processes(work: Callable, jobs: Iterable, workers: int) -> Iterator[tuple]:
    """(job, work(job)) of every job, in no order; (job, None) where it took its process with it.

    Args: work: a function of a module. jobs: what to call it with. workers: processes; 0 works in this one.
    On an interruption, the jobs at work are finished and no others begun.
    Notebook: 03_features.
    """
    waiting = dict(enumerate(jobs))
    if workers == 0:
        yield from ((job, work(job)) for job in waiting.values())
    while waiting and workers:
        yield from _until_a_process_dies(work, waiting, workers)
        for k in list(waiting)[:workers]:  # it was one of these: each gets a process of its own
            alone = {k: waiting.pop(k)}
            yield from _until_a_process_dies(work, alone, 1)
            yield from ((job, None) for job in alone.values())


def _until_a_process_dies(work: Callable, waiting: dict, workers: int) -> Iterator[tuple]:
    """(job, result), each taken out of `waiting`, until none is left or the pool breaks."""
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; this one deals with it
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=signal.signal, initargs=ignore)
    try:
        futures = {pool.submit(work, job): k for k, job in waiting.items()}
        for future in as_completed(futures):
            result = future.result()
            yield waiting.pop(futures[future]), result
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(cancel_futures=True)
