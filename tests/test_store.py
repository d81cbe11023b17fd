"""The store: whole shards or none, resumed after any stop with the same bytes, bad clips told, recipes never mixed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from visage_lite.store import Store, write_shard, write_store

RECIPE = {"network": "numbers", "version": 1}
SHARDS = {"train_00000": ["a", "b", "c"], "train_00001": ["d", "bad", "e"], "test_00000": ["f"]}


def features(clip):
    if clip == "bad":
        raise ValueError("a broken\nfile")
    return {"codes": np.full((2, 3), ord(clip), np.int16), "direction": np.full(3, ord(clip), np.float32)}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(folder, shards=SHARDS, run_features=features, **options):
    return write_store(folder, RECIPE, shards, run_features, progress=False, **{"workers": 0} | options)


def test_rows_come_back_by_name_from_any_shard(tmp_path):
    store = write(tmp_path)
    assert store.clips == ["f", "a", "b", "c", "d", "e"] and len(store) == 6
    assert store.rows("codes", ["e", "a", "e"])[:, 0, 0].tolist() == [ord("e"), ord("a"), ord("e")]
    assert store.rows("direction", ["f"]).dtype == np.float32
    assert store.bad.values.tolist() == [["bad", "ValueError: a broken file"]]
    assert store.in_split("a", "train") and not store.in_split("f", "train") and store.in_split("f", None)
    assert isinstance(store._map("train_00000", "codes"), np.memmap)
    with pytest.raises(KeyError):
        store.rows("codes", ["bad"])


def test_what_is_there_is_kept_and_only_the_rest_is_made(tmp_path):
    write(tmp_path, {name: SHARDS[name] for name in ("train_00000",)})
    made = []

    def noted(clip):
        made.append(clip)
        return features(clip)

    write(tmp_path, run_features=noted)
    assert made == ["d", "bad", "e", "f"]


def test_several_processes_give_the_same_bytes(tmp_path):
    write(tmp_path / "one")
    write(tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import test_store
def slow(clip):
    time.sleep(0.15)
    return test_store.features(clip)
test_store.write(sys.argv[1] and __import__("pathlib").Path(sys.argv[1]), run_features=slow)
"""


def test_a_killed_run_loses_the_shard_under_way_and_nothing_else(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    program = [sys.executable, "-c", SLOW.format(tests=os.path.dirname(__file__)), str(killed)]
    process = subprocess.Popen(program)
    until = time.monotonic() + 60
    while not (killed / "train_00000").is_dir() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)  # into the second shard
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert Store(killed).clips == ["a", "b", "c"]
    unfinished = list(killed.glob(".*.tmp"))
    for path in unfinished:
        os.utime(path, (1, 1))  # as if it were of an hour ago
    write(killed)
    write(whole)
    assert contents(killed) == contents(whole) and not list(killed.glob(".*.tmp"))


def test_a_second_process_on_the_same_shard_does_no_harm(tmp_path):
    write(tmp_path)
    before = contents(tmp_path)
    assert write_shard(("test_00000", ["f"]), str(tmp_path), features) == "test_00000"
    assert contents(tmp_path) == before


def test_another_recipe_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="another recipe .version was 1, is 2.: choose another folder"):
        write_store(tmp_path, RECIPE | {"version": 2}, SHARDS, features)
    with pytest.raises(ValueError, match="holds no features: make them"):
        Store(tmp_path / "train_00000")


@pytest.mark.parametrize(
    ("odd", "reason"),
    [(np.zeros((2, 4), np.int16), r"codes is \[2, 4\]"), (np.full((2, 3), np.nan), "codes is not finite")],
)
def test_arrays_that_do_not_fit_are_a_bad_clip(tmp_path, odd, reason):
    store = write(tmp_path, {"s_0": ["a", "z"]}, lambda clip: features(clip) | ({"codes": odd} if clip == "z" else {}))
    assert store.clips == ["a"] and store.bad["reason"].str.contains(reason).all()


def test_a_shard_of_bad_clips_only(tmp_path):
    assert write(tmp_path, {"s_0": ["bad"]}).clips == []


def test_a_hundred_thousand_clips_are_opened_without_reading_them(tmp_path):
    import json

    for shard in range(1000):
        folder = tmp_path / f"train_{shard:05d}"
        folder.mkdir(parents=True)
        names = [f"{shard}_{row}" for row in range(100)]
        (folder / "clips.json").write_text(json.dumps({"clips": names, "bad": {}}))
        np.lib.format.open_memmap(folder / "codes.npy", "w+", np.int16, (100, 6, 9, 430))  # sparse: takes no room
    (tmp_path / "recipe.json").write_text("{}")
    store = Store(tmp_path)
    assert len(store) == 100_000 and store.rows("codes", ["999_99", "0_0"]).shape == (2, 6, 9, 430)
    assert len(store._maps) == 2
