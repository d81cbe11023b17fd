"""Scenes on disk in YT-Ambigen's layout: one path for both, the same bytes again, and directions that agree."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from visage_lite import panorama
from visage_lite.ambisonics import energy_map, intensity_direction
from visage_lite.binaural import binauralise
from visage_lite.clips import parse_name, videos_in_two_splits
from visage_lite.dataset import missing_files, open_dataset, scene_of, write_scenes
from visage_lite.directions import Direction
from visage_lite.media import read_video
from visage_lite.streams import MediaError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(
        tmp_path_factory.mktemp("data") / "scenes", 20, 3, duration_s=1.0, workers=0, progress=False, moving=False
    )


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_layout_is_that_of_yt_ambigen(scenes):
    table = scenes.table
    assert table["split"].value_counts().to_dict() == {"train": 16, "valid": 2, "test": 2}
    assert pd.read_csv(scenes.folder / "train.csv").columns.tolist() == ["file_path"]
    assert [parse_name(clip) for clip in table["clip"]][0] == ("scene_00000", 0)
    assert len(videos_in_two_splits(table)) == 0 and len(scenes.refused) == 0 and len(missing_files(scenes)) == 0
    assert json.loads((scenes.folder / "ambi.json").read_text())["scene_00000_0"] == table[
        ["elevation_index", "azimuth_index"]
    ].iloc[0].tolist()
    assert read_video(scenes.path("scene_00004_0", "video")).frames.shape == (4, 448, 896, 3)
    clip = scenes.read("scene_00004_0")
    assert clip.frames.shape == (4, 224, 224, 3) and clip.foa.shape == (4, 48000) and clip.rate == 48000


def test_what_is_read_is_the_scene(scenes):
    for number in (0, 7, 19):
        clip, scene = scenes.read(f"scene_{number:05d}_0"), scene_of(number, 3, 1.0, moving=False)
        assert clip.camera.angle_to(scene.camera) < 1e-9
        assert np.abs(clip.frames.astype(int) - scene.view()).mean() < 6  # grey levels, lost in H.264
        assert np.corrcoef(clip.foa.ravel(), scene.foa(48000).ravel())[0, 1] > 0.97  # lost in Opus


def test_seen_heard_and_stated_directions_agree(scenes):
    """A source left of the panorama's centre has a positive azimuth, is hot left in the map, loud in the left ear."""
    labels = pd.read_csv(scenes.folder / "labels.csv").groupby("clip").first()
    sides = set()
    for name, stated in labels.iterrows():
        clip, source = scenes.read(name), Direction.from_degrees(stated["azimuth_deg"], stated["elevation_deg"])
        heard = Direction.from_vector(intensity_direction(clip.foa))
        assert np.degrees(heard.angle_to(source)) < 3
        assert panorama.pixel_of(source, clip.camera) is not None, "the source is in the camera's view"
        if abs(abs(stated["azimuth_deg"]) - 90) < 75:
            left = stated["azimuth_deg"] > 0
            column = np.unravel_index(energy_map(clip.foa).argmax(), (90, 180))[1]
            ears = np.square(binauralise(clip.foa, clip.rate)).sum(1)
            assert left == (column < 90) == (ears[0] > ears[1]) == (source.to_pixel(896, 448)[0] < 448)
            sides.add(left)
    assert sides == {True, False}


def test_the_same_arguments_give_the_same_bytes_also_after_an_interruption(scenes, tmp_path, monkeypatch):
    from visage_lite import dataset

    write, done = dataset._write_scene, []

    def interrupted(number, **rest):
        if number == 3:
            raise KeyboardInterrupt
        done.append(number)
        return write(number, **rest)

    monkeypatch.setattr(dataset, "_write_scene", interrupted)
    options = {"duration_s": 1.0, "progress": False, "moving": False}
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "again", 20, 3, workers=0, **options)
    monkeypatch.undo()
    (tmp_path / "again" / "audio" / "scene_00001_0.opus").unlink()
    left = tmp_path / "again" / "audio" / ".0123456789ab.tmp"  # as a run that was killed an hour ago leaves it
    left.touch()
    os.utime(left, (1, 1))
    write_scenes(tmp_path / "again", 20, 3, workers=2, **options)
    assert contents(tmp_path / "again") == contents(scenes.folder)


def test_seeds_share_no_scene():
    assert scene_of(99_999, 0) != scene_of(0, 1) and scene_of(5, 2) == scene_of(5, 2)


def test_bad_arguments(scenes, tmp_path):
    for count in (0, 100_001):
        with pytest.raises(ValueError, match="between 1 and 100,000"):
            write_scenes(tmp_path, count, 0)
    with pytest.raises(ValueError, match="seed must not be negative"):
        write_scenes(tmp_path, 1, -1)
    with pytest.raises(ValueError, match="other arguments.*choose another folder"):
        write_scenes(scenes.folder, 20, 4, duration_s=1.0, workers=0)
    with pytest.raises(ValueError, match="no train.csv.*make scenes"):
        open_dataset(tmp_path)


def test_what_is_missing_is_told(scenes, tmp_path):
    (tmp_path / "test.csv").write_text("file_path\naaaaaaaaaaa_0.npy\n../../etc_0.npy\n")
    dataset = open_dataset(tmp_path)
    assert len(dataset.refused) == 1
    assert missing_files(dataset).values.tolist() == [["aaaaaaaaaaa_0", "test", "nfov, audio"]]
    with pytest.raises(ValueError, match="no direction for clip aaaaaaaaaaa_0; add it to ambi.json"):
        dataset.read("aaaaaaaaaaa_0")
    (tmp_path / "ambi.json").write_text('{"aaaaaaaaaaa_0": [44, 44]}')
    with pytest.raises(MediaError, match="aaaaaaaaaaa_0.opus"):
        open_dataset(tmp_path).read("aaaaaaaaaaa_0")
