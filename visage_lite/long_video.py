"""Sound for a video of any length: windows of the model's length, each going on from the codes of the one before.

    window 1   |-------- 5 s --------|
    window 2                     |-- given --|-------- new --------|

The model knows clips of 5 s. The codes of the overlap are not made again: the second window gets them as its beginning
and goes on, so there is one stream of codes and one sound, without a join in it. Nothing held grows with the video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from visage_lite.decoding import Prepared, prepare
from visage_lite.generation import Guidance, Sampling, generate_steps
from visage_lite.model import Visage
from visage_lite.pipeline import Generated, Models, View, manner, see, stand_ins, threads, told, view_notes
from visage_lite.streaming import decode_pieces, finished_frames

NEAR_S = 0.02  # a rest of a video shorter than this gets no sound of its own


@dataclass(frozen=True)
class Window:
    """A stretch of a long video, as the model is told of it, and its place in the code frames of the whole sound."""

    conditions: tuple[Tensor, Tensor | None, Tensor | None]  # clip, energy_map, direction, as for `generate`
    begin: int  # its first code frame
    end: int  # the code frame after its last


def views(view: View, overlap_s: float = 1.0) -> Iterator[View]:
    """The view, then the rest of its video in views as long. Each but the last begins overlap_s before the other ends.

    The last ends where the video ends, so that the model sees a whole clip there too.

    Args: view: from `pipeline.see`. overlap_s: seconds, at least a video frame and less than a clip.
    Raises: ValueError for an overlap out of range; MediaError as `see`.
    """
    preset = view.preset
    if not 1 / preset.video_rate <= overlap_s < preset.clip_s:
        raise ValueError(f"overlap_s must lie in [{1 / preset.video_rate:g}, {preset.clip_s:g}), not {overlap_s}")
    yield view
    # Half a code frame less than the model makes, so that rounding leaves nothing at the end without sound.
    length_s = min(preset.clip_s, (preset.code_frames - 0.5) * preset.codec.hop / preset.codec.sample_rate)
    while view.video.duration_s > preset.clip_s - NEAR_S:
        following = _from(view, view.video.start_s + preset.clip_s - overlap_s)
        end_s = _end_s(following)
        if end_s < _end_s(view) + NEAR_S:
            return
        last = following.video.duration_s < preset.clip_s - NEAR_S
        view = _from(view, end_s - length_s) if last else following
        yield view
        if last:
            return


def _from(view: View, start_s: float) -> View:
    """What the camera of a view sees from another second on."""
    return see(view.source, view.motion or view.camera, view.preset, view.panorama is not None, start_s)


def _end_s(view: View) -> float:
    return view.video.start_s + view.video.duration_s


def window_codes(
    model: Visage | Prepared,
    windows: Iterable[Window],
    frames: int,
    guidance: Guidance,
    sampling: Sampling,
    generator: torch.Generator | None = None,
    dtype: str | None = None,
) -> Iterator[Tensor]:
    """The code frames of one long sound, window after window.

    Args:
        model, guidance, sampling, generator, dtype: as for `generation.generate`.
        windows: in order of time; each begins where the one before has codes, or where it ends.
        frames: T, code frames of a window at most: the length that the model knows.
    Returns: an iterator over int64 [B, C, K], each as soon as it is finished.
    Raises: ValueError for a window that begins where no codes are kept, or is longer than T.
    """
    prepared, recent, made = prepare(model, dtype), deque(maxlen=frames), 0
    for window in windows:
        given = made - window.begin
        if not (0 <= given <= len(recent) and window.end - window.begin <= frames):
            raise ValueError(f"{made} frames are made, {len(recent)} kept: no window {window.begin} to {window.end}")
        known = torch.stack(list(recent)[-given:], dim=-1) if given else None
        steps = generate_steps(prepared, *window.conditions, frames, guidance, sampling, generator, None, known)
        for codes in islice(finished_frames(prepared.pattern, steps), given, window.end - window.begin):
            recent.append(codes)
            made += 1
            yield codes


def stream(
    view: View, models: Models, guidance: Guidance | None = None, sampling: Sampling | None = None, seed: int = 0,
    dtype: str = "float32", overlap_s: float = 1.0, piece_s: float = 0.25,
) -> Iterator[np.ndarray]:  # fmt: skip
    """The sound field of a view and of the rest of its video, piece by piece while it is made.

    Args:
        view: from `pipeline.see`, where the sound begins. If its camera turns, the model is told where it looks in each
            frame; the sound field itself does not turn with the camera.
        models, guidance, sampling, seed, dtype: as for `pipeline.hear`.
        overlap_s: seconds of sound that a window is given of the one before.
        piece_s: seconds of sound in a piece.
    Returns: an iterator over float32 [4, n] at the codec's rate; joined, they are as long as the video.
    Notebook: 05_generation.
    """
    codec, (guidance, sampling) = models.codec, manner(view.preset, guidance, sampling)
    newest = view

    def length() -> int:
        """Samples of sound up to the end of the newest view."""
        return max(1, round((_end_s(newest) - view.video.start_s) * codec.sample_rate))

    def windows() -> Iterator[Window]:
        nonlocal newest
        for newest in views(view, overlap_s):
            begin = round((newest.video.start_s - view.video.start_s) * codec.sample_rate / codec.hop)
            end = min(begin + view.preset.code_frames, -(-length() // codec.hop))
            yield Window(told(newest, models.vision), begin, end)

    generator = torch.Generator().manual_seed(seed)
    codes = window_codes(models.model, windows(), view.preset.code_frames, guidance, sampling, generator, dtype)
    pieces, done = decode_pieces(codec, (each[0] for each in codes), piece_s), 0
    while True:
        with threads(models.model):
            piece = next(pieces, None)
        if piece is None:
            return
        piece = piece[:, : length() - done]  # only the last reaches beyond the video
        done += piece.shape[1]
        yield piece


def hear_whole(
    view: View, models: Models, guidance: Guidance | None = None, sampling: Sampling | None = None, seed: int = 0,
    dtype: str = "float32", progress: bool = True, overlap_s: float = 1.0,
) -> Generated:  # fmt: skip
    """The sound field of a view and of the rest of its video, in one piece: 0.7 MB a second with DAC.

    Args: overlap_s: as for `stream`. The rest: as for `pipeline.hear`.
    Returns: Generated; its view is what was seen in the middle of the sound, with the length of the whole.
    Notebook: 00_quickstart.
    """
    rate, pieces, video = models.codec.sample_rate, [], view.video
    told_s = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}]"
    whole_s = video.source_s - video.start_s
    with tqdm(total=whole_s, desc="generating", bar_format=told_s, disable=not progress) as bar:
        for piece in stream(view, models, guidance, sampling, seed, dtype, overlap_s):
            pieces.append(piece)
            bar.update(piece.shape[1] / rate)
    foa = np.concatenate(pieces, axis=1)
    length_s = foa.shape[1] / rate
    middle = _from(view, video.start_s + max(0, (length_s - view.preset.clip_s) / 2))
    shown = replace(middle, video=replace(video, duration_s=length_s))
    maps = told(middle, models.vision)[1][0, : len(middle.frames)].float().numpy()
    return Generated(foa, rate, shown, maps, (*view_notes(shown), *stand_ins(models)))
