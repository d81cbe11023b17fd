"""A small network that hears what a sound is, trained on synthetic scenes: stands in for VGGish and PaSST offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from visage_lite.presets import DATA_FOLDER
from visage_lite.sounds import ALL_KINDS

SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP, BANDS = 512, 320, 48  # samples, samples, mel bands
FLOOR_DB = -60.0  # what is so far below the loudest band of a clip counts as silence


class Listener(nn.Module):
    """Log-mel levels, three convolutions over time, mean and maximum, one linear layer.

    Attributes: `kinds`, the names of the classes. Notebook: 06_evaluation.
    """

    name = f"toy listener ({len(ALL_KINDS)} kinds of sound)"

    def __init__(self, kinds: tuple[str, ...] = ALL_KINDS, width: int = 64, seed: int = 0) -> None:
        """Args: kinds: names of the classes. width: of every layer. seed: of the initial weights."""
        super().__init__()
        self.kinds = tuple(kinds)
        mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=BANDS)
        self.register_buffer("mel", torch.from_numpy(mel), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(
                nn.Conv1d(inputs, width, kernel_size=5, stride=stride, padding=2)
                for inputs, stride in ((BANDS, 1), (width, 2), (width, 2))
            )
            self.embedding = nn.Linear(2 * width, width)
            self.head = nn.Linear(width, len(self.kinds))

    def levels(self, sound: Tensor) -> Tensor:
        """Mel levels of sound [B, N]: [B, BANDS, frames], 0 at each clip's loudest, -1 at FLOOR_DB and below."""
        spectrum = torch.stft(sound, WINDOW, HOP, window=self.window, center=True, return_complex=True)
        power = self.mel @ spectrum.abs().square()
        loudest = power.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        return (10 / -FLOOR_DB * (power / loudest).clamp(min=10 ** (FLOOR_DB / 10)).log10()).clamp(min=-1.0)

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """What is heard; how loud it is does not matter.

        Args: sound: float [B, N], one channel at SAMPLE_RATE.
        Returns: embedding [B, width] and logits [B, kinds].
        Raises: ValueError if sound is not [B, N] or shorter than one window.
        """
        if sound.ndim != 2 or sound.shape[1] < WINDOW:
            raise ValueError(f"sound must be [B, N] with N >= {WINDOW}, not {list(sound.shape)}")
        x = self.levels(sound)
        for layer in self.layers:
            x = F.gelu(layer(x))
        embedding = self.embedding(torch.cat([x.mean(-1), x.amax(-1)], dim=1))
        return embedding, self.head(F.gelu(embedding))


@dataclass(frozen=True)
class Heard:
    """What a listener says of some sounds."""

    kinds: list[str]  # the likeliest of each
    probabilities: np.ndarray  # [B, kinds]
    embeddings: np.ndarray  # [B, width]


@torch.no_grad()
def hear_kinds(listener: Listener, sounds: list[np.ndarray] | np.ndarray) -> Heard:
    """What each sound is.

    Args: listener: from `load_listener`. sounds: arrays [N] of one length, or [B, N]: W of sound fields at SAMPLE_RATE.
    Raises: ValueError as `Listener.forward`.
    Notebook: 06_evaluation.
    """
    embedding, logits = listener(torch.from_numpy(np.stack([np.asarray(sound, np.float32) for sound in sounds])))
    return Heard([listener.kinds[i] for i in logits.argmax(1)], logits.softmax(1).numpy(), embedding.numpy())


def load_listener(path: str | Path | None = None) -> Listener:
    """The listener of a file that `data/toy/train_listener.py` wrote, None for the shipped one, in evaluation mode.

    Raises: FileNotFoundError if there is none; ValueError if it is of another size.
    Notebook: 06_evaluation.
    """
    path = Path(path or DATA_FOLDER / "toy" / "listener.safetensors")
    if not path.is_file():
        raise FileNotFoundError(f"no listener at {path}: make it with `python data/toy/train_listener.py`")
    with safe_open(path, "pt") as file:
        kinds = tuple((file.metadata() or {}).get("kinds", "").split())
        weights = {name: file.get_tensor(name).float() for name in file.keys()}
    listener = Listener(kinds)
    try:
        listener.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path} is of another size: train it again with data/toy/train_listener.py") from error
    return listener.eval()
