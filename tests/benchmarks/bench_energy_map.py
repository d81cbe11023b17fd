"""The energy map of a clip from its 4x4 covariance, against decoding it in every direction of the grid.

    python tests/benchmarks/bench_energy_map.py

The plain way does what the released code does: the sound of 90 x 180 directions, squared and averaged (5 s, 16 kHz).
Each way runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import resource
import statistics
import time
from multiprocessing import get_context

import numpy as np

from visage_lite.ambisonics import energy_map, map_grid
from visage_lite.scenes import make_scene


def plain(foa: np.ndarray) -> np.ndarray:
    """RMS level of every direction of the grid, by listening there: [90, 180]."""
    sounds = map_grid().reshape(4, -1).T @ foa.astype(np.float64)  # [16200, N], 10 GB
    np.square(sounds, out=sounds)
    return np.sqrt(sounds.mean(axis=1)).reshape(90, 180)


def run(way: str, repeats: int) -> tuple[float, float, np.ndarray]:
    """(median seconds, peak megabytes beyond those at the start, the map)."""
    foa, times = make_scene(1).foa(16000), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(repeats):
        begin = time.perf_counter()
        levels = (plain if way == "plain" else energy_map)(foa)
        times.append(time.perf_counter() - begin)
    return statistics.median(times), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, levels


def main() -> None:
    results = {}
    for way, repeats in (("plain", 1), ("ours", 200)):
        with get_context("spawn").Pool(1) as pool:
            results[way] = pool.apply(run, (way, repeats))
        seconds, memory, _ = results[way]
        print(f"{way:6} {1e3 * seconds:10.2f} ms, {memory:8.0f} MB")
    difference = np.abs(results["plain"][2] - results["ours"][2]).max() / results["plain"][2].max()
    print(f"largest difference {difference:.1e} of the maximum")
    assert difference < 1e-5
    foa = make_scene(1).foa(16000)
    begin = time.perf_counter()
    for _ in range(50):
        foa.sum()
    limit = (time.perf_counter() - begin) / 50
    print(f"{results['plain'][0] / results['ours'][0]:,.0f} times as fast (wanted 500, in at most 200 MB)")
    print(f"reading the clip once takes {1e3 * limit:.2f} ms: ours is at {limit / results['ours'][0]:.0%} of that limit")


if __name__ == "__main__":
    main()
