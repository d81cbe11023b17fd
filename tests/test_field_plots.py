"""Plots of a sound field: left is drawn on the left from above and on maps, beams have the published shape."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from visage_lite import ambisonics, field_plots
from visage_lite.directions import Direction

LEFT_UP = Direction.from_degrees(60, 20)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def place(ax, azimuth, radius=1.0):
    ax.figure.canvas.draw()
    return ax.transData.transform((azimuth, radius))


def test_bars_are_the_gains_of_the_encoder():
    ax = field_plots.gains(LEFT_UP)
    heights = [bar.get_height() for bar in ax.patches]
    assert np.allclose(heights, ambisonics.encode(np.ones(1), LEFT_UP.azimuth, LEFT_UP.elevation)[:, 0])
    assert "gain" in ax.get_ylabel() and [t.get_text()[0] for t in ax.get_xticklabels()] == ["W", "Y", "Z", "X"]


def test_from_above_front_is_up_and_left_is_left():
    ax = field_plots.head_from_above({"left": Direction.from_degrees(90, 0), "low": Direction.from_degrees(-90, -60)})
    front, left, right = place(ax, 0), place(ax, np.pi / 2), place(ax, -np.pi / 2)
    assert left[0] < front[0] < right[0] and front[1] > left[1]
    marks = [line for line in ax.lines if line.get_markersize() == 10]
    assert np.allclose([np.ravel(mark.get_data()) for mark in marks], [(np.pi / 2, 1), (-np.pi / 2, 0.5)])
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [False, True], "below is hollow"


@pytest.mark.parametrize("shape, hole_deg", [("cardioid", 180), ("figure-eight", 90), ("hypercardioid", 109.47)])
def test_beams_have_their_hole_where_it_belongs(shape, hole_deg):
    ax = field_plots.beam_patterns((shape,))
    upright, dotted = ax.lines
    turn = np.concatenate([upright.get_xdata(), dotted.get_xdata()])
    gain = np.concatenate([upright.get_ydata(), dotted.get_ydata()])
    assert np.nanmax(upright.get_ydata()) == pytest.approx(1) and gain[np.isclose(turn, 0)][0] == pytest.approx(1)
    assert abs(np.rad2deg(turn[np.nanargmin(gain)])) == pytest.approx(hole_deg, abs=0.5)
    assert dotted.get_linestyle() == ":" and ax.get_legend().get_texts()[0].get_text() == shape


def test_a_placed_source_is_the_same_in_all_three():
    bars, head, panorama = field_plots.placed_source(LEFT_UP)
    assert len(bars.patches) == 4 and "above" in head.get_title()
    levels = np.asarray(panorama.images[0].get_array())
    assert Direction.from_index(*np.unravel_index(levels.argmax(), levels.shape)).angle_to(LEFT_UP) < np.deg2rad(2)
    assert "below" in field_plots.placed_source(Direction.from_degrees(0, -30))[1].get_title()
    assert "on the" in field_plots.placed_source(Direction(0.0, 0.0))[1].get_title()


def test_maps_share_one_scale_and_mark_truth_and_peak():
    foa = ambisonics.encode(np.random.default_rng(0).standard_normal(200), np.pi / 2, 0.0)
    first, second, third = field_plots.maps({"a": foa, "b": 2 * foa, "c": ambisonics.mirror(foa)},
                                            Direction.from_degrees(90, 0))
    assert first.images[-1].get_clim() == second.images[-1].get_clim() == third.images[-1].get_clim()
    assert second.images[-1].get_clim()[1] == pytest.approx(ambisonics.energy_map(2 * foa).max())
    ring, cross = (np.ravel(line.get_data()) for line in third.lines)
    assert np.allclose(ring, (90, 0)) and np.allclose(cross, (-90, 0), atol=1.1)
    assert place(third, 90)[0] < place(third, -90)[0] and third.get_title() == "c"
    assert len([ax for ax in first.figure.axes if ax.images]) == 3, "the empty place is gone"
    with pytest.raises(ValueError, match="no field"):
        field_plots.maps({}, LEFT_UP)
