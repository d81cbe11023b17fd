"""How fast the spatial scores are, against the plain way, and how long a whole test split takes.

    python tests/benchmarks/bench_evaluation.py [--rounds N] [--clips N] [--workers N] [--files N]

First, pairs of clips of 5 s at 44.1 kHz, scored as released over the whole clip and windows of 1 s and 0.2 s: the plain
way (`plain_evaluation.py`) decodes 16,200 directions; ours reads the sound once, into covariances. Each way runs in a
process of its own, on one thread, and their numbers must agree. Wanted: 500 times as fast, a tenth of the peak memory.

Then 11,166 pairs, the size of the test split, read from WAV files (4 channels, 16 bit) and scored in full
(`spatial.score_clip`: both modes, directions, diffuseness, path). Some files are written to a temporary folder and read
again and again, so they come from the operating system's cache. Wanted: 10 minutes on 2 cores.

Last, the limit: the time that this machine needs at least to read the samples and to do the sums, roots and
comparisons, each at its best measured rate. "cpu" is processor time; where others compute too, it says more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from visage_lite.ambisonics import encode
from visage_lite.evaluation import WINDOWS_S, spatial_scores
from visage_lite.jobs import in_parallel
from visage_lite.ranks import bucket_sort
from visage_lite.spatial import ClipScore, score_clip

RATE, SECONDS, TEST_SPLIT = 44100, 5, 11166
CELLS, SAMPLES = 90 * 180, 10312
MAPS = 2 * (1 + SECONDS + 5 * SECONDS)  # of a pair, in one mode


def clip(seed: int) -> np.ndarray:
    """A source that moves, in some noise from all around: float32 [4, N]."""
    rng, count = np.random.default_rng(seed), RATE * SECONDS
    azimuth = rng.uniform(-3, 3) + np.linspace(0, rng.uniform(-1, 1), count)
    field = encode(rng.standard_normal(count), azimuth, rng.uniform(-0.8, 0.8))
    return (0.1 * (field + 0.2 * rng.standard_normal((4, count)))).astype(np.float32)


def measure(way: str, rounds: int) -> dict:
    """Run one way in this process: scores, seconds and processor seconds of each round, peak memory in MB."""
    from plain_evaluation import spatial_scores as plain_scores

    pair, rows = [clip(1), clip(2)], []
    before = peak_mb()
    if way == "ours":
        spatial_scores(*pair, RATE, "as_released")  # compiles, and fills the caches that all clips share
    for _ in range(rounds):
        begin = time.perf_counter(), time.process_time()
        if way == "plain":
            scores = plain_scores(*pair, RATE)
        else:
            scores = {name: (s.cc, s.auc) for name, s in spatial_scores(*pair, RATE, "as_released").items()}
        rows.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    return {"scores": scores, "seconds": [r[0] for r in rows], "cpu": [r[1] for r in rows],
            "peak": peak_mb(), "before": before}  # fmt: skip


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(rounds: int) -> None:
    """Print both ways beside each other."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    results = {}
    print(f"{'':6}{'s/clip':>10}{'best':>10}{'cpu s':>10}{'peak MB':>10}{'at start':>10}")
    for way, times in (("plain", rounds), ("ours", 20 * rounds)):
        command = [sys.executable, __file__, "--way", way, "--rounds", str(times)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=one_thread).stdout
        results[way] = r = json.loads(output)
        figures = [statistics.median(r["seconds"]), min(r["seconds"]), statistics.median(r["cpu"])]
        print(f"{way:6}" + "".join(f"{f:10.4f}" for f in figures) + f"{r['peak']:10.0f}{r['before']:10.0f}")
    plain, ours = results["plain"], results["ours"]
    far = max(abs(a - b) for name in WINDOWS_S for a, b in zip(plain["scores"][name], ours["scores"][name]))
    print(f"largest difference of CC and AUC, all, 1fps and 5fps: {far:.1e}")
    assert far < 1e-6, (plain["scores"], ours["scores"])
    ratios = [statistics.median(plain[key]) / statistics.median(ours[key]) for key in ("seconds", "cpu")]
    print(f"ratio {ratios[0]:,.0f}, of processor time {ratios[1]:,.0f} (wanted 500); peak memory "
          f"{ours['peak'] / plain['peak']:.1%} of the plain way's, beyond the start "
          f"{(ours['peak'] - ours['before']) / (plain['peak'] - plain['before']):.1%} (wanted 10 %)")


def score_files(number: int, files: list[Path]) -> tuple[ClipScore, float, float]:
    """Read and score one pair; its processor seconds, and those of reading alone."""
    begin = time.process_time()
    pair = [soundfile.read(files[(number + i) % len(files)], dtype="float32")[0].T for i in range(2)]
    read = time.process_time() - begin
    return score_clip(*pair, RATE), time.process_time() - begin, read


def test_split(clips: int, files: int, workers: int) -> float:
    """Score many pairs of files and print how long that took. Returns processor seconds of a pair."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.wav" for i in range(files)]
        for i, path in enumerate(paths):
            soundfile.write(path, clip(i).T, RATE, subtype="PCM_16")
        begin = time.perf_counter()
        rows = list(in_parallel(partial(score_files, files=paths), range(clips), workers, "scoring", "clip"))
        wall = time.perf_counter() - begin
    cpu, read = (statistics.mean(column) for column in list(zip(*rows))[1:])
    cc = [row[0].cc_5fps for row in rows]
    print(f"{clips:,} pairs with {workers} workers: {wall / 60:.2f} minutes, {1e3 * wall / clips:.1f} ms a pair; "
          f"processor time of a pair {1e3 * cpu:.1f} ms, {1e3 * read:.1f} ms of it reading; mean CC {np.mean(cc):.3f}")
    for what, seconds in (("by the clock", wall / clips), ("by processor time, nothing else running", cpu / workers)):
        print(f"{TEST_SPLIT:,} pairs {what}: {seconds * TEST_SPLIT / 60:.1f} minutes (wanted 10)")
    return cpu


def best(work, times: int = 200) -> float:
    """Seconds of the fastest of some calls."""
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return min(found)


def limit(cpu: float) -> None:
    """Print the least time that scoring a pair in both modes takes on one core, part by part."""
    sound = np.concatenate([clip(3), clip(4)])  # 7 MB, twice what the files hold
    product, cells = np.ones((512, 512)), np.random.default_rng(0).random(CELLS)
    flops = 2 * 512**3 / best(lambda: product @ product)
    flop = 2 * 10 * sound.size / 4 + 2 * MAPS * (2 * 6 * CELLS + 12 * SAMPLES)
    parts = {
        f"reading {sound.nbytes / 1e6:.1f} MB of samples": best(sound.sum),
        f"{flop / 1e6:.0f} MFLOP at {flops / 1e9:.0f} GFLOP/s": flop / flops,
        f"{2 * MAPS * CELLS / 1e6:.1f} million roots": 2 * MAPS * best(lambda: np.sqrt(cells, out=np.empty(CELLS))),
        f"sorting {MAPS} maps": MAPS * best(lambda: bucket_sort(cells[:SAMPLES])),
    }
    print(f"\nthe least that a pair needs, {1e3 * sum(parts.values()):.1f} ms:")
    for what, seconds in parts.items():
        print(f"  {1e3 * seconds:6.2f} ms  {what}")
    print(f"ours takes {1e3 * cpu:.1f} ms with reading the files: {sum(parts.values()) / cpu:.0%} of it is that limit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=1, help="times that the plain way is run; ours 20 times as often")
    parser.add_argument("--clips", type=int, default=TEST_SPLIT, help="pairs to read and score")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--way", choices=("plain", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args.way, args.rounds)))
        return
    compare(args.rounds)
    limit(test_split(args.clips, args.files, args.workers))


if __name__ == "__main__":
    main()
