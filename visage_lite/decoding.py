"""One decoding step, from cached keys and values: what generation repeats S times.

A step multiplies a few rows (clips x branches of guidance) with every weight of the decoder, so its time is the time
to read the weights from memory. `prepare` brings them once into the number type that will be read; a `Session` holds
what one run of generation remembers. On the CPU a layer is one call of the compiled loops of `kernels`, elsewhere it is
a dozen of PyTorch's.
"""

from __future__ import annotations

import copy
import threading

import numba
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visage_lite import kernels
from visage_lite.layers import Layer
from visage_lite.model import Visage
from visage_lite.packing import Linear, as_array, pack, pack_linear
from visage_lite.pattern import Pattern

BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  # of one weight, for every number type that generation offers
ONE_AT_A_TIME = threading.Lock()  # not every threading layer of Numba may be entered by two threads


class Prepared:
    """A model whose decoder is ready for generation; get one from `prepare`, and use it for any number of clips.

    Attributes: `model`, `dtype`, `pattern`; `compiled`, whether it runs through `kernels`; `layers` and `heads`, the
    streams and the head of even and of odd steps, as the session of either kind reads them; `step_bytes`, bytes of
    weights that a step reads (mean of even and odd).
    """

    def __init__(self, model: Visage, dtype: str, compiled: bool) -> None:
        config = model.config
        self.model, self.dtype, self.compiled = model, dtype, compiled
        self.pattern = Pattern(config.channels, config.codebooks)
        # Late in a clip, the past of four branches is as many bytes as the weights in int8, so it is halved too.
        self.cache_dtype = torch.float32 if dtype == "float32" else torch.bfloat16
        rows = model.code_embedding.shape[1] * torch.arange(config.streams, device=model.code_embedding.device)
        self.code_rows, self.code_table = rows, model.code_embedding.detach().flatten(0, 1)  # [Q], [Q * rows, D]
        self.layers = [_pack_layer(layer, dtype, compiled) for layer in model.decoder_layers]
        self.heads = []
        for parity in (0, 1):
            streams = (self.pattern.offsets % 2 == parity).nonzero().flatten().to(model.head_weight.device)
            weight, bias = model.head_weight.detach()[streams], model.head_bias.detach()[streams]
            self.heads.append((streams, _pack_linear(weight.flatten(0, 1), bias.flatten(), dtype, compiled)))
        matrices = [w for layer in model.decoder_layers for n, w in layer.named_parameters() if n in STEP_MATRICES]
        self.step_bytes = BYTES[dtype] * (sum(w.numel() for w in matrices) + model.head_weight.numel() // 2)

    def begin(self, memory: Tensor, steps: int) -> Session:
        """A new run of `steps` steps for memory [N, M, D] (from `model.encode`)."""
        return (CompiledSession if self.compiled else Session)(self, memory, steps)


# The parts of a layer that every step uses, in the order of use; cross_kv is used once per clip.
STEP_PARTS = "self_qkv self_out self_norm cross_q cross_out cross_norm ffn_in ffn_out ffn_norm".split()
STEP_MATRICES = {f"{part}.weight" for part in STEP_PARTS if not part.endswith("norm")}


def _pack_layer(layer: Layer, dtype: str, compiled: bool) -> Layer | tuple:
    """A decoder layer for `kernels.layer_step`, or a copy in the number type with its norms in float32."""
    if compiled:
        return tuple(pack(getattr(layer, name), dtype) for name in STEP_PARTS)
    packed = copy.deepcopy(layer).requires_grad_(False)
    for part in packed.children():
        part.to(torch.float32 if isinstance(part, nn.LayerNorm) else getattr(torch, dtype))
    return packed


def _pack_linear(weight: Tensor, bias: Tensor, dtype: str, compiled: bool) -> Linear | tuple[Tensor, Tensor]:
    if compiled:
        return pack_linear(weight, bias, dtype)
    return weight.to(getattr(torch, dtype)), bias.to(getattr(torch, dtype))


def prepare(model: Visage | Prepared, dtype: str | None = None) -> Prepared:
    """Bring the decoder's weights into a number type for generation: once per model, seconds at the published size.

    Args:
        model: the model, in any number type; its weights must stay as they are while the result is in use (on the CPU
            most float32 weights are shared, not copied). A Prepared comes back as it is.
        dtype: "float32" (the default: the same codes as the model), "bfloat16" or "int8": nearly the same logits from
            a half and a quarter of the bytes. At the published size, random weights, they are 0.4 % and 2 % of the
            logits' spread away, with joint guidance and without.
    Returns: something that `generate` takes in place of the model.
    Raises: ValueError on another dtype, one that this device cannot do, or one that differs from the Prepared's.
    Notebook: 05_generation.
    """
    if not isinstance(model, Visage):
        if dtype not in (None, model.dtype):
            raise ValueError(f"the weights were prepared as {model.dtype}: pass the model itself to use {dtype}")
        return model
    dtype, device = dtype or "float32", model.head_weight.device
    if dtype not in BYTES:
        raise ValueError(f"no number type {dtype!r} for generation: choose one of {', '.join(BYTES)}")
    if dtype == "int8" and device.type != "cpu":
        raise ValueError(f"int8 weights need the model on the CPU, not on {device}: use bfloat16 there")
    with torch.no_grad():
        return Prepared(model, dtype, compiled=device.type == "cpu")


class Session:
    """One run of generation: the keys and values of every step so far, for N rows (clips x branches).

    Attributes: `place`, the number of steps done; `cache` [layers, 2, N, heads, steps, D / heads], keys and values. It
    has its final size from the start: nothing is copied as it fills, and memory is taken as it is written. `memory`
    [layers, 2, N, heads, M, D / heads], keys and values of what the encoder said, computed once.
    """

    def __init__(self, prepared: Prepared, memory: Tensor, steps: int) -> None:
        config, rows = prepared.model.config, len(memory)
        if steps > config.max_steps:
            raise ValueError(f"{steps} steps, but the model has positions for {config.max_steps}: shorten the clip")
        self.prepared, self.place, self.heads = prepared, 0, config.heads
        shape = (len(prepared.layers), 2, rows, config.heads, steps, config.d_model // config.heads)
        self.cache = torch.empty(shape, dtype=prepared.cache_dtype, device=memory.device)
        pairs = [layer.cross_kv(memory).unflatten(-1, (2, config.heads, -1)) for layer in prepared.model.decoder_layers]
        self.memory = torch.stack(pairs).permute(0, 3, 1, 4, 2, 5).detach().to(prepared.cache_dtype).contiguous()

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
        own, head = self.prepared.heads[place % 2]
        logits = self._run(x.repeat(self.cache.shape[2] // len(x), 1), head)
        logits = logits.unflatten(1, (len(own), model.config.vocab))
        self.place += 1
        # The first and the last step predict fewer streams.
        return logits if len(streams) == len(own) else logits[:, torch.isin(own, streams)]

    def _embed(self, ids: Tensor) -> Tensor:
        """The sum of the Q embeddings of ids [B, Q]: one gather from all tables -> [B, D]."""
        return F.embedding_bag(ids + self.prepared.code_rows, self.prepared.code_table, mode="sum")

    def _run(self, x: Tensor, head: tuple[Tensor, Tensor]) -> Tensor:
        """All layers and the heads of the step for the newest place: x [N, D] -> float32 [N, q * V]."""
        for layer, past, memory in zip(self.prepared.layers, self.cache, self.memory, strict=True):
            x = self._layer(layer, x, past, memory)
        return F.linear(x.to(head[0].dtype), *head).float()

    def _layer(self, layer: Layer, x: Tensor, past: Tensor, memory: Tensor) -> Tensor:
        """One layer; writes the newest key and value into past [2, N, heads, steps, D / heads]."""
        rows, now, dtype = len(x), self.place, past.dtype
        qkv = layer.self_qkv(x.to(dtype)).view(rows, 3, self.heads, -1).transpose(0, 1)  # [3, N, heads, D / heads]
        past[:, :, :, now] = qkv[1:]
        mixed = F.scaled_dot_product_attention(qkv[0, :, :, None], *past[:, :, :, : now + 1].unbind(0))
        x = layer.self_norm(x + layer.self_out(mixed.view(rows, -1)))
        query = layer.cross_q(x.to(dtype)).view(rows, self.heads, 1, -1)
        read = F.scaled_dot_product_attention(query, *memory)
        x = layer.cross_norm(x + layer.cross_out(read.view(rows, -1)))
        return layer.ffn_norm(x + layer.ffn_out(F.gelu(layer.ffn_in(x.to(dtype)))))


class CompiledSession(Session):
    """The same run through the compiled loops: a layer is one call."""

    def __init__(self, prepared: Prepared, memory: Tensor, steps: int) -> None:
        super().__init__(prepared, memory, steps)
        self.cache_array, self.memory_array = as_array(self.cache), as_array(self.memory)

    def _run(self, x: Tensor, head: Linear) -> Tensor:
        rows, threads = x.numpy(), min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
        with ONE_AT_A_TIME:
            numba.set_num_threads(threads)
            for layer, past, memory in zip(self.prepared.layers, self.cache_array, self.memory_array, strict=True):
                rows = kernels.layer_step(rows, layer, past, memory, self.place, threads)
            return torch.from_numpy(kernels.linear(rows, head, threads))
