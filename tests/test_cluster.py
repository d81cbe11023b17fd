"""Dask: two local workers, one of them killed in the middle, and the same bytes as one process makes."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from visage_lite.cluster import on_cluster
from visage_lite.store import write_store

pytest.importorskip("distributed", reason="Dask is not installed: pip install 'visage_lite[cluster]'")
SHARDS = {f"train_{k:05d}": [f"{k}a", f"{k}b"] for k in range(12)}


def slow_features(clip, log):
    """Features of a clip; notes which process made them."""
    time.sleep(0.1)
    with open(log, "a") as file:
        file.write(f"{clip} {os.getpid()}\n")
    return {"codes": np.full((2, 3), int(clip[:-1]), np.int16)}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler with two workers, and the worker processes (without nannies, which restart them)."""
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__), "DASK_DISTRIBUTED__DASHBOARD__LINK": ""}
    dask, where = [sys.executable, "-m", "dask"], tmp_path / "scheduler.json"
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    common = ["--scheduler-file", str(where), "--no-dashboard"]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *common]
    worker = [*dask, "worker", "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", *common]
    processes = [subprocess.Popen(command, **quiet) for command in (scheduler, worker, worker)]
    try:
        yield where, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def address(where):
    import json

    until = time.monotonic() + 60
    while not where.is_file() and time.monotonic() < until:
        time.sleep(0.05)
    return json.loads(where.read_text())["address"]


def test_a_killed_workers_shard_is_redone(cluster, tmp_path):
    where, workers = cluster
    log = tmp_path / "log.txt"
    work = partial(slow_features, log=str(log))

    def kill_one():
        until = time.monotonic() + 60
        while time.monotonic() < until:  # once both workers have made something
            made = {line.split()[1] for line in log.read_text().splitlines()} if log.is_file() else set()
            if len(made) == 2:
                os.kill(workers[0].pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    options = {"run": on_cluster, "scheduler": address(where), "progress": False}
    store = write_store(tmp_path / "many", {}, SHARDS, work, **options)
    killer.join()
    assert workers[0].wait(10) == -signal.SIGKILL and len(store) == 24
    write_store(tmp_path / "one", {}, SHARDS, work, workers=0, progress=False)
    shards = contents(tmp_path / "many")
    assert {name: data for name, data in shards.items() if ".tmp/" not in name} == contents(tmp_path / "one")


def test_a_scheduler_that_is_not_there(monkeypatch):
    from distributed import Client

    def refuse(*arguments, **options):
        raise OSError("Timed out trying to connect to tcp://127.0.0.1:9")

    monkeypatch.setattr(Client, "__init__", refuse)
    with pytest.raises(OSError, match="Timed out"):
        list(on_cluster(len, [[]], "tcp://127.0.0.1:9"))
