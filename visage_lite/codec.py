"""One protocol, two codecs: sound fields to codes and back. DAC takes channels one by one, the toy codec does not."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from visage_lite.presets import DATA_FOLDER, CodecConfig, Preset
from visage_lite.quick_dac import quicken, reach
from visage_lite.toy_codec import ToyCodec, checked_codes


@runtime_checkable
class Codec(Protocol):
    """What every codec offers. Notebook: 03_features."""

    name: str  # which codec this is, for people
    sample_rate: int  # Hz
    hop: int  # audio samples per code frame
    frame_rate: int  # code frames per second
    codebooks: int  # K
    vocab: int  # V, entries per codebook
    channels_alone: bool  # whether the codes of a channel do not depend on the others
    context: tuple[int, int]  # how many code frames before and after it the sound of a frame depends on, at most

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights, by name."""

    def encode(self, foa: np.ndarray) -> np.ndarray:
        """Codes int64 [C, K, T] of the sound field foa, float [C, N]."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The sound field float32 [C, T * hop] of codes int [C, K, T]."""


class DacCodec:
    """DAC of the package descript-audio-codec, each channel by itself.

    On the CPU one after the other: a batch of four does not fit into the cache and took twice as long.

    T = floor(N * frame_rate / sample_rate), at least 1: 5 s at 44.1 kHz give 431 frames, of which the model uses 430.
    `decode` gives T * hop samples: 430 frames are 4.992 s, 340 samples short of 5 s.
    Source: Kumar et al. 2023 (arXiv 2306.06546). Notebook: 03_features.
    """

    channels_alone = True

    def __init__(self, model: torch.nn.Module, frame_rate: int):
        """Args: model: a `dac.DAC`. frame_rate: whole code frames per second to keep, at most sample_rate / hop."""
        self.model = quicken(model.eval())
        self.sample_rate, self.hop = int(model.sample_rate), int(model.hop_length)
        self.frame_rate, self.codebooks, self.vocab = frame_rate, int(model.n_codebooks), int(model.codebook_size)
        self.context = reach(self.model.decoder, self.hop)
        self.name = f"DAC {self.sample_rate / 1000:g} kHz"

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights, by name."""
        return self.model.state_dict()

    @torch.inference_mode()
    def encode(self, foa: np.ndarray) -> np.ndarray:
        """Codes of a sound field, each channel by itself.

        Args: foa: float [C, N] at `sample_rate`.
        Returns: int64 [C, K, T], T = floor(N * frame_rate / sample_rate), at least 1.
        Raises: ValueError if foa is not [C, N], is empty or not finite.
        """
        foa = np.asarray(foa)
        if foa.ndim != 2 or not foa.size or not np.isfinite(foa).all():
            raise ValueError(f"the codec takes a finite sound field [C, N] with N > 0, not {list(foa.shape)}")
        frames = max(1, foa.shape[1] * self.frame_rate // self.sample_rate)
        signal = torch.as_tensor(foa, dtype=torch.float32, device=self._device)[:, None]  # [C, 1, N]
        groups = signal.split(1 if signal.device.type == "cpu" else len(signal))
        codes = [self.model.encode(self.model.preprocess(group, self.sample_rate))[1] for group in groups]
        return torch.cat(codes)[..., :frames].cpu().numpy()

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The sound field of codes. The network's output may be some samples short of T * hop: zeros fill it up.

        Args: codes: int [C, K, T] in [0, V).
        Returns: float32 [C, T * hop] at `sample_rate`.
        Raises: ValueError if codes is not [C, K, T] or holds an id outside [0, V).
        """
        codes = checked_codes(codes, self.codebooks, self.vocab)
        latent, *_ = self.model.quantizer.from_codes(torch.as_tensor(codes, device=self._device))
        signal = self.model.decode(latent)[:, 0].cpu().numpy()
        samples = codes.shape[2] * self.hop
        return np.pad(signal[:, :samples], [(0, 0), (0, max(0, samples - signal.shape[1]))])

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def load_codec(preset: Preset, weights: str | Path | None = None, download: bool = False) -> Codec:
    """The codec of a preset.

    Args: preset: its `codec` says which one. weights: a file; None means the shipped one (toy) or none (DAC).
        download: let descript-audio-codec fetch its published DAC weights.
    Raises: FileNotFoundError with the remedy if there are no weights; ValueError if they are of another codec.
    Notebook: 03_features.
    """
    config = preset.codec
    if config.kind == "toy":
        codec = ToyCodec.load(weights or DATA_FOLDER / "toy" / "codec.safetensors", config.sample_rate)
    elif config.kind == "dac":
        codec = DacCodec(_load_dac(config, weights, download), config.frame_rate)
    else:
        raise ValueError(f"no codec {config.kind!r}: choose 'dac' or 'toy'")
    for key in ("sample_rate", "hop", "codebooks", "vocab"):
        if getattr(codec, key) != getattr(config, key):
            found, wanted = getattr(codec, key), getattr(config, key)
            raise ValueError(f"{codec.name} has {key} {found}, the preset {preset.name!r} wants {wanted}")
    return codec


def _load_dac(config: CodecConfig, weights: str | Path | None, download: bool) -> torch.nn.Module:
    """A `dac.DAC` through the package's own loader, every weight accounted for."""
    if weights is None and not download:
        raise FileNotFoundError(
            "DAC has no weights here. Remedy: load_codec(preset, download=True), or `python -m dac download` and "
            "load_codec(preset, weights=FILE). To try the path without a network, use the toy preset."
        )
    if weights is not None and not Path(weights).is_file():
        raise FileNotFoundError(f"no DAC weights at {weights}: `python -m dac download` fetches the published ones")
    import dac  # half a second, and only this function needs it

    if weights is None:
        weights = dac.utils.download(model_type=f"{config.sample_rate // 1000}khz")
    return dac.DAC.load(str(weights), strict=True)
