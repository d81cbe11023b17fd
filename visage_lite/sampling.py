"""How one code is drawn from its logits: greedy, or by chance among the most probable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How a code is drawn from its logits. The defaults are the paper's.

    Raises: ValueError on a value out of range.
    """

    greedy: bool = False  # always the most probable code; the others then do not matter
    temperature: float = 1.0  # > 0; below 1 sharpens, above 1 flattens
    top_k: int | None = 256  # only the k most probable codes
    top_p: float | None = None  # only the most probable codes that together reach this probability, in (0, 1]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be above 0, not {self.temperature}: for the limit 0 pass greedy=True")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}: pass None to keep all codes")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}: pass None to keep all codes")


def sample(logits: Tensor, sampling: Sampling, uniform: Tensor | None = None) -> Tensor:
    """One code per distribution.

    Takes the most probable codes in order, and finds the first whose cumulative probability passes a uniform number:
    the same number gives the same code, however many distributions are drawn at once.

    Args:
        logits: float [..., V].
        sampling: greedy or random, and which codes stay.
        uniform: [...], numbers in [0, 1); not needed if greedy.
    Returns: int64 [...].
    Differs: the released code keeps every code that ties with the k-th. Notebook: 05_generation.
    """
    if sampling.greedy:
        return logits.argmax(-1)
    kept = min(sampling.top_k or logits.shape[-1], logits.shape[-1])
    ordered, codes = logits.float().topk(kept)  # most probable first
    reached = (ordered / sampling.temperature).softmax(-1).cumsum(-1)  # [..., k], ends at 1
    mass = reached[..., -1:]
    if sampling.top_p is not None:
        last = (reached < sampling.top_p).sum(-1, keepdim=True).clamp(max=reached.shape[-1] - 1)
        mass = reached.gather(-1, last)
    place = torch.searchsorted(reached, uniform[..., None].to(reached) * mass, right=True)
    return codes.gather(-1, place.clamp(max=ordered.shape[-1] - 1))[..., 0]


def random_numbers(generator: torch.Generator | Sequence[torch.Generator] | None, batch: int, count: int) -> Tensor:
    """Numbers in [0, 1) for `sample`: float32 [B, count].

    Args:
        generator: one for all clips, one per clip, or None for PyTorch's global one.
        batch: B. count: numbers for each clip.
    Raises: ValueError if there are some generators, but not one per clip.
    """
    if generator is None or isinstance(generator, torch.Generator):
        return torch.rand(batch, count, generator=generator, device=None if generator is None else generator.device)
    if len(generator) != batch:
        raise ValueError(f"{len(generator)} generators for {batch} clips: pass one for all, or one for each")
    return torch.stack([torch.rand(count, generator=g, device=g.device) for g in generator])
