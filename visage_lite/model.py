"""The encoder-decoder: a silent video and a camera direction in, the codes of the sound field out. Plain PyTorch.

The encoder reads one vector per video frame; the decoder writes, step by step, all code streams side by side. The
weights are plain Linear layers and Parameters, so that `generation` can run the same layers with a cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visage_lite.layers import Dropout, Layer, two_layers
from visage_lite.losses import head_loss
from visage_lite.presets import ModelConfig


def embedding_rows(vocab: int) -> int:
    """Rows of one code embedding: the entries and the pad id, rounded up to a multiple of 64."""
    return -(-(vocab + 1) // 64) * 64


class Visage(nn.Module):
    """The model, ambisonic (4 channels) or mono (1 channel, no direction, no energy map).

    Attributes: `code_embedding` [Q, rows, D] and `head_weight` [Q, V, D], `head_bias` [Q, V], each one tensor over all
    streams; `null_clip`, `null_energy_map`, `null_direction` stand for a condition left out; `encoder_layers`,
    `decoder_layers`; `decoder_positions` [max_steps + 2, D], of which the row of step s is s + POSITION_OFFSET.

    Args:
        config: the sizes; a mono model has one channel.
        seed: of the random initial weights; None draws from PyTorch's global generator.

    Raises: ValueError if the width does not divide by the heads.
    Source: ViSAGe (arXiv 2506.12199), the encoder-decoder. Notebook: 04_training.
    Differs: the released code keeps a list of Q embeddings and one of Q heads, and loops over them.
    """

    POSITION_OFFSET = 2  # the released weights keep two unused rows before the first step

    def __init__(self, config: ModelConfig, seed: int | None = None) -> None:
        super().__init__()
        if config.d_model % config.heads:
            raise ValueError(f"d_model {config.d_model} does not divide by {config.heads} heads: change one of them")
        self.config, width, streams = config, config.d_model, config.streams
        self.clip_projection = nn.Linear(config.clip_dim, width)
        self.null_clip = nn.Parameter(torch.empty(config.clip_dim))
        if config.channels > 1:
            self.energy_projection = two_layers(config.patches, width)
            self.direction_projection = two_layers(3, width)
            self.null_energy_map = nn.Parameter(torch.empty(config.patches))
            self.null_direction = nn.Parameter(torch.empty(3))
        self.encoder_bos, self.encoder_eos = (nn.Parameter(torch.empty(1, width)) for _ in range(2))
        self.encoder_positions = nn.Parameter(torch.empty(config.max_frames, width))
        self.encoder_norm = nn.LayerNorm(width)
        self.encoder_layers = nn.ModuleList(Layer(config, cross=False) for _ in range(config.encoder_layers))
        # A table of the released model that nothing reads; kept so that its weights and parameter count are ours too.
        self.unused_table = nn.Parameter(torch.empty(4, width), requires_grad=False)
        self.code_embedding = nn.Parameter(torch.empty(streams, embedding_rows(config.vocab), width))
        self.decoder_bos = nn.Parameter(torch.empty(1, width))
        self.decoder_positions = nn.Parameter(torch.empty(config.max_steps + self.POSITION_OFFSET, width))
        self.decoder_norm = nn.LayerNorm(width)
        self.decoder_layers = nn.ModuleList(Layer(config, cross=True) for _ in range(config.decoder_layers))
        self.head_weight = nn.Parameter(torch.empty(streams, config.vocab, width))
        self.head_bias = nn.Parameter(torch.empty(streams, config.vocab))
        self.dropout = Dropout(config.dropout)
        self.initialise(seed)

    def initialise(self, seed: int | None = None) -> None:
        """Fresh weights: normal, deviation 0.02, in matrices and tables; zero in biases, ends, nulls and pad rows."""
        generator = None if seed is None else torch.Generator(self.head_weight.device).manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.endswith("norm.weight"):
                    weight.fill_(1.0)
                elif weight.ndim == 1 or name.endswith(("bos", "eos", "bias")):
                    weight.zero_()
                else:
                    weight.normal_(0.0, 0.02, generator=generator)
            self.code_embedding[:, self.config.pad_id] = 0.0

    def encode(self, clip: Tensor, energy_map: Tensor | None = None, direction: Tensor | None = None) -> Tensor:
        """The memory that the decoder attends to: BOS, one vector per video frame, EOS.

        Args:
            clip: [B, F, clip_dim], CLIP features of the frames.
            energy_map: [B, F, P], or None to leave its term out (always in a mono model).
            direction: [B, 3], the camera's (right, down, front) unit vector, or None; or [B, F, 3], one per frame, for
                a camera that turns (training knows one for all frames).
        Returns: [B, F+2, D].
        Raises: ValueError on a wrong shape, more than max_frames frames, or a direction given to a mono model.
        Source: ViSAGe (arXiv 2506.12199), visual and directional conditions. Notebook: 04_training.
        """
        self._check_conditions(clip, energy_map, direction)
        x = self.clip_projection(clip.to(self.dtype)) + self.encoder_positions[: clip.shape[1]]  # [B, F, D]
        if energy_map is not None:
            x = x + self.energy_projection(energy_map.to(self.dtype))
        if direction is not None:
            told = self.direction_projection(direction.to(self.dtype))
            x = x + told.view(len(x), -1, x.shape[2])  # [B, 1, D], the same on every frame, or [B, F, D]
        bos, eos = (end.expand(len(x), 1, -1) for end in (self.encoder_bos, self.encoder_eos))
        x = self.dropout(self.encoder_norm(torch.cat([bos, x, eos], dim=1)))
        for layer in self.encoder_layers:
            x = layer(x)
        return x

    def embed(self, ids: Tensor) -> Tensor:
        """The sum of the embeddings of all streams: ids [B, S, Q] -> [B, S, D]. One gather, no loop over streams.

        A pad id counts with its row of the table, which gets no gradient and so stays zero in training.
        """
        streams, rows, width = self.code_embedding.shape
        pad, empty = self.config.pad_id, ids == self.config.pad_id
        places = ids + rows * torch.arange(streams, device=ids.device)  # rows of one tall table
        places = places.masked_fill(empty, pad).flatten(0, 1)  # padding_idx leaves this row out of sum and gradient
        summed = F.embedding_bag(places, self.code_embedding.view(-1, width), mode="sum", padding_idx=pad)
        pad_rows = self.code_embedding[:, pad].detach()
        return summed.view(*ids.shape[:2], width) + empty.to(summed.dtype) @ pad_rows  # 0 unless a checkpoint has some

    def decoder_entry(self, embedded: Tensor, start: Tensor | int = 0) -> Tensor:
        """What enters the first decoder layer: the embeddings plus their positions, normalised.

        Args:
            embedded: [B, L, D], BOS or sums of code embeddings.
            start: the place of the first, one for all or int64 [B]; BOS has place 0, the ids of step s place s + 1.
        Returns: [B, L, D].
        Raises: ValueError past the last position.
        """
        length, device = embedded.shape[1], embedded.device
        steps = (start if isinstance(start, int) else int(start.max())) + length
        if steps > self.config.max_steps:
            raise ValueError(
                f"{steps} steps, but the model has positions for {self.config.max_steps}: shorten the clip"
            )
        places = torch.as_tensor(start, device=device)[..., None] + torch.arange(length, device=device)  # [L] or [B, L]
        positions = self.decoder_positions[places + self.POSITION_OFFSET]
        return self.dropout(self.decoder_norm(embedded + positions))

    def decode(self, ids: Tensor, memory: Tensor, start: Tensor | int = 0) -> Tensor:
        """Teacher forcing: the hidden state before every step, from the true ids of the steps before it.

        Args:
            ids: int64 [B, S, Q], the code pattern; BOS is put before it. S may be 0.
            memory: [B, M, D], from `encode`.
            start: the step at which ids begin, one for all or int64 [B]: not 0 for a part of a clip.
        Returns: [B, S+1, D]; row s predicts step start + s. For S target steps pass ids[:, :-1].
        Raises: ValueError on a wrong shape or more than max_steps - 1 ids.
        Notebook: 04_training.
        """
        if ids.ndim != 3 or ids.shape[2] != self.config.streams:
            raise ValueError(f"ids must be [B, S, {self.config.streams}], not {list(ids.shape)}")
        x = torch.cat([self.decoder_bos.expand(len(ids), 1, -1), self.embed(ids)], dim=1)
        x = self.decoder_entry(x, start)
        for layer in self.decoder_layers:
            x = layer(x, memory, causal=True)
        return x

    def logits(self, hidden: Tensor, streams: Tensor | None = None) -> Tensor:
        """The scores of every code: hidden [B, S, D] -> [B, S, q, V], of `streams` (int64 [q]) or of all Q."""
        weight, bias = self.head_weight, self.head_bias
        if streams is not None:
            weight, bias = weight[streams], bias[streams]
        return F.linear(hidden, weight.flatten(0, 1), bias.flatten()).unflatten(-1, bias.shape)

    def loss(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over streams of the mean cross-entropy of the labelled places.

        Even and odd steps are scored apart, each only with the heads that have a label there: half of the logits; and
        a few heads at a time, so that the logits of all never exist at once.

        Args:
            hidden: [B, S, D], from `decode`.
            labels: int64 [B, S, Q], -100 where there is nothing to predict.
        Returns: (total, a scalar; per_stream [Q], in nats, without gradient, 0 for a stream without a label).
        Raises: ValueError if the shapes disagree; RuntimeError if one total's gradient is asked for twice.
        Source: ViSAGe (arXiv 2506.12199), training. Notebook: 04_training.
        """
        if labels.shape != (*hidden.shape[:2], self.config.streams):
            raise ValueError(f"labels must be {[*hidden.shape[:2], self.config.streams]}, not {list(labels.shape)}")
        return head_loss(hidden, self.head_weight, self.head_bias, labels)

    def forward(
        self,
        clip: Tensor,
        energy_map: Tensor | None,
        direction: Tensor | None,
        ids: Tensor,
        labels: Tensor | None = None,
        drop: tuple[Tensor, Tensor] | None = None,
        start: Tensor | int = 0,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Teacher forcing over a clip, or a part of it from step `start` on: ids [B, S, Q], the true ones.

        Args: drop: masks as for `drop_conditions`, or None. start: as for `decode`. The rest: as for `encode`.
        Returns: hidden [B, S, D], or with labels [B, S, Q] the pair of `loss`.
        """
        conditions = clip, energy_map, direction
        memory = self.encode(*(conditions if drop is None else self.drop_conditions(*conditions, *drop)))
        hidden = self.decode(ids[:, :-1], memory, start)
        return hidden if labels is None else self.loss(hidden, labels)

    def drop_conditions(
        self,
        clip: Tensor,
        energy_map: Tensor | None,
        direction: Tensor | None,
        drop_visual: Tensor,
        drop_direction: Tensor,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The conditions, replaced by the learned null vectors where a mask is true: what guidance compares with.

        Args:
            clip, energy_map, direction: as for `encode`.
            drop_visual: bool [B], clips that lose the CLIP features and the energy map.
            drop_direction: bool [B], clips that lose the direction.
        Returns: (clip, energy_map, direction) of the same shapes.
        Raises: ValueError on a wrong shape.
        Source: ViSAGe (arXiv 2506.12199). Differs: the released code draws once a batch, in evaluation too; here
        each clip has its own draw, and only the training loop draws. Notebook: 04_training.
        """
        self._check_conditions(clip, energy_map, direction)
        clip = torch.where(drop_visual[:, None, None], self.null_clip, clip)
        if energy_map is not None:
            energy_map = torch.where(drop_visual[:, None, None], self.null_energy_map, energy_map)
        if direction is not None:
            without = drop_direction.view(-1, *[1] * (direction.ndim - 1))
            direction = torch.where(without, self.null_direction, direction)
        return clip, energy_map, direction

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights; inputs are converted to it."""
        return self.head_weight.dtype

    def _check_conditions(self, clip: Tensor, energy_map: Tensor | None, direction: Tensor | None) -> None:
        config = self.config
        if clip.ndim != 3 or clip.shape[2] != config.clip_dim:
            raise ValueError(f"clip must be [B, F, {config.clip_dim}], not {list(clip.shape)}")
        batch, frames = clip.shape[:2]
        if frames > config.max_frames:
            raise ValueError(f"{frames} video frames, but the model knows {config.max_frames} positions: cut the clip")
        if config.channels == 1 and not (energy_map is None and direction is None):
            raise ValueError("a mono model takes no energy map and no direction: pass None")
        if energy_map is not None and energy_map.shape != (batch, frames, config.patches):
            raise ValueError(f"energy_map must be {[batch, frames, config.patches]}, not {list(energy_map.shape)}")
        if direction is not None and direction.shape not in ((batch, 3), (batch, frames, 3)):
            raise ValueError(f"direction must be {[batch, 3]} or {[batch, frames, 3]}, not {list(direction.shape)}")
