"""The layers of one decoding step, compiled for the CPU: a few rows against every weight of the decoder.

A step of generation multiplies a few rows (clips x branches of guidance) with all weights, so its time is the time to
read the weights from memory. General matrix libraries are built for many rows; for a few, loops of dot products come
nearer to the speed of the memory, in every number type. They are compiled by Numba: for some seconds at the first call,
then kept on disk.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numba import njit, prange

from visage_lite import dots, packing
from visage_lite.dots import four, two
from visage_lite.packing import as_inputs, cut, store, widen

SUM_ANY_ORDER = {"reassoc", "contract"}  # lets a sum be vectorised; infinities and NaN stay what they are
TILE = 8  # rows of a weight that meet four inputs before the next four do
LOG2_E, SQRT_HALF = np.float32(math.log2(math.e)), np.float32(math.sqrt(0.5))
ZERO, HALF, ONE, LOWEST = np.float32(0), np.float32(0.5), np.float32(1), np.float32(-126)
# 2^x by powers of x, and the error function (Abramowitz and Stegun 1964, 7.1.26). Scalars, or no loop is vectorised.
E0, E1, E2, E3, E4, E5, E6 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(7))
A1, A2, A3, A4, A5, AT = map(np.float32, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429, 0.3275911))


def forget_older_code() -> None:
    """Delete what Numba kept of this module from before `dots` or `packing` changed: it looks at one file's date only."""
    changed = max(Path(module.__file__).stat().st_mtime for module in (dots, packing))
    for kept in (Path(__file__).parent / "__pycache__").glob(f"{Path(__file__).stem}.*.nbi"):
        try:
            if kept.stat().st_mtime < changed:
                kept.unlink()
        except OSError:  # another process was faster
            pass


forget_older_code()


@njit
def exp(x):
    """e^x for x <= 0, to 1e-6 of itself above -20. Unlike math.exp, a loop over it is vectorised."""
    y = x * LOG2_E
    y = y if y > LOWEST else LOWEST
    whole = np.int32(y - HALF)  # the nearest: a conversion rounds toward 0
    r = y - np.float32(whole)  # -0.5 ... 0.5
    power = E0 + r * (E1 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))))
    return power * np.int32(np.int32(whole + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(fastmath={"contract"}, error_model="numpy", cache=True)
def gelu(x):
    """float32 [N, M]: each number of x [N, M] times the probability that a normal number is below it, to 4e-7.

    In place: x is the result.
    """
    out = x.reshape(-1)
    for i in range(len(out)):
        y = out[i]
        z = abs(y) * SQRT_HALF
        t = ONE / (ONE + AT * z)
        above = HALF * t * (A1 + t * (A2 + t * (A3 + t * (A4 + t * A5)))) * exp(-z * z)  # probability of more than |y|
        out[i] = y * (above if y < ZERO else ONE - above)
    return out.reshape(x.shape)


@njit(fastmath=SUM_ANY_ORDER)
def to_weights(scores):
    """Scores made e^(score - most), in place; returns their sum."""
    most, total = scores[0], np.float32(0)
    for s in range(len(scores)):
        most = max(most, scores[s])
    for s in range(len(scores)):
        scores[s] = exp(scores[s] - most)
        total += scores[s]
    return total


@njit(parallel=True, cache=True)
def linear(x, layer, threads):
    """float32 [N, M]: x [N, D] through a `Linear`."""
    weight, scale, bias = layer
    rows, width, (pieces, depth) = len(x), len(bias), cut(x.shape[1])
    inputs, divided = as_inputs(x, weight, pieces * depth)
    numbers, out = inputs.reshape(-1), np.zeros((rows, width), np.float32)
    for thread in prange(threads):
        start, stop = thread * width // threads, (thread + 1) * width // threads
        for piece in range(pieces):
            for tile in range(start, stop, TILE):
                for n in range(0, rows, 4):
                    first = (n * pieces + piece) * depth
                    for m in range(tile, min(tile + TILE, stop)):
                        row = (piece * width + m) * depth
                        if rows - n > 2:
                            a, b, c, e = four(weight, row, numbers, first, pieces * depth, depth)
                            out[n + 2, m] += c
                            if rows - n > 3:
                                out[n + 3, m] += e
                        else:
                            a, b = two(weight, row, numbers, first, pieces * depth, depth)
                        out[n, m] += a
                        if rows - n > 1:
                            out[n + 1, m] += b
        for n in range(rows):
            for m in range(start, stop):
                out[n, m] = out[n, m] * (scale[m] * divided[n]) + bias[m]
    return out


@njit(fastmath=SUM_ANY_ORDER, cache=True)
def normalised(x, y, norm):
    """float32 [N, D]: the layer normalisation of x + y."""
    weight, bias, eps = norm
    rows, width = x.shape
    out = np.empty((rows, width), np.float32)
    for n in range(rows):
        mean, variance = np.float32(0), np.float32(0)
        for d in range(width):
            out[n, d] = x[n, d] + y[n, d]
            mean += out[n, d]
        mean /= np.float32(width)
        for d in range(width):
            variance += (out[n, d] - mean) ** 2
        scale = np.float32(1 / math.sqrt(variance / np.float32(width) + eps))
        for d in range(width):
            out[n, d] = (out[n, d] - mean) * scale * weight[d] + bias[d]
    return out


@njit(fastmath=SUM_ANY_ORDER)
def add_weighted(read, value, weights):
    """Add to read [D / heads] the rows of value times their weights; four rows at a time, or `read` is the traffic."""
    places = len(weights)
    for s in range(0, places - 3, 4):
        a, b, c, e = weights[s], weights[s + 1], weights[s + 2], weights[s + 3]
        for d in range(len(read)):
            pair = a * widen(value[s, d]) + b * widen(value[s + 1, d])
            read[d] += pair + c * widen(value[s + 2, d]) + e * widen(value[s + 3, d])
    for s in range(places // 4 * 4, places):
        for d in range(len(read)):
            read[d] += weights[s] * widen(value[s, d])


@njit(parallel=True, fastmath=SUM_ANY_ORDER, cache=True)
def attended(query, keys, values, places, threads):
    """float32 [N, D]: what each head of each row reads.

    Args: query: [N, D or more]. keys, values: [N, heads, S, D / heads], of which the first `places` count.
    """
    rows, heads, _, width = keys.shape
    out = np.empty((rows, heads * width), np.float32)
    for thread in prange(threads):
        weights = np.empty(places, np.float32)
        for task in range(thread * rows * heads // threads, (thread + 1) * rows * heads // threads):
            n, head = task // heads, task % heads
            asked = query[n, head * width : (head + 1) * width] * np.float32(1 / math.sqrt(width))
            key, value, read = keys[n, head], values[n, head], np.zeros(width, np.float32)
            for s in range(places):
                score = np.float32(0)
                for d in range(width):
                    score += widen(key[s, d]) * asked[d]
                weights[s] = score
            total = to_weights(weights)
            add_weighted(read, value, weights)
            out[n, head * width : (head + 1) * width] = read / total
    return out


@njit(cache=True)
def remember(qkv, past, place):
    """Write key and value out of qkv [N, 3D] to their place in past [2, N, heads, S, D / heads]."""
    _, rows, heads, _, width = past.shape
    for part in range(2):
        for n in range(rows):
            for head in range(heads):
                start = ((part + 1) * heads + head) * width
                for d in range(width):
                    store(past, (part, n, head, place, d), qkv[n, start + d])


@njit(cache=True)
def layer_step(x, weights, past, memory, place, threads):
    """float32 [N, D]: x [N, D] of the newest place through one decoder layer, cross-attention included.

    Args:
        weights: the six `Linear` and three `Norm` of the layer, in the order of use.
        past: [2, N, heads, S, D / heads], keys and values; the place's own are written here.
        memory: [2, N, heads, M, D / heads], keys and values of the encoder's memory.
        place: the number of steps before this one.
    Differs: `layers.Layer` is the same for whole sequences, in PyTorch.
    """
    self_qkv, self_out, self_norm, cross_q, cross_out, cross_norm, ffn_in, ffn_out, ffn_norm = weights
    qkv = linear(x, self_qkv, threads)
    remember(qkv, past, place)
    mixed = attended(qkv, past[0], past[1], place + 1, threads)  # the query is the first third
    x = normalised(x, linear(mixed, self_out, threads), self_norm)
    read = attended(linear(x, cross_q, threads), memory[0], memory[1], memory.shape[3], threads)
    x = normalised(x, linear(read, cross_out, threads), cross_norm)
    return normalised(x, linear(gelu(linear(x, ffn_in, threads)), ffn_out, threads), ffn_norm)
