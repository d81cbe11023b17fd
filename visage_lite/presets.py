"""The two presets, `toy` and `paper`: every size and rate of the system, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DATA_FOLDER = Path(__file__).resolve().parent.parent / "data"


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the encoder-decoder. The defaults are the published model (358,626,868 parameters).

    Source: ViSAGe, model details; the released `cfg/config.json`. Notebook: 04_training.
    """

    d_model: int = 1024  # D, width of every layer
    heads: int = 16  # attention heads in each layer
    ffn: int = 4096  # width inside the feed-forward blocks
    encoder_layers: int = 6
    decoder_layers: int = 12
    channels: int = 4  # C: 4 for ambisonics (W, Y, Z, X), 1 for the mono model
    codebooks: int = 9  # K, residual codebooks per channel
    vocab: int = 1024  # entries per codebook; the pad id is this number
    clip_dim: int = 512  # width of the CLIP image feature
    patches: int = 49  # P, 7x7 values of the patch energy map
    max_frames: int = 20  # longest video, in frames, that the encoder's positions cover
    max_steps: int = 861  # longest code sequence, in pattern steps, that the decoder's positions cover
    dropout: float = 0.1

    @property
    def streams(self) -> int:
        """Q = C * K, the code streams predicted side by side."""
        return self.channels * self.codebooks

    @property
    def pad_id(self) -> int:
        """The id that fills places of the pattern where a stream has no code."""
        return self.vocab


@dataclass(frozen=True)
class CodecConfig:
    """Rates and sizes of an audio codec. Notebook: 03_features."""

    kind: str = "dac"  # "dac" (descript-audio-codec) or "toy"
    sample_rate: int = 44100  # Hz
    hop: int = 512  # audio samples per code frame
    frame_rate: int = 86  # code frames per second that the model uses
    codebooks: int = 9  # K
    vocab: int = 1024  # entries per codebook


@dataclass(frozen=True)
class VisionConfig:
    """Which CLIP looks at the frames. Notebook: 03_features."""

    kind: str = "open_clip"  # "open_clip" (ViT-B-32-quickgelu, openai weights) or "toy"
    image_size: int = 224  # pixels, square
    clip_dim: int = 512


@dataclass(frozen=True)
class Preset:
    """Everything one run needs to agree on. Get one from `toy()` or `paper()`."""

    name: str
    model: ModelConfig = field(default_factory=ModelConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    video_rate: int = 4  # video frames per second that the encoder sees
    clip_s: float = 5.0  # length of a clip
    fov_deg: float = 90.0  # vertical field of view of the crop
    panorama_width: int = 896  # pixels
    panorama_height: int = 448  # pixels
    guidance_scale: float = 2.5  # l + 2.5 (l - u), 3.5 in the usual notation
    top_k: int = 256
    temperature: float = 1.0

    @property
    def video_frames(self) -> int:
        """F, frames in a clip."""
        return int(self.clip_s * self.video_rate)

    @property
    def code_frames(self) -> int:
        """T, code frames in a clip."""
        return int(self.clip_s * self.codec.frame_rate)

    @property
    def clip_samples(self) -> int:
        """N, audio samples in a clip at the codec's rate."""
        return int(self.clip_s * self.codec.sample_rate)


def paper() -> Preset:
    """The published sizes: DAC at 44.1 kHz, ViT-B/32, 358,626,868 parameters. Wants a GPU to train."""
    return Preset(name="paper")


def toy() -> Preset:
    """Two CPU cores, no network: a small model, a toy codec at 16 kHz and a small CLIP, shipped in `data/toy`."""
    return Preset(
        name="toy",
        model=ModelConfig(
            d_model=128, heads=4, ffn=512, encoder_layers=2, decoder_layers=4, codebooks=4, vocab=256,
            clip_dim=64, dropout=0.0,
        ),
        codec=CodecConfig(kind="toy", sample_rate=16000, hop=320, frame_rate=50, codebooks=4, vocab=256),
        vision=VisionConfig(kind="toy", clip_dim=64),
        guidance_scale=0.5,  # more places sound worse: CC 0.97 here, 0.92 with 1; none misses more strokes
        top_k=30,
        temperature=0.9,
    )


def get(name: str) -> Preset:
    """The preset called `name`.

    Raises: ValueError if there is none of that name.
    """
    presets = {"toy": toy, "paper": paper}
    if name not in presets:
        raise ValueError(f"no preset {name!r}: choose one of {', '.join(presets)}")
    return presets[name]()
