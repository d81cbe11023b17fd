"""What decides a training run besides its data: sizes and rates, which clips a step sees, the optimiser."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

WARMUP_STEPS, BATCH, MONO_EPOCHS, AMBISONIC_EPOCHS = 4000, 64, 50, 80


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are the published ambisonic stage: 102 k steps of 64 clips at a constant rate.

    Source: ViSAGe, training details. Notebook: 04_training.
    """

    steps: int = 102_000
    batch_size: int = 64  # clips of a step, over all processes
    accumulation: int = 1  # parts in which a process takes its clips: less memory, the same step
    learning_rate: float = 1e-4
    warmup_steps: int = 0  # linear, from 0; the mono stage has 4,000
    decay_steps: int = 0  # linear, to 0, over the last steps; 0 keeps the rate constant
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01  # none on biases and norms
    clip_norm: float = 1.0
    visual_dropout: float = 0.1  # share of clips trained without CLIP features and energy map
    direction_dropout: float = 0.1  # share of clips trained without the camera's direction
    dropout_per_batch: bool = False  # as released: one draw for all clips, and in validation too
    variants: str = "all"  # of each clip: all eight, "released" (as it is or turned by 90 degrees) or "none"
    window: int | None = None  # code frames of a random part of each clip; None: all of it, as published
    feature_noise: float = 0.0  # deviation of noise added to the CLIP features; 0 as published
    dtype: str = "float32"  # of the arithmetic: "float32" or "bfloat16"; weights stay float32
    compiled: bool = False  # torch.compile: pays on a GPU
    seed: int = 1115
    save_every: int = 500  # steps between checkpoints
    log_every: int = 10  # steps between rows of the log
    validate_every: int = 2000  # steps between validations, if there is one


MAY_CHANGE = ("steps", "accumulation", "compiled", "save_every", "log_every", "validate_every")  # when a run goes on


def published(stage: str, clips: int, epochs: float | None = None, **changes: object) -> TrainingConfig:
    """The published recipe of a stage.

    Args: stage: "mono" (50 epochs, 4,000 steps of warm-up) or "ambisonic" (80 epochs at a constant rate). clips: how
        many there are to train on. epochs: others than those. changes: other fields of TrainingConfig.
    Raises: ValueError if the stage has another name.
    Source: ViSAGe, training details. Notebook: 04_training.
    """
    stages = {"mono": (MONO_EPOCHS, WARMUP_STEPS), "ambisonic": (AMBISONIC_EPOCHS, 0)}
    if stage not in stages:
        raise ValueError(f"no stage {stage!r}: choose one of {', '.join(stages)}")
    rounds, warmup = stages[stage]
    config = replace(TrainingConfig(warmup_steps=warmup), **changes)
    return replace(config, steps=math.ceil((epochs or rounds) * clips / config.batch_size))


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The rate of step `step` (from 0): up over `warmup_steps`, constant, down over the last `decay_steps`."""
    up = min(1.0, (step + 1) / max(1, config.warmup_steps))
    down = min(1.0, (config.steps - step) / max(1, config.decay_steps))
    return config.learning_rate * up * down


def batch_indices(clips: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Which clips step `step` sees: every epoch is a new permutation, and batches run on across epochs.

    Args: clips: how many there are. batch_size: how many a step takes. seed: of the permutations.
    Returns: int64 [batch_size] in [0, clips).
    Raises: ValueError if there are no clips.
    """
    if not clips:
        raise ValueError("there are no clips to train on")
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    orders = {epoch: np.random.default_rng([seed, 0, epoch]).permutation(clips) for epoch in set(places // clips)}
    return np.array([orders[place // clips][place % clips] for place in places])


def make_optimizer(model: torch.nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW in two groups: weight decay for matrices and tables, none for biases, norms and other vectors."""
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    plain = [weight for name, weight in named if weight.ndim < 2 or name.endswith("bias")]
    decayed = [weight for name, weight in named if weight.ndim >= 2 and not name.endswith("bias")]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def clip_gradients(model: torch.nn.Module, limit: float) -> Tensor:
    """Scale all gradients down, in place, so that their common norm is at most `limit`. Returns: the norm before.

    Tables of streams are taken stream by stream: PyTorch's float32 sum over 38 million squares was 0.3 % off.
    """
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    pieces = [piece for grad in gradients for piece in (grad.unbind(0) if grad.ndim > 2 else [grad])]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(pieces)))
    torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm
