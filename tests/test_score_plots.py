"""Plots of generation: what is left is drawn left, numbers stand where they belong, the axes have their units."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from visage_lite import score_plots
from visage_lite.toy_codec import SILENCE


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def one_code(code):
    return np.eye(256)[code]


@pytest.mark.parametrize(("code", "place"), [(39, -40), (0, -1), (SILENCE, 0), (40, 1), (79, 40)])
def test_loud_on_the_left_stands_at_the_left_end(code, place):
    rows = score_plots.signed_gains({"one": one_code(code), "other": one_code(0)})
    assert len(rows) == 2 and rows[0].get_ylabel() == "one"
    [bar] = [bar for bar in rows[0].patches if bar.get_height() > 0]
    assert bar.get_x() + bar.get_width() / 2 == place and bar.get_height() == 1
    names = [label.get_text() for label in rows[-1].get_xticklabels()]
    assert names == ["left, loud", "silent", "right, loud"]


def test_the_sides_of_the_other_channels_and_what_is_refused():
    names = score_plots.signed_gains({"one": one_code(3)}, "Z")[0].get_xticklabels()
    assert [name.get_text() for name in names] == ["up, loud", "silent", "down, loud"]
    for wrong in (({}, "Y"), ({"one": one_code(3)}, "W")):
        with pytest.raises(ValueError, match="pass"):
            score_plots.signed_gains(*wrong)


def test_bars_stand_in_groups():
    table = pd.DataFrame({"what": [3.0, 1.0], "where": [2.0, 4.0]}, index=["told nothing", "told all"])
    ax = score_plots.bars(table, "nats")
    assert [bar.get_height() for bar in ax.patches] == [3, 2, 1, 4] and ax.get_ylabel() == "nats"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(table.index)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["what", "where"]
    assert score_plots.bars(table, "nats", ax) is ax


def test_a_sweep_has_axes_for_each_score():
    table = pd.DataFrame({"error (°)": [12.0, 9.0, 15.0], "kind right": [0.5, 0.9, 0.4]}, index=[0.0, 1.0, 6.0])
    error, kind = score_plots.sweep(table, "scale", marked=1.0)
    assert error.get_ylabel() == "error (°)" and kind.get_ylabel() == "kind right" and error.get_xlabel() == "scale"
    line, curve = kind.lines
    assert list(line.get_xdata()) == [1, 1]
    assert list(curve.get_xdata()) == [0, 1, 6] and list(curve.get_ydata()) == [0.5, 0.9, 0.4]
    assert error.get_ylim()[0] == 0


def test_the_grid_has_direction_to_the_right_visual_up_and_better_darker():
    table = pd.DataFrame([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], index=[0.0, 1.0], columns=[0.0, 1.0, 4.0])
    error, right = score_plots.two_way_grid({"error (°)": table, "right": table}, better=["right"])
    assert error.get_xlabel() == "direction scale" and error.get_ylabel() == "visual scale"
    assert [label.get_text() for label in error.get_xticklabels()] == ["0", "1", "4"]
    texts = {text.get_position(): text.get_text() for text in error.texts}
    assert texts[(2, 0)] == "3" and texts[(0, 1)] == "4", "column is direction, row is visual"
    assert error.get_ylim()[0] < error.get_ylim()[1], "the visual scale grows upwards"
    for ax, best in ((error, (0, 0)), (right, (2, 1))):
        image = ax.images[0]
        shade = {place: sum(image.cmap(image.norm(table.iloc[place[1], place[0]]))[:3]) for place in texts}
        assert min(shade, key=shade.get) == best, "the best is the darkest"
        assert {text.get_position(): text.get_color() for text in ax.texts}[best] == "white"
    with pytest.raises(ValueError, match="nothing to draw"):
        score_plots.two_way_grid({})


def test_the_stairs_of_a_stream_rise_when_a_piece_comes():
    ax = score_plots.streamed([0.5, 0.7, 1.0], [0.25, 0.25, 0.5])
    made, played = ax.lines
    assert list(made.get_xdata()) == [0, 0.5, 0.7, 1.0, 1.5] and list(made.get_ydata()) == [0, 0.25, 0.5, 1.0, 1.0]
    assert made.get_drawstyle() == "steps-post"
    assert list(played.get_xdata()) == [0.5, 1.5] and list(played.get_ydata()) == [0, 1]
    with pytest.raises(ValueError, match="2 times for 1 pieces"):
        score_plots.streamed([1, 2], [1])


def test_azimuths_are_lines_and_the_last_is_dots():
    seconds = np.arange(3.0)
    ax = score_plots.azimuths(seconds, {"camera": seconds, "sound": np.array([5.0, np.nan, 7.0])})
    camera, sound = ax.lines
    assert camera.get_linestyle() == "-" and sound.get_marker() == "o" and sound.get_linestyle() == "None"
    assert "left is up" in ax.get_ylabel() and ax.get_xlabel() == "time (s)"
