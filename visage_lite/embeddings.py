"""What FAD and KLD listen with: the toy listener offline, audioldm_eval's networks where their weights are, or yours.

An `Embedding` is a small description that any process can be given; its weights are read once in each.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from visage_lite.listener import SAMPLE_RATE, WINDOW, Listener, hear_kinds, load_listener
from visage_lite.presets import DATA_FOLDER

VGGISH, CNN14 = "vggish-10086976.pth", "Cnn14_16k_mAP=0.438.pth"
ORIGINS = {
    VGGISH: "github.com/harritaylor/torchvggish, release v0.1",
    CNN14: "zenodo.org, record 3987831",
}
FRAME, STEP, BANDS, EXAMPLE = 400, 160, 64, 96  # VGGish at 16 kHz: samples, samples, mel bands, frames an example
SHORTEST = 32_000  # samples: audioldm_eval fills shorter sounds up with zeros before Cnn14


@runtime_checkable
class Embedding(Protocol):
    """What FAD and KLD need; write your own and every score takes it. Notebook: 06_evaluation."""

    name: str  # stands in every result
    sample_rate: int  # Hz
    digest: str  # of weights and manner: another digest means other numbers, and other files in the cache

    def hear(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings [n, D] for FAD and probabilities [K] for KLD of a sound, float [N] at `sample_rate`."""


class ListenerEmbedding:
    """The toy listener, the offline default: one embedding of 64 numbers for a sound, twelve kinds.

    It knows drawn scenes, not the world: its scores compare systems of the toy preset, and nothing that is published.
    How loud a sound is does not matter to it. Notebook: 06_evaluation.
    """

    name, sample_rate = Listener.name, SAMPLE_RATE

    def __init__(self, path: str | Path | None = None) -> None:
        """Args: path: weights as for `listener.load_listener`, None for the shipped ones. Raises: FileNotFoundError."""
        self.path = Path(path or DATA_FOLDER / "toy" / "listener.safetensors")
        if not self.path.is_file():
            load_listener(self.path)  # says what is missing and how it is made
        self.digest = _digest("listener", self.path)

    def hear(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embedding float32 [1, 64] and probabilities float32 [12] of a sound, float [N] with N >= 512.

        Raises: ValueError if it is not [N], too short or not finite.
        """
        heard = hear_kinds(_listener(self.path, self.digest), _sound(sound, WINDOW)[None])
        return heard.embeddings, heard.probabilities[0]


class AudioldmPieces:
    """What audioldm_eval 0.0.3 computes FAD and KLD with, from files on this machine: VGGish and PANNs Cnn14, 16 kHz.

    FAD: the 128 numbers before VGGish's last activation for every 0.96 s, without PCA; loudness matters. KLD: softmax
    of Cnn14's 527 logits, of the sound without its mean. audioldm_eval holds Cnn14 and gets VGGish through torch.hub,
    so the latter's 9 layers and its mel bands are written out below.
    The paper's KLD comes from PaSST. audioldm_eval 0.0.3 has no PaSST: this KLD is of another network, says so in its
    name, and must not be compared with published numbers. To use PaSST, write an `Embedding` around it.
    Differs: sound is not rounded to 16 bits first, nothing is cached beside the files, no error is swallowed.
    Notebook: 06_evaluation.
    """

    name, sample_rate = "FAD: VGGish; KLD: PANNs Cnn14 16 kHz (audioldm_eval 0.0.3, no PaSST)", 16_000

    def __init__(self, folder: str | Path) -> None:
        """Args: folder: holds the files of ORIGINS. See `audioldm_pieces`."""
        self.folder = Path(folder)
        if missing := [name for name in ORIGINS if not (self.folder / name).is_file()]:
            wanted = "; ".join(f"{name} (from {ORIGINS[name]})" for name in missing)
            raise FileNotFoundError(
                f"{self.folder} has no {wanted}: fetch each yourself and put it there. The published KLD is PaSST's, "
                "which audioldm_eval 0.0.3 does not contain. Without these files use ListenerEmbedding()"
            )
        if find_spec("audioldm_eval") is None:
            raise ModuleNotFoundError("audioldm_eval is not installed: `make` does it; README, dependencies, says how")
        self.digest = _digest("audioldm_eval 0.0.3", *(self.folder / name for name in ORIGINS))

    def hear(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """VGGish embeddings float32 [n, 128] and Cnn14 probabilities float32 [527] of a sound, float [N], N >= 15,600.

        Raises: ValueError if it is not [N], too short or not finite, or the weights are of other networks.
        """
        sound = _sound(sound, FRAME + (EXAMPLE - 1) * STEP)
        vggish, cnn14 = _networks(self.folder, self.digest)
        wave = torch.from_numpy(sound - sound.mean())[None]
        wave = nn.functional.pad(wave, (0, max(0, SHORTEST - wave.shape[1])))
        logits: list[Tensor] = []
        hook = cnn14.fc_audioset.register_forward_hook(lambda layer, given, result: logits.append(result))
        with hook, torch.inference_mode():
            cnn14(wave)
            return vggish(vggish_examples(sound)).numpy(), logits[0][0].softmax(0).numpy()


def audioldm_pieces(folder: str | Path) -> AudioldmPieces:
    """VGGish and Cnn14 of a folder that holds `vggish-10086976.pth` and `Cnn14_16k_mAP=0.438.pth`; fetches nothing.

    Raises: FileNotFoundError that says which file, from where; ModuleNotFoundError without audioldm_eval.
    Notebook: 06_evaluation.
    """
    return AudioldmPieces(folder)


class Vggish(nn.Module):
    """VGGish up to its last activation, under the names of torchvggish's weights.

    Source: Hershey et al. 2017; torchvggish. Notebook: 06_evaluation.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0):  # 0 halves both sides
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            channels = width or channels
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 4 * 6, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128)
        )

    def forward(self, examples: Tensor) -> Tensor:
        """Embeddings [n, 128] of examples [n, 1, 96, 64]."""
        return self.embeddings(self.features(examples).permute(0, 2, 3, 1).flatten(1))  # TensorFlow's order


def vggish_examples(sound: np.ndarray) -> Tensor:
    """What VGGish looks at: ln(mel magnitudes + 0.01) of every whole 0.96 s.

    Args: sound: float [N] at 16 kHz.
    Returns: float32 [n, 1, 96, 64].
    Source: Hershey et al. 2017 (periodic Hann windows of 25 ms every 10 ms). Notebook: 06_evaluation.
    """
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(sound, np.float64), FRAME)[::STEP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    levels = np.log(np.abs(np.fft.rfft(frames * window, 512)) @ _mel_bands() + 0.01)
    count = len(levels) // EXAMPLE
    return torch.from_numpy(levels[: count * EXAMPLE].reshape(count, 1, EXAMPLE, BANDS)).float()


@lru_cache(maxsize=1)
def _mel_bands() -> np.ndarray:
    """Triangles that are straight over mel, not over Hz, 125 to 7500 Hz: float64 [257, BANDS]."""
    edges = np.linspace(*(1127 * np.log1p(np.array([125, 7500]) / 700)), BANDS + 2)
    mel = 1127 * np.log1p(np.linspace(0, 8000, 257) / 700)[:, None]
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def _sound(sound: np.ndarray, shortest: int) -> np.ndarray:
    sound = np.asarray(sound, np.float32)
    if sound.ndim != 1 or len(sound) < shortest or not np.isfinite(sound).all():
        raise ValueError(f"an embedding hears a finite sound [N] with N >= {shortest}, not {list(sound.shape)}")
    return sound


def _digest(manner: str, *paths: Path) -> str:
    """SHA-256 of a manner of hearing and the files of its weights."""
    total = hashlib.sha256(manner.encode())
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                total.update(block)
    return total.hexdigest()


@lru_cache(maxsize=1)
def _listener(path: Path, digest: str) -> Listener:
    return load_listener(path)


@lru_cache(maxsize=1)
def _networks(folder: Path, digest: str) -> tuple[Vggish, nn.Module]:
    """VGGish and audioldm_eval's own Cnn14, once in each process; a file with another digest is read again."""
    from audioldm_eval.feature_extractors.panns.models import Cnn14_no_specaug  # seconds, and an optional package

    with torch.device("meta"):
        vggish = Vggish()
    # Its class Cnn14 fetches weights when it is made; this one is the same network without what only training uses.
    cnn14 = Cnn14_no_specaug(16_000, 512, 160, 64, 50, 8000, 527)
    for network, name in ((vggish, VGGISH), (cnn14, CNN14)):
        try:
            network.load_state_dict(read_weights(folder / name), assign=True)
        except RuntimeError as error:
            raise ValueError(f"{folder / name} is of another network: get it from {ORIGINS[name]}") from error
    return vggish.float().eval(), cnn14.float().eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a file of torch.save, without running code from it; NumPy arrays may stand beside them."""
    makers = {"_reconstruct": np.empty(0).__reduce__()[0], "scalar": np.float64(0).__reduce__()[0]}
    arrays = [(made, f"numpy.{core}.multiarray.{name}") for name, made in makers.items() for core in ("core", "_core")]
    dtypes = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"]
    try:
        with torch.serialization.safe_globals([*arrays, np.ndarray, np.dtype, *dtypes]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
        return dict(stored.get("model", stored))
    except Exception as error:  # many kinds: a cut archive, not an archive, an object that is more than arrays
        raise ValueError(f"{path} is damaged, or more than weights: get it from {ORIGINS[path.name]}") from error
