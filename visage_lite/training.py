"""The one training loop: any model of `model.py`, mono or ambisonic, from features to weights."""

from __future__ import annotations

import csv
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from visage_lite.model import Visage
from visage_lite.pattern import Pattern

COLUMNS = ("step", "loss", "first_w", "first_others", "later", "gradient_norm", "learning_rate", "seconds")


class Clips(Protocol):
    """What the loop trains on; `batches.FeatureClips` is one."""

    def __len__(self) -> int:
        """How many clips there are."""

    def batch(self, indices: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        """clip [B, F, clip_dim], energy_map [B, F, P], direction [B, 3], codes int64 [B, C, K, T].

        A mono model's batch has no energy_map and no direction. rng is for augmentation.
        """


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are the published ambisonic stage: 102 k steps of 64 clips at a constant rate.

    Source: ViSAGe, training details. Notebook: 04_training.
    """

    steps: int = 102_000
    batch_size: int = 64
    learning_rate: float = 1e-4
    warmup_steps: int = 0  # linear, from 0; the mono stage has 4,000
    decay_steps: int = 0  # linear, to 0, over the last steps; 0 keeps the rate constant
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01  # none on biases and norms
    clip_norm: float = 1.0
    visual_dropout: float = 0.1  # share of clips trained without CLIP features and energy map
    direction_dropout: float = 0.1  # share of clips trained without the camera's direction
    dtype: str = "float32"  # of the arithmetic: "float32" or "bfloat16"; weights stay float32
    seed: int = 1115
    save_every: int = 500  # steps between checkpoints
    log_every: int = 10  # steps between rows of the log


def train(model: Visage, clips: Clips, config: TrainingConfig, folder: str | Path, progress: bool = True) -> Path:
    """Train `model` in place, or go on where `folder` stopped; a resumed run equals an unbroken one.

    Every random draw of step n comes from (seed, n), so nothing but weights and optimiser state needs saving.
    Ctrl-C ends the step under way, saves, and raises KeyboardInterrupt.
    Args: clips: the data. config: steps, sizes, rates. progress: show a progress bar.
        folder: gets `checkpoint.pt` (weights, optimiser, step; written atomically) and `log.csv`.
    Returns: path of the log, a table with `COLUMNS`: the loss is the sum over streams, its parts are means over the
        streams of codebook 0 of W, codebook 0 of the other channels, and all later codebooks, in nats; seconds count
        from the latest start.
    Raises: FloatingPointError, naming the clips, if the loss or gradient is not finite; ValueError if `folder` holds
        the checkpoint of another model.
    Differs: guidance dropout is drawn per clip and never in evaluation; the released code draws once per batch, always.
    Notebook: 04_training.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = make_optimizer(model, config)
    step = resume(folder / "checkpoint.pt", model, optimizer)
    log = folder / "log.csv"
    cut_log(log, step)
    began = time.perf_counter()
    model.train()
    with Interruption() as interruption, tqdm(total=config.steps, initial=step, disable=not progress) as bar:
        while step < config.steps:
            row = train_step(model, optimizer, clips, config, step)
            step += 1
            bar.update()
            if step % config.log_every == 0 or step == config.steps:
                bar.set_postfix(loss=f"{row['loss']:.2f}")
                append_row(log, {"step": step, **row, "seconds": time.perf_counter() - began})
            if step % config.save_every == 0 or step == config.steps or interruption.asked:
                save(folder / "checkpoint.pt", model, optimizer, step)
            if interruption.asked:
                raise KeyboardInterrupt(f"saved at step {step} in {folder}; the same call goes on from there")
    model.eval()
    return log


def train_step(model: Visage, optimizer: torch.optim.Optimizer, clips: Clips, config: TrainingConfig,
               step: int) -> dict[str, float]:
    """One step of gradient descent, in place: arguments as for `train`, and the step's number.

    Returns: the row of the log without step and seconds.
    """
    rng = np.random.default_rng([config.seed, step])
    indices = batch_indices(len(clips), config.batch_size, config.seed, step)
    device, pattern = next(model.parameters()).device, Pattern(model.config.channels, model.config.codebooks)
    batch = {key: value.to(device) for key, value in clips.batch(indices, rng).items()}
    ids = pattern.build(batch["codes"], model.config.pad_id)
    drop = rng.random((2, len(indices))) < [[config.visual_dropout], [config.direction_dropout]]
    conditions = batch["clip"], batch.get("energy_map"), batch.get("direction")
    conditions = model.drop_conditions(*conditions, *torch.from_numpy(drop).to(device))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    with torch.random.fork_rng(), torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16"):
        torch.manual_seed(int(rng.integers(2**31)))  # for the dropout of the layers
        loss, per_stream = model(*conditions, ids, pattern.labels(ids, model.config.pad_id))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise FloatingPointError(
            f"loss {loss.item():.3g}, gradient norm {norm.item():.3g} at step {step}, clips {indices.tolist()}: "
            "look at these clips' features, or lower the learning rate; the last checkpoint is untouched"
        )
    optimizer.step()
    return {"loss": loss.item(), **parts(per_stream.detach(), pattern), "gradient_norm": norm.item(),
            "learning_rate": learning_rate(config, step)}


def parts(per_stream: Tensor, pattern: Pattern) -> dict[str, float]:
    """Means of the per-stream losses [Q]: codebook 0 of W, codebook 0 of the other channels, all later codebooks."""
    grid = per_stream.view(pattern.channels, pattern.codebooks)
    means = {"first_w": grid[0, 0], "first_others": grid[1:, 0].mean(), "later": grid[:, 1:].mean()}
    return {name: value.item() for name, value in means.items()}


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The rate of step `step` (from 0): up over `warmup_steps`, constant, down over the last `decay_steps`."""
    up = min(1.0, (step + 1) / max(1, config.warmup_steps))
    down = min(1.0, (config.steps - step) / max(1, config.decay_steps))
    return config.learning_rate * up * down


def batch_indices(clips: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Which clips step `step` sees: every epoch is a new permutation, and batches run on across epochs.

    Args: clips: how many there are. batch_size: how many a step takes. seed: of the permutations.
    Returns: int64 [batch_size] in [0, clips).
    Raises: ValueError if there are no clips.
    """
    if not clips:
        raise ValueError("there are no clips to train on")
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    orders = {epoch: np.random.default_rng([seed, 0, epoch]).permutation(clips) for epoch in set(places // clips)}
    return np.array([orders[place // clips][place % clips] for place in places])


def make_optimizer(model: torch.nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW in two groups: weight decay for matrices and tables, none for biases, norms and other vectors."""
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    plain = [weight for name, weight in named if weight.ndim < 2 or name.endswith("bias")]
    decayed = [weight for name, weight in named if weight.ndim >= 2 and not name.endswith("bias")]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def save(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write weights, optimiser state and step; a crash leaves the old file or the new one, never half of one.

    Args: path: the file. model, optimizer: what is to go on later. step: how many are done.
    """
    unfinished = path.with_suffix(".tmp")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, unfinished)
    os.replace(unfinished, path)


def resume(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load what `save` wrote, in place, arguments as for `save`. Returns: the steps already done, 0 without a file."""
    if not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is the checkpoint of another model: choose another folder\n{error}") from error
    return state["step"]


def cut_log(path: Path, step: int) -> None:
    """Start the log, or keep its rows up to `step`: what came after the last checkpoint is trained again."""
    rows = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def append_row(path: Path, row: dict[str, float]) -> None:
    """Add one row to the log."""
    with path.open("a", newline="") as file:
        values = {key: f"{row[key]:.5g}" for key in COLUMNS[1:]}
        csv.DictWriter(file, COLUMNS).writerow({"step": row["step"], **values})


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
