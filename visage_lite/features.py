"""Features of clips, made once and kept: what the two big frozen networks, CLIP and the codec, say of each clip.

A folder of features has two stores, `sound` (codes and direction) and `video` (CLIP features and energy maps), so that
another CLIP leaves the codes alone. They hold all eight variants of a clip, see `variants`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import soxr
import torch

from visage_lite import clips, codec, media, scenes, toy_codec, variants, vision
from visage_lite import dataset as layout
from visage_lite.batches import FeatureClips
from visage_lite.codec import Codec, load_codec
from visage_lite.dataset import Dataset, open_dataset
from visage_lite.directions import Direction
from visage_lite.jobs import in_parallel
from visage_lite.presets import Preset
from visage_lite.scenes import make_scene
from visage_lite.store import Runner, write_store
from visage_lite.variants import six_signals
from visage_lite.vision import Vision, load_vision

PARTS = ("sound", "video")
SHARD_CLIPS = 64
MISSING_S = 0.25  # a clip that ends this much early is filled up: silence, and its last frame
VERSIONS = ("visage_lite", "torch", "numpy", "soxr", "av", "open_clip_torch", "descript-audio-codec")


@dataclass(frozen=True)
class Networks:
    """Which CLIP and which codec: a preset and, for "paper", where their weights are. Loaded once per process."""

    preset: Preset
    clip_weights: str | None = None
    codec_weights: str | None = None
    download: bool = False

    @property
    def codec(self) -> Codec:
        """Raises: as `codec.load_codec`."""
        return _loaded(self, "sound")

    @property
    def vision(self) -> Vision:
        """Raises: as `vision.load_vision`."""
        return _loaded(self, "video")


@lru_cache(maxsize=4)
def _loaded(networks: Networks, part: str) -> Codec | Vision:
    preset = networks.preset
    if part == "sound":
        return load_codec(preset, networks.codec_weights, networks.download and preset.codec.kind == "dac")
    fetched = "openai" if networks.download and preset.vision.kind == "open_clip" else None
    return load_vision(preset, networks.clip_weights or fetched)


def sound_features(foa: np.ndarray, direction: Direction, codec: Codec) -> dict[str, np.ndarray]:
    """What the model hears of a clip, and where its camera looks.

    Args: foa: float [4, N] at the codec's rate.
    Returns: codes int16 [6, K, T] of `variants.six_signals`, or [4, K, T] of the toy codec; direction float32 [3],
        (right, down, front).
    Notebook: 03_features.
    """
    signals = six_signals(foa) if codec.channels_alone else foa
    return {"codes": codec.encode(signals).astype(np.int16), "direction": direction.to_model_input()}


def video_features(frames: np.ndarray, vision: Vision) -> dict[str, np.ndarray]:
    """What the model sees of a clip, as it is and in a mirror.

    Args: frames: uint8 [F, H, W, 3].
    Returns: clip float32 [2, F, clip_dim] and energy_map float32 [2, F, P]: of the frames, then of the frames with
        left and right exchanged.
    Notebook: 03_features.
    """
    seen = [vision.features(np.ascontiguousarray(view)) for view in (frames, frames[:, :, ::-1])]
    return {
        "clip": np.stack([np.asarray(each.clip, np.float32) for each in seen]),
        "energy_map": np.stack([np.asarray(each.energy_map, np.float32) for each in seen]),
    }


def dataset_features(
    folder: str | Path, out: str | Path, networks: Networks, parts: tuple[str, ...] = PARTS, run: Runner = in_parallel,
    **options: object,
) -> Path:  # fmt: skip
    """Features of a data set on disk; what is there already is kept.

    Args:
        folder: laid out as `dataset` says. out: folder for the features, made if missing.
        networks: which CLIP and codec. parts: which stores to make.
        run: with `options`, carries out the work: `jobs.in_parallel` or `cluster.on_cluster`.
    Returns: out. Bad clips are noted in the stores, see `store.Store.bad`.
    Raises: ValueError on a folder that is no data set, or features of another recipe.
    Notebook: 03_features.
    """
    data = open_dataset(folder)
    shards = {
        f"{split}_{start // SHARD_CLIPS:05d}": names[start : start + SHARD_CLIPS]
        for split, names in data.table.groupby("split", sort=False)["clip"].apply(list).items()
        for start in range(0, len(names), SHARD_CLIPS)
    }
    source = partial(_clip_features, folder=str(Path(folder).resolve()), networks=networks)
    return _write_parts(out, networks, parts, shards, source, data.table.to_csv(index=False), run, options)


def dataset(folder: str | Path, split: str | None = None, augment: Callable | None = None) -> FeatureClips:
    """The features of a folder for training, in batches read from the disk, each clip in any of its eight variants.

    Args: folder: of `dataset_features` or `scene_features`. split: such as "train"; None is all clips.
        augment: such as `batches.turn_and_mirror`, which draws a variant for each clip.
    Raises: ValueError if the folder holds no features, or none of the split.
    Notebook: 03_features, 04_training.
    """
    return FeatureClips(folder, augment, split)


def scene_features(
    seeds: Iterable[int], out: str | Path, networks: Networks, parts: tuple[str, ...] = PARTS,
    run: Runner = in_parallel, **options: object,
) -> Path:  # fmt: skip
    """Features of synthetic scenes straight from their seeds, without files between; else as `dataset_features`.

    Args: seeds: of `scenes.make_scene`; a clip is named after its seed. The rest: as for `dataset_features`.
    Notebook: 04_training.
    """
    names = [str(seed) for seed in seeds]
    shards = {f"scenes_{names[i]}": names[i : i + SHARD_CLIPS] for i in range(0, len(names), SHARD_CLIPS)}
    source = partial(_scene_features, networks=networks)
    return _write_parts(out, networks, parts, shards, source, " ".join(names), run, options)


def _write_parts(out, networks, parts, shards, source, clips_text, run, options) -> Path:
    for part in parts:
        options = {"desc": f"features: {part}", "unit": "shard"} | options
        recipe = recipe_of(part, networks) | {"clips": _sha256(clips_text.encode())}
        write_store(Path(out) / part, recipe, shards, partial(source, part=part), run, **options)
    return Path(out)


def _scene_features(name: str, part: str, networks: Networks) -> dict[str, np.ndarray]:
    scene = make_scene(int(name), duration_s=networks.preset.clip_s)
    if part == "sound":
        return sound_features(scene.foa(networks.codec.sample_rate), scene.camera, networks.codec)
    return video_features(scene.view(networks.preset.vision.image_size), networks.vision)


def _clip_features(name: str, part: str, folder: str, networks: Networks) -> dict[str, np.ndarray]:
    data, preset = _opened(folder), networks.preset
    if part == "video":
        video = data.view(name, preset.video_rate, preset.clip_s)
        return video_features(filled(video, preset.video_frames, preset.video_rate, hold=True), networks.vision)
    foa, rate = data.sound(name, preset.clip_s)
    wanted = networks.codec.sample_rate
    foa = foa if rate == wanted else np.ascontiguousarray(soxr.resample(foa.T, rate, wanted).T)
    foa = filled(foa.T, preset.clip_samples, wanted, hold=False).T
    return sound_features(np.ascontiguousarray(foa), data.camera(name), networks.codec)


@lru_cache(maxsize=4)
def _opened(folder: str) -> Dataset:
    return open_dataset(folder)


def filled(x: np.ndarray, length: int, rate: float, hold: bool) -> np.ndarray:
    """x [n, ...] cut or filled up to `length`: with its last entry if `hold`, else with zeros.

    Args: rate: entries per second.
    Raises: ValueError if more than a quarter of a second is missing.
    """
    missing = length - len(x)
    if missing / rate > MISSING_S:
        raise ValueError(f"{len(x) / rate:.2f} s long, {length / rate:g} s are needed")
    if missing <= 0:
        return x[:length]
    return np.concatenate([x, np.repeat(x[-1:], missing, axis=0) * hold])


def recipe_of(part: str, networks: Networks) -> dict:
    """What decides the features of a part: preset, weights, versions, and the code that makes them.

    Args: part: "sound" or "video". networks: are loaded.
    Returns: a dictionary for JSON. Notebook: 03_features.
    """
    preset, network = networks.preset, _loaded(networks, part)
    sizes = asdict(preset.codec if part == "sound" else preset.vision)
    modules = (clips, layout, media, scenes, codec, toy_codec, variants) if part == "sound" else (
        clips, layout, media, scenes, vision)  # fmt: skip
    code = [Path(module.__file__).read_bytes() for module in modules] + [Path(__file__).read_bytes()]
    return {
        "part": part, "network": network.name, "weights": fingerprint(network), "clip_s": preset.clip_s, **sizes,
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS}, "code": _sha256(b"".join(code)),
    } | ({"video_rate": preset.video_rate} if part == "video" else {})  # fmt: skip


def fingerprint(network: Codec | Vision) -> str:
    """A hash of a network's weights: other weights, other features."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
