"""The whole path in one function: a silent video file and a camera direction in, first-order ambisonics out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from visage_lite import presets
from visage_lite.ambisonics import intensity_direction
from visage_lite.checkpoints import load, load_released, newest
from visage_lite.codec import Codec, load_codec
from visage_lite.directions import Direction
from visage_lite.generation import Guidance, Sampling, generate, joint_guidance
from visage_lite.media import MediaError, Video, read_video
from visage_lite.model import Visage
from visage_lite.panorama import crop
from visage_lite.presets import Preset
from visage_lite.vision import Vision, load_vision

SMALL = 20_000_000  # parameters
Motion = Callable[[float], Direction]  # seconds of the video -> where the camera looks then


@dataclass(frozen=True)
class Models:
    """The three networks of one preset, fitting each other. Get them from `load_models`. Notebook: 00_quickstart."""

    preset: Preset
    vision: Vision
    codec: Codec
    model: Visage
    model_name: str  # where the model's weights came from, for people


@dataclass(frozen=True)
class View:
    """What the camera sees of a video. Get one from `see`. Notebook: 00_quickstart."""

    frames: np.ndarray  # uint8 [F, size, size, 3]
    camera: Direction  # where it looks in the sound field
    video: Video  # as it was read
    panorama: np.ndarray | None  # uint8 [H, W, 3], the middle frame of the panorama the view was cut from
    preset: Preset
    source: str | Path = ""  # the file
    motion: Motion | None = None  # of a camera that turns; `camera` is then where it looks in the middle of the view

    @property
    def cameras(self) -> list[Direction]:
        """Where the camera looks in each frame."""
        if self.motion is None:
            return [self.camera] * len(self.frames)
        return [self.motion(self.video.start_s + frame / self.video.rate) for frame in range(len(self.frames))]


@dataclass(frozen=True)
class Generated:
    """The sound field of a view. Notebook: 00_quickstart."""

    foa: np.ndarray  # float32 [4, N], W, Y, Z, X in ambiX
    rate: int  # Hz
    view: View
    energy_map: np.ndarray  # float32 [F, 49], where in the view something stands out
    notes: tuple[str, ...]  # what was done with the input and what stands in for what, one line each

    @property
    def direction(self) -> Direction | None:
        """Where the sound comes from on average (acoustic intensity); None if from nowhere or everywhere alike."""
        vector = intensity_direction(self.foa)
        return Direction.from_vector(vector) if np.linalg.norm(vector) > 0 else None


def video_to_ambisonics(
    video: str | Path, direction: Direction, models: Models | None = None, panorama: bool = False,
    start_s: float = 0.0, **options: object,
) -> Generated:  # fmt: skip
    """The sound field of a silent video. Nothing but the video and the camera's direction is needed.

    Args:
        video: any video file. Its own sound is not listened to. Longer than the preset's clip (5 s): the part from
            `start_s` is used. Shorter: its last frame is held for the model, and the sound is cut to its length.
        direction: where the camera looks; the sound field is turned accordingly. Of a camera that turns: a function
            of the video's seconds.
        models: from `load_models`; None loads the toy preset.
        panorama: the video is equirectangular, and the view toward `direction` is cut out of it. Otherwise the central
            square of the picture is the view.
        start_s: second of the video at which the sound begins.
        options: guidance, sampling, seed, dtype, progress, as for `hear`.

    Returns: Generated, with float32 [4, N] at the codec's rate.

    Raises: MediaError if the video cannot be read, or is no panorama although it should be.

    Differs: the released code needs the codes of the true sound on disk, so it cannot do this. Notebook: 00_quickstart.
    """
    models = models or load_models()
    return hear(see(video, direction, models.preset, panorama, start_s), models, **options)


def see(
    video: str | Path, direction: Direction | Motion, preset: Preset, panorama: bool = False, start_s: float = 0.0
) -> View:
    """What a camera that looks toward `direction` sees of a video; arguments as for `video_to_ambisonics`.

    Raises: MediaError as `read_video`, and with `panorama` if the picture is not twice as wide as high; ValueError if
    the direction is no Direction.
    Notebook: 03_features.
    """
    if not (isinstance(direction, Direction) or callable(direction)):
        how = "Direction.from_degrees(azimuth, elevation)"
        raise ValueError(f"direction must be a Direction, not {direction!r}: {how}")
    size = (preset.panorama_width, preset.panorama_height) if panorama else preset.vision.image_size
    read = read_video(video, preset.video_rate, preset.clip_s, size, start_s)
    motion = None if isinstance(direction, Direction) else direction
    camera = direction if motion is None else motion(start_s + read.duration_s / 2)
    view = View(read.frames, camera, read, None, preset, video, motion)
    if not panorama:
        return view
    if not 1.9 < read.width / read.height < 2.1:
        raise MediaError(
            f"{video}: a panorama is twice as wide as high (equirectangular), this is {read.width}x{read.height}; "
            "leave out the panorama option"
        )
    frames = [crop(frame, toward, fov_deg=preset.fov_deg, size=preset.vision.image_size)
              for frame, toward in zip(read.frames, view.cameras)]  # fmt: skip
    return replace(view, frames=np.stack(frames), panorama=read.frames[len(frames) // 2])


def told(view: View, vision: Vision) -> tuple[Tensor, Tensor, Tensor]:
    """What the model is told of a view, the last frame of a short one held: as `generation.generate` takes it.

    Args: view: from `see`. vision: of the view's preset.
    Returns: CLIP features [1, F, clip_dim], energy map [1, F, 49], and direction [1, 3], or [1, F, 3] if it turns.
    Notebook: 03_features.
    """
    held = np.minimum(np.arange(view.preset.video_frames), len(view.frames) - 1)
    seen = vision.features(view.frames[held])
    direction = view.camera.to_model_input()
    if view.motion is not None:
        direction = np.stack([camera.to_model_input() for camera in view.cameras])[held]
    return tuple(torch.as_tensor(each)[None] for each in (seen.clip, seen.energy_map, direction))


def hear(
    view: View, models: Models, guidance: Guidance | None = None, sampling: Sampling | None = None, seed: int = 0,
    dtype: str = "float32", progress: bool = True,
) -> Generated:  # fmt: skip
    """The sound field of a view.

    Args:
        view: from `see`.
        models: from `load_models`, of the view's preset.
        guidance: from `generation`; None means joint guidance at the preset's scale.
        sampling: None means the preset's top-k and temperature.
        seed: the same seed gives the same sound.
        dtype: "float32", "bfloat16" or "int8", see `generation.generate`.
        progress: show a progress bar.

    Notebook: 05_generation.
    """
    guidance, sampling = manner(view.preset, guidance, sampling)
    with threads(models.model):
        conditions = told(view, models.vision)
        codes = generate(
            models.model, *conditions, view.preset.code_frames, guidance, sampling,
            torch.Generator().manual_seed(seed), dtype, progress,
        )  # fmt: skip
    rate = models.codec.sample_rate
    foa = models.codec.decode(codes[0].cpu().numpy())[:, : max(1, round(view.video.duration_s * rate))]
    maps = conditions[1][0, : len(view.frames)].float().numpy()
    return Generated(foa, rate, view, maps, (*view_notes(view), *stand_ins(models)))


def manner(preset: Preset, guidance: Guidance | None, sampling: Sampling | None) -> tuple[Guidance, Sampling]:
    """Guidance and sampling, those of the preset where None is given.

    Args: preset: its scale, top-k and temperature. guidance, sampling: as for `hear`.
    """
    return (
        joint_guidance(preset.guidance_scale) if guidance is None else guidance,
        Sampling(temperature=preset.temperature, top_k=preset.top_k) if sampling is None else sampling,
    )


@contextmanager
def threads(model: Visage) -> Iterator[None]:
    """One thread inside for a small model: a second one cost more than it brought, 60 s for 2 on a busy machine."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if sum(p.numel() for p in model.parameters()) < SMALL else threads)
        yield
    finally:
        torch.set_num_threads(threads)


def view_notes(view: View) -> list[str]:
    """What was done with the picture and the length, one line each."""
    video, preset, size = view.video, view.preset, view.frames.shape[1]
    picture, side = f"{video.width}x{video.height} {video.codec}", min(video.width, video.height)
    if view.panorama is not None:
        notes = [f"picture: a {preset.fov_deg:g} degree view toward the given direction, out of the {picture} panorama"]
    else:
        whole = (video.width, video.height) == (size, size)
        notes = [] if whole else [f"picture: the central {side}x{side} of {picture}, scaled to {size}x{size}"]
        if 1.9 < video.width / video.height < 2.1:
            notes.append("picture: twice as wide as high; if it is a 360 degree panorama, use the panorama option")
    end_s, frame_s = video.start_s + video.duration_s, 1 / preset.video_rate
    if video.duration_s < preset.clip_s - frame_s / 2:
        notes.append(
            f"length: only {video.duration_s:.2f} s from {video.start_s:g} s on, less than {preset.clip_s:g} s: the "
            "last frame is held for the model, and the sound is cut to the picture"
        )
    elif video.source_s > end_s + frame_s / 2:
        notes.append(f"length: of {video.source_s:.2f} s, the part from {video.start_s:g} to {end_s:g} s is used")
    return notes


def stand_ins(models: Models) -> list[str]:
    """Which networks are at work, and what each stands in for, one line each."""
    size = sum(p.numel() for p in models.model.parameters()) / 1e6
    vision = " stands in for CLIP ViT-B/32" if models.preset.vision.kind == "toy" else ""
    codec = " stands in for DAC" if models.preset.codec.kind == "toy" else ""
    model = " stands in for ViSAGe (358.6 M)" if size < 300 else ""
    return [
        f"vision: {models.vision.name}{vision}",
        f"codec: {models.codec.name}{codec}",
        f"model: {models.model_name} ({size:.1f} M parameters){model}",
    ]


def load_models(
    preset: str | Preset = "toy",
    checkpoint: str | Path | None = None,
    clip_weights: str | Path | None = None,
    codec_weights: str | Path | None = None,
    download: bool = False,
) -> Models:
    """The networks of a preset, checked to fit each other.

    Args:
        preset: "toy", "paper" or a Preset.
        checkpoint: a file of ours, the folder of a run or step, a folder or file of the released weights, or a Hugging
            Face id; None is for "toy".
        clip_weights, codec_weights: files; None means those of the preset.
        download: let the paper preset fetch the published CLIP and DAC weights.

    Raises: ValueError or FileNotFoundError, with the remedy, if weights are missing or of another size.
    Notebook: 00_quickstart.
    """
    preset = presets.get(preset) if isinstance(preset, str) else preset
    shipped = {"vision": preset.vision.kind == "toy", "codec": preset.codec.kind == "toy"}
    wanted = {
        "a checkpoint (file, folder, Hugging Face id)": preset.name == "toy" or checkpoint,
        "CLIP weights (a file, or download)": shipped["vision"] or clip_weights or download,
        "DAC weights (a file, or download)": shipped["codec"] or codec_weights or download,
    }
    missing = [name for name, given in wanted.items() if not given]
    if missing:
        raise ValueError(f"the {preset.name} preset ships no weights: give {' and '.join(missing)}")
    path = presets.DATA_FOLDER / "toy" / "model.safetensors" if checkpoint is None else newest(checkpoint)
    model = load(path) if _written_by_us(path) else load_released(path)
    _check_fit(model, preset, path)
    if download and clip_weights is None and preset.vision.kind == "open_clip":
        clip_weights = "openai"
    vision = load_vision(preset, clip_weights)
    codec = load_codec(preset, codec_weights, download=download and preset.codec.kind == "dac")
    return Models(preset, vision, codec, model, "toy model" if checkpoint is None else Path(checkpoint).name)


def _written_by_us(path: str | Path) -> bool:
    """Whether a file was written by `checkpoints.save`; the toy checkpoint counts even if missing."""
    with suppress(Exception), safe_open(path, "pt") as file:
        return "visage_lite" in (file.metadata() or {})
    return str(path).startswith(str(presets.DATA_FOLDER))


def _check_fit(model: Visage, preset: Preset, path: str | Path) -> None:
    """ValueError if the model's sizes do not go with the preset's codec, CLIP and clip length."""
    wanted = {name: getattr(preset.model, name) for name in ("channels", "codebooks", "vocab", "clip_dim", "patches")}
    wrong = [f"{name} {getattr(model.config, name)}, not {size}" for name, size in wanted.items()
             if getattr(model.config, name) != size]  # fmt: skip
    longest = {"max_frames": preset.video_frames, "max_steps": 2 * preset.code_frames + 1}
    wrong += [f"{name} {getattr(model.config, name)}, under {size}" for name, size in longest.items()
              if getattr(model.config, name) < size]  # fmt: skip
    if wrong:
        raise ValueError(f"{path} is of another size than the preset {preset.name!r}: {'; '.join(wrong)}")
