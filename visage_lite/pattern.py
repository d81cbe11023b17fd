"""The code pattern: in which order the codes of all channels and codebooks are predicted.

A codec turns C channels into C x K streams of codes, T frames long. Predicting one code at a time takes C*K*T steps;
predicting a whole frame at once lets no code of a frame depend on another. The pattern lies between: two steps a frame.

    step           0     1     2     3     4    ...   2t        2t+1
    W, book 0      f0    .     f1    .     f2         ft        .
    W, the others  .     f0    .     f1    .          .         ft
    Y Z X, book 0  .     f0    .     f1    .          .         ft
    Y Z X, others  .     .     f0    .     f1         f(t-1)    .

So W's coarse code comes first, the coarse codes of the other channels see it, and the fine codes of a channel see its
coarse one. The pattern is data: one offset per stream says all of this, and build, revert and labels only read it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

IGNORE = -100  # the label of a place where there is nothing to predict


@dataclass(frozen=True)
class Pattern:
    """Where each code stands: stream q = c*K + k of frame t stands at step 2t + offsets[q].

    Args:
        channels: C, 4 for ambisonics (W first) or 1 for mono.
        codebooks: K, residual codebooks per channel.

    Source: ViSAGe (arXiv 2506.12199), the code generation pattern. Notebook: 03_features, 04_training.
    """

    channels: int
    codebooks: int

    def __post_init__(self) -> None:
        if self.channels < 1 or self.codebooks < 1:
            raise ValueError(f"a pattern needs at least one channel and one codebook, not {self}")

    @property
    def streams(self) -> int:
        """Q = C * K."""
        return self.channels * self.codebooks

    @property
    def offsets(self) -> Tensor:
        """int64 [Q]: one step later for every channel after the first, and one for every codebook after the first."""
        later_channel = (torch.arange(self.channels) > 0).long()
        later_codebook = (torch.arange(self.codebooks) > 0).long()
        return (later_channel[:, None] + later_codebook).flatten()

    def steps(self, frames: int) -> int:
        """S, the steps that `frames` code frames take: 2T for mono, 2T+1 for several channels."""
        return 2 * frames + (self.channels > 1)

    def frames(self, steps: int) -> int:
        """T, the code frames in `steps` steps: the inverse of `steps`."""
        return steps // 2

    def build(self, codes: Tensor, pad_id: int) -> Tensor:
        """The codes laid out step by step, `pad_id` where a stream has none.

        Args:
            codes: int64 [B, C, K, T], each in 0 ... pad_id - 1.
            pad_id: the id of an empty place, by custom the number of entries of a codebook.
        Returns: int64 [B, S, Q].
        Raises: ValueError if the shape is not [B, C, K, T] or there is no frame.
        Notebook: 03_features.
        """
        if codes.ndim != 4 or codes.shape[1:3] != (self.channels, self.codebooks) or codes.shape[3] == 0:
            raise ValueError(f"codes must be [B, {self.channels}, {self.codebooks}, T], not {list(codes.shape)}")
        frames = codes.shape[3]
        ids = codes.new_full((len(codes), self.steps(frames), self.streams), pad_id)
        return ids.scatter(1, self._places(codes, frames), codes.flatten(1, 2).transpose(1, 2))

    def revert(self, ids: Tensor) -> Tensor:
        """The codes back in order of frames: revert(build(codes)) = codes.

        Args:
            ids: int64 [B, S, Q], as `build` returns them or as a model generated them.
        Returns: int64 [B, C, K, T].
        Raises: ValueError if Q or S does not belong to this pattern.
        Notebook: 03_features.
        """
        self._check(ids)
        frames = self.frames(ids.shape[1])
        codes = ids.gather(1, self._places(ids, frames))  # [B, T, Q]
        return codes.transpose(1, 2).unflatten(1, (self.channels, self.codebooks))

    def labels(self, ids: Tensor, pad_id: int) -> Tensor:
        """What the model should predict at each step: the ids, with -100 (ignored by the loss) at empty places.

        Args:
            ids: int64 [B, S, Q], from `build`.
            pad_id: as given to `build`.
        Returns: int64 [B, S, Q].
        """
        self._check(ids)
        return ids.masked_fill(ids == pad_id, IGNORE)

    def streams_at(self, step: int, frames: int) -> Tensor:
        """The streams predicted at `step` of a sequence of `frames` code frames.

        Returns: int64 [q], increasing; empty where nothing is due (with one codebook the last step is empty).
        Raises: ValueError if the sequence has no such step.
        """
        if not 0 <= step < self.steps(frames):
            raise ValueError(f"step {step} is outside 0 ... {self.steps(frames) - 1} ({frames} frames)")
        since = step - self.offsets  # [Q], twice the frame where it is even
        return ((since % 2 == 0) & (since >= 0) & (since < 2 * frames)).nonzero().flatten()

    def _places(self, like: Tensor, frames: int) -> Tensor:
        """int64 [B, T, Q]: the step at which each code of each frame stands."""
        places = 2 * torch.arange(frames, device=like.device)[:, None] + self.offsets.to(like.device)
        return places.expand(len(like), -1, -1)

    def _check(self, ids: Tensor) -> None:
        steps_fit = ids.ndim == 3 and ids.shape[1] > 1 and ids.shape[1] == self.steps(self.frames(ids.shape[1]))
        if not steps_fit or ids.shape[2] != self.streams:
            steps = "2T+1" if self.channels > 1 else "2T"
            raise ValueError(f"ids must be [B, {steps}, {self.streams}], not {list(ids.shape)}")
