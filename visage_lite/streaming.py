"""Sound while its codes are still being made: frames as they are finished, and their sound piece by piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from visage_lite.codec import Codec
from visage_lite.pattern import Pattern


def finished_frames(pattern: Pattern, steps: Iterable[Tensor]) -> Iterator[Tensor]:
    """The code frames of generated steps, each as soon as its last code is there: `Pattern.revert`, one by one.

    Args:
        pattern: of the steps.
        steps: int64 [B, Q] each, from the first step on, as `generation.generate_steps` yields them.
    Returns: an iterator over int64 [B, C, K].
    """
    offsets, streams = pattern.offsets, torch.arange(pattern.streams)
    recent = deque(maxlen=int(offsets.max()) + 1)  # a frame is spread over so many steps
    for step, ids in enumerate(steps):
        recent.append(ids)
        if len(recent) == recent.maxlen and (step + 1 - len(recent)) % 2 == 0:
            codes = torch.stack(tuple(recent), dim=1)[:, offsets, streams]  # [B, Q]
            yield codes.unflatten(1, (pattern.channels, pattern.codebooks))


def decode_pieces(codec: Codec, frames: Iterable[Tensor], piece_s: float = 0.25) -> Iterator[np.ndarray]:
    """The sound of code frames that come one by one. Joined, the pieces are `codec.decode` of all frames.

    A piece is decoded together with the frames around it that reach into it, and their sound is cut off. What is
    remembered is as long as one piece with its context, however many frames come.

    Args:
        codec: its `context` says how many frames reach into another from the left and from the right.
        frames: int [C, K] each.
        piece_s: seconds of sound in a piece, at least one frame.
    Returns: an iterator over float32 [C, n]; the last also holds the frames that were context of the one before.
    Raises: ValueError if piece_s is not above 0.
    Notebook: 05_generation.
    """
    if not 0 < piece_s < float("inf"):
        raise ValueError(f"piece_s must be above 0 and finite, not {piece_s}: it is the length of a piece in seconds")
    piece, (left, right) = max(1, round(piece_s * codec.frame_rate)), codec.context
    return _pieces(codec, frames, piece, right, deque(maxlen=left + piece + right))


def _pieces(codec: Codec, frames: Iterable[Tensor], piece: int, right: int, recent: deque) -> Iterator[np.ndarray]:
    waiting = 0  # frames at the end of `recent` whose sound is not out yet
    for frame in frames:
        recent.append(frame)
        waiting += 1
        if waiting == piece + right:
            yield _newest(codec, recent, waiting)[:, : piece * codec.hop]
            waiting = right
    if waiting:
        yield _newest(codec, recent, waiting)


def _newest(codec: Codec, recent: Iterable[Tensor], count: int) -> np.ndarray:
    """The sound of the last `count` frames, in the light of all: float32 [C, count * hop]."""
    return codec.decode(torch.stack(tuple(recent), dim=-1).cpu().numpy())[:, -count * codec.hop :]
