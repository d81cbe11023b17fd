"""Image towers of open_clip: built empty, filled from a checkpoint, or fetched; wrong weights are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import open_clip
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

ARCHITECTURE = "ViT-B-32-quickgelu"  # OpenAI's weights were trained with QuickGELU; plain ViT-B-32 computes GELU


def empty_tower(architecture: str) -> nn.Module:
    """The image tower of one of open_clip's models, without weights; the text tower that comes with it is a stub.

    Raises: ValueError if open_clip has no such model.
    """
    config = open_clip.get_model_config(architecture)
    if config is None:
        raise ValueError(f"open_clip has no model {architecture!r}: use {ARCHITECTURE!r}")
    stub = {"context_length": 2, "vocab_size": 2, "width": 64, "heads": 1, "layers": 1}
    return open_clip.CLIP(
        config["embed_dim"], config["vision_cfg"], stub, quick_gelu=config.get("quick_gelu", False)
    ).visual


def refuse_wrong_gelu(architecture: str, weights: str | Path) -> None:
    """OpenAI's weights in a tower with plain GELU give wrong features without any error, so refuse them.

    Args:
        architecture: an open_clip model name.
        weights: "openai" or a file; a TorchScript file is taken for OpenAI's own.
    Raises: ValueError with the right name.
    """
    openai = str(weights) == "openai" or (zipfile.is_zipfile(weights) and _is_torchscript(weights))
    if openai and not architecture.endswith("-quickgelu"):
        raise ValueError(
            f'OpenAI\'s weights were trained with QuickGELU: use architecture="{architecture}-quickgelu", '
            f"not {architecture!r}, which gives wrong features silently"
        )


def download(architecture: str) -> nn.Module:
    """OpenAI's whole CLIP through open_clip, which keeps it in its cache.

    Raises: ValueError with the remedy if it cannot be fetched.
    """
    try:
        return open_clip.create_model(architecture, pretrained="openai")
    except Exception as error:
        raise ValueError(
            f"could not fetch OpenAI's CLIP weights ({type(error).__name__}): check the network, or download them "
            "on another machine and pass the file as weights"
        ) from error


def _is_torchscript(path: str | Path) -> bool:
    """Whether a zip file is a TorchScript archive, the form in which OpenAI publishes CLIP."""
    return any(name.endswith("/constants.pkl") for name in zipfile.ZipFile(path).namelist())


def read_state(path: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint file, by name.

    Raises: ValueError if there is no such file or it holds no weights.
    """
    if not path.is_file():
        raise ValueError(f"no CLIP weights at {path}: check the path, or make them as data/README.md says")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if zipfile.is_zipfile(path) and _is_torchscript(path):
            return torch.jit.load(path, map_location="cpu").state_dict()
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("state_dict", state)
    except Exception as error:
        raise ValueError(f"{path} is no checkpoint of weights: {type(error).__name__}") from error


def fill_tower(tower: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Copy the image tower's weights from those of the whole CLIP.

    Args:
        tower: filled in place.
        state: weights of the whole CLIP by name, "visual." before those of the image tower.
        source: where they come from, for the message.
    Raises: ValueError that says what does not fit.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    given = {name.removeprefix("visual."): value for name, value in state.items() if name.startswith("visual.")}
    wanted = {name: value.shape for name, value in tower.state_dict().items()}
    wrong = sorted(name for name in wanted if name not in given or given[name].shape != wanted[name])
    wrong += sorted(name for name in given if name not in wanted)
    if wrong:
        raise ValueError(
            f"{source} holds another image tower: {len(wrong)} weights are missing, left over or of another shape, "
            f"such as visual.{wrong[0]}"
        )
    tower.load_state_dict({name: value.float() for name, value in given.items()})
