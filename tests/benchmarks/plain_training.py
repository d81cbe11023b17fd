"""The plain way to train, which `bench_training.py` compares with: what the released code does, operation by operation.

Query, key and value are three products; attention makes its whole table of weights; Python loops run over the 36
embeddings and the 36 heads, each at all positions; the loss of each head ignores the places without a label. Float32,
and AdamW as PyTorch gives it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from visage_lite.model import Visage
from visage_lite.pattern import IGNORE
from visage_lite.released import to_released


class PlainModel:
    """The model under the released names, one tensor per matrix, all streams apart.

    Attributes: `weights`, name -> a copy of the weight, to be trained; `dropout`, the share that is set to 0.
    """

    def __init__(self, model: Visage) -> None:
        self.config, self.dropout = model.config, model.config.dropout
        self.weights = {name: weight.clone().requires_grad_() for name, weight in to_released(model).items()}

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout)

    def attention(self, x: Tensor, memory: Tensor, name: str, mask: Tensor | None = None) -> Tensor:
        """The whole table [B, heads, L, M] of x's queries and memory's keys; mask [L, M] is added to it."""
        heads = self.config.heads
        query, key, value = (
            self.linear(of, f"{name}.{part}_proj").unflatten(-1, (heads, -1)).transpose(1, 2).contiguous()
            for of, part in ((x, "q"), (memory, "k"), (memory, "v"))
        )
        table = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
        if mask is not None:
            table = table + mask
        mixed = F.softmax(table, dim=-1) @ value
        return self.linear(mixed.transpose(1, 2).reshape(x.shape), f"{name}.out_proj")

    def layer(self, x: Tensor, name: str, memory: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        x = self.norm(x + self.drop(self.attention(x, x, f"{name}.self_attn", mask)), f"{name}.self_attn_layer_norm")
        if memory is not None:
            read = self.attention(x, memory, f"{name}.encoder_attn")
            x = self.norm(x + self.drop(read), f"{name}.encoder_attn_layer_norm")
        hidden = self.linear(F.gelu(self.linear(x, f"{name}.fc1")), f"{name}.fc2")
        return self.norm(x + self.drop(hidden), f"{name}.final_layer_norm")

    def encode(self, clip: Tensor, energy_map: Tensor, direction: Tensor) -> Tensor:
        name, frames = "model.encoder", clip.shape[1]
        x = self.linear(clip, f"{name}.clip_projection") + self.weights[f"{name}.embed_positions.weight"][:frames]
        x = x + self.two_layers(energy_map, f"{name}.energy_map_projection")
        x = x + self.two_layers(direction, f"{name}.direction_embedding")[:, None]
        bos, eos = (self.weights[f"{name}.{end}"].expand(len(x), 1, -1) for end in ("bos", "eos"))
        x = self.drop(self.norm(torch.cat([bos, x, eos], dim=1), f"{name}.layernorm_embedding"))
        for number in range(self.config.encoder_layers):
            x = self.layer(x, f"{name}.layers.{number}")
        return x

    def two_layers(self, x: Tensor, name: str) -> Tensor:
        return self.linear(F.gelu(self.linear(x, f"{name}.0")), f"{name}.2")

    def decode(self, ids: Tensor, memory: Tensor) -> Tensor:
        """ids [B, S, Q] of all steps but the last -> [B, S + 1, D]."""
        name, embedded = "model.decoder", 0
        for stream in range(self.config.streams):
            table = self.weights[f"{name}.embed_dac.{stream}.weight"]
            embedded = embedded + F.embedding(ids[..., stream], table, padding_idx=self.config.pad_id)
        x = torch.cat([self.weights[f"{name}.bos"].expand(len(ids), 1, -1), embedded], dim=1)
        positions = torch.arange(x.shape[1]) + Visage.POSITION_OFFSET
        x = x + F.embedding(positions, self.weights[f"{name}.embed_positions.weight"])
        x = self.drop(self.norm(x, f"{name}.layernorm_embedding"))
        mask = torch.full((x.shape[1], x.shape[1]), -math.inf).triu(1)
        for number in range(self.config.decoder_layers):
            x = self.layer(x, f"{name}.layers.{number}", memory, mask)
        return x

    def loss(self, clip: Tensor, energy_map: Tensor, direction: Tensor, ids: Tensor, labels: Tensor) -> Tensor:
        """The sum over streams of the mean cross-entropy."""
        hidden, total = self.decode(ids[:, :-1], self.encode(clip, energy_map, direction)), 0
        for stream in range(self.config.streams):
            logits = self.linear(hidden, f"dac_heads.{stream}")  # at all steps, also where there is no label
            total = total + F.cross_entropy(logits.flatten(0, 1), labels[..., stream].flatten(), ignore_index=IGNORE)
        return total

    def optimizer(self, rate: float, decay: float) -> torch.optim.AdamW:
        """AdamW with weight decay on matrices and tables only."""
        decayed = [x for x in self.weights.values() if x.ndim > 1]
        plain = [x for x in self.weights.values() if x.ndim < 2]
        return torch.optim.AdamW(
            [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}], lr=rate)
