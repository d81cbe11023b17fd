"""How large a training run is, before it is run: parameters, operations, memory and hours, each by a formula.

D is the model's width, F the width inside the feed-forward blocks, Q the streams, V the codes of a codebook. A token is
one step of the decoder or one frame of the encoder. A matrix product of [n, a] and [a, b] takes n a b multiplications
and as many additions; going backward takes it twice more, once for the gradient of each factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from visage_lite.model import Visage, embedding_rows
from visage_lite.pattern import Pattern
from visage_lite.presets import ModelConfig


@dataclass(frozen=True)
class Size:
    """What one training step takes; print it, or take its `table`. Get one from `size`.

    `flops` counts a multiplication and an addition as two. The others are bytes: `copies` are the weights in bfloat16
    that autocast makes, `activations` what the way back needs of the way forward.
    """

    parameters: int
    flops: int
    weights: int
    gradients: int
    optimiser: int
    copies: int
    activations: int

    @property
    def memory(self) -> int:
        """Bytes of all of it. The gradients of a step fill up as its activations empty, so the peak may be lower."""
        return self.weights + self.gradients + self.optimiser + self.copies + self.activations

    def table(self) -> pd.DataFrame:
        """A row for each number, with its unit."""
        rows = [("parameters", self.parameters / 1e6, "million"), ("one step", self.flops / 1e12, "TFLOP")]
        parts = ("weights", "gradients", "optimiser", "copies", "activations", "memory")
        rows += [(name, getattr(self, name) / 1e9, "GB") for name in parts]
        return pd.DataFrame(rows, columns=["what", "amount", "unit"]).set_index("what")

    def __str__(self) -> str:
        return self.table().to_string(float_format="{:.3f}".format)


def size(config: ModelConfig, frames: int, batch: int, dtype: str = "float32") -> Size:
    """Everything below, of one training step: arguments as for `memory`.

    Notebook: 04_training.
    """
    return Size(parameters(config), flops(config, frames, batch), **memory(config, frames, batch, dtype))


def parameters(config: ModelConfig) -> int:
    """How many weights the model has, the few that are never trained included. Notebook: 04_training."""
    width, streams = config.d_model, config.streams
    linear = lambda inputs, outputs: inputs * outputs + outputs  # noqa: E731
    norm, attention = 2 * width, 4 * linear(width, width)  # query, key, value, out
    feed_forward = linear(width, config.ffn) + linear(config.ffn, width)
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    conditions = linear(config.clip_dim, width) + config.clip_dim  # each with its null vector
    if config.channels > 1:
        conditions += linear(config.patches, width) + linear(width, width) + config.patches
        conditions += linear(3, width) + linear(width, width) + 3
    encoder = conditions + norm + (2 + config.max_frames) * width + config.encoder_layers * encoder_layer
    places = 1 + config.max_steps + Visage.POSITION_OFFSET  # BOS and positions
    decoder = norm + places * width + config.decoder_layers * decoder_layer
    codes = streams * (embedding_rows(config.vocab) * width + linear(width, config.vocab))
    return encoder + decoder + codes + 4 * width  # the released model's unused table


def products(config: ModelConfig, frames: int) -> dict[str, int]:
    """Multiplications of one clip's way forward, by part of the model.

    The decoder's self-attention needs half of its table: a step sees those before it. Heads count where labels are.

    Args:
        config: the sizes.
        frames: T, code frames of the clip.
    Returns: part -> multiplications. Adding, normalising, GELU, softmax and reading tables are not counted.
    Notebook: 04_training.
    """
    width, ffn, video = config.d_model, config.ffn, config.max_frames
    steps, memory = Pattern(config.channels, config.codebooks).steps(frames), video + 2  # BOS and EOS
    conditions = video * config.clip_dim * width
    if config.channels > 1:
        conditions += video * (config.patches + width) * width + (3 + width) * width
    return {
        "conditions": conditions,
        "encoder matrices": config.encoder_layers * memory * (4 * width + 2 * ffn) * width,
        "encoder attention": config.encoder_layers * 2 * memory**2 * width,
        "decoder matrices": config.decoder_layers * (steps * (6 * width + 2 * ffn) + memory * 2 * width) * width,
        "self-attention": config.decoder_layers * steps * (steps + 1) * width,  # half of 2 S^2 D
        "cross-attention": config.decoder_layers * 2 * steps * memory * width,
        "heads": frames * config.streams * config.vocab * width,
    }


def flops(config: ModelConfig, frames: int, batch: int) -> int:
    """Operations of one training step, forward and backward; a multiplication and an addition are two.

    Args:
        config: the sizes.
        frames: T, code frames of a clip.
        batch: clips.
    Returns: 6 for each of `products`: 2 on the way forward, 4 on the way back.
    Notebook: 04_training.
    """
    return 6 * batch * sum(products(config, frames).values())


def memory(config: ModelConfig, frames: int, batch: int, dtype: str = "float32") -> dict[str, int]:
    """Bytes that training holds; the program itself and short-lived results are not counted.

    Weights, gradients and AdamW's two means are float32. Of activations, the formula counts what PyTorch keeps for the
    way back: into and out of each matrix product and norm in the numbers' own type, and dropout's masks, a byte each.

    Args:
        config: the sizes.
        frames: T, code frames of a clip.
        batch: clips.
        dtype: "float32" or "bfloat16" (autocast: products in bfloat16, sums and norms in float32).
    Returns: weights, gradients, optimiser, copies, activations.
    Raises: ValueError on another dtype.
    Notebook: 04_training.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype must be float32 or bfloat16, not {dtype!r}")
    count = parameters(config)
    trained = count - 4 * config.d_model
    vectors = config.streams * (embedding_rows(config.vocab) + config.vocab) * config.d_model  # not cast as a whole
    vectors += (config.encoder_layers + config.decoder_layers) * config.ffn * config.d_model  # nor the ffn's second
    return {
        "weights": 4 * count,
        "gradients": 4 * trained,
        "optimiser": 8 * trained,
        "copies": 2 * (trained - vectors) if dtype == "bfloat16" else 0,
        "activations": batch * clip_activations(config, frames, 2 if dtype == "bfloat16" else 4),
    }


def clip_activations(config: ModelConfig, frames: int, number: int) -> int:
    """Bytes kept of one clip for the way back; `number` is the bytes of a product's number. Arguments as `memory`.

    Each block of a layer keeps what its norm read (float32), what the norm gave to the next product, and its dropout
    mask; self-attention also query, key, value and result; cross-attention query and result; feed-forward F.
    """
    width, masks = config.d_model, config.dropout > 0
    block = 4 + number + masks  # bytes per unit of width
    attends = (3 + 1) * number
    feeds = config.ffn * number
    encoder_token = (2 * block + attends) * width + feeds + (4 * config.heads)
    decoder_token = (3 * block + attends + 2 * number) * width + feeds + 2 * (4 * config.heads)
    entry = (4 + number + masks) * width  # before the first layer
    steps, memory = Pattern(config.channels, config.codebooks).steps(frames), config.max_frames + 2
    read = config.decoder_layers * memory * 2 * width * number  # keys and values of the memory
    encoder = memory * (entry + config.encoder_layers * encoder_token)
    return encoder + read + steps * (entry + config.decoder_layers * decoder_token)


def gpu_hours(config: ModelConfig, clips: int, epochs: float, flops_per_s: float, utilisation: float = 0.4,
              frames: int = 430) -> float:
    """Hours of one device for a whole training.

    Args:
        config: the sizes.
        clips: in the data set.
        epochs: times that each is seen.
        flops_per_s: what the device does at best, by its data sheet (an H100 in bfloat16: 989e12).
        utilisation: the share of it that training reaches.
        frames: T, code frames of a clip.
    Notebook: 04_training.
    """
    return clips * epochs * flops(config, frames, batch=1) / (flops_per_s * utilisation) / 3600
