"""The folder of a training run: checkpoints that survive any stop, and logs.

    run.json                  what decides the run; another recipe is refused
    step_00000500/            the newest checkpoint, a folder that is there whole or not at all:
        model.safetensors     the weights, as `checkpoints.load` reads them
        optimizer.safetensors the optimiser's state
    log.csv, validation.csv   a row every few steps
    tensorboard/              the same for `tensorboard --logdir`, with sounds and maps of validation clips
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from visage_lite import checkpoints
from visage_lite.model import Visage
from visage_lite.optimisation import MAY_CHANGE, TrainingConfig
from visage_lite.pattern import Pattern
from visage_lite.streams import atomic


class Run:
    """A folder that training writes to. Notebook: 04_training."""

    def __init__(self, folder: str | Path, config: TrainingConfig, model: Visage, writes: bool = True) -> None:
        """Args: folder: made if missing. config, model: of the run. writes: whether this process writes (one of many).

        Raises: ValueError if the folder holds a run of another recipe or another model.
        """
        self.folder, self.writes = Path(folder), writes
        self._boards = None
        self.folder.mkdir(parents=True, exist_ok=True)
        recipe = json.loads(json.dumps({"training": asdict(config), "model": asdict(model.config)}))
        self._claim(recipe)

    def _claim(self, recipe: dict) -> None:
        path = self.folder / "run.json"
        if path.is_file():
            found = json.loads(path.read_text())
            differ = [f"{part}.{key} {found.get(part, {}).get(key)!r}, now {value!r}"
                      for part, values in recipe.items() for key, value in values.items()
                      if key not in MAY_CHANGE and found.get(part, {}).get(key) != value]  # fmt: skip
            if differ:
                raise ValueError(f"{self.folder} is another run ({'; '.join(differ)}): choose another folder")
        if self.writes:
            with atomic(path) as temporary:
                temporary.write_text(json.dumps(recipe, indent=1))

    def newest(self) -> Path | None:
        """The folder of the newest checkpoint, None without one."""
        return checkpoints.newest_step(self.folder)

    def resume(self, model: Visage, optimizer: torch.optim.Optimizer) -> int:
        """Load the newest checkpoint in place, and cut the logs back to it. Returns: the steps done, 0 without one.

        Args: model, optimizer: those that `save` was given, or new ones of the same sizes.
        """
        newest = self.newest()
        step = 0 if newest is None else int(newest.name[5:])
        if newest is not None:
            model.load_state_dict(load_file(newest / "model.safetensors"))
            load_optimizer(newest / "optimizer.safetensors", model, optimizer)
        if self.writes:
            for left in self.folder.glob(".*.tmp"):  # of a run that was killed
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            for name in ("log.csv", "validation.csv"):
                cut_table(self.folder / name, step)
        self._step = step
        return step

    def save(self, model: Visage, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Write a checkpoint under a temporary name, rename it, delete the older ones: a crash leaves a whole one.

        Args: model, optimizer: what is to go on later. step: how many are done.
        """
        path = self.folder / f"step_{step:08d}"
        if not self.writes or path.is_dir():
            return
        temporary = self.folder / f".{secrets.token_hex(6)}.tmp"
        temporary.mkdir()
        checkpoints.save(model, temporary / "model.safetensors")
        save_optimizer(temporary / "optimizer.safetensors", model, optimizer)
        os.rename(temporary, path)
        for other in self.folder.glob("step_*"):
            if checkpoints.STEP.fullmatch(other.name) and other != path:
                shutil.rmtree(other)

    def log(self, name: str, step: int, row: dict[str, float]) -> None:
        """Add a row to a table and its numbers to TensorBoard.

        Args: name: "log" or "validation". step: how many are done. row: the numbers, the same names every time.
        """
        if not self.writes:
            return
        path = self.folder / f"{name}.csv"
        new = not path.is_file()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, ["step", *row])
            if new:
                writer.writeheader()
            writer.writerow({"step": step, **{key: f"{value:.6g}" for key, value in row.items()}})
        for key, value in row.items():
            self.boards.add_scalar(f"{name}/{key}", value, step)

    @property
    def boards(self) -> torch.utils.tensorboard.SummaryWriter:
        """TensorBoard's writer; what an earlier run wrote after the checkpoint is hidden."""
        if self._boards is None:
            from torch.utils.tensorboard import SummaryWriter  # late: it takes seconds to import

            self._boards = SummaryWriter(self.folder / "tensorboard", purge_step=self._step + 1)
        return self._boards

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        if self._boards is not None:
            self._boards.close()


def save_optimizer(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write an optimiser's state by the names of the weights. Args: path: the file. model, optimizer: a pair."""
    names = {weight: name for name, weight in model.named_parameters()}
    state = {f"{names[weight]}:{key}": value.detach().cpu().contiguous()
             for weight, values in optimizer.state.items() for key, value in values.items()}  # fmt: skip
    save_file(state, path)


def load_optimizer(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load what `save_optimizer` wrote, in place; arguments as for `save_optimizer`.

    Raises: ValueError if the state is of another model.
    """
    weights, stored = dict(model.named_parameters()), load_file(path)
    order = [weight for group in optimizer.param_groups for weight in group["params"]]
    numbers = {weight: number for number, weight in enumerate(order)}
    state: dict[int, dict] = {}
    for name, value in stored.items():
        weight, key = name.rsplit(":", 1)
        if weight not in weights or weights[weight] not in numbers:
            raise ValueError(f"{path} is the optimiser of another model (it has {weight}): choose another folder")
        state.setdefault(numbers[weights[weight]], {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def cut_table(path: Path, step: int) -> None:
    """Keep a table's rows up to `step`: what came after the last checkpoint is done again. Args: path: a CSV file."""
    if not path.is_file():
        return
    lines = path.read_text().splitlines()
    kept = lines[:1] + [line for line in lines[1:] if line.split(",")[0].isdigit() and int(line.split(",")[0]) <= step]
    with atomic(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept))


def read_log(folder: str | Path, name: str = "log") -> pd.DataFrame:
    """The rows of a run so far, by step.

    Args: folder: of the run, also one still under way. name: "log" or "validation".
    Raises: FileNotFoundError if there is none yet.
    Notebook: 04_training.
    """
    path = Path(folder) / f"{name}.csv"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: the run has not written it yet")
    return pd.read_csv(path).set_index("step")


def loss_parts(per_stream: Tensor, pattern: Pattern) -> dict[str, float]:
    """The losses of a row of the log.

    Args: per_stream: [Q]. pattern: says which stream is which.
    Returns: means of codebook 0 of W, codebook 0 of the other channels, all later codebooks; then each stream, as w0.
    """
    grid = per_stream.view(pattern.channels, pattern.codebooks)
    groups = {"first_w": grid[:1, :1], "first_others": grid[1:, :1], "later": grid[:, 1:]}
    means = {name: group.mean().item() for name, group in groups.items() if group.numel()}
    return means | {f"{'wyzx'[c]}{k}": value for c, row in enumerate(grid.tolist()) for k, value in enumerate(row)}
