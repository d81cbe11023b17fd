"""One decoding step, from cached keys and values, over weights packed once: what generation repeats S times.

A step multiplies a few rows (clips x branches of guidance) with every weight of the decoder, so its time is the time
to read the weights from memory. `prepare` stores them once in a layout and number type that the machine reads fast; a
`Session` holds what one run of generation remembers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visage_lite.layers import Layer
from visage_lite.model import Visage
from visage_lite.pattern import Pattern

BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  # of one weight, for every number type that generation offers
ROWS = 16  # rows that oneDNN's layout is chosen for; any other number works too


class PackedLinear:
    """A linear layer stored for reading: x [N, D] -> x @ weight.T + bias [N, M].

    Args:
        weight: [M, D]; bias: [M]. They stay as they are; what is packed is a copy, except for float32 on a GPU.
        dtype: "float32"; "bfloat16"; or "int8": weights in 8 bits with one scale per row, inputs quantised to 8 bits on
            the fly, with one scale for all rows of x.
        gelu: apply GELU to the result.
    Raises: ValueError if this machine or device has no such kernel.
    Notebook: 05_generation.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: str, gelu: bool = False) -> None:
        weight, bias = weight.detach(), bias.detach()
        self.nbytes = BYTES[dtype] * weight.numel()  # read in every call
        if dtype == "int8" and len(weight):
            self.run = _pack_int8(weight.float(), bias.float(), gelu)
        else:
            number = torch.bfloat16 if dtype == "bfloat16" else torch.float32
            self.run = _pack_float(weight.to(number), bias.to(number), gelu)

    def __call__(self, x: Tensor) -> Tensor:
        return self.run(x)


def _pack_float(weight: Tensor, bias: Tensor, gelu: bool) -> Callable[[Tensor], Tensor]:
    """oneDNN's blocked layout where there is one: for a few rows it is 1.3 to 2 times as fast as F.linear."""
    dtype, onednn = weight.dtype, hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    if weight.device.type == "cpu" and onednn and torch.backends.mkldnn.is_available() and min(weight.shape) >= 16:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
        linear, after = torch.ops.mkldnn._linear_pointwise.default, "gelu" if gelu else "none"
        return lambda x: linear(x.to(dtype), packed, bias, after, [], "none")
    if gelu:
        return lambda x: F.gelu(F.linear(x.to(dtype), weight, bias))
    return lambda x: F.linear(x.to(dtype), weight, bias)


def _pack_int8(weight: Tensor, bias: Tensor, gelu: bool) -> Callable[[Tensor], Tensor]:
    """PyTorch's dynamically quantised linear layer, one scale per row of the weight."""
    if weight.device.type != "cpu":
        raise ValueError(f"int8 weights need the model on the CPU, not on {weight.device}: use bfloat16 there")
    if torch.backends.quantized.engine in (None, "none"):
        raise ValueError("this PyTorch has no int8 kernels for this processor: use bfloat16 or float32")
    scale = weight.abs().amax(1).clamp(min=1e-12) / 127
    with warnings.catch_warnings():  # PyTorch announces a successor library; these kernels stay
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_channel(weight, scale, torch.zeros_like(scale, dtype=torch.long), 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(quantised, bias)
    # Without VNNI the kernel adds pairs of products in 16 bits, which overflow unless inputs have 7 bits.
    narrow = not getattr(torch.cpu, "_is_vnni_supported", lambda: False)()
    linear = torch.ops.quantized.linear_dynamic.default
    if gelu:
        return lambda x: F.gelu(linear(x.float(), packed, narrow))
    return lambda x: linear(x.float(), packed, narrow)


class PackedLayer:
    """One decoder layer with its matrices packed; its keys and values come from a `Session`."""

    MATRICES = ("self_qkv", "self_out", "cross_q", "cross_out", "ffn_in", "ffn_out")

    def __init__(self, layer: Layer, dtype: str) -> None:
        for name in self.MATRICES:
            linear = getattr(layer, name)
            setattr(self, name, PackedLinear(linear.weight, linear.bias, dtype, gelu=name == "ffn_in"))
        for name in ("self_norm", "cross_norm", "ffn_norm"):
            setattr(self, name, _norm(getattr(layer, name)))
        self.cross_kv = layer.cross_kv  # once per clip, so it is not packed
        self.nbytes = sum(getattr(self, name).nbytes for name in self.MATRICES)


def _norm(norm: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    weight, bias = norm.weight.detach().float(), norm.bias.detach().float()
    return partial(F.layer_norm, normalized_shape=norm.normalized_shape, weight=weight, bias=bias, eps=norm.eps)


class Prepared:
    """A model whose decoder is packed for generation; get one from `prepare`, and use it for any number of clips.

    Attributes: `model`, `dtype`, `pattern`; `step_bytes`, bytes of weights that a step reads (mean of even and odd).
    """

    def __init__(self, model: Visage, dtype: str) -> None:
        config = model.config
        self.model, self.dtype, self.pattern = model, dtype, Pattern(config.channels, config.codebooks)
        # Late in a clip, the past of four branches is as many bytes as the weights in int8, so it is halved too.
        self.cache_dtype = torch.float32 if dtype == "float32" else torch.bfloat16
        self.cross_dtype = torch.bfloat16 if dtype == "bfloat16" else torch.float32  # what the linear layers return
        rows = model.code_embedding.shape[1] * torch.arange(config.streams, device=model.code_embedding.device)
        self.code_rows, self.code_table = rows, model.code_embedding.detach().flatten(0, 1)  # [Q], [Q * rows, D]
        self.layers = [PackedLayer(layer, dtype) for layer in model.decoder_layers]
        self.heads = []  # (streams, their heads in one matrix) of even and of odd steps
        for parity in (0, 1):
            streams = (self.pattern.offsets % 2 == parity).nonzero().flatten().to(model.head_weight.device)
            weight, bias = model.head_weight.detach()[streams], model.head_bias.detach()[streams]
            self.heads.append((streams, PackedLinear(weight.flatten(0, 1), bias.flatten(), dtype)))
        self.step_bytes = sum(x.nbytes for x in self.layers) + sum(head.nbytes for _, head in self.heads) // 2

    def begin(self, memory: Tensor, steps: int) -> Session:
        """A new run of `steps` steps for memory [N, M, D] (from `model.encode`)."""
        return Session(self, memory, steps)


def prepare(model: Visage | Prepared, dtype: str | None = None) -> Prepared:
    """Pack the decoder's weights for generation: once per model, a few seconds at the published size.

    Args:
        model: the model, in any number type. Later changes of its weights do not reach what is packed.
            A Prepared comes back as it is.
        dtype: "float32" (the default: the same codes as the model), "bfloat16" or "int8": nearly the same logits from
            a half and a quarter of the bytes. At the published size, random weights, they are 0.7 % and 3 % of the
            logits' spread away, which guidance enlarges about threefold.
    Returns: something that `generate` takes in place of the model.
    Raises: ValueError on another dtype, one that this device cannot do, or one that differs from the Prepared's.
    Notebook: 05_generation.
    """
    if not isinstance(model, Visage):
        if dtype not in (None, model.dtype):
            raise ValueError(f"the weights were prepared as {model.dtype}: pass the model itself to use {dtype}")
        return model
    dtype = dtype or "float32"
    if dtype not in BYTES:
        raise ValueError(f"no number type {dtype!r} for generation: choose one of {', '.join(BYTES)}")
    with torch.no_grad():
        return Prepared(model, dtype)


class Session:
    """One run of generation: the keys and values of every step so far, for N rows (clips x branches).

    Attributes: `place`, the number of steps done; `cache` [layers, 2, N, heads, steps, D / heads], keys and values. It
    has its final size from the start: nothing is copied as it fills, and memory is taken as it is written.
    """

    def __init__(self, prepared: Prepared, memory: Tensor, steps: int) -> None:
        config, rows = prepared.model.config, len(memory)
        if steps > config.max_steps:
            raise ValueError(f"{steps} steps, but the model has positions for {config.max_steps}: shorten the clip")
        self.prepared, self.place, self.heads = prepared, 0, config.heads
        shape = (len(prepared.layers), 2, rows, config.heads, steps, config.d_model // config.heads)
        self.cache = torch.empty(shape, dtype=prepared.cache_dtype, device=memory.device)
        self.cross = []
        for layer in prepared.layers:  # keys and values of the memory, once per clip: [N, heads, M, D / heads]
            pair = layer.cross_kv(memory).to(prepared.cross_dtype).chunk(2, -1)
            self.cross.append([x.unflatten(-1, (config.heads, -1)).transpose(1, 2).contiguous() for x in pair])

    @torch.inference_mode()
    def step(self, ids: Tensor | None, streams: Tensor) -> Tensor:
        """The logits of the next step.

        Args:
            ids: int64 [B, Q], what the step before chose, the same for every branch (N = branches x B, branch by
                branch); None at the first step.
            streams: int64 [q], the streams that this step predicts, all with offsets of its parity.
        Returns: float32 [N, q, V].
        """
        model, place = self.prepared.model, self.place
        x = model.decoder_bos if ids is None else self._embed(ids)  # [1 or B, D]
        x = model.decoder_norm(x + model.decoder_positions[place + model.POSITION_OFFSET]).float()
        x = x.repeat(self.cache.shape[2] // len(x), 1)  # [N, D]
        for layer, past, memory in zip(self.prepared.layers, self.cache, self.cross, strict=True):
            x = self._layer(layer, x, past, memory)
        self.place += 1
        return self._logits(x, streams, place % 2)

    def _embed(self, ids: Tensor) -> Tensor:
        """The sum of the Q embeddings of ids [B, Q]: one gather from all tables -> [B, D]."""
        return F.embedding_bag(ids + self.prepared.code_rows, self.prepared.code_table, mode="sum")

    def _layer(self, layer: PackedLayer, x: Tensor, past: Tensor, memory: list[Tensor]) -> Tensor:
        """One layer for the newest place only; writes its key and value into past [2, N, heads, steps, D / heads]."""
        rows, now = len(x), self.place
        qkv = layer.self_qkv(x).view(rows, 3, self.heads, -1).to(past.dtype).transpose(0, 1)  # [3, N, heads, D / heads]
        past[:, :, :, now] = qkv[1:]
        mixed = F.scaled_dot_product_attention(qkv[0, :, :, None], *past[:, :, :, : now + 1].unbind(0))
        x = layer.self_norm(x + layer.self_out(mixed.view(rows, -1)))
        query = layer.cross_q(x).view(rows, self.heads, 1, -1)
        read = F.scaled_dot_product_attention(query, *memory)
        x = layer.cross_norm(x + layer.cross_out(read.view(rows, -1)))
        return layer.ffn_norm(x + layer.ffn_out(layer.ffn_in(x)))

    def _logits(self, x: Tensor, streams: Tensor, parity: int) -> Tensor:
        own, head = self.prepared.heads[parity]
        logits = head(x).float().view(len(x), len(own), self.prepared.model.config.vocab)
        if len(streams) == len(own):
            return logits
        return logits[:, torch.isin(own, streams)]  # the first and the last step predict fewer streams
