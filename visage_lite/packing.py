"""Weights and inputs as the compiled loops of generation read them, in every number type.

float32; bfloat16, held as uint16, the upper half of a float32; and int8, which meets inputs rounded to int16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit, types
from numba.extending import overload
from torch import Tensor, nn

from visage_lite.dots import BLOCK, LINE

PIECE = 1024  # inputs that meet all rows of a weight before the next ones do: four such fit into the fastest cache
MOST = np.float32((2**31 - 1) // (127 * PIECE))  # of an input: its products with 127, summed over a piece, stay int32


class Linear(NamedTuple):
    """A linear layer y = x W' + b as the loops read it. Get one from `pack_linear`."""

    weight: np.ndarray  # [pieces * M * depth], see `pack_linear`: float32, uint16 (bfloat16) or int8
    scale: np.ndarray  # float32 [M], by which each row of an int8 weight was divided; 1 otherwise
    bias: np.ndarray  # float32 [M]


class Norm(NamedTuple):
    """A layer normalisation."""

    weight: np.ndarray  # float32 [D]
    bias: np.ndarray  # float32 [D]
    eps: float


def pack_linear(weight: Tensor, bias: Tensor, dtype: str) -> Linear:
    """A linear layer for the loops: the weight [M, D] in pieces [M, depth] of at most 1024 inputs, one after the other.

    Args:
        weight: [M, D]; bias: [M], on the CPU. A float32 weight with D <= 1024 is shared, not copied.
        dtype: "float32"; "bfloat16"; or "int8": each row divided by a scale of its own and rounded to -127 ... 127.
    """
    weight, scale = weight.detach().float(), torch.ones(len(weight))
    if dtype == "int8":
        scale = weight.abs().amax(1).clamp(min=1e-12) / 127
        weight = (weight / scale[:, None]).round()
    pieces, depth = cut(weight.shape[1])
    weight = F.pad(weight, (0, pieces * depth - weight.shape[1])) if weight.shape[1] < pieces * depth else weight
    weight = weight.unflatten(1, (pieces, depth)).transpose(0, 1).to(getattr(torch, dtype)).contiguous()
    return Linear(as_array(weight.flatten()), scale.numpy(), bias.detach().float().numpy())


@njit(cache=True)
def cut(width):
    """(pieces, depth): how many pieces of which length, a multiple of BLOCK, hold `width` inputs."""
    pieces = -(-width // PIECE)
    return pieces, -(-width // (pieces * BLOCK)) * BLOCK


def pack(part: nn.Linear | nn.LayerNorm, dtype: str) -> Linear | Norm:
    """A part of a layer for the loops; norms are in float32 whatever the number type."""
    if isinstance(part, nn.Linear):
        return pack_linear(part.weight, part.bias, dtype)
    return Norm(part.weight.detach().float().numpy(), part.bias.detach().float().numpy(), part.eps)


def as_array(x: Tensor) -> np.ndarray:
    """A tensor on the CPU as an array on the same memory; bfloat16, which NumPy does not know, as uint16."""
    return x.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else x.numpy()


# ---- what differs between the number types: Numba chooses by type when it compiles


def widen(number):
    """float32 of a stored number: float32 as it is, uint16 as the upper half of one."""


@overload(widen)
def _widen(number):
    if isinstance(number, types.Float):
        return lambda number: number
    return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)


def store(array, place, number):
    """array[place] = number, rounded to the nearest (ties to even) if the array is bfloat16."""


@overload(store)
def _store(array, place, number):
    def as_it_is(array, place, number):
        array[place] = number

    def rounded(array, place, number):
        bits = np.float32(number).view(np.uint32)
        array[place] = np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    return as_it_is if array.dtype == types.float32 else rounded


def as_inputs(x, weight, size):
    """What a weight is multiplied with: x [N, D] with zeros after it to `size` numbers a row and a multiple of 4 rows;
    and float32 [N], by which they were divided."""


@overload(as_inputs)
def _as_inputs(x, weight, size):
    def as_they_are(x, weight, size):
        inputs = zeros(len(x), size, np.float32(0))
        inputs[: len(x), : x.shape[1]] = x
        return inputs, np.ones(len(x), np.float32)

    def rounded(x, weight, size):
        inputs, scale = zeros(len(x), size, np.int16(0)), np.empty(len(x), np.float32)
        for n in range(len(x)):
            scale[n] = max(np.abs(x[n]).max(), np.float32(1e-30)) / MOST
            for d in range(x.shape[1]):
                inputs[n, d] = np.int16(np.rint(x[n, d] / scale[n]))
        return inputs, scale

    return rounded if weight.dtype == types.int8 else as_they_are


@njit
def zeros(rows, width, like):
    """Zeros [rows, width] of the type of `like`, a multiple of 4 rows, from the start of a line of the cache on.

    A wide load across two lines costs two: from other starts, the products with four inputs took 1.5 times as long.
    """
    size = np.asarray(like).itemsize
    rows = -(-rows // 4) * 4
    buffer = np.zeros(rows * width + LINE // size, np.asarray(like).dtype)
    start = (-buffer.ctypes.data) % LINE // size
    return buffer[start : start + rows * width].reshape(rows, width)
