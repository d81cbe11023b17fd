"""A start for small models: every step of the decoder looks at the pictures of its own time.

Which picture belongs to which step, a model with random positions must discover from the codes alone. Ours, of 2.8
million weights, had not after 3,000 steps: it answered with the mean of all pictures, right for what stands still and
wrong for what moves. With this start it uses time after 100.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from visage_lite.model import Visage

SLOWEST_HZ, FASTEST_HZ = 0.05, 2.0  # waves that tell times in a clip of seconds apart; 2 Hz is every other picture
FRAME_SIZE, STEP_SIZE = 0.5, 0.12  # of the waves beside the features of a frame, and beside the codes of a step
SHARPNESS = 0.3  # deviation of the weights that compare steps with frames: 97 % of the attention within one picture


def waves(times: Tensor, width: int) -> Tensor:
    """Sines and cosines of times: near times have near rows.

    Args: times: [n], seconds. width: D, even.
    Returns: [n, D].
    Source: Vaswani et al. 2017, section 3.5, with frequencies for seconds. Notebook: 04_training.
    """
    slow, fast = math.log(SLOWEST_HZ), math.log(FASTEST_HZ)
    phase = 2 * math.pi * times[:, None] * torch.linspace(slow, fast, width // 2).exp()
    return torch.cat([phase.sin(), phase.cos()], dim=1)


@torch.no_grad()
def align_time(model: Visage, video_rate: float, code_rate: float, seed: int = 0) -> Visage:
    """Give a fresh model the waves of time as positions, of frames and of steps, and let each step compare them alike.

    The attention to the memory asks with the same weights as the memory answers with, so that a step finds the frames
    whose waves are like its own. All of this is only a start: training changes it like every weight.
    Args: model: changed in place. video_rate: frames per second. code_rate: code frames per second; a step lasts half.
        seed: of the weights that compare.
    Returns: the model.
    Differs: the published model starts from random positions, and learns from 100 times as many clips.
    Notebook: 04_training.
    """
    config, generator = model.config, torch.Generator().manual_seed(seed)
    width, offset = config.d_model, model.POSITION_OFFSET
    model.encoder_positions.copy_(FRAME_SIZE * waves(torch.arange(config.max_frames) / video_rate, width))
    steps = torch.arange(config.max_steps) / (2 * code_rate)
    model.decoder_positions[offset:].copy_(STEP_SIZE * waves(steps, width))
    for layer in model.decoder_layers:
        weight = SHARPNESS * torch.randn(width, width, generator=generator)
        layer.cross_q.weight.copy_(weight)
        layer.cross_kv.weight[:width].copy_(weight)  # the keys
    return model
