"""The shipped toy model: its weights fit the preset, and what it makes comes from where the object is."""

import numpy as np
import pandas as pd
import torch

from visage_lite import checkpoints, presets
from visage_lite.ambisonics import intensity_direction
from visage_lite.codec import load_codec
from visage_lite.directions import Direction
from visage_lite.generation import Sampling, generate, joint_guidance
from visage_lite.scenes import make_scene
from visage_lite.vision import load_vision

torch.set_num_threads(1)
TOY = presets.DATA_FOLDER / "toy"


def degrees_between(one, other):
    return np.degrees(np.arccos(np.clip((one * other).sum(-1), -1, 1)))


def test_unseen_scenes_sound_from_where_the_object_is():
    """Eight scenes never trained on, 2 s each: nearer to the truth than the camera's own direction is."""
    preset, vision, codec = presets.toy(), load_vision(presets.toy()), load_codec(presets.toy())
    model = checkpoints.load(TOY / "model.safetensors", preset.model)
    scenes = [make_scene(890_100 + i, kind=("siren", "water", "engine", "drum")[i % 4], moving=False) for i in range(8)]
    seen = [vision.features(scene.view()) for scene in scenes]
    told = [torch.stack([getattr(each, key) for each in seen]) for key in ("clip", "energy_map")]
    told.append(torch.from_numpy(np.stack([scene.camera.to_model_input() for scene in scenes])))
    sampling = Sampling(temperature=preset.temperature, top_k=preset.top_k)
    generator = torch.Generator().manual_seed(0)
    codes = generate(model, *told, 100, joint_guidance(1.0), sampling, generator, progress=False).numpy()
    heard = np.stack([intensity_direction(codec.decode(each)) for each in codes])
    truth = np.stack([Direction(s.azimuth(0.0).item(), s.elevation(0.0).item()).to_vector() for s in scenes])
    camera = np.stack([scene.camera.to_vector() for scene in scenes])
    error = np.median(degrees_between(heard, truth))
    assert error < 15 and error < 0.75 * np.median(degrees_between(camera, truth))


def test_the_log_belongs_to_the_weights():
    log = pd.read_csv(TOY / "train_model.csv")
    stages = ["mono", "windows", "whole", "windows again", "whole again", "windows, more", "whole, more"]
    assert list(log["stage"].unique()) == stages
    chance = np.log(presets.toy().model.vocab)
    first, last = (log.loc[log["stage"] == name, "later"] for name in ("mono", "whole, more"))
    assert first.iloc[0] > 0.9 * chance and last.tail(5).mean() < 0.3 * chance


def test_everything_shipped_is_small():
    assert sum(file.stat().st_size for file in TOY.iterdir() if file.is_file()) < 12e6
