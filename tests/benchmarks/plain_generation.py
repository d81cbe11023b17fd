"""The plain way to generate, which `bench_generation.py` compares with: what the released code does, step by step.

Every branch of guidance is a pass of its own with batch 1; query, key and value are three products; keys and values are
grown with torch.cat; Python loops run over the embeddings, over the heads of the step, and over each head's guidance.
Float32. Cross-attention keys and values are kept from the first step, and attention is PyTorch's fused one, as there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from visage_lite.generation import Guidance, Sampling
from visage_lite.model import Visage
from visage_lite.released import to_released


@dataclass
class Branch:
    """What one branch of guidance remembers: per layer, key and value [1, heads, places, D/heads]."""

    past: list[tuple[Tensor, Tensor] | None]  # of the steps so far
    cross: list[tuple[Tensor, Tensor]]  # of the memory


@dataclass
class PlainModel:
    """The decoder under the released names, one tensor per matrix, all streams apart."""

    model: Visage
    weights: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.weights = {name: weight.detach() for name, weight in to_released(self.model).items()}

    def branch(self, memory: Tensor) -> Branch:
        """A fresh branch; the keys and values of its memory [1, M, D] are computed here, once."""
        names = [f"model.decoder.layers.{number}.encoder_attn" for number in range(self.model.config.decoder_layers)]
        cross = [tuple(self.heads(self.linear(memory, f"{name}.{part}_proj")) for part in "kv") for name in names]
        return Branch([None] * len(names), cross)

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def heads(self, x: Tensor) -> Tensor:
        return (
            x.view(1, -1, self.model.config.heads, x.shape[-1] // self.model.config.heads).transpose(1, 2).contiguous()
        )

    def embed(self, ids: Tensor | None, place: int) -> Tensor:
        """[1, 1, D] from the ids [1, 1, Q] of the step before, one embedding after the other."""
        if ids is None:
            x = self.weights["model.decoder.bos"][None]
        else:
            x = torch.zeros(1, 1, self.model.config.d_model)
            for stream in range(self.model.config.streams):
                x = x + F.embedding(ids[..., stream], self.weights[f"model.decoder.embed_dac.{stream}.weight"])
        position = torch.arange(place, place + 1) + Visage.POSITION_OFFSET
        x = x + F.embedding(position, self.weights["model.decoder.embed_positions.weight"])
        return self.norm(x, "model.decoder.layernorm_embedding")

    def layer(self, x: Tensor, number: int, branch: Branch) -> Tensor:
        name = f"model.decoder.layers.{number}"
        query = self.heads(self.linear(x, f"{name}.self_attn.q_proj"))
        key = self.heads(self.linear(x, f"{name}.self_attn.k_proj"))
        value = self.heads(self.linear(x, f"{name}.self_attn.v_proj"))
        if branch.past[number] is not None:
            key = torch.cat([branch.past[number][0], key], dim=2)
            value = torch.cat([branch.past[number][1], value], dim=2)
        branch.past[number] = (key, value)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(x.shape)
        x = self.norm(x + self.linear(mixed, f"{name}.self_attn.out_proj"), f"{name}.self_attn_layer_norm")
        query = self.heads(self.linear(x, f"{name}.encoder_attn.q_proj"))
        read = F.scaled_dot_product_attention(query, *branch.cross[number]).transpose(1, 2).reshape(x.shape)
        x = self.norm(x + self.linear(read, f"{name}.encoder_attn.out_proj"), f"{name}.encoder_attn_layer_norm")
        hidden = self.linear(F.gelu(self.linear(x, f"{name}.fc1")), f"{name}.fc2")
        return self.norm(x + hidden, f"{name}.final_layer_norm")

    def decode(self, ids: Tensor | None, place: int, branch: Branch) -> Tensor:
        x = self.embed(ids, place)
        for number in range(self.model.config.decoder_layers):
            x = self.layer(x, number, branch)
        return x


def draw(logit: Tensor, sampling: Sampling) -> Tensor:
    """One code of one head: logit [1, 1, V] -> [1, 1]."""
    if sampling.greedy:
        return logit.argmax(-1)
    logit = logit.squeeze(1) / sampling.temperature
    logit = logit.masked_fill(logit < torch.topk(logit, sampling.top_k)[0][..., -1, None], -math.inf)
    return torch.multinomial(F.softmax(logit, dim=-1), num_samples=1)


def plain_step(
    plain: PlainModel,
    branches: list[Branch],
    ids: Tensor | None,
    place: int,
    streams: list[int],
    guidance: Guidance,
    sampling: Sampling,
) -> Tensor:
    """One step of all branches, one after the other: ids [1, 1, Q] of this step from those of the step before."""
    hidden = [plain.decode(ids, place, branch) for branch in branches]
    logits = [[plain.linear(x, f"dac_heads.{stream}") for x in hidden] for stream in streams]
    chosen = []
    for stream in range(plain.model.config.streams):
        if stream in streams:
            answers = logits.pop(0)
            logit = sum(weight * answer for (_, weight), answer in zip(guidance, answers, strict=True))
            chosen.append(draw(logit, sampling))
        else:
            chosen.append(torch.full((1, 1), plain.model.config.pad_id))
    return torch.stack(chosen, dim=-1)
