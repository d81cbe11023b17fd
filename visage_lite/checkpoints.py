"""Weights in and out: our own files (safetensors, the sizes in the header) and the authors' released ones."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from visage_lite.model import Visage
from visage_lite.presets import ModelConfig
from visage_lite.released import STACKED, CheckpointError, from_released, from_released_config, to_released

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
STEP = re.compile(r"step_(\d{8,})")  # a checkpoint in the folder of a run


def load_released(source: str | Path) -> Visage:
    """The authors' model, ambisonic or mono, from their files, in float32 on the CPU, in evaluation mode.

    Args:
        source: a folder with `config.json` and `model.safetensors` or `pytorch_model.bin`, one of these two files
            beside its `config.json`, or a Hugging Face id (`owner/name`), downloaded only if no such path exists.
    Returns: the model, in which q, k, v and the streams' tables and heads are fused.
    Raises: CheckpointError with everything that is missing, left over or of the wrong shape, or if a file is missing or
        not readable. A `.bin` file is read without running code from it (`weights_only`).
    Notebook: 04_training.
    """
    weights_path = _released_file(source)
    released = _read_json(weights_path.parent / "config.json")
    weights = _read_weights(weights_path)
    codebooks = released.get("num_rvq", 9)
    ambisonic = any("direction_embedding" in name or name.startswith(f"dac_heads.{codebooks}.") for name in weights)
    with torch.device("meta"):
        model = Visage(from_released_config(released, channels=4 if ambisonic else 1))
    _check(weights, {name: list(x.shape) for name, x in to_released(model).items()}, weights_path)
    model.load_state_dict(from_released(model, weights), assign=True)
    return model.eval()


def save(model: Visage, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write the weights and, in the header, the sizes. A crash leaves the old file or none, never half a file.

    Args:
        model: any `Visage`.
        path: the file, by custom `.safetensors`; its folder is made.
        dtype: store in this number type (float16 halves the file); None keeps the model's.
    Notebook: 04_training.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: x.detach().to("cpu", dtype or x.dtype).contiguous() for name, x in model.state_dict().items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # safetensors makes files that only their owner can read
        save_file(state, temporary, metadata={"visage_lite": json.dumps(asdict(model.config))})
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | Path, config: ModelConfig | None = None) -> Visage:
    """A model from a file of `save`, in float32 on the CPU, in evaluation mode.

    Args:
        path: the file.
        config: the sizes that the caller needs, for example a preset's `model`; another model is then refused.
    Raises: CheckpointError if the file is missing, not ours, damaged or of other sizes than `config`.
    Notebook: 04_training.
    """
    path = Path(path)
    stored = _stored_config(path)
    if config is not None and (wrong := [f.name for f in fields(config) if _differ(f.name, stored, config)]):
        sizes = ", ".join(f"{name} {getattr(stored, name)} (wanted {getattr(config, name)})" for name in wrong)
        raise CheckpointError(f"{path} holds another model: {sizes}; choose the preset it was trained with")
    weights = _read_weights(path)
    with torch.device("meta"):
        model = Visage(stored)
    _check(weights, {name: list(x.shape) for name, x in model.state_dict().items()}, path)
    model.load_state_dict({name: x.float() for name, x in weights.items()}, assign=True)
    return model.eval()


def newest(path: str | Path) -> str | Path:
    """The weights in a folder of `training`: of a run its newest step's, of a step its own; else `path` itself."""
    step = Path(path) if STEP.fullmatch(Path(path).name) else newest_step(Path(path))
    return path if step is None else step / "model.safetensors"


def newest_step(folder: Path) -> Path | None:
    """The newest checkpoint in the folder of a run, a folder too; None without one."""
    found = [path for path in folder.glob("step_*") if STEP.fullmatch(path.name)]
    return max(found, key=lambda path: int(path.name[5:]), default=None)


def mono_to_ambisonic(mono: Visage, channels: int = 4, seed: int = 0) -> Visage:
    """An ambisonic model that starts from a mono one: stream q copies mono stream q mod K, the rest is shared.

    Args: mono: a model of one channel. channels: of the new model. seed: for what mono has not (direction, energy map),
        which starts random.
    Raises: ValueError if `mono` is not a mono model.
    Source: ViSAGe (arXiv 2506.12199), training. Notebook: 04_training.
    """
    if mono.config.channels != 1:
        raise ValueError(f"the model has {mono.config.channels} channels already: pass a mono one")
    model = Visage(replace(mono.config, channels=channels), seed=seed)
    state = model.state_dict()
    for name, weight in mono.state_dict().items():
        state[name] = torch.cat([weight] * channels) if name in STACKED else weight
    model.load_state_dict(state)
    return model.to(mono.head_weight.device, mono.dtype).train(mono.training)


def _differ(name: str, stored: ModelConfig, wanted: ModelConfig) -> bool:
    return name != "dropout" and getattr(stored, name) != getattr(wanted, name)  # dropout changes no weight


def _released_file(source: str | Path) -> Path:
    """The file of weights that `source` means; downloads a Hugging Face id."""
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        for name in WEIGHT_FILES:
            if (path / name).is_file():
                return path / name
        raise CheckpointError(f"{path} has neither {' nor '.join(WEIGHT_FILES)}: put one beside its config.json")
    if isinstance(source, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
        return _download(source)
    raise CheckpointError(f"no file or folder {source}: give a path that exists, or a Hugging Face id like owner/name")


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download  # only here does the package touch the network for weights

    try:
        for name in WEIGHT_FILES:
            folder = Path(snapshot_download(repository, allow_patterns=["config.json", name]))
            if (folder / name).is_file():
                return folder / name
    except Exception as error:  # the library raises many kinds; offline, all mean the same to the reader
        raise CheckpointError(
            f"{repository} is no path here and could not be fetched from Hugging Face "
            f"({type(error).__name__}): download it elsewhere and give its folder"
        ) from error
    raise CheckpointError(f"{repository} on Hugging Face has neither {' nor '.join(WEIGHT_FILES)}")


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"no {path}: it belongs beside the released weights, put it there") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}): fetch it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object: fetch it again")
    return content


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # many kinds: a cut archive, not an archive, an object that is more than tensors
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors and is therefore not opened: fetch it again, or save its "
            f"state_dict only ({type(error).__name__})"
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(x, Tensor) for x in weights.values()):
        raise CheckpointError(f"{path} is not a state_dict (name -> tensor): save its state_dict only")
    return weights


def _check(weights: dict[str, Tensor], expected: dict[str, list[int]], path: Path) -> None:
    """Raises one CheckpointError that lists every name that is missing, left over or of the wrong shape."""
    missing = sorted(expected.keys() - weights.keys())
    left_over = sorted(weights.keys() - expected.keys())
    shapes = [f"{name} is {list(weights[name].shape)}, wanted {shape}" for name, shape in expected.items()
              if name in weights and list(weights[name].shape) != shape]
    problems = {"missing": missing, "left over": left_over, "of the wrong shape": shapes}
    if any(problems.values()):
        lines = [f"\n  {kind} ({len(found)}): {', '.join(found)}" for kind, found in problems.items() if found]
        raise CheckpointError(f"{path} does not fit the sizes stored with it:{''.join(lines)}\n"
                              "  use the config.json and the weights of one and the same release")


def _stored_config(path: Path) -> ModelConfig:
    if not path.is_file():
        raise CheckpointError(f"no file {path}: check the path, or train one with visage_lite.training")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): copy it again") from error
    if "visage_lite" not in metadata:
        raise CheckpointError(f"{path} was not written by visage_lite: for released weights use load_released")
    try:
        return ModelConfig(**json.loads(metadata["visage_lite"]))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} comes from another version of visage_lite ({error}): save it again") from error
