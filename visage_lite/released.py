"""How the authors' released files call things: their names of our weights and sizes, as lists that one can read.

The released model keeps query, key and value apart, and one table and one head per stream; ours fuses them.
`released_names` says which of theirs make up each of ours; converting either way only reads that list.
"""

from __future__ import annotations

import re
from dataclasses import asdict

import torch
from torch import Tensor

from visage_lite.model import Visage
from visage_lite.presets import ModelConfig

STACKED = {  # ours, one tensor over all streams: theirs, one tensor per stream; all others are joined by rows
    "code_embedding": "model.decoder.embed_dac.{}.weight",
    "head_weight": "dac_heads.{}.weight",
    "head_bias": "dac_heads.{}.bias",
}
LAYER = {  # ours: theirs, in one layer
    "self_qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_out": ("self_attn.out_proj",),
    "self_norm": ("self_attn_layer_norm",),
    "cross_q": ("encoder_attn.q_proj",),
    "cross_kv": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_out": ("encoder_attn.out_proj",),
    "cross_norm": ("encoder_attn_layer_norm",),
    "ffn_in": ("fc1",),
    "ffn_out": ("fc2",),
    "ffn_norm": ("final_layer_norm",),
}
OUTSIDE = {  # ours: theirs, outside the layers
    "clip_projection": "model.encoder.clip_projection",
    "energy_projection": "model.encoder.energy_map_projection",
    "direction_projection": "model.encoder.direction_embedding",
    "null_clip": "null_embedding",
    "null_energy_map": "energy_null_embedding",
    "null_direction": "dir_null_embedding",
    "encoder_bos": "model.encoder.bos",
    "encoder_eos": "model.encoder.eos",
    "encoder_positions": "model.encoder.embed_positions.weight",
    "encoder_norm": "model.encoder.layernorm_embedding",
    "unused_table": "model.encoder.embed_spatial.weight",
    "decoder_bos": "model.decoder.bos",
    "decoder_positions": "model.decoder.embed_positions.weight",
    "decoder_norm": "model.decoder.layernorm_embedding",
}
CONFIG_KEYS = {  # ours: (theirs, what the released code takes if its config.json leaves it out)
    "d_model": (("d_model",), 1024),
    "heads": (("encoder_attention_heads", "decoder_attention_heads"), 16),
    "ffn": (("encoder_ffn_dim", "decoder_ffn_dim"), 4096),
    "encoder_layers": (("encoder_layers",), 12),
    "decoder_layers": (("decoder_layers",), 12),
    "codebooks": (("num_rvq",), 9),
    "vocab": (("dac_vocab_size", "dac_pad_token_id"), 1024),
    "clip_dim": (("d_clip",), 512),
    "max_frames": (("max_source_length",), 80),
    "max_steps": (("max_target_length",), 861),
    "dropout": (("dropout",), 0.1),
}


class CheckpointError(ValueError):
    """A file of weights that is missing, damaged, or of another model; the message says what to do."""


def released_names(model: Visage) -> dict[str, list[str]]:
    """For each of our parameters, the released parameters it is made of, in order."""
    names = {}
    for ours in model.state_dict():
        if ours in STACKED:
            names[ours] = [STACKED[ours].format(stream) for stream in range(model.config.streams)]
        elif match := re.fullmatch(r"(encoder|decoder)_layers\.(\d+)\.(\w+)\.(\w+)", ours):
            side, number, part, kind = match.groups()
            names[ours] = [f"model.{side}.layers.{number}.{theirs}.{kind}" for theirs in LAYER[part]]
        else:
            root, dot, rest = ours.partition(".")
            names[ours] = [OUTSIDE[root] + dot + rest]
    return names


def to_released(model: Visage) -> dict[str, Tensor]:
    """The weights under the released names and shapes: what `load_released` reads back.

    Returns: name -> tensor, views of the model's own weights.
    Notebook: 04_training.
    """
    state, released = model.state_dict(), {}
    for ours, names in released_names(model).items():
        parts = state[ours].unbind(0) if ours in STACKED else state[ours].chunk(len(names), 0)
        released |= dict(zip(names, parts, strict=True))
    return released


def from_released(model: Visage, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state_dict in float32 from released weights; takes the tensors out of `weights` as it goes: less memory."""
    state = {}
    for ours, names in released_names(model).items():
        parts = [weights.pop(name).float() for name in names]
        state[ours] = torch.stack(parts) if ours in STACKED else torch.cat(parts)
    return state


def released_config(config: ModelConfig) -> dict:
    """The sizes under the names of the released `config.json`."""
    ours = asdict(config)
    return {theirs: ours[name] for name, (names, _) in CONFIG_KEYS.items() for theirs in names}


def from_released_config(released: dict, channels: int) -> ModelConfig:
    """Our sizes from the content of a released `config.json`; what it leaves out gets the released code's default.

    Args:
        released: the JSON object.
        channels: 4 or 1; the released file does not say.
    Raises: CheckpointError where encoder and decoder differ in a size that is one in our model, on a value that is no
        size, or on another activation than GELU.
    """
    sizes = {}
    for ours, (theirs, default) in CONFIG_KEYS.items():
        values = {name: released.get(name, default) for name in theirs}
        if len(set(values.values())) > 1:
            raise CheckpointError(f"config.json: {values} differ; this package needs them equal")
        sizes[ours] = values[theirs[0]]
        if not isinstance(sizes[ours], (int, float)) or (ours != "dropout" and sizes[ours] < 1):
            raise CheckpointError(f"config.json: {theirs[0]} is {sizes[ours]!r}, not a size: fetch the file again")
    activation = released.get("activation_function", "gelu")
    if activation != "gelu":
        raise CheckpointError(f"config.json: activation {activation!r}; this package has only gelu")
    return ModelConfig(channels=channels, **sizes)
