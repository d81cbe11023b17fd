"""Plots made of pictures: left is drawn on the left, no line crosses the cut, wrong shapes say so."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from visage_lite import pictures
from visage_lite.directions import Direction

SPHERE = np.zeros((90, 180, 3), np.uint8)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def column(ax, x, y=0.0):
    ax.figure.canvas.draw()
    return ax.transData.transform((x, y))[0]


def test_the_view_lies_around_the_camera_and_left_is_left():
    camera, source = Direction.from_degrees(60, 10), Direction.from_degrees(40, 0)
    ax = pictures.camera_on_panorama(SPHERE, camera, source)
    outline, cross, ring = (line.get_xydata() for line in ax.lines)
    assert np.allclose(cross, (60, 10)) and np.allclose(ring, (40, 0))
    assert outline[:, 0].min() < 20 and outline[:, 0].max() > 100 and np.ptp(outline[:, 1]) > 85
    assert column(ax, 60) < column(ax, 40) < column(ax, 0)
    assert ax.get_xlabel() == "azimuth" and "°" in ax.get_ylabel()


def test_no_line_crosses_the_cut_behind():
    ax = pictures.camera_on_panorama(SPHERE, Direction.from_degrees(175, 0))
    steps = np.abs(np.diff(ax.lines[0].get_xdata()))
    assert np.isnan(steps).any() and np.nanmax(steps) < 30


def test_energy_lies_over_its_own_frame():
    frames, energy = np.zeros((8, 14, 14, 3), np.uint8), np.zeros((8, 49))
    energy[7, 0] = 1.0  # upper left patch of the last frame
    ax = pictures.energy_strip(frames, energy, 4.0, count=3)
    maps = np.asarray(ax.images[-1].get_array())
    assert maps.shape == (7, 21) and np.argwhere(maps == 1).tolist() == [[0, 14]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.00", "1.00", "1.75"]


def test_wrong_shapes_say_so():
    with pytest.raises(ValueError, match="choose one frame"):
        pictures.camera_on_panorama(SPHERE[None], Direction(0.0, 0.0))
    with pytest.raises(ValueError, match="8 frames need"):
        pictures.energy_strip(np.zeros((8, 14, 14, 3), np.uint8), np.zeros((7, 49)), 4.0)


def test_the_graticule_has_its_lines_every_thirty_degrees_and_a_bright_horizon():
    sphere = pictures.graticule(180, 360)[..., 2].astype(int)  # a pixel a degree
    across, down = sphere[60], sphere[:, 15]  # at elevation 30 and between two lines
    lines = [k for k in range(1, 359) if sphere[75, k] > max(sphere[75, k - 2], sphere[75, (k + 2) % 360])]
    assert {round((180 - k) / 30) * 30 for k in lines} >= set(range(-150, 151, 30))
    assert down.argmax() in (89, 90) and across.shape == (360,)
