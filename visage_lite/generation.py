"""From a silent clip to codes: guided sampling, step by step.

Guidance asks the model the same question several times, with and without its conditions, and adds up the answers with
weights: a list of (condition, weight). All branches pass the model as one batch: its weights are read once a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from visage_lite.decoding import Prepared, Session, prepare
from visage_lite.model import Visage


@dataclass(frozen=True)
class Condition:
    """What one branch of guidance is told; the rest is replaced by the learned null vectors."""

    visual: bool = True  # the CLIP features and the energy map
    direction: bool = True  # the camera's direction


Guidance = list[tuple[Condition, float]]  # branches and their weights, which sum to 1


def no_guidance() -> Guidance:
    """One branch, told everything: the model's own distribution."""
    return [(Condition(), 1.0)]


def joint_guidance(scale: float) -> Guidance:
    """l + scale * (l - u): away from what the model says when told nothing. Two branches.

    Args:
        scale: 0 is no guidance. The usual notation u + g (l - u) has g = 1 + scale; the released scale 2.5 is g = 3.5.
    Source: ViSAGe (arXiv 2506.12199), its guidance; Ho and Salimans 2022. Notebook: 05_generation.
    """
    return [(Condition(), 1.0 + scale), (Condition(False, False), -scale)]


def two_way_guidance(visual_scale: float, direction_scale: float) -> Guidance:
    """l + visual_scale (l_visual - u) + direction_scale (l_direction - u): each condition on its own. Four branches.

    Source: ViSAGe (arXiv 2506.12199), its two-way guidance. Notebook: 05_generation.
    """
    return [
        (Condition(), 1.0),
        (Condition(direction=False), visual_scale),
        (Condition(visual=False), direction_scale),
        (Condition(False, False), -(visual_scale + direction_scale)),
    ]


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


def generate(
    model: Visage | Prepared,
    clip: Tensor,
    energy_map: Tensor | None,
    direction: Tensor | None,
    frames: int,
    guidance: Guidance,
    sampling: Sampling,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    dtype: str | None = None,
    progress: bool = True,
) -> Tensor:
    """The codes of the sound of silent clips.

    Ctrl-C stops between two steps; nothing of the model is changed. For the codes as they come, see `generate_steps`.

    Args:
        model: the model, or `prepare(model, dtype)` if more than one call follows.
        clip: [B, F, clip_dim], CLIP features. energy_map: [B, F, P]; direction: [B, 3]; both None for a mono model.
        frames: T >= 1, code frames to make.
        guidance: branches and weights, for example `joint_guidance(2.5)`.
        sampling: how codes are drawn.
        generator: source of the random numbers: one for all clips, or one per clip, which gives each clip the codes it
            would get alone. None draws from PyTorch's global generator.
        dtype: "float32", "bfloat16" or "int8", see `prepare`; None is float32, or what the model was prepared as.
        progress: show a bar.
    Returns: int64 [B, C, K, T].
    Raises: ValueError on wrong shapes, guidance, dtype, or more frames than the model has positions for.
    Differs: the released code makes one pass per branch and repeats the last frame, see `repeat_last_frame`.
    Notebook: 05_generation.
    """
    prepared = prepare(model, dtype)
    run = generate_steps(prepared, clip, energy_map, direction, frames, guidance, sampling, generator)
    total = prepared.pattern.steps(frames)
    with tqdm(run, total=total, desc="generating", unit="step", disable=not progress) as bar:
        ids = torch.stack(list(bar), dim=1)  # [B, S, Q]
    return prepared.pattern.revert(ids)


@torch.no_grad()
def generate_steps(
    model: Visage | Prepared,
    clip: Tensor,
    energy_map: Tensor | None,
    direction: Tensor | None,
    frames: int,
    guidance: Guidance,
    sampling: Sampling,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    dtype: str | None = None,
) -> Iterator[Tensor]:
    """What `generate` does, one step at a time: a player can start before the end, a caller can stop early.

    Args: as for `generate`.
    Returns: an iterator over the S steps of the pattern; each yields int64 [B, Q], the pad id where no code is due.
        Frame t is complete after step 2t+2 (mono: 2t+1).
    """
    prepared = prepare(model, dtype)
    if frames < 1:
        raise ValueError(f"frames must be at least 1, not {frames}")
    conditions, weights = branches(guidance, mono=prepared.pattern.channels == 1)
    memory = encode_branches(prepared.model, clip, energy_map, direction, conditions)
    session = prepared.begin(memory, prepared.pattern.steps(frames))
    yield from continue_steps(session, None, frames, weights, sampling, generator)


def continue_steps(
    session: Session,
    ids: Tensor | None,
    frames: int,
    weights: list[float],
    sampling: Sampling,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> Iterator[Tensor]:
    """The steps of a session from the one it stands at to the last: logits, guidance, sample, embed, and again.

    Args:
        session: from `Prepared.begin`, with the rows of all branches.
        ids: int64 [B, Q], chosen at the step before; None at the start.
        frames: T. weights: of the branches, in the order of the session's rows. The rest: as for `generate`.
    """
    pattern, pad = session.prepared.pattern, session.prepared.model.config.pad_id
    for step in range(session.place, pattern.steps(frames)):
        streams = pattern.streams_at(step, frames)
        logits = session.step(ids, streams)  # [branches * B, q, V]
        logits = sum(weight * answer for weight, answer in zip(weights, logits.chunk(len(weights)), strict=True))
        uniform = None if sampling.greedy else _uniform(generator, *logits.shape[:2]).to(logits.device)
        ids = torch.full((len(logits), pattern.streams), pad, device=logits.device)
        ids[:, streams] = sample(logits, sampling, uniform)
        yield ids


def encode_branches(
    model: Visage, clip: Tensor, energy_map: Tensor | None, direction: Tensor | None, conditions: Sequence[Condition]
) -> Tensor:
    """The encoder's memory for every branch, in one pass without dropout: [branches * B, F+2, D], branch by branch.

    Args: clip, energy_map, direction: as for `Visage.encode`. conditions: what each branch of the model is given.
    """
    count, batch = len(conditions), len(clip)
    clip, energy_map, direction = (
        None if x is None else x.repeat(count, *[1] * (x.ndim - 1)) for x in (clip, energy_map, direction)
    )
    without_visual = torch.tensor([not c.visual for c in conditions], device=clip.device).repeat_interleave(batch)
    without_direction = torch.tensor([not c.direction for c in conditions], device=clip.device).repeat_interleave(batch)
    training = model.training
    model.eval()
    try:
        return model.encode(*model.drop_conditions(clip, energy_map, direction, without_visual, without_direction))
    finally:
        model.train(training)


def repeat_last_frame(codes: Tensor, frames: int) -> Tensor:
    """Codes [B, C, K, T] made `frames` long by repeating the last frame; longer ones stay as they are.

    The released code returns ceil(samples / hop) frames, one more than the model makes: 431 for 5 s at 44.1 kHz.
    """
    missing = max(0, frames - codes.shape[-1])
    return torch.cat([codes, codes[..., -1:].expand(*codes.shape[:-1], missing)], dim=-1)


def branches(guidance: Guidance, mono: bool) -> tuple[list[Condition], list[float]]:
    """The branches that count: equal conditions added up, weight 0 left out. A mono model knows no direction."""
    total = sum(weight for _, weight in guidance)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise ValueError(f"the weights of guidance must sum to 1, not {total:.6g}: {guidance}")
    merged: dict[Condition, float] = {}
    for condition, weight in guidance:
        key = Condition(condition.visual) if mono else condition
        merged[key] = merged.get(key, 0.0) + weight
    kept = {condition: weight for condition, weight in merged.items() if weight != 0}
    return list(kept), list(kept.values())


def _uniform(generator: torch.Generator | Sequence[torch.Generator] | None, batch: int, count: int) -> Tensor:
    """[B, count] numbers in [0, 1), from one generator or from one per clip."""
    if generator is None or isinstance(generator, torch.Generator):
        return torch.rand(batch, count, generator=generator, device=None if generator is None else generator.device)
    if len(generator) != batch:
        raise ValueError(f"{len(generator)} generators for {batch} clips: pass one for all, or one for each")
    return torch.stack([torch.rand(count, generator=g, device=g.device) for g in generator])
