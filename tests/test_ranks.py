"""Pairs in the right order: against loops over all pairs, with ties, crowds and extreme values."""

import numpy as np
import pytest

from visage_lite.ranks import CROWDED, bucket_sort, pair_counts, roc_area, split


def some_values(kind, count=300, seed=0):
    values = np.random.default_rng(seed).standard_normal(count)
    return {
        "spread": values, "ties": np.round(values, 1), "two": np.sign(values), "alike": np.ones(count),
        "crowded": np.where(values > 2, 1e9 * values, values), "tiny": 1e-310 * values, "one": values[:1],
    }[kind]  # fmt: skip


KINDS = ["spread", "ties", "two", "alike", "crowded", "tiny", "one"]


@pytest.mark.parametrize("kind", KINDS)
def test_sorting(kind):
    values = some_values(kind)
    before = values.copy()
    np.testing.assert_array_equal(bucket_sort(values), np.sort(values))
    np.testing.assert_array_equal(values, before)


def test_the_kinds_take_both_ways():
    shares = [some_values(kind) - some_values(kind).min() for kind in ("spread", "crowded")]
    crowds = [np.bincount((share / share.max() * 299).astype(int)).max() for share in shares]
    assert crowds[0] <= CROWDED < crowds[1]


@pytest.mark.parametrize("kind", ["spread", "ties", "two", "alike", "crowded"])
def test_counts_against_loops(kind):
    values = some_values(kind, 120)
    chosen = np.random.default_rng(1).random(120) < 0.3
    ours, others = values[chosen], values[~chosen]
    larger = sum(v > w for v in ours for w in others)
    equal = sum(v == w for v in ours for w in others)
    twins = sum(ours[i] == ours[j] for i in range(len(ours)) for j in range(i))
    assert pair_counts(values, chosen) == (larger, equal, twins, np.sum(values >= ours.max()))
    assert roc_area(values, chosen) == pytest.approx((larger + equal / 2) / (len(ours) * len(others)))


@pytest.mark.parametrize("kind", ["spread", "ties", "two", "alike"])
def test_the_released_area_against_its_loop(kind):
    values = some_values(kind, 120)
    for hits in (1, 2, 40, 119):
        chosen = np.random.default_rng(hits).permutation(120) < hits
        rates = [(0.0, 0.0)]
        for count, threshold in enumerate(sorted(values[chosen])[::-1]):
            rates.append(((sum(values >= threshold) - count) / (120 - hits), count / hits))
        rates.append((1.0, 1.0))
        area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(rates, rates[1:]))
        assert roc_area(values, chosen, released=True) == pytest.approx(area, abs=1e-12)


def test_all_or_none_chosen_is_a_guess():
    assert roc_area(np.arange(5.0), np.ones(5, bool)) == roc_area(np.arange(5.0), np.zeros(5, bool)) == 0.5


def test_split_keeps_the_order():
    ours, others = split(np.arange(6.0), np.array([1, 0, 0, 1, 1, 0], bool))
    assert ours.tolist() == [0, 3, 4] and others.tolist() == [1, 2, 5]
