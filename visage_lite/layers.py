"""The building blocks of the model: attention, one post-norm transformer layer, a two-layer projection. Plain PyTorch.

Post-norm: x = norm(x + block(x)). The projections to query, key and value are one matrix: one product gives all three.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from visage_lite.presets import ModelConfig


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, causal: bool = False) -> Tensor:
    """Each query's weighted mean of the values: softmax(q k' / sqrt(D / heads)) v, in `heads` independent groups.

    Args:
        query: [B, L, D]. key, value: [B, M, D].
        causal: let query i see keys 0 ... i only (L = M).
    Returns: [B, L, D].
    Source: Vaswani et al. 2017, section 3.2. Notebook: 04_training.
    """
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))  # [B, heads, L, .]
    return F.scaled_dot_product_attention(query, key, value, is_causal=causal).transpose(1, 2).flatten(2)


class Layer(nn.Module):
    """One post-norm transformer layer; with `cross` it also attends to the encoder's memory.

    Attributes: `self_qkv`, `self_out`, `self_norm`; with `cross` also `cross_q`, `cross_kv`, `cross_out`, `cross_norm`;
    `ffn_in`, `ffn_out`, `ffn_norm`. Rows of `self_qkv` are query, key, value; rows of `cross_kv` are key, value.
    """

    def __init__(self, config: ModelConfig, cross: bool) -> None:
        super().__init__()
        width = config.d_model
        self.heads, self.dropout = config.heads, Dropout(config.dropout)
        self.self_qkv, self.self_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.self_norm = nn.LayerNorm(width)
        self.cross = cross
        if cross:
            self.cross_q, self.cross_kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
            self.cross_out, self.cross_norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.ffn_in, self.ffn_out = nn.Linear(width, config.ffn), nn.Linear(config.ffn, width)
        self.ffn_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, memory: Tensor | None = None, causal: bool = False) -> Tensor:
        """x [B, L, D] after self-attention, with `cross` attention to memory [B, M, D], and the feed-forward block."""
        mixed = attention(*self.self_qkv(x).chunk(3, -1), self.heads, causal)
        x = self.self_norm(x + self.dropout(self.self_out(mixed)))
        if self.cross:
            read = attention(self.cross_q(x), *self.cross_kv(memory).chunk(2, -1), self.heads)
            x = self.cross_norm(x + self.dropout(self.cross_out(read)))
        fed = GeluLinear.apply(self.ffn_in(x), self.ffn_out.weight, self.ffn_out.bias)
        return self.ffn_norm(x + self.dropout(fed))


class Dropout(nn.Dropout):
    """Dropout that keeps one byte a number for the way back; on the CPU `nn.Dropout` keeps four."""

    def forward(self, x: Tensor) -> Tensor:
        """x with a share `p` of it zero and the rest larger by 1 / (1 - p), in training only."""
        return torch.native_dropout(x, self.p, True)[0] if self.training and self.p else x


class GeluLinear(torch.autograd.Function):
    """linear(gelu(x)). The way back computes gelu(x) again: it is the largest thing a layer would keep."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x [..., F], weight [D, F] and bias [D], which are taken in the number type of x: [..., D]."""
        ctx.save_for_backward(x, weight)
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(F.gelu(x), weight.to(x.dtype), bias.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of x, weight and bias."""
        x, weight = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            upstream = upstream.to(x.dtype)
            rows = upstream.flatten(0, -2)
            of_weight = (rows.T @ F.gelu(x).flatten(0, -2)).to(weight.dtype)
            of_x = torch.ops.aten.gelu_backward(upstream @ weight.to(x.dtype), x)
            return of_x, of_weight, rows.sum(0).to(weight.dtype)


def two_layers(inputs: int, width: int) -> nn.Sequential:
    """Linear, GELU, Linear: from a few numbers to the model's width."""
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
