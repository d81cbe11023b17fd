"""From a silent clip to codes: guided sampling, step by step.

Guidance asks the model the same question several times, with and without its conditions, and adds up the answers with
weights: a list of (condition, weight). All branches pass the model as one batch: its weights are read once a step.
`generate` gives the codes of a clip, `generate_steps` the same one by one, `stream` the sound while they come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from visage_lite.codec import Codec
from visage_lite.decoding import Prepared, Session, prepare
from visage_lite.model import Visage
from visage_lite.sampling import Sampling, random_numbers, sample
from visage_lite.streaming import decode_pieces, finished_frames


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
    known: Tensor | None = None,
) -> Iterator[Tensor]:
    """What `generate` does, one step at a time: a player can start before the end, a caller can stop early.

    Args: known: int64 [B, C, K, p], the codes of the first p frames if they are given: the model goes on from them. The
        rest: as for `generate`.
    Returns: an iterator over the S steps of the pattern; each yields int64 [B, Q], the pad id where no code is due.
        Frame t is complete after step 2t+2 (mono: 2t+1).
    """
    prepared = prepare(model, dtype)
    if frames < 1:
        raise ValueError(f"frames must be at least 1, not {frames}")
    if known is not None and not (len(known) == len(clip) and known.shape[-1] <= frames):
        raise ValueError(f"known codes {list(known.shape)} do not begin {len(clip)} clips of {frames} frames")
    conditions, weights = branches(guidance, mono=prepared.pattern.channels == 1)
    memory = encode_branches(prepared.model, clip, energy_map, direction, conditions)
    session = prepared.begin(memory, prepared.pattern.steps(frames))
    yield from continue_steps(session, None, frames, weights, sampling, generator, known)


def continue_steps(
    session: Session,
    ids: Tensor | None,
    frames: int,
    weights: list[float],
    sampling: Sampling,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    known: Tensor | None = None,
) -> Iterator[Tensor]:
    """The steps of a session from the one it stands at to the last: logits, guidance, sample, embed, and again.

    Given frames end raggedly in the pattern: at step 2p the fine codes of frame p-1 are given, W's of frame p is drawn.

    Args:
        session: from `Prepared.begin`, with the rows of all branches.
        ids: int64 [B, Q], chosen at the step before; None at the start.
        frames: T. weights: of the branches, in the order of the session's rows. The rest: as for `generate_steps`.
    """
    pattern, pad = session.prepared.pattern, session.prepared.model.config.pad_id
    given = () if known is None else pattern.build(known, pad).unbind(1)
    for step in range(session.place, pattern.steps(frames)):
        streams = pattern.streams_at(step, frames)
        logits = session.step(ids, streams)  # [branches * B, q, V]
        if step < len(given):
            drawn = step - pattern.offsets[streams] >= 2 * known.shape[3]  # [q], not of a given frame
            ids, streams, logits = given[step].to(logits.device), streams[drawn], logits[:, drawn]
        else:
            ids = torch.full((len(logits) // len(weights), pattern.streams), pad, device=logits.device)
        if len(streams):
            logits = sum(weight * answer for weight, answer in zip(weights, logits.chunk(len(weights)), strict=True))
            uniform = None if sampling.greedy else random_numbers(generator, *logits.shape[:2]).to(logits.device)
            ids = ids.index_copy(1, streams.to(ids.device), sample(logits, sampling, uniform))
        yield ids


def stream(
    model: Visage | Prepared,
    codec: Codec,
    clip: Tensor,
    energy_map: Tensor | None,
    direction: Tensor | None,
    frames: int,
    guidance: Guidance,
    sampling: Sampling,
    generator: torch.Generator | None = None,
    dtype: str | None = None,
    piece_s: float = 0.25,
) -> Iterator[np.ndarray]:
    """The sound of one silent clip, piece by piece while its codes are made: it can be played before all is there.

    Joined, the pieces are what the codec decodes from the codes of `generate` with the same seed.

    Args:
        codec: whose codes the model makes.
        clip, energy_map, direction: of one clip, B = 1. The other arguments: as for `generate`.
        piece_s: seconds of sound in a piece. The first comes `codec.context` frames later than its own.
    Returns: an iterator over float32 [C, n] at the codec's rate; the last may be longer or shorter.
    Raises: ValueError for several clips, and as `generate`.
    Notebook: 05_generation.
    """
    if len(clip) != 1:
        raise ValueError(f"stream makes the sound of one clip, not of {len(clip)}: call it for each")
    prepared = prepare(model, dtype)
    steps = generate_steps(prepared, clip, energy_map, direction, frames, guidance, sampling, generator)
    return decode_pieces(codec, (codes[0] for codes in finished_frames(prepared.pattern, steps)), piece_s)


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
