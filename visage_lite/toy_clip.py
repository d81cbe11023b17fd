"""A CLIP small enough to train on two cores: open_clip's own class, and a vocabulary of the scenes' captions."""

from __future__ import annotations

import open_clip
import torch
from torch import Tensor

from visage_lite.scenes import COLOURS, KINDS

PLACES = ("top", "upper", "middle", "lower", "bottom", "far", "left", "centre", "right")
WORDS = ("a", *KINDS, *(name for name, _ in COLOURS.values()), *PLACES, "loud", "soft", "quiet")
CAPTION_WORDS = 10  # longest caption, with the end mark
SIZES = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 224, "patch_size": 32, "width": 128, "layers": 3, "head_width": 32, "mlp_ratio": 2.0},
    "text_cfg": {"context_length": CAPTION_WORDS, "vocab_size": len(WORDS) + 2, "width": 64, "heads": 4, "layers": 1},
}


def toy_clip(shrink: int = 1) -> open_clip.CLIP:
    """An untrained CLIP of the toy's size: 224 pixel images in 7x7 patches, a 3-layer image tower, a 64-d feature.

    Args: shrink: 4 makes one for images and patches of a quarter of the size, which trains ten times faster.
    """
    image = {**SIZES["vision_cfg"], "image_size": 224 // shrink, "patch_size": 32 // shrink}
    return open_clip.CLIP(**{**SIZES, "vision_cfg": image}, quick_gelu=True)


def enlarge_patches(state: dict[str, Tensor], times: int) -> dict[str, Tensor]:
    """The weights of a shrunk CLIP, for larger images, of which it sees averages of times x times pixels.

    Args:
        state: weights of `toy_clip(shrink=times)`, by name.
        times: how many times larger the images are.
    Returns: weights of `toy_clip()`.
    """
    kernel = state["visual.conv1.weight"]  # [D, 3, size, size]
    large = kernel.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3) / times**2
    return {**state, "visual.conv1.weight": large}


def tokenise(captions: list[str]) -> Tensor:
    """Captions as word numbers: int64 [B, CAPTION_WORDS]; 0 fills up, the highest number marks the end.

    Raises: ValueError on a word that no caption of a scene has, or a caption too long.
    """
    ids = torch.zeros(len(captions), CAPTION_WORDS, dtype=torch.long)
    for row, caption in zip(ids, captions):
        words = caption.replace(",", "").split()
        unknown = [word for word in words if word not in WORDS]
        if unknown or len(words) >= CAPTION_WORDS:
            raise ValueError(f"cannot read {caption!r}: at most {CAPTION_WORDS - 1} of the words {', '.join(WORDS)}")
        numbers = [1 + WORDS.index(word) for word in words] + [1 + len(WORDS)]
        row[: len(numbers)] = torch.tensor(numbers)
    return ids
