"""Batches of features for training: chosen clips, each in one of its eight variants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from visage_lite.clips import SPLITS, no_such_clips
from visage_lite.store import Store
from visage_lite.variants import VARIANTS, Variant

KEYS = ("clip", "energy_map", "direction", "codes")


class FeatureClips:
    """The clips of a folder of features, read from the disk batch by batch; for `training.train`.

    Attributes: `clips`, names; `origin`, the names of codec and vision network. Notebook: 04_training.
    """

    def __init__(self, folder: str | Path, augment: Callable | None = None, split: str | None = None):
        """Args: folder: of `features.dataset_features` or `scene_features`. augment: as `turn_and_mirror`, or None.
            split: only the clips of "train", "valid" or "test"; None is all.

        Raises: ValueError if the folder holds no features, or none of the split.
        """
        self._sound, self._video = Store(Path(folder) / "sound"), Store(Path(folder) / "video")
        seen = set(self._video.clips)
        self.clips = [name for name in self._sound.clips if name in seen and self._sound.in_split(name, split)]
        if not self.clips:
            raise ValueError(self._nothing(f"{folder} has no clips with sound and video", split))
        self.origin = {"codec": self._sound.recipe["network"], "vision": self._video.recipe["network"]}
        self.augment = augment

    def _nothing(self, where: str, split: str | None) -> str:
        """What to say where there are no clips."""
        both = set(self._sound.clips) & set(self._video.clips)
        if split is None or not both:
            return where
        splits = [each for name in both for each in SPLITS if self._sound.in_split(name, each)]
        return no_such_clips(where, split, splits)

    def __len__(self) -> int:
        return len(self.clips)

    def rows(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """What is stored of the clips of `indices` [B]: clip and energy_map [B, 2, F, .] (as they are, mirrored),
        direction [B, 3], codes [B, 4 or 6, K, T], see `features`."""
        names = [self.clips[index] for index in indices]
        stores = {"clip": self._video, "energy_map": self._video, "direction": self._sound, "codes": self._sound}
        return {key: store.rows(key, names) for key, store in stores.items()}

    def batch(
        self, indices: np.ndarray, rng: np.random.Generator | None = None, variants: Sequence[Variant] | None = None
    ) -> dict[str, Tensor]:
        """The clips of `indices` [B]: in the variants asked for, or augmented if the set augments, or as they are.

        Args: rng: of the augmentation. variants: one for each clip.
        Returns: clip float32 [B, F, clip_dim], energy_map float32 [B, F, P], direction float32 [B, 3], codes int64
        [B, C, K, T].
        """
        batch, chosen = self.rows(indices), np.zeros(len(indices), dtype=int)
        if variants is not None:
            chosen = np.array([VARIANTS.index(variant) for variant in variants])
        elif self.augment is not None:
            batch, chosen = self.augment(batch, rng)
        return as_variants(batch, chosen)


def as_variants(batch: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, Tensor]:
    """Rows as `FeatureClips.rows` gives them, each in a variant.

    Args: batch: rows. chosen: int [B], places in `variants.VARIANTS`; 0 is the clip as it is.
    Returns: as `FeatureClips.batch`.
    Notebook: 04_training.
    """
    variants = [VARIANTS[place] for place in chosen]
    mirrored = np.array([variant.mirrored for variant in variants], dtype=int)
    made = {key: batch[key][np.arange(len(mirrored)), mirrored] for key in ("clip", "energy_map")}
    made["direction"] = np.stack([v.direction(row) for v, row in zip(variants, batch["direction"])])
    made["codes"] = np.stack([v.codes(row) for v, row in zip(variants, batch["codes"])])
    return {key: torch.from_numpy(value.astype(np.int64 if key == "codes" else np.float32))
            for key, value in made.items()}  # fmt: skip


def turn_and_mirror(batch: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Each clip turned by a random number of quarter turns and mirrored or not: 8 clips for 1.

    Args: batch: rows, left as they are. rng: draws.
    Returns: the batch, and the variant of each clip for `as_variants`: int [B].
    Source: ViSAGe, rotation augmentation. Differs: the released code turns by 90 degrees, with probability 1/2,
        encodes the turned sound again, and has no mirror.
    Notebook: 04_training.
    """
    return batch, rng.integers(len(VARIANTS), size=len(batch["codes"]))
