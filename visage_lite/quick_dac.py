"""DAC's network, the same numbers sooner: weights without their norms, and its activation in one pass.

DAC's Snake activation, x + sin(a x)^2 / a, is six passes over the memory in PyTorch, and takes nearly half of the
encoder's time; one compiled pass takes a thirtieth of that. Only inference on the CPU is changed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor, nn
from torch.nn.utils import remove_weight_norm

PER_PI, PI_HIGH, PI_LOW = np.float32(1 / math.pi), np.float32(3.140625), np.float32(math.pi - 3.140625)
# The sine by powers, to 1e-7 on -pi/2 ... pi/2. Scalars, or the loop is not vectorised.
S3, S5, S7, S9, S11 = (np.float32((-1) ** k / math.factorial(2 * k + 1)) for k in range(1, 6))


def quicken(model: nn.Module) -> nn.Module:
    """Fold the weight norms into the weights and replace every Snake1d, in place.

    Args: model: a `dac.DAC`, for inference.
    Returns: the model. Its codes are the same but where two code vectors are equally near to 1e-6.
    """
    for module in list(model.modules()):
        try:
            remove_weight_norm(module)
        except ValueError:  # it has none
            pass
        for name, child in module.named_children():
            if type(child).__name__ == "Snake1d":
                setattr(module, name, Snake(child.alpha))
    return model


def reach(decoder: nn.Module, hop: int) -> tuple[int, int]:
    """From how many code frames before and after its own the sound of a code frame is made: (left, right).

    Args:
        decoder: of a `dac.DAC`; its convolutions follow one another as they are registered.
        hop: audio samples per code frame.
    """
    first, last = 0, hop - 1  # what is needed of the layer's output, at first the samples of frame 0
    for layer in reversed([m for m in decoder.modules() if isinstance(m, (nn.Conv1d, nn.ConvTranspose1d))]):
        (stride,), (padding,), span = layer.stride, layer.padding, layer.dilation[0] * (layer.kernel_size[0] - 1)
        if isinstance(layer, nn.ConvTranspose1d):  # input i goes into the outputs stride i - padding + 0 ... span
            first, last = -((span - padding - first) // stride), (last + padding) // stride
        else:
            first, last = first * stride - padding, last * stride - padding + span
    return -first, last


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha for x [B, C, N], alpha [1, C, 1].

    Source: Ziyin, Hartwig and Ueda 2020 (arXiv 2006.08195), as descript-audio-codec computes it.
    """

    def __init__(self, alpha: nn.Parameter) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Float32 of the same shape."""
        inverse = (self.alpha + 1e-9).reciprocal()
        if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_grad_enabled():
            return x + inverse * torch.sin(self.alpha * x).pow(2)
        x = x.contiguous()
        out = torch.empty_like(x)
        rows, made = (each.view(-1, x.shape[-1]).numpy() for each in (x, out))
        _snake(rows, made, self.alpha.detach().flatten().numpy(), inverse.detach().flatten().numpy(), x.shape[1])
        return out


@njit(parallel=True, cache=True)
def _snake(x, out, alpha, inverse, channels):
    for row in prange(len(x)):
        _snake_row(x[row], out[row], alpha[row % channels], inverse[row % channels])


@njit(fastmath={"contract"}, error_model="numpy")
def _snake_row(x, out, alpha, inverse):
    for i in range(len(x)):
        angle = alpha * x[i]
        turns = np.rint(angle * PER_PI)  # half turns do not change the square of a sine
        r = (angle - turns * PI_HIGH) - turns * PI_LOW
        q = r * r
        sine = r + r * q * (S3 + q * (S5 + q * (S7 + q * (S9 + q * S11))))
        out[i] = x[i] + inverse * sine * sine
