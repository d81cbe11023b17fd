"""The one training loop: any model of `model.py`, mono or ambisonic, from features to weights, on many processes.

    accelerate launch -m visage_lite.training FEATURES RUN --stage mono
"""

from __future__ import annotations

import runpy
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm.auto import tqdm

from visage_lite.model import Visage
from visage_lite.optimisation import TrainingConfig, batch_indices, clip_gradients, learning_rate, make_optimizer
from visage_lite.pattern import Pattern
from visage_lite.runs import Run, loss_parts
from visage_lite.variants import VARIANTS, Variant

RELEASED_VARIANTS = (0, 3)  # as it is, and turned by -90 degrees: Y' = -X, X' = Y


class Clips(Protocol):
    """What the loop trains on; `batches.FeatureClips` is one."""

    clips: Sequence[str]  # their names

    def batch(self, indices: np.ndarray, *, variants: Sequence[Variant]) -> dict[str, Tensor]:
        """clip [B, F, clip_dim], energy_map [B, F, P], direction [B, 3], codes int64 [B, C, K, T], each in its variant.

        A mono model takes clip and the first channel of codes. There may also be history int64 [B, C, K, T]: what the
        decoder reads as its past in place of the true codes, the pad id where it should read nothing.
        """


Validation = Callable[[Visage, int, Run], dict[str, float]]  # after some steps: scores for the run's validation.csv


def train(
    model: Visage, clips: Clips, config: TrainingConfig, folder: str | Path, validation: Validation | None = None,
    progress: bool = True, show: Callable[[int], None] | None = None,
) -> Path:  # fmt: skip
    """Train `model` in place, or go on where `folder` stopped; a resumed run equals an unbroken one.

    Every random draw of step n comes from (seed, n), so nothing but weights and optimiser state needs saving. Runs on
    the GPU if there is one, and on as many processes as `accelerate launch` started: each takes its part of the batch,
    and the loss is that of one process with the whole batch (with dropout in the layers, up to that).
    Ctrl-C ends the step under way, saves, and raises KeyboardInterrupt.
    Args: clips: the data. config: steps, sizes, rates. folder: of the run, see `runs`. validation: called every
        `validate_every` steps and at the end, see `validation`. progress: show a bar. show: called with the number of
        steps whenever a row is logged, for a live plot.
    Returns: path of the log, a table: the losses, in nats, as in `runs.loss_parts` ("loss" is their sum over streams),
        norm of the gradient before clipping, learning rate, code frames per second, seconds since the latest start.
    Raises: FloatingPointError, naming the clips, if the loss or gradient is not finite; ValueError if `folder` holds
        another run.
    Differs: guidance dropout is drawn per clip and never in evaluation; the released code draws once per batch, always.
    Notebook: 04_training.
    """
    device = next(model.parameters()).device
    trainer = Trainer(model, clips, config)
    run = Run(folder, config, model, writes=trainer.accelerator.is_main_process)
    step = run.resume(model, trainer.optimizer)
    began, frames = time.perf_counter(), 0
    hidden = not (progress and run.writes)
    with Interruption() as interruption, tqdm(total=config.steps, initial=step, unit="step", disable=hidden) as bar:
        while step < config.steps:
            row = trainer.step(step)
            step, frames = step + 1, frames + row.pop("frames")
            bar.update()
            last, seconds = step == config.steps, time.perf_counter() - began
            if step % config.log_every == 0 or last:
                bar.set_postfix(loss=f"{row['loss']:.2f}")
                run.log("log", step, {**row, "frames_per_s": frames / seconds, "seconds": seconds})
                if show is not None:
                    show(step)
            asked = trainer.anywhere(interruption.asked)
            if step % config.save_every == 0 or last or asked:
                run.save(model, trainer.optimizer, step)
            if validation is not None and (step % config.validate_every == 0 or last):
                trainer.validate(validation, step, run)
            if asked:
                run.close()
                raise KeyboardInterrupt(f"saved at step {step} in {run.folder}; the same call goes on from there")
    run.close()
    trainer.accelerator.wait_for_everyone()
    model.eval().to(device)
    return run.folder / "log.csv"


class Trainer:
    """Model, optimiser and data of one run; `step` makes one step, in place. Notebook: 04_training."""

    def __init__(self, model: Visage, clips: Clips, config: TrainingConfig) -> None:
        """Args: model, clips, config: as for `train`.

        Raises: ValueError if the batch does not divide by the processes and the accumulation.
        """
        self.accelerator = Accelerator(mixed_precision="no")  # config.dtype decides, not the launcher
        world = self.accelerator.num_processes
        if config.batch_size % (world * config.accumulation):
            raise ValueError(
                f"batch_size {config.batch_size} does not divide by {world} processes x {config.accumulation} parts: "
                "change one of them"
            )
        self.model, self.clips, self.config = model.train(), clips, config
        self.pattern = Pattern(model.config.channels, model.config.codebooks)
        model.to(self.accelerator.device)
        self.optimizer = make_optimizer(model, config)
        self.wrapped = self.accelerator.prepare_model(model)
        if config.compiled:
            self.wrapped = torch.compile(self.wrapped)
        self._ahead = ThreadPoolExecutor(1)  # reads the next batch while this one is computed
        self._next: tuple[int, object] | None = None

    def step(self, step: int) -> dict[str, float]:
        """Step number `step` (from 0) of gradient descent. Returns: a row of the log, and `frames`, seen in all.

        Raises: FloatingPointError as `train`.
        """
        self.model.train()
        parts = self._next[1].result() if self._next and self._next[0] == step else self.batch(step)
        if step + 1 < self.config.steps:
            self._next = step + 1, self._ahead.submit(self.batch, step + 1)
        rate = learning_rate(self.config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        per_stream = torch.stack([self._backward(step, i, part) for i, part in enumerate(parts)]).mean(0)
        per_stream = self.accelerator.reduce(per_stream, "mean")
        norm = clip_gradients(self.model, self.config.clip_norm)
        loss = per_stream.sum()
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise FloatingPointError(
                f"loss {loss.item():.3g}, gradient norm {norm.item():.3g} at step {step}, clips "
                f"{', '.join(self.names(step))}: look at these clips' features, or lower the learning rate; the last "
                "checkpoint is untouched"
            )
        self.optimizer.step()
        frames = sum(part["labels"].shape[1] // 2 * len(part["labels"]) for part in parts)
        return {"loss": loss.item(), **loss_parts(per_stream, self.pattern), "gradient_norm": norm.item(),
                "learning_rate": rate, "frames": frames * self.accelerator.num_processes}  # fmt: skip

    def names(self, step: int) -> list[str]:
        """The names of the clips of a step."""
        indices = batch_indices(len(self.clips.clips), self.config.batch_size, self.config.seed, step)
        return [str(self.clips.clips[index]) for index in indices]

    def batch(self, step: int) -> list[dict[str, Tensor]]:
        """This process's clips of a step, in `accumulation` parts: the arguments of `Visage.forward` by name.

        All is drawn for the whole batch, so that how it is divided changes nothing.
        """
        config, size = self.config, self.config.batch_size
        rng = np.random.default_rng([config.seed, step])
        indices = batch_indices(len(self.clips.clips), size, config.seed, step)
        choice = {"all": range(len(VARIANTS)), "released": RELEASED_VARIANTS, "none": (0,)}[config.variants]
        variants, starts = rng.choice(choice, size), rng.random(size)
        drop = rng.random((2, size)) < [[config.visual_dropout], [config.direction_dropout]]
        if config.dropout_per_batch:
            drop[:] = drop[:, :1]
        mine = size // self.accelerator.num_processes
        parts = np.split(np.arange(mine) + mine * self.accelerator.process_index, config.accumulation)
        noise = np.random.default_rng([config.seed, step, 1])
        return [self._part(indices[p], variants[p], starts[p], drop[:, p], noise) for p in parts]

    def _part(self, indices: np.ndarray, variants: np.ndarray, starts: np.ndarray, drop: np.ndarray,
              noise: np.random.Generator) -> dict[str, Tensor]:  # fmt: skip
        batch = self.clips.batch(indices, variants=[VARIANTS[place] for place in variants])
        both, start = torch.stack([batch["codes"], batch.get("history", batch["codes"])], dim=1), 0
        both = both[:, :, : self.pattern.channels].flatten(1, 2)  # [B, 2 C, K, T]
        if self.config.window is not None:
            both, first = window(both, starts, self.config.window)
            start = 2 * first
        if self.config.feature_noise:
            noise = torch.from_numpy(noise.standard_normal(batch["clip"].shape, dtype=np.float32))
            batch["clip"] = batch["clip"] + self.config.feature_noise * noise
        pad = self.model.config.pad_id
        ids, history = (self.pattern.build(each, pad) for each in both.chunk(2, 1))
        labels, mono = self.pattern.labels(ids, pad), self.pattern.channels == 1
        return {"clip": batch["clip"], "energy_map": None if mono else batch["energy_map"],
                "direction": None if mono else batch["direction"], "ids": history, "labels": labels,
                "drop": tuple(torch.from_numpy(np.array(mask)) for mask in drop), "start": start}  # fmt: skip

    def _backward(self, step: int, number: int, part: dict[str, Tensor]) -> Tensor:
        """Adds one part's gradient; returns its losses per stream [Q]. Processes meet in the last part only."""
        accelerator, config = self.accelerator, self.config
        part = {key: _moved(value, accelerator.device) for key, value in part.items()}
        last = number == config.accumulation - 1
        with nullcontext() if last else accelerator.no_sync(self.wrapped), torch.random.fork_rng():
            torch.manual_seed(hash((config.seed, step, number, accelerator.process_index)) % 2**63)  # layers' dropout
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.dtype == "bfloat16"):
                loss, per_stream = self.wrapped(**part)
            accelerator.backward(loss / config.accumulation)
        return per_stream.detach()

    def validate(self, validation: Validation, step: int, run: Run) -> None:
        """Scores on the main process while the others wait. Args: as for `train`; step: how many are done."""
        if run.writes:
            self.model.eval()
            run.log("validation", step, validation(self.model, step, run))
            self.model.train()
        self.accelerator.wait_for_everyone()

    def anywhere(self, asked: bool) -> bool:
        """Whether any process was asked to stop: all of them stop then."""
        if self.accelerator.num_processes == 1:
            return asked
        return bool(self.accelerator.reduce(torch.tensor(float(asked), device=self.accelerator.device)) > 0)


def _moved(value: object, device: torch.device) -> object:
    if isinstance(value, tuple):
        return tuple(each.to(device) for each in value)
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def window(codes: Tensor, share: np.ndarray, frames: int) -> tuple[Tensor, Tensor]:
    """A part of each clip, at a place of its own.

    Where the sound comes from, a model must guess at the first frames only: later ones show it. Many short parts
    therefore teach direction sooner than few whole clips.
    Args: codes: [B, C, K, T]. share: [B] in [0, 1), the place. frames: of the part.
    Returns: codes [B, C, K, frames], and the first frame of each, int64 [B].
    Raises: ValueError if the clips are shorter.
    Notebook: 04_training.
    """
    total = codes.shape[-1]
    if not 0 < frames <= total:
        raise ValueError(f"a window of {frames} code frames does not fit into {total}")
    first = torch.from_numpy((share * (total - frames + 1)).astype(np.int64))
    places = first[:, None] + torch.arange(frames)
    return codes.gather(3, places[:, None, None].expand(*codes.shape[:3], -1)), first


class Interruption:
    """While open, Ctrl-C sets `asked` and the step under way ends; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._main = threading.current_thread() is threading.main_thread()  # only there can signals be caught

    def __enter__(self) -> Interruption:
        if self._main:
            self._previous = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._previous)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


if __name__ == "__main__":  # accelerate launch -m visage_lite.training
    runpy.run_module("visage_lite.train_command", run_name="__main__")
