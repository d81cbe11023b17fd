"""Intervals: against loops, by how often they hold the true mean, and by what pairs and names must do."""

import numpy as np
import pandas as pd
import pytest

from visage_lite import intervals as iv


def clustered(rng, videos=40, spread=1.0, noise=0.5):
    """Scores of 1 to 12 clips of each video, with the true mean 0, and their videos."""
    counts = rng.integers(1, 13, videos)
    names = np.repeat(np.arange(videos), counts)
    return spread * rng.standard_normal(videos)[names] + noise * rng.standard_normal(len(names)), names


# --- loops ---


def test_interval_against_a_loop():
    rng = np.random.default_rng(0)
    values, videos = clustered(rng, 7)
    values[[2, 5]] = np.nan
    names = [f"v{number}" for number in videos]
    found = iv.mean_interval(values, names, seed=3, draws=400)
    groups = [values[(videos == v) & ~np.isnan(values)] for v in np.unique(videos)]
    groups = [group for group in groups if len(group)]
    times = np.random.default_rng(3).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=400)
    means, macros = [], []
    for draw in times:
        taken = [group for group, often in zip(groups, draw) for _ in range(often)]
        means.append(np.mean(np.concatenate(taken)))
        macros.append(np.mean([np.mean(group) for group in taken]))
    assert found.mean == pytest.approx(np.nanmean(values))
    assert found.macro == pytest.approx(np.mean([group.mean() for group in groups]))
    assert [found.low, found.high] == pytest.approx(np.quantile(means, [0.025, 0.975]))
    assert [found.macro_low, found.macro_high] == pytest.approx(np.quantile(macros, [0.025, 0.975]))
    assert (found.clips, found.videos, found.left_out) == (len(values) - 2, len(groups), 2)


# --- what an interval promises ---


def test_intervals_over_videos_hold_the_true_mean_and_intervals_over_clips_do_not():
    rng = np.random.default_rng(1)
    over_videos, over_clips, macro = [], [], []
    for seed in range(300):
        values, videos = clustered(rng)
        one = iv.mean_interval(values, videos, seed, draws=400)
        other = iv.mean_interval(values, np.arange(len(values)), seed, draws=400)
        over_videos.append(one.low <= 0 <= one.high)
        macro.append(one.macro_low <= 0 <= one.macro_high)
        over_clips.append(other.low <= 0 <= other.high)
    assert 0.90 <= np.mean(over_videos) <= 0.98 and 0.90 <= np.mean(macro) <= 0.98
    assert np.mean(over_clips) < 0.75


def test_a_higher_level_is_wider_and_the_seed_decides():
    values, videos = clustered(np.random.default_rng(2))
    narrow, wide = (iv.mean_interval(values, videos, 5, level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high
    assert iv.mean_interval(values, videos, 5) == iv.mean_interval(values, videos, 5)
    assert iv.mean_interval(values, videos, 5) != iv.mean_interval(values, videos, 6)


def test_turned_signs_turn_the_interval_and_the_order_of_clips_does_not_matter():
    values, videos = clustered(np.random.default_rng(3))
    one, minus = iv.mean_interval(values, videos, 0), iv.mean_interval(-values, videos, 0)
    assert [minus.low, minus.mean, minus.high] == pytest.approx([-one.high, -one.mean, -one.low])
    order = np.random.default_rng(4).permutation(len(values))
    again = iv.mean_interval(values[order], videos[order], 0)
    assert [again.low, again.high] == pytest.approx([one.low, one.high])


def test_a_long_video_counts_once_in_the_macro_mean():
    found = iv.mean_interval([1.0] * 98 + [0.0, 0.0], ["long"] * 98 + ["a", "b"], 0)
    assert found.mean == pytest.approx(0.98) and found.macro == pytest.approx(1 / 3)


def test_one_video_tells_no_interval_and_no_score_no_mean():
    one = iv.mean_interval([0.5, 0.7, np.nan], ["v"] * 3, 0)
    assert (one.mean, one.low, one.high, one.macro_low, one.left_out) == (pytest.approx(0.6), None, None, None, 1)
    assert str(one) == "0.60 [unknown]"
    none = iv.mean_interval([np.nan, np.nan], ["v", "w"], 0)
    assert (none.mean, none.macro, none.clips, none.left_out, str(none)) == (None, None, 0, 2, "no score")
    assert str(iv.mean_interval([0.5, 0.5], ["v", "w"], 0)) == "0.50 [0.50, 0.50]"


# --- pairs ---


def test_a_pair_is_kept_together():
    """b is a + 0.1 on every clip: the difference is sure, though the means overlap widely."""
    values, videos = clustered(np.random.default_rng(5))
    found = iv.paired_difference(values, values + 0.1, videos, 0)
    assert [found.mean, found.low, found.high] == pytest.approx([0.1, 0.1, 0.1])
    assert found.above == 1 and found.p == pytest.approx(2 / (iv.DRAWS + 1))
    same = iv.paired_difference(values, values, videos, 0)
    assert (same.mean, same.above, same.p) == (0, 0, 1)
    back = iv.paired_difference(values + 0.1, values, videos, 0)
    assert back.mean == pytest.approx(-0.1) and back.above == 0 and back.p == found.p


def test_p_is_small_as_often_as_it_says():
    rng = np.random.default_rng(6)
    found = []
    for seed in range(300):
        (a, videos), noise = clustered(rng), rng.standard_normal(40)
        found.append(iv.paired_difference(a, a + noise[videos], videos, seed, draws=400).p)
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.10
    assert 0.35 <= np.mean(found) <= 0.6  # evenly spread


def test_pairs_go_by_name_and_count_what_only_one_scored():
    a = {"x": 1.0, "y": 2.0, "z": np.nan}
    b = pd.Series({"z": 9.0, "y": 3.0, "x": 5.0})
    found = iv.paired_difference(a, b, {"z": "w", "y": "v", "x": "w"}, 0)
    assert found.mean == pytest.approx(2.5) and (found.clips, found.videos, found.left_out) == (2, 2, 1)
    assert iv.paired_difference(a, b, {"z": "w", "y": "v", "x": "v"}, 0).videos == 1, "x and y are of one video"
    assert iv.paired_difference(a, b, dict.fromkeys("xyz", "v"), 0).p is None


@pytest.mark.parametrize("wrong, match", [
    (lambda: iv.paired_difference({"x": 1, "y": 1}, {"x": 1}, {"x": 0, "y": 0}, 0), "'y'.*same clips"),
    (lambda: iv.paired_difference({"x": 1}, {"x": 1, "y": 1}, {"x": 0}, 0), "'y'"),
    (lambda: iv.paired_difference({"x": 1}, {"x": 1}, ["v"], 0), "videos"),
    (lambda: iv.paired_difference(pd.Series([1, 2], ["x", "x"]), {"x": 1}, {"x": 0}, 0), "twice"),
    (lambda: iv.mean_interval([1, 2], ["v"], 0), "one score and one video"),
    (lambda: iv.mean_interval([], [], 0), "one score and one video"),
    (lambda: iv.mean_interval([1, np.inf], ["v", "w"], 0), "infinite"),
    (lambda: iv.mean_interval([1, 2], ["v", None], 0), "no video"),
    (lambda: iv.mean_interval([1, 2], ["v", "w"], 0, level=95), "level"),
    (lambda: iv.mean_interval([1, 2], ["v", "w"], 0, draws=0), "draw"),
])
def test_wrong_input_raises(wrong, match):
    with pytest.raises(ValueError, match=match):
        wrong()


# --- tables ---


def systems():
    rng = np.random.default_rng(7)
    values, videos = clustered(rng)
    names = [f"clip {k}" for k in range(len(values))]
    base = pd.DataFrame({"video": videos, "cc": values, "auc": values / 2 + 0.5, "path": np.nan}, index=names)
    better = base.assign(cc=base["cc"] + 0.25).sample(frac=1, random_state=0)  # in another order
    return {"toy": base, "better": better}


def test_a_table_holds_the_intervals_of_every_system_and_score():
    given = systems()
    found = iv.table(given, ["cc", "path"], seed=1)
    assert list(found.index) == [("toy", "cc"), ("toy", "path"), ("better", "cc"), ("better", "path")]
    one = iv.mean_interval(given["toy"]["cc"], given["toy"]["video"], 1)
    assert found.loc[("toy", "cc"), "low"] == one.low and found.loc[("toy", "cc"), "videos"] == 40
    assert found.loc[("toy", "path"), "left_out"] == len(given["toy"])
    text = iv.as_text(found)
    assert list(text.index) == ["toy", "better"] and list(text.columns) == ["cc", "path"]
    assert text.loc["toy", "cc"] == str(one) and text.loc["toy", "path"] == "no score"
    assert iv.as_text(found, "macro", 3).loc["toy", "cc"] == iv.written(one.macro, one.macro_low, one.macro_high, 3)


def test_a_table_of_differences_pairs_clips_by_name():
    found = iv.difference_table(systems(), "toy", ["cc", "auc"], seed=1)
    assert list(found.index) == [("better", "cc"), ("better", "auc")]
    assert found.loc[("better", "cc"), ["low", "high"]].tolist() == pytest.approx([0.25, 0.25])
    assert found.loc[("better", "auc"), "p"] == 1
    assert iv.as_text(found).loc["better", "cc"] == "0.25 [0.25, 0.25]"


def test_tables_of_one_video_and_wrong_tables():
    one = pd.DataFrame({"video": "v", "cc": [1.0, 2.0]})
    assert iv.as_text(iv.table({"one": one}, ["cc"], 0)).loc["one", "cc"] == "1.50 [unknown]"
    for wrong, match in [
        (lambda: iv.table({"one": one.drop(columns="video")}, ["cc"], 0), "no column 'video'"),
        (lambda: iv.table({"one": one}, ["auc"], 0), "no column 'auc'"),
        (lambda: iv.difference_table({"one": one}, "two", ["cc"], 0), "choose one of one"),
        (lambda: iv.difference_table({"one": one, "two": one[:1]}, "one", ["cc"], 0), "two .* against one"),
        (lambda: iv.as_text(iv.table({"one": one}, ["cc"], 0), "median"), "mean or macro"),
    ]:
        with pytest.raises(ValueError, match=match):
            wrong()
