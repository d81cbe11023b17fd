"""One decoding step, from cached keys and values: what generation repeats S times.

A step multiplies a few rows (clips x branches of guidance) with every weight of the decoder, so its time is the time
to read the weights from memory. `prepare` brings them once into the number type that will be read; a `Session` holds
what one run of generation remembers. On the CPU a layer is one call of the compiled loops of `kernels`, elsewhere it is
a dozen of PyTorch's. A GPU computes them faster than Python can ask for them, so there the whole step is recorded once
and replayed (`graphs`), which needs steps that are all alike: a `StaticSession`.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass

import numba
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visage_lite import kernels
from visage_lite.graphs import Graphs
from visage_lite.layers import Layer
from visage_lite.model import Visage
from visage_lite.packing import Linear, as_array, pack, pack_linear
from visage_lite.pattern import Pattern

BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  # of one weight, for every number type that generation offers
SPAN = 256  # places of its cache that a static session reads, then twice, three times as many: 8 records for 5 s
ONE_AT_A_TIME = threading.Lock()  # not every threading layer of Numba may be entered by two threads


class Prepared:
    """A model whose decoder is ready for generation; get one from `prepare`, and use it for any number of clips.

    Attributes: `model`, `dtype`, `pattern`; `compiled`, whether it runs through `kernels`; `layers` and `heads`, the
    streams and the head of even and of odd steps, as the session of either kind reads them; `step_bytes`, bytes of
    weights that a step reads (mean of even and odd); `kept`, what a static session that has ended leaves to the next.
    """

    def __init__(self, model: Visage, dtype: str, compiled: bool) -> None:
        config = model.config
        self.model, self.dtype, self.compiled = model, dtype, compiled
        self.kept: Static | None = None
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
        kind = CompiledSession if self.compiled else GraphSession if memory.is_cuda else Session
        return kind(self, memory, steps)


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
        config = prepared.model.config
        if steps > config.max_steps:
            raise ValueError(f"{steps} steps, but the model has positions for {config.max_steps}: shorten the clip")
        self.prepared, self.place, self.heads = prepared, 0, config.heads
        pairs = [layer.cross_kv(memory).unflatten(-1, (2, config.heads, -1)) for layer in prepared.model.decoder_layers]
        memory = torch.stack(pairs).permute(0, 3, 1, 4, 2, 5).detach().to(prepared.cache_dtype)
        self._remember(memory.contiguous(), steps)

    def _remember(self, memory: Tensor, steps: int) -> None:
        """Keep the memory, and make room for every step."""
        self.memory, self.cache = memory, memory.new_empty((*memory.shape[:4], steps, memory.shape[5]))

    @torch.inference_mode()
    def step(self, ids: Tensor | None, streams: Tensor) -> Tensor:
        """The logits of the next step.

        Args:
            ids: int64 [B, Q], what the step before chose, the same for every branch (N = branches x B, branch by
                branch); None at the first step.
            streams: int64 [q], the streams that this step predicts, all with offsets of its parity.
        Returns: float32 [N, q, V].
        """
        own, head = self.prepared.heads[self.place % 2]
        logits = self._logits(ids, head).unflatten(1, (len(own), self.prepared.model.config.vocab))
        self.place += 1
        # The first and the last step predict fewer streams.
        return logits if len(streams) == len(own) else logits[:, torch.isin(own, streams.to(own.device))]

    def _logits(self, ids: Tensor | None, head: Linear | tuple[Tensor, Tensor]) -> Tensor:
        """The logits of all streams of the step: float32 [N, q * V]."""
        model = self.prepared.model
        x = model.decoder_bos if ids is None else self._embed(ids)  # [1 or B, D]
        x = model.decoder_norm(x + model.decoder_positions[self.place + model.POSITION_OFFSET]).float()
        return self._run(x.repeat(self.cache.shape[2] // len(x), 1), head)

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
        rows, dtype = len(x), past.dtype
        qkv = layer.self_qkv(x.to(dtype)).view(rows, 3, self.heads, -1).transpose(0, 1)  # [3, N, heads, D / heads]
        mixed = self._attend(qkv, past)
        x = layer.self_norm(x + layer.self_out(mixed.reshape(rows, -1)))
        query = layer.cross_q(x.to(dtype)).view(rows, self.heads, 1, -1)
        read = F.scaled_dot_product_attention(query, *memory)
        x = layer.cross_norm(x + layer.cross_out(read.view(rows, -1)))
        return layer.ffn_norm(x + layer.ffn_out(F.gelu(layer.ffn_in(x.to(dtype)))))

    def _attend(self, qkv: Tensor, past: Tensor) -> Tensor:
        """Self-attention of the newest place, whose query, key and value are qkv: [N, heads, 1, D / heads]."""
        past[:, :, :, self.place] = qkv[1:]
        return F.scaled_dot_product_attention(qkv[0, :, :, None], *past[:, :, :, : self.place + 1].unbind(0))


class CompiledSession(Session):
    """The same run through the compiled loops: a layer is one call."""

    def __init__(self, prepared: Prepared, memory: Tensor, steps: int) -> None:
        super().__init__(prepared, memory, steps)
        self.cache_array, self.memory_array = as_array(self.cache), as_array(self.memory)

    def _run(self, x: Tensor, head: Linear) -> Tensor:
        rows, threads = x.numpy(), min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
        with ONE_AT_A_TIME:
            _use_threads(threads)
            for layer, past, memory in zip(self.prepared.layers, self.cache_array, self.memory_array, strict=True):
                rows = kernels.layer_step(rows, layer, past, memory, self.place, threads)
            return torch.from_numpy(kernels.linear(rows, head, threads))


def _use_threads(count: int) -> None:
    """Tell Numba; the first time, it also changes PyTorch's number of threads, which is put back."""
    of_torch = torch.get_num_threads()
    numba.set_num_threads(count)
    if torch.get_num_threads() != of_torch:  # with more threads than cores, training took 20 times as long afterwards
        torch.set_num_threads(of_torch)


@dataclass(frozen=True)
class Static:
    """What a recorded step reads and writes: tensors that stay where they are, and what was recorded of them."""

    cache: Tensor
    memory: Tensor
    ids: Tensor  # int64 [N, Q], of the step before, for every branch
    place: Tensor  # int64 [1]
    graphs: Graphs


class StaticSession(Session):
    """The same run in steps that are all alike, as a recorded step must be; `GraphSession` records them.

    The place is a tensor; attention reads a fixed span of the cache, with a mask over what is not written yet. There is
    a kind of step for each span, even and odd. What it allocates, and with it what was recorded, goes on to the next
    session of the same sizes.
    """

    def _remember(self, memory: Tensor, steps: int) -> None:
        places, kept = -(-steps // 8) * 8, self.prepared.kept  # masks are read in eights
        self.prepared.kept = None
        if kept is None or kept.memory.shape != memory.shape or kept.cache.shape[4] != places:
            kept = None  # gives its memory back first
            kept = self._room(memory, places)
        self.static, self.cache, self.memory = kept, kept.cache.zero_(), kept.memory.copy_(memory)

    @torch.inference_mode(False)
    def _room(self, memory: Tensor, places: int) -> Static:
        """Zeros: what is masked counts zero times, but only if it is finite."""
        cache = torch.zeros((*memory.shape[:4], places, memory.shape[5]), dtype=memory.dtype, device=memory.device)
        ids = torch.zeros(memory.shape[2], len(self.prepared.code_rows), dtype=torch.long, device=memory.device)
        return Static(cache, torch.zeros_like(memory), ids, ids.new_zeros(1), Graphs(memory.device))

    def __del__(self) -> None:
        if hasattr(self, "static"):
            self.prepared.kept = self.static

    def _logits(self, ids: Tensor | None, head: tuple[Tensor, Tensor]) -> Tensor:
        self.static.place.fill_(self.place)
        if ids is not None:
            self.static.ids.view(-1, *ids.shape).copy_(ids)
        return self._replayed(min(-(-(self.place + 1) // SPAN) * SPAN, self.cache.shape[4]), self.place % 2)

    def _replayed(self, span: int, parity: int) -> Tensor:
        return self._static_step(span, parity)

    def _static_step(self, span: int, parity: int) -> Tensor:
        """A step of the kind (span, parity): nothing else that may differ between two calls is outside `static`."""
        model, place = self.prepared.model, self.static.place
        embedded = F.embedding(self.static.ids + self.prepared.code_rows, self.prepared.code_table).sum(1)  # [N, D]
        x = torch.where(place == 0, model.decoder_bos, embedded)
        x = model.decoder_norm(x + model.decoder_positions.index_select(0, place + model.POSITION_OFFSET)).float()
        later = torch.arange(span, device=place.device) > place
        self.mask = torch.zeros(1, 1, 1, span, dtype=self.cache.dtype, device=place.device)
        self.mask.masked_fill_(later, -torch.inf)
        return self._run(x, self.prepared.heads[parity][1])

    def _attend(self, qkv: Tensor, past: Tensor) -> Tensor:
        past.index_copy_(3, self.static.place, qkv[1:, :, :, None])
        read = past[:, :, :, : self.mask.shape[3]]
        return F.scaled_dot_product_attention(qkv[0, :, :, None], *read.unbind(0), attn_mask=self.mask)


class GraphSession(StaticSession):
    """The same on a GPU, each kind of step recorded at its first use: a step is one call, whatever is in it."""

    def _replayed(self, span: int, parity: int) -> Tensor:
        logits = self.static.graphs((span, parity), lambda: self._static_step(span, parity))
        return logits.clone()  # the next step of this kind writes there again
