"""Dot products in vector code: NumPy as oracle, in every number type, also at the edges of the whole numbers."""

import numpy as np
import pytest
from numba import njit

from visage_lite.dots import BLOCK, four, two
from visage_lite.packing import MOST, PIECE


@njit
def two_of(row, start, inputs, first, stride, depth):
    return two(row, start, inputs, first, stride, depth)


@njit
def four_of(row, start, inputs, first, stride, depth):
    return four(row, start, inputs, first, stride, depth)


def bits(x):
    """bfloat16 of float32, cut off: (as stored, as float32)."""
    stored = (x.view(np.uint32) >> 16).astype(np.uint16)
    return stored, (stored.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("sums", [two_of, four_of])
@pytest.mark.parametrize("depth", [BLOCK, 5 * BLOCK])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_products_with_rows_anywhere_in_memory(kind, depth, sums):
    random = np.random.default_rng(0)
    stored = numbers = random.standard_normal(1000).astype(np.float32)
    inputs = random.standard_normal((4, 400)).astype(np.float32)
    if kind == "bfloat16":
        stored, numbers = bits(numbers)
    if kind == "int8":
        stored = numbers = random.integers(-127, 128, 1000, dtype=np.int8)
        inputs = random.integers(-16000, 16001, (4, 400), dtype=np.int16)
    got = sums(stored, 7, inputs.reshape(-1), 3, 400, depth)
    wanted = inputs[: len(got), 3 : 3 + depth].astype(np.float64) @ numbers[7 : 7 + depth].astype(np.float64)
    if kind == "int8":
        assert list(got) == [int(x) for x in wanted]
    else:
        assert np.allclose(got, wanted, atol=1e-4) and all(isinstance(x, float) for x in got)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_whole_numbers_do_not_overflow(sign):
    row, inputs = np.full(PIECE, 127, np.int8), np.full(4 * PIECE, sign * int(MOST), np.int16)
    assert set(four_of(row, 0, inputs, 0, PIECE, PIECE)) == {sign * 127 * int(MOST) * PIECE}
    assert 127 * (MOST + 1) * PIECE > 2**31 - 1
