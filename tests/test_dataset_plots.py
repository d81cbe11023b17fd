"""Pictures of a data set: left is on the left, what is drawn is what the tables hold, and limits are where they say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from visage_lite import dataset_plots
from visage_lite.directions import Direction
from visage_lite.scenes import make_scene


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_contact_sheet_names_every_picture():
    images = {name: np.full((4, 4, 3), shade, np.uint8) for shade, name in enumerate("abcdefgh")}
    axes = dataset_plots.contact_sheet(images, columns=3)
    assert [ax.get_title() for ax in axes] == list("abcdefgh")
    assert [ax.images[0].get_array()[0, 0, 0] for ax in axes] == list(range(8))
    with pytest.raises(ValueError, match="no picture"):
        dataset_plots.contact_sheet({})


def test_the_cross_is_on_the_ring_of_a_single_source():
    scenes = {"one": make_scene(3, moving=False), "softer": make_scene(303, sources=2, off_screen=True, moving=False)}
    axes = dataset_plots.scene_maps(scenes, 8000)
    for ax, scene in zip(axes, scenes.values()):
        rings = [line for line in ax.lines if line.get_marker() == "o"]
        assert len(rings) == len(scene.sources) and ax.get_legend() is None
        assert ax.get_xlim() == (180, -180), "left is on the left"
        energy = np.asarray(ax.images[1].get_array())
        assert energy.shape == (90, 180) and 0 <= energy.min() and energy.max() <= 1
    cross = next(line for line in axes[0].lines if line.get_marker() == "x")
    found = Direction.from_degrees(cross.get_xdata()[0], cross.get_ydata()[0])
    assert np.degrees(found.angle_to(scenes["one"].sources[0].start)) < 2
    assert max(np.max(ax.images[1].get_array()) for ax in axes) == 1, "one scale for all"
    with pytest.raises(ValueError, match="no scene"):
        dataset_plots.scene_maps({}, 8000)


def table(azimuth_deg, elevation_deg, split="train"):
    return pd.DataFrame({"azimuth_deg": azimuth_deg, "elevation_deg": elevation_deg, "split": split})


def test_cameras_are_drawn_at_their_angles_in_the_middle_of_cells():
    places = table([179.0, 41.0, 43.0, -91.0, np.nan], [1.0, 11.0, 15.0, -45.0, np.nan], ["train"] * 3 + ["test"] * 2)
    sphere, close = dataset_plots.camera_directions(places, zoom_deg=10)
    drawn = np.concatenate([np.transpose(line.get_data()) for line in sphere.lines])
    assert drawn.tolist() == places.dropna()[["azimuth_deg", "elevation_deg"]].values.tolist()
    assert [text.get_text() for text in sphere.get_legend().get_texts()] == ["train", "test"]
    for ax in (sphere, close):
        assert ax.get_xlim()[0] > ax.get_xlim()[1], "left is on the left"
    assert close.get_xlim() == (51, 31) and close.get_ylim() == (1, 21), "where two are near each other"
    assert not set(drawn.ravel()) & set(close.get_xticks(minor=True)), "a camera is no edge of a cell"
    with pytest.raises(ValueError, match="ambi.json"):
        dataset_plots.camera_directions(places.tail(1))


def test_the_close_look_stays_on_the_sphere():
    _, close = dataset_plots.camera_directions(table([179.0], [-89.0]), zoom_deg=10)
    assert close.get_xlim() == (180, 160) and close.get_ylim() == (-90, -70)


def test_marked_clips_are_named_and_limits_drawn():
    numbers = pd.DataFrame({"level": [-20.0, -30.0, -90.0], "angle": [10.0, 20.0, np.nan]}, index=["a", "b", "c"])
    pairs = [("level", "angle"), ("angle", "level")]
    axes = dataset_plots.number_scatter(numbers, pairs, {"level": -60.0}, {"c": "silent"})
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes] == pairs
    others, silent, limit = axes[0].lines
    assert others.get_xdata().tolist() == [-20, -30] and silent.get_label() == "silent"
    assert list(limit.get_xdata()) == [-60, -60] and list(axes[1].lines[-1].get_ydata()) == [-60, -60]
    assert [text.get_text() for text in axes[0].figure.legends[0].get_texts()] == ["the others", "silent"]
    for wrong in ([], [("level", "loudness")]):
        with pytest.raises(ValueError, match="columns of numbers"):
            dataset_plots.number_scatter(numbers, wrong, {})


def test_shares_of_videos_are_counted_from_the_largest():
    clips = pd.DataFrame({"video_id": ["small"] * 1 + ["large"] * 7 + ["b"] * 1 + ["c"] * 1})
    videos, shares = dataset_plots.clips_of_videos(clips, top=0.25)
    assert sum(bar.get_height() for bar in videos.patches) == 4, "every video is in a bin"
    assert np.allclose(shares.lines[0].get_ydata(), [0, 70, 80, 90, 100])
    assert any("25% of the videos\nhold 70% of the clips" == text.get_text() for text in shares.texts)
    assert any("median 1" == text.get_text() for text in videos.texts)
    with pytest.raises(ValueError, match="empty"):
        dataset_plots.clips_of_videos(clips.head(0))
