"""Trains the toy CLIP on frames and captions of synthetic scenes: `python data/toy/train_clip.py`.

Two losses: CLIP's own, which pulls a frame toward its caption and away from the captions of the other frames of
the batch, and one that asks the spatial score of the patch energy map to be high where the object is. It trains on
pictures of 56 pixels with patches of 8; the weights are then enlarged, exactly, to 224 pixels and patches of 32.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors.torch import save_file
from torch import Tensor

from visage_lite.scenes import Scene, make_scene
from visage_lite.toy_clip import enlarge_patches, tokenise, toy_clip
from visage_lite.vision import normalise, spatial_score

SHRINK = 4
FIRST_SEED = 1_000_000  # scenes of these seeds belong to the CLIP; the model and the tests use others


def make_frames(scenes: int, seed: int = FIRST_SEED) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Four frames of every scene, and their mirror images.

    Returns: frames uint8 [n, 56, 56, 3], their captions, and how near each patch is to the object [n, 49].
    """
    images, captions, patches = [], [], []
    for number in range(seed, seed + scenes):
        scene = dataclasses.replace(make_scene(number), video_rate=0.8)
        view = scene.view(112).reshape(-1, 56, 2, 56, 2, 3)  # average 2 x 2 pixels
        images.append(view.mean((2, 4)).round().astype(np.uint8))
        captions += [scene.caption(time_s) for time_s in scene.frame_times()]
        patches.append(object_patches(scene))
    return with_mirrored(np.concatenate(images), captions, np.concatenate(patches))


def with_mirrored(
    images: np.ndarray, captions: list[str], patches: np.ndarray
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The frames, and all of them once more with left and right exchanged."""
    swap = {"left": "right", "right": "left", "left,": "right,", "right,": "left,"}
    mirrored = [" ".join(swap.get(word, word) for word in caption.split()) for caption in captions]
    other_patches = patches.reshape(-1, 7, 7)[:, :, ::-1].reshape(-1, 49)
    return np.concatenate([images, images[:, :, ::-1]]), captions + mirrored, np.concatenate([patches, other_patches])


def object_patches(scene: Scene) -> np.ndarray:
    """How near each of the 49 patches is to the object's centre, in every frame: [F, 49], each frame sums to 1."""
    left, up = np.moveaxis(scene.view_angles(scene.frame_times()), -1, 0)
    place = np.stack([3.5 - 3.5 * np.tan(left), 3.5 - 3.5 * np.tan(up) / np.cos(left)], axis=-1)
    rows, columns = np.mgrid[0:7, 0:7] + 0.5
    squares = (columns - place[:, 0, None, None]) ** 2 + (rows - place[:, 1, None, None]) ** 2
    weights = np.exp(-squares / (2 * 0.55**2)).reshape(len(place), 49)
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def losses(
    model: torch.nn.Module, images: Tensor, words: Tensor, same: Tensor, patches: Tensor
) -> tuple[Tensor, Tensor]:
    """The contrastive loss and the patch loss of one batch."""
    kept: list[Tensor] = []
    hook = model.visual.transformer.register_forward_hook(lambda module, given, output: kept.append(output))
    image, text, scale = model(normalise(images), words)
    hook.remove()
    logits = scale * image @ text.t()
    target = same / same.sum(-1, keepdim=True)  # equal captions in a batch share the answer
    contrast = functional.cross_entropy(logits, target) + functional.cross_entropy(logits.t(), target)
    energy = (spatial_score(kept[0][:, None]).flatten(1) / 0.1).log_softmax(-1)
    return contrast / 2, -(patches * energy).sum(-1).mean()


def train(steps: int, scenes: int, batch: int, patch_weight: float, rate: float) -> torch.nn.Module:
    """Train, the learning rate first rising and then falling; print the losses as it goes."""
    torch.manual_seed(0)
    begin = time.time()
    frames, captions, patches = make_frames(scenes)
    words, patches = tokenise(captions), torch.from_numpy(patches)
    model = toy_clip(SHRINK)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.05)
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(frames)} frames in {time.time() - begin:.0f} s; {weights:,} parameters", flush=True)
    begin = time.time()
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = rate * min(1, step / 50) * (1.01 - step / steps)
        pick = torch.randint(len(frames), (batch,))
        same = (words[pick][:, None] == words[pick][None]).all(-1).float()
        contrast, patch = losses(model, torch.from_numpy(frames[pick.numpy()]), words[pick], same, patches[pick])
        optimizer.zero_grad()
        (contrast + patch_weight * patch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == steps:
            spent = time.time() - begin
            print(f"step {step:5d}  {spent:4.0f} s  contrast {contrast:.3f}  patch {patch:.3f}", flush=True)
    return model


def main() -> None:
    """Read the command line, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--scenes", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--patch-weight", type=float, default=0.3)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "clip.safetensors")
    options = parser.parse_args()
    torch.set_num_threads(2)
    model = train(options.steps, options.scenes, options.batch, options.patch_weight, options.rate)
    state = enlarge_patches(model.state_dict(), SHRINK)
    save_file({name: value.half().contiguous() for name, value in state.items()}, options.output)
    print(f"{options.output.name}: {options.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
