"""Score every system on 240 scenes that the toy model has not seen, in one table: `python data/toy/evaluate_model.py`.

Systems: the toy model with several guidances; its ablations, those that `train_model.py --without` has trained, and
beside them the toy model trained as long as they; two-stage baselines that place the W which the toy model made; and
controls made from the truth. Writes beside this file

    results.csv             a row a system: the figures of `visage_lite.scene_scores`, then the means of the others
    results_intervals.csv   a row a system and score: mean, 95 % interval over scenes, over how many, how many left out

FAD and KLD are heard by the toy listener, and compare with nothing that is published. The codes that a model makes are
kept in data/cache, by the content of its weights, so that the table is quick to make again.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from visage_lite import checkpoints, presets
from visage_lite.baselines import BASELINES, CONTROLS, Known, Truth, field_of, other_clips
from visage_lite.codec import load_codec
from visage_lite.embeddings import ListenerEmbedding
from visage_lite.evaluation import MODES
from visage_lite.evaluation_tables import score_columns
from visage_lite.generation import Sampling, generate, joint_guidance, no_guidance
from visage_lite.intervals import table
from visage_lite.jobs import in_parallel
from visage_lite.listener import load_listener
from visage_lite.presets import Preset
from visage_lite.scene_scores import score_scenes, summary
from visage_lite.scenes import Scene, make_scene
from visage_lite.semantics import MEAN, Embedded, embed_clip, fad_intervals, kld_of_clips
from visage_lite.spatial import score_clip
from visage_lite.streams import atomic
from visage_lite.vision import load_vision

HERE, CACHE = Path(__file__).parent, presets.DATA_FOLDER / "cache"
PACKAGE = Path(checkpoints.__file__).parent
MAKING = ("generation", "decoding", "sampling", "kernels", "model", "pattern", "vision", "scenes")  # decide the codes
FIRST_SEED = 890_000  # the scenes of training start at 100,000
BATCH, RATE = 40, 16_000
FROM_W = "toy model's W, "
TRUTH = "the scene's own sound"
MAPS = [column for mode in MODES for column in score_columns(mode)]
HEARD = ["peak_error_deg", "diffuseness", "kld_mean", "kld_camera"]
MEANS = [*MAPS, *HEARD, "direction_error_deg", "azimuth_correlation", "kind_right", "onsets_met"]
FAD = {"fad_mean": MEAN, "fad_camera": "toward camera"}


def seen(seed: int) -> dict[str, np.ndarray]:
    """What the model is told of a scene."""
    scene, preset = make_scene(seed), presets.toy()
    features = load_vision(preset).features(scene.view())
    return {"clip": features.clip.numpy(), "energy_map": features.energy_map.numpy(),
            "direction": scene.camera.to_model_input()}  # fmt: skip


def codes(weights: Path, told: dict[str, torch.Tensor], preset: Preset, scale: float, missing: str = "") -> list:
    """The codes that a model makes; each scene has the random numbers of its place. Kept by all that decides them."""
    decided = [hashlib.sha256(path.read_bytes()).hexdigest() for path in
               (weights, HERE / "clip.safetensors", *(PACKAGE / f"{name}.py" for name in MAKING))]  # fmt: skip
    sampling = Sampling(temperature=preset.temperature, top_k=preset.top_k)
    recipe = [*decided, asdict(sampling), scale, missing, FIRST_SEED, len(told["clip"]), preset.code_frames]
    path = CACHE / "evaluated" / f"{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:24]}.npy"
    if path.is_file():
        return list(np.load(path))
    model, made = checkpoints.load(weights, config=preset.model), []
    guidance = joint_guidance(scale) if scale else no_guidance()
    # What an ablation was not told in training, it is not told here.
    told = {key: value * 0 if key == missing else value for key, value in told.items()}
    for start in range(0, len(told["clip"]), BATCH):
        part = [told[key][start : start + BATCH] for key in ("clip", "energy_map", "direction")]
        generators = [torch.Generator().manual_seed(start + i) for i in range(len(part[0]))]
        made += list(generate(model, *part, preset.code_frames, guidance, sampling, generators, progress=False).numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack(made))
    return made


def models(told: dict, preset: Preset, scales: list[float], weights: Path) -> dict[str, Callable]:
    """Name -> a function that makes the sound fields of all scenes."""
    codec, found = load_codec(preset), {}

    def sound(path: Path, scale: float, missing: str = "") -> list[np.ndarray]:
        return [codec.decode(each) for each in codes(path, told, preset, scale, missing)]

    for scale in scales:
        name = f"toy model, guidance {scale:g}" if scale else "toy model, no guidance"
        found[name] = partial(sound, weights, scale)
    if (CACHE / "toy_model" / "model.safetensors").is_file():
        as_long = CACHE / "toy_model" / "model.safetensors"
        found["toy model, trained as long as the ablations"] = partial(sound, as_long, preset.guidance_scale)
    for path in sorted(CACHE.glob("toy_without_*/model.safetensors")):
        missing = path.parent.name.removeprefix("toy_without_")
        found[f"without {missing.replace('_', ' ')}"] = partial(sound, path, preset.guidance_scale, missing)
    return found


def systems(told: dict, scenes: list[Scene], truth: list, preset: Preset, scales: list[float], weights: Path) -> dict:
    """Name -> a function that makes the sound fields of all scenes: controls, models, baselines."""
    codec, others = load_codec(preset), other_clips([scene.seed for scene in scenes], FIRST_SEED)
    energy = told["energy_map"].numpy()
    made = models(told, preset, scales, weights)

    def place(system: Callable, fields: Callable) -> list[np.ndarray]:
        known = (Known(field[0], scene.camera, each, RATE, scene.seed)
                 for field, scene, each in zip(fields(), scenes, energy))  # fmt: skip
        return [field_of(system, clip) for clip in known]

    def control(system: Callable) -> list[np.ndarray]:
        clips = (Truth(foa, RATE, scene.seed, truth[other], codec) for foa, scene, other in zip(truth, scenes, others))
        return [field_of(system, clip) for clip in clips]

    own = "own W, panned to the camera's direction"

    def shipped() -> list[np.ndarray]:
        return [codec.decode(each) for each in codes(weights, told, preset, preset.guidance_scale)]

    return {
        TRUTH: lambda: truth,
        own: partial(place, BASELINES["mono toward the camera"], lambda: truth),
        **made,
        **{FROM_W + name.removeprefix("mono "): partial(place, system, shipped) for name, system in BASELINES.items()},
        **{name: partial(control, system) for name, system in CONTROLS.items()},
    }


def score(pair: tuple[np.ndarray, np.ndarray, int]) -> tuple[dict, Embedded]:
    """Spatial scores of one scene, and what the listener hears in the field: the work of one process."""
    field, truth, seed = pair
    length = min(field.shape[1], truth.shape[1])
    spatial = score_clip(field[:, :length], truth[:, :length], RATE)
    return asdict(spatial), hear(field, seed, True)


def hear(field: np.ndarray, seed: int, generated: bool) -> Embedded:
    """What the listener hears in a field, also toward the camera of its scene."""
    return embed_clip(field, RATE, make_scene(seed).camera, generated, ListenerEmbedding())


def score_system(
    fields: list, scenes: list[Scene], truth: list, heard_truth: list[Embedded], workers: int | None
) -> tuple[pd.Series, pd.DataFrame, dict]:
    """The row of results.csv, the scores of every scene, and the intervals of FAD."""
    named = score_scenes(fields, scenes, load_listener())
    jobs = [(field, foa, scene.seed) for field, foa, scene in zip(fields, truth, scenes)]
    rows, heard = zip(*in_parallel(score, jobs, workers, "scoring", "scene"))
    frame = pd.DataFrame(rows)
    for column in ("direction_error_deg", "azimuth_correlation", "onsets_met"):  # against the scene, seen by its camera
        frame[column] = named[column]
    frame["kind_right"] = (named["heard"] == named["kind"]).astype(float)
    frame.index = frame["video"] = [str(scene.seed) for scene in scenes]
    kld = kld_of_clips(list(frame.index), heard, heard_truth)
    frame["kld_mean"], frame["kld_camera"] = kld[MEAN], kld["toward camera"]
    distances = fad_intervals(heard, heard_truth, list(frame.index), seed=0)
    fad = {column: distances[signal] for column, signal in FAD.items()}
    fads = pd.Series({column: each.fad for column, each in fad.items()})
    return pd.concat([summary(named), frame[[*MAPS, *HEARD]].mean(), fads]), frame, fad


def tidy(frames: dict[str, pd.DataFrame], fads: dict[str, dict]) -> pd.DataFrame:
    """A row a system and score, with its interval."""
    numbers = table(frames, MEANS, seed=0).reset_index()
    numbers = numbers[["system", "score", "mean", "low", "high", "clips", "left_out"]]
    rows = [{"system": system, "score": column, "mean": each.fad, "low": each.low, "high": each.high,
             "clips": len(frames[system]), "left_out": 0}
            for system, fad in fads.items() for column, each in fad.items()]  # fmt: skip
    return pd.concat([numbers, pd.DataFrame(rows)], ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=240)
    parser.add_argument("--guidance", type=float, nargs="*", default=[0.0, presets.toy().guidance_scale, 2.5])
    parser.add_argument("--weights", type=Path, default=HERE / "model.safetensors")
    parser.add_argument("--only", help="systems with this in their name")
    parser.add_argument("--workers", type=int, help="processes, one per core if left out; 0 works in this one")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results.csv")
    options = parser.parse_args()
    preset, rows, frames, fads = presets.toy(), {}, {}, {}
    seeds = range(FIRST_SEED, FIRST_SEED + options.scenes)
    told = list(in_parallel(seen, seeds, options.workers, desc="scenes"))
    told = {key: torch.from_numpy(np.stack([each[key] for each in told])) for key in told[0]}
    scenes = [make_scene(seed) for seed in seeds]
    truth = [scene.foa(RATE) for scene in scenes]
    heard = [hear(foa, scene.seed, False) for foa, scene in zip(truth, scenes)]
    for name, make in systems(told, scenes, truth, preset, options.guidance, options.weights).items():
        if options.only is None or options.only in name:
            rows[name], frames[name], fads[name] = score_system(make(), scenes, truth, heard, options.workers)
            print(name, rows[name].round(2).to_dict(), flush=True)
    intervals = options.output.with_name(f"{options.output.stem}_intervals.csv")
    with atomic(options.output) as temporary:
        pd.DataFrame(rows).T.round(3).to_csv(temporary, index_label="system")
    with atomic(intervals) as temporary:
        tidy(frames, fads).round(4).to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
