"""Plots of scores: the curve is the ladder, marks stand on it, bars are the intervals, the area is the AUC."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from visage_lite import evaluation as ev
from visage_lite import evaluation_plots as ep
from visage_lite import intervals as iv
from visage_lite import ladder as ld
from visage_lite.ambisonics import encode, energy_map


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


TABLE = {"corrected": pd.DataFrame({
    "change": [ld.ANGLE] * 3 + [ld.DIFFUSE] * 2 + [ld.LEVEL], "amount": [0, 90, 180, 0, 100, 0],
    "cc": [1, 0, -1, 1, 0, 1], "auc": [1, 0.5, 0, 1, 0.5, 1],
})}


def test_the_ladder_is_drawn_and_systems_stand_on_it():
    ax = ep.ladder({"corrected": ld.ladder(), "as_released": TABLE["corrected"]}, "cc", {"toy": 0.9, "camera": 0.5})
    solid, dashed, guessing, *marks = ax.lines
    np.testing.assert_allclose(solid.get_ydata(), np.cos(np.radians(np.asarray(solid.get_xdata(), float))), atol=1e-3)
    assert dashed.get_linestyle() == "--" and list(dashed.get_xdata()) == [0, 90, 180]
    assert list(guessing.get_ydata()) == [0, 0]
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks]
    np.testing.assert_allclose(places, [(60, 0.5), (25.84, 0.9)], atol=0.1)
    assert any(text.get_text() == "toy: 0.90, 26°" for text in ax.texts)
    assert ax.get_xlabel() == "angular error (°)" and ax.get_ylabel() == "CC"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["corrected", "as released"]


def test_names_of_systems_stand_apart_in_their_order():
    ax = ep.ladder(TABLE, "cc", {name: score for name, score in zip("abcd", (0.99, 0.98, 0.97, -0.99))})
    names = [text for text in ax.texts if ":" in text.get_text()]
    heights = {text.get_text()[0]: text.xyann[1] for text in names}
    assert heights["a"] > heights["b"] > heights["c"] > heights["d"] and heights["a"] <= 1
    assert np.diff(sorted(heights.values())).min() > 0.08 and min(heights.values()) >= 0
    assert any("d: −0.99" in text.get_text() for text in ax.texts)


def test_the_diffuse_ladder_and_auc():
    ax = ep.ladder(TABLE, "auc", change=ld.DIFFUSE)
    assert list(ax.lines[0].get_ydata()) == [1, 0.5] and ax.get_ylim()[0] > -0.1
    assert ax.get_xlabel() == "diffuse (%)" and ax.get_ylabel() == "AUC-Judd" and ax.get_legend() is None
    assert ep.ladder(TABLE, ax=ax) is ax


def numbers():
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(9), 3)
    systems = {name: pd.DataFrame({"video": video, "cc": mean + 0.1 * rng.standard_normal(27)})
               for name, mean in (("toy", 0.9), ("silence", 0.0))}
    systems["one"] = pd.DataFrame({"video": "v", "cc": [0.5, 0.7]})
    systems["none"] = pd.DataFrame({"video": "v", "cc": [np.nan]})
    return iv.table(systems, ["cc"], 0)


def test_bars_are_the_intervals_and_controls_are_grey():
    table = numbers()
    ax = ep.intervals(table, "cc", controls=["silence"], unit="CC", marked=0.0)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["toy", "silence", "one", "none"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first system is at the top"
    guess, toy_bar, toy, silence_bar, silence, one, none = ax.lines
    for bar, name in ((toy_bar, "toy"), (silence_bar, "silence")):
        assert list(bar.get_xdata()) == list(table.loc[(name, "cc"), ["low", "high"]])
    assert toy.get_xdata()[0] == table.loc[("toy", "cc"), "mean"] and list(guess.get_xdata()) == [0, 0]
    assert toy.get_color() == toy_bar.get_color() != silence.get_color() == silence_bar.get_color() == ep.GREY
    assert [label.get_color() == ep.GREY for label in ax.get_yticklabels()] == [False, True, False, False]
    assert one.get_xdata()[0] == pytest.approx(0.6) and "no score" in [text.get_text() for text in ax.texts]
    assert "95 %" in ax.get_xlabel() and ax.get_xlabel().startswith("CC")
    assert ep.intervals(table, "cc", ax=ax) is ax


def test_the_roc_curve_has_the_area_of_auc():
    noise = np.random.default_rng(0).standard_normal(400)
    truth, prediction = (ev.equal_area(energy_map(encode(noise, azimuth, 0.1))) for azimuth in (0.3, 1.2))
    for levels in (prediction, np.round(prediction, 1), -truth):
        ax = ep.roc(levels, truth)
        curve = ax.lines[0]
        area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
        assert area == pytest.approx(ev.auc_judd(levels, truth), abs=1e-9)
        assert f"{area:.2f}" in ax.texts[0].get_text()
    assert "loud places" in ax.get_ylabel() and "false alarms" in ax.get_xlabel()


def test_a_loop_over_thresholds_draws_the_same_curve():
    truth, prediction = np.array([5.0, 4.9, 1, 2, 3, 0]), np.array([0.9, 0.4, 0.4, 0.1, 0.8, 0.0])
    curve = ep.roc(prediction, truth).lines[0]
    loud = truth > truth.max() - truth.std()
    expected = [(0.0, 0.0)] + [
        ((prediction[~loud] >= level).mean(), (prediction[loud] >= level).mean())
        for level in sorted(set(prediction), reverse=True)
    ]
    np.testing.assert_allclose(np.column_stack([curve.get_xdata(), curve.get_ydata()]), expected)


@pytest.mark.parametrize("wrong", [
    lambda: ep.ladder(TABLE, "fad"),
    lambda: ep.ladder({}),
    lambda: ep.ladder(TABLE, change="gain"),
    lambda: ep.ladder(TABLE, change=ld.LEVEL),
    lambda: ep.ladder(TABLE, systems={"toy": 0.5}, change=ld.DIFFUSE),
    lambda: ep.intervals(numbers(), "auc"),
    lambda: ep.roc(np.zeros(3), np.zeros(4)),
    lambda: ep.roc(np.arange(3.0), np.zeros(3)),
])
def test_wrong_input_raises(wrong):
    with pytest.raises(ValueError):
        wrong()


def test_a_cloud_is_drawn_with_the_ellipse_of_two_standard_deviations():
    points = np.random.default_rng(0).standard_normal((400, 2)) * [3, 1] + [5, -2]
    ax = ep.clouds({"one": points, "other": points + 1})
    dots, ellipse, mean = ax.lines[:3]
    np.testing.assert_allclose(dots.get_xydata(), points)
    np.testing.assert_allclose(mean.get_xydata(), points.mean(0)[None])
    away = ellipse.get_xydata() - points.mean(0)
    squared = np.einsum("ni,ij,nj->n", away, np.linalg.inv(np.cov(points.T)), away)
    np.testing.assert_allclose(squared, 4)  # Mahalanobis distance 2 all round
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "other"]


@pytest.mark.parametrize("points", [{}, {"one": np.zeros((5, 3))}, {"one": np.zeros((1, 2))}])
def test_clouds_need_points_of_two_numbers(points):
    with pytest.raises(ValueError):
        ep.clouds(points)
