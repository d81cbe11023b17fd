"""Features of clips, made once and kept: what the two big frozen networks, CLIP and the codec, say of each clip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from visage_lite.codec import Codec, load_codec
from visage_lite.directions import Direction
from visage_lite.jobs import in_parallel
from visage_lite.presets import Preset
from visage_lite.scenes import make_scene
from visage_lite.toy_codec import mirror_codes, rotate_codes
from visage_lite.vision import Vision, load_vision

SHARD_CLIPS = 100  # clips in one file


def sound_features(foa: np.ndarray, direction: Direction, codec: Codec) -> dict[str, np.ndarray]:
    """What the model hears of a clip, and where its camera looks.

    Args: foa: float [C, N] at the codec's rate.
    Returns: codes int16 [C, K, T]; direction float32 [3], (right, down, front).
    Notebook: 03_features.
    """
    return {"codes": codec.encode(foa).astype(np.int16), "direction": direction.to_model_input()}


def video_features(frames: np.ndarray, vision: Vision) -> dict[str, np.ndarray]:
    """What the model sees of a clip, as it is and in a mirror.

    Args: frames: uint8 [F, H, W, 3].
    Returns: clip float32 [2, F, clip_dim] and energy_map float32 [2, F, P]: of the frames, then of the frames with
        left and right exchanged.
    Notebook: 03_features.
    """
    seen = [vision.features(np.ascontiguousarray(view)) for view in (frames, frames[:, :, ::-1])]
    return {
        "clip": np.stack([np.asarray(each.clip, np.float32) for each in seen]),
        "energy_map": np.stack([np.asarray(each.energy_map, np.float32) for each in seen]),
    }


def scene_features(seeds: Iterable[int], folder: str | Path, preset: Preset, workers: int = 2,
                   parts: tuple[str, ...] = ("sound", "video"), progress: bool = True) -> Path:
    """Features of the synthetic scenes of `seeds`, in files of `SHARD_CLIPS` clips, sound and video apart.

    Files that are there are kept, so an interrupted run goes on where it stopped; a new CLIP leaves the codes alone.
    Args: preset: whose CLIP and codec. workers: processes; 0 works in this one. parts: which files to make.
        progress: show a progress bar.
    Returns: the folder, ready for `FeatureClips`.
    Notebook: 03_features.
    """
    folder, seeds = Path(folder), list(seeds)
    folder.mkdir(parents=True, exist_ok=True)
    shards = [seeds[i : i + SHARD_CLIPS] for i in range(0, len(seeds), SHARD_CLIPS)]
    jobs = [(part, shard) for part in parts for shard in shards]
    work = partial(_write_shard, folder=folder, preset=preset)
    for _ in in_parallel(work, jobs, workers, "features", "file", progress):
        pass
    return folder


def _write_shard(job: tuple[str, list[int]], folder: Path, preset: Preset) -> None:
    """Write one file of features, whole or not at all."""
    part, seeds = job
    path = folder / f"{part}_{seeds[0]:07d}_{len(seeds)}.npz"
    if path.is_file():
        return
    scenes = [make_scene(seed, duration_s=preset.clip_s) for seed in seeds]
    if part == "sound":
        network = load_codec(preset)
        rows = [sound_features(scene.foa(network.sample_rate), scene.camera, network) for scene in scenes]
    else:
        network = load_vision(preset)
        rows = [video_features(scene.view(preset.vision.image_size), network) for scene in scenes]
    arrays = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("wb") as file:
        np.savez(file, seed=np.array(seeds), origin=np.array(network.name), **arrays)
    os.replace(unfinished, path)


class FeatureClips:
    """The clips of a folder of features, in batches for `training.train`.

    Attributes: `arrays`, by name; `origin`, the names of codec and vision network. Notebook: 04_training.
    """

    def __init__(self, folder: str | Path, augment: Callable | None = None):
        """Args: folder: of `scene_features`. augment: as `turn_and_mirror`, or None.

        Raises: FileNotFoundError if the folder has no features; ValueError if they come from different networks or the
        sound is of other clips than the video.
        """
        sound, video = _read_part(Path(folder), "sound"), _read_part(Path(folder), "video")
        if not np.array_equal(sound["seed"], video["seed"]):
            raise ValueError(f"{folder} has sound and video of different clips: let scene_features finish")
        self.origin = {"codec": sound.pop("origin"), "vision": video.pop("origin")}
        self.arrays = {**sound, **video}
        self.augment = augment

    def __len__(self) -> int:
        return len(self.arrays["codes"])

    def batch(self, indices: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        """The clips of `indices` [B], augmented if the set augments.

        Returns: clip float32 [B, F, clip_dim], energy_map float32 [B, F, P], direction float32 [B, 3], codes int64
        [B, C, K, T].
        """
        batch = {key: self.arrays[key][indices] for key in ("clip", "energy_map", "direction", "codes")}
        mirrored = np.zeros(len(indices), dtype=int)
        if self.augment is not None:
            batch, mirrored = self.augment(batch, rng)
        for key in ("clip", "energy_map"):
            batch[key] = batch[key][np.arange(len(indices)), mirrored]
        return {key: torch.from_numpy(value.astype(np.int64 if key == "codes" else np.float32))
                for key, value in batch.items()}


def _read_part(folder: Path, part: str) -> dict[str, np.ndarray]:
    """All files of "sound" or "video", joined; `origin` is the name of the network."""
    files = sorted(folder.glob(f"{part}_*.npz"))
    if not files:
        raise FileNotFoundError(f"no {part} features in {folder}: make them with features.scene_features")
    shards = [dict(np.load(file)) for file in files]
    origins = {str(shard.pop("origin")) for shard in shards}
    if len(origins) > 1:
        raise ValueError(f"{part} features of different networks in {folder}: {sorted(origins)}; take two folders")
    return {"origin": origins.pop(), **{key: np.concatenate([shard[key] for shard in shards]) for key in shards[0]}}


def random_windows(batch: dict[str, np.ndarray], rng: np.random.Generator, frames: int) -> dict[str, np.ndarray]:
    """A random part of each clip: `frames` code frames, and the video turned so that its first frame belongs to them.

    Where the sound comes from, a model must guess at the first frames only: later ones show it. Many short windows
    therefore teach direction sooner than few long clips. Starts are where video and code frames coincide (every 0.5 s
    at 4 and 50 frames per second); the video keeps its length, what came before the start goes to its end.
    Args: batch: clip [B, 2, F, .], energy_map [B, 2, F, P], codes [B, C, K, T]. rng: draws the starts.
    Returns: the batch with these three changed; codes [B, C, K, frames].
    Raises: ValueError if a clip is shorter than the window.
    Notebook: 04_training.
    """
    total, pictures = batch["codes"].shape[-1], batch["clip"].shape[2]
    if not 0 < frames <= total:
        raise ValueError(f"a window of {frames} code frames does not fit into {total}")
    unit = Fraction(total, pictures)  # code frames per picture, 25/2: starts are 25 code frames, 2 pictures apart
    starts = rng.integers((total - frames) // unit.numerator + 1, size=len(batch["codes"]))
    codes = batch["codes"][..., :frames].copy()
    clip, energy_map = batch["clip"].copy(), batch["energy_map"].copy()
    for i, start in enumerate(starts):
        first = start * unit.numerator
        codes[i] = batch["codes"][i, ..., first : first + frames]
        clip[i] = np.roll(clip[i], -start * unit.denominator, axis=1)
        energy_map[i] = np.roll(energy_map[i], -start * unit.denominator, axis=1)
    return {**batch, "clip": clip, "energy_map": energy_map, "codes": codes}


def turn_and_mirror(batch: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Each clip of toy codes turned by a random number of quarter turns and mirrored or not: 8 clips for 1.

    Turning scene and camera together leaves the picture as it is; a mirror exchanges left and right of picture, sound
    and camera direction. The codes need no decoding (`toy_codec.rotate_codes`).
    Args: batch: direction [B, 3] (right, down, front) and codes [B, 4, K, T].
    Returns: the batch with new direction and codes, and mirrored int [B] (0 or 1): which view of the picture to take.
    Source: ViSAGe, rotation augmentation. Differs: the released code turns by 90 degrees, with probability 1/2,
        and has no mirror.
    Notebook: 04_training.
    """
    direction, codes = batch["direction"].copy(), batch["codes"].copy()
    turns, mirrored = rng.integers(4, size=len(codes)), rng.integers(2, size=len(codes))
    for clip, (turn, mirror) in enumerate(zip(turns, mirrored)):
        if mirror:
            direction[clip, 0] *= -1
            codes[clip] = mirror_codes(codes[clip])
        for _ in range(turn):  # anticlockwise: front goes left, right goes front
            right, down, front = direction[clip]
            direction[clip] = -front, down, right
        codes[clip] = rotate_codes(codes[clip], turn)
    return {**batch, "direction": direction, "codes": codes}, mirrored
