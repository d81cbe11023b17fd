"""Solutions of the exercises of 04_training."""

import numpy as np


def chance_loss(streams, vocab):
    return streams * np.log(vocab)


def may_look(steps):
    return np.arange(steps)[:, None] >= np.arange(steps)


def streams_due(step, channels, codebooks):
    offsets = [(c > 0) + (k > 0) for c in range(channels) for k in range(codebooks)]
    return [stream for stream, offset in enumerate(offsets) if (step - offset) % 2 == 0]


def decoder_layer_weights(width, ffn):
    attention = 4 * (width * width + width)
    feed_forward = 2 * width * ffn + ffn + width
    return 2 * attention + feed_forward + 3 * 2 * width


def guidance_masks(clips, share, rng):
    return rng.random(clips) < share, rng.random(clips) < share
