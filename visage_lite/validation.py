"""Validation while a model trains: the loss of unseen clips, and how well what it generates is placed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from visage_lite import plots
from visage_lite.ambisonics import energy_map, intensity_direction
from visage_lite.batches import FeatureClips
from visage_lite.codec import Codec
from visage_lite.directions import Direction, angles
from visage_lite.evaluation import direction_error, spatial_scores
from visage_lite.generation import Sampling, generate, joint_guidance
from visage_lite.model import Visage
from visage_lite.optimisation import TrainingConfig
from visage_lite.pattern import Pattern
from visage_lite.presets import Preset
from visage_lite.runs import Run, loss_parts


@dataclass(frozen=True)
class Validation:
    """Scores of a model on clips it does not train on; for `training.train`.

    The true sound of a clip is what the codec makes of its true codes. Notebook: 04_training.
    """

    clips: FeatureClips  # of the split "valid"
    codec: Codec
    preset: Preset
    config: TrainingConfig  # of the run: as released, validation drops conditions too
    batch_size: int = 8
    losses: int = 256  # clips whose loss is taken, the first ones
    sounds: int = 8  # clips that are generated, the first ones
    seed: int = 0  # of the sampling

    def __call__(self, model: Visage, step: int, run: Run) -> dict[str, float]:
        """Scores of a model in evaluation mode: losses as in the log, and for an ambisonic model the median direction
        error (degrees) and the mean correlation of the energy maps (CC). Sounds and maps go to TensorBoard.

        Args: step: how many are done. run: where sounds and maps are logged.
        """
        row = self.loss(model)
        if model.config.channels > 1 and self.sounds:
            fields, truth = self.generated(model)
            row |= placed(fields, truth, self.codec.sample_rate)
            for i, pair in enumerate(zip(fields[:4], truth)):
                for name, field in zip(("generated", "true"), pair):
                    run.boards.add_audio(f"clip {i}/{name} W", torch.from_numpy(field[:1].copy()), step,
                                         self.codec.sample_rate)  # fmt: skip
                run.boards.add_figure(f"clip {i}/maps", _maps(*pair), step)
        return row

    @torch.no_grad()
    def loss(self, model: Visage) -> dict[str, float]:
        """The losses of unseen clips, parts as `runs.loss_parts`; the sum over streams is "loss"."""
        pattern, total = Pattern(model.config.channels, model.config.codebooks), 0.0
        count, device, mono = min(self.losses, len(self.clips)), model.head_weight.device, model.config.channels == 1
        rng = np.random.default_rng(self.seed)
        for start in range(0, count, self.batch_size):
            batch = self.clips.batch(np.arange(start, min(start + self.batch_size, count)))
            batch = {key: value.to(device) for key, value in batch.items()}
            ids = pattern.build(batch["codes"][:, : pattern.channels], model.config.pad_id)
            told = batch["clip"], *((None, None) if mono else (batch["energy_map"], batch["direction"]))
            share = [[self.config.visual_dropout], [self.config.direction_dropout]]
            drop = torch.from_numpy((rng.random((2, 1)) < share).repeat(len(ids), 1) & self.config.dropout_per_batch)
            _, per_stream = model(*told, ids, pattern.labels(ids, model.config.pad_id), tuple(drop.to(device)))
            total = total + per_stream * len(ids) / count
        return {"loss": total.sum().item(), **loss_parts(total, pattern)}

    def generated(self, model: Visage) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The sound fields of the first clips, generated with the preset's guidance, and the true ones."""
        count, preset = min(self.sounds, len(self.clips)), self.preset
        batch = self.clips.batch(np.arange(count))
        told = [batch[key].to(model.head_weight.device) for key in ("clip", "energy_map", "direction")]
        codes = generate(
            model, *told, batch["codes"].shape[-1], joint_guidance(preset.guidance_scale),
            Sampling(temperature=preset.temperature, top_k=preset.top_k),
            [torch.Generator().manual_seed(self.seed + i) for i in range(count)], progress=False,
        )  # fmt: skip
        return [[self.codec.decode(each) for each in some.cpu().numpy()] for some in (codes, batch["codes"])]


def placed(fields: list[np.ndarray], truth: list[np.ndarray], rate: int) -> dict[str, float]:
    """Median direction error, degrees, and mean correlation of the energy maps of sound fields.

    Args: fields, truth: arrays [4, N], pairs. rate: Hz.
    Returns: {"direction_error_deg", "cc"}; clips whose truth tells no direction are left out.
    """
    errors, maps = [], []
    for field, true in zip(fields, truth):
        wanted = intensity_direction(true)
        score = spatial_scores(field, true, rate, names=["all"])["all"]
        if np.any(wanted) and score.scored:
            errors.append(np.degrees(direction_error(intensity_direction(field), *angles(wanted))))
            maps.append(score.cc)
    return {"direction_error_deg": float(np.median(errors)), "cc": float(np.mean(maps))} if maps else {
        "direction_error_deg": 90.0, "cc": 0.0}  # fmt: skip


def _maps(field: np.ndarray, truth: np.ndarray) -> Figure:
    figure = Figure(figsize=(8, 2.2), dpi=80, layout="constrained")
    wanted = intensity_direction(truth)
    direction = Direction.from_vector(wanted) if np.any(wanted) else None
    for ax, name, each in zip(figure.subplots(1, 2), ("true", "generated"), (truth, field)):
        plots.energy_map(energy_map(each), ax, direction).set_title(name)
    return figure
