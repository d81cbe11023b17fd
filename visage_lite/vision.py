"""What the model sees of a video: a CLIP feature and a patch energy map per frame, from one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from visage_lite.presets import DATA_FOLDER, Preset
from visage_lite.towers import ARCHITECTURE, download, empty_tower, fill_tower, read_state, refuse_wrong_gelu
from visage_lite.toy_clip import toy_clip


def spatial_score(tokens: Tensor) -> Tensor:
    """How much each patch differs from its 4 neighbours: [..., F, 7, 7], 0 to 2.

    The distance between the patch token and the mean of the neighbours that exist, both at unit length.

    Args: tokens: [..., F, 49 or 50, D], CLIP tokens before the final norm; a leading class token is dropped.
    Raises: ValueError on another number of tokens.
    Source: ViSAGe, the patchwise energy map. Notebook: 03_features.
    """
    grid = _grid(tokens)  # [..., F, 7, 7, D]
    around = functional.pad(grid, (0, 0, 1, 1, 1, 1))  # zeros outside; the sum points where the mean points
    above_and_below = around[..., :-2, 1:-1, :] + around[..., 2:, 1:-1, :]
    left_and_right = around[..., 1:-1, :-2, :] + around[..., 1:-1, 2:, :]
    return _distance(grid, above_and_below + left_and_right)


def temporal_score(tokens: Tensor) -> Tensor:
    """How much each patch differs from itself in the previous and the next frame: [..., F, 7, 7], 0 to 2.

    The first and the last frame have one neighbour; a video of one frame has none and scores 1 everywhere.

    Args: tokens: [..., F, 49 or 50, D], CLIP tokens before the final norm; a leading class token is dropped.
    Raises: ValueError on another number of tokens.
    Source: ViSAGe, the patchwise energy map. Notebook: 03_features.
    """
    grid = _grid(tokens)
    around = functional.pad(grid, (0, 0, 0, 0, 0, 0, 1, 1))
    return _distance(grid, around[..., :-2, :, :, :] + around[..., 2:, :, :, :])


def patch_energy_map(tokens: Tensor, temperature: float = 0.1, top_p: float | None = 0.7) -> Tensor:
    """Where in the view something stands out or moves: [..., F, 49], each frame sums to 1.

    Both scores go through softmax(score / temperature) over the 49 patches and are averaged. Patches outside the
    largest that together hold `top_p` of the mass are then masked, and the same is computed from the rest.

    Args:
        tokens: [..., F, 49 or 50, D], CLIP tokens before the final norm; a leading class token is dropped.
        temperature: lower is sharper.
        top_p: share of the mass that is kept, 0 to 1; None keeps every patch.
    Returns: float32 [..., F, 49], row by row from the upper left patch.
    Raises: ValueError on another number of tokens or a top_p outside 0 to 1.
    Source: ViSAGe, the patchwise energy map. Notebook: 03_features.
    """
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], not {top_p}; use None to keep every patch")
    scores = torch.stack([spatial_score(tokens), temporal_score(tokens)]).flatten(-2) / temperature  # [2, ..., F, 49]
    energy = scores.softmax(-1).mean(0)
    if top_p is None:
        return energy
    ordered, order = energy.sort(dim=-1)
    outside = torch.zeros_like(energy, dtype=torch.bool).scatter(-1, order, ordered.cumsum(-1) <= 1 - top_p)
    return scores.masked_fill(outside, -torch.inf).softmax(-1).mean(0)


def resize_frames(frames: np.ndarray, size: int = 224) -> np.ndarray:
    """Frames with the short side scaled to `size` (bicubic) and the centre square cut out.

    Args:
        frames: uint8 [..., H, W, 3].
        size: pixels along an edge.
    Returns: uint8 [..., size, size, 3].
    Source: the released code's order of scale and crop, in place of CLIP's own transform. Notebook: 03_features.
    """
    height, width = frames.shape[-3:-1]
    if (height, width) == (size, size):
        return frames
    short = min(height, width)
    new_height, new_width = size * height // short, size * width // short
    images = torch.from_numpy(np.ascontiguousarray(frames)).reshape(-1, height, width, 3).permute(0, 3, 1, 2)
    images = functional.interpolate(images, (new_height, new_width), mode="bicubic", antialias=True)
    top, left = (new_height - size) // 2, (new_width - size) // 2
    square = images[:, :, top : top + size, left : left + size].permute(0, 2, 3, 1)
    return square.numpy().reshape(frames.shape[:-3] + (size, size, 3))


@dataclass(frozen=True)
class VideoFeatures:
    """What the model is told about a video. `clip` float32 [..., F, clip_dim], `energy_map` float32 [..., F, 49]."""

    clip: Tensor
    energy_map: Tensor


class Vision:
    """A CLIP image tower that gives its feature and its 50 tokens in one forward pass. Get one from `load_vision`."""

    def __init__(self, tower: nn.Module, name: str, image_size: int = 224) -> None:
        if not hasattr(tower, "transformer") or not hasattr(tower, "ln_post"):
            raise ValueError(f"{name}: the image tower is no open_clip VisionTransformer, so it shows no patch tokens")
        self.tower = tower.eval().requires_grad_(False)
        self.name = name
        self.image_size = image_size

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The weights, by name."""
        return self.tower.state_dict()

    @torch.no_grad()
    def tokens(self, frames: np.ndarray, batch_size: int = 64) -> tuple[Tensor, Tensor]:
        """The CLIP feature and the tokens before the final norm, class token first: [..., D_clip] and [..., 50, D].

        Args:
            frames: uint8 [..., H, W, 3], red, green, blue.
            batch_size: images in one forward pass.
        Raises: ValueError if the frames are not uint8 [..., H, W, 3] or there are none.
        Notebook: 03_features.
        """
        frames = np.asarray(frames)
        if frames.dtype != np.uint8 or frames.ndim < 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise ValueError(f"frames must be uint8 [F, H, W, 3] and at least one, not {frames.dtype} {frames.shape}")
        frames = resize_frames(frames, self.image_size)
        parts = [self._forward(part) for part in _chunks(frames.reshape((-1,) + frames.shape[-3:]), batch_size)]
        clip, tokens = (torch.cat(arrays).float().cpu() for arrays in zip(*parts))
        lead = frames.shape[:-3]
        return clip.reshape(*lead, -1), tokens.reshape(*lead, *tokens.shape[1:])

    def features(self, frames: np.ndarray, batch_size: int = 64) -> VideoFeatures:
        """The CLIP feature and the patch energy map of every frame of a video, or of a batch of videos.

        Args: frames: uint8 [F, H, W, 3] or [B, F, H, W, 3]; other sizes than 224 are scaled and cropped.
        Returns: VideoFeatures with `clip` [..., F, clip_dim], not normalised, and `energy_map` [..., F, 49].
        Raises: ValueError as `tokens`.
        Differs: the released code runs CLIP twice, the second time with lines of the installed package removed.
        Notebook: 03_features.
        """
        clip, tokens = self.tokens(frames, batch_size)
        return VideoFeatures(clip, patch_energy_map(tokens))

    def _forward(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """One forward pass of uint8 [B, size, size, 3]; a hook keeps what the transformer hands to the final norm."""
        kept: list[Tensor] = []
        hook = self.tower.transformer.register_forward_hook(lambda module, given, output: kept.append(output))
        try:
            parameter = next(self.tower.parameters())
            clip = self.tower(normalise(torch.from_numpy(images).to(parameter.device)).to(parameter.dtype))
        finally:
            hook.remove()
        return clip, kept[0]


def normalise(images: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] as CLIP wants it: float32 [B, 3, H, W] with its mean and spread of colours taken out."""
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN, device=images.device)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD, device=images.device)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def load_vision(
    preset: Preset,
    weights: str | Path | None = None,
    architecture: str = ARCHITECTURE,
    device: str = "cpu",
) -> Vision:
    """The CLIP of a preset, ready to look at frames.

    Args:
        preset: `presets.toy()` has its weights in data/toy; `presets.paper()` needs `weights`.
        weights: a checkpoint file of the whole CLIP (.safetensors, .pt), or "openai" to download OpenAI's
            weights once (about 600 MB). Nothing is downloaded unless "openai" is asked for.
        architecture: an open_clip model name; only weights trained with GELU belong to plain "ViT-B-32".
        device: where it runs.
    Returns: a Vision; its name says which CLIP it is.
    Raises: ValueError with the remedy if weights are missing, or belong to another architecture.
    Notebook: 03_features.
    """
    toy = preset.vision.kind == "toy"
    if toy:
        weights = weights or DATA_FOLDER / "toy" / "clip.safetensors"
    elif weights is None:
        raise ValueError(
            f'the {preset.name} preset needs CLIP weights: pass weights="openai" to download them once, '
            "or the path of a checkpoint file"
        )
    else:
        refuse_wrong_gelu(architecture, weights)
        if str(weights) == "openai":
            return Vision(download(architecture).visual.to(device), f"open_clip {architecture}, openai")
    state = read_state(Path(weights))
    tower = toy_clip().visual if toy else empty_tower(architecture)
    fill_tower(tower, state, str(weights))
    name = "toy CLIP (open_clip class, trained on synthetic scenes)" if toy else f"open_clip {architecture}"
    return Vision(tower.to(device), name, preset.vision.image_size)


def _grid(tokens: Tensor) -> Tensor:
    """Patch tokens as a picture: [..., F, 7, 7, D], without the class token."""
    tokens = torch.as_tensor(tokens)
    if tokens.ndim < 3 or tokens.shape[-2] not in (49, 50):
        raise ValueError(f"tokens must be [..., F, 49 or 50, D], not {list(tokens.shape)}")
    return tokens[..., -49:, :].unflatten(-2, (7, 7)).float()


def _distance(tokens: Tensor, others: Tensor) -> Tensor:
    """Distance between the two after both are scaled to unit length."""
    return (functional.normalize(tokens, dim=-1) - functional.normalize(others, dim=-1)).norm(dim=-1)


def _chunks(images: np.ndarray, size: int) -> list[np.ndarray]:
    """The images in groups of at most `size`."""
    return [images[start : start + size] for start in range(0, len(images), size)]
