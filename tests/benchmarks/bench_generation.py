"""How fast generation is at the published size, against the plain way and against the memory.

    python tests/benchmarks/bench_generation.py [--steps N | --full] [--guidance joint|two-way|both] [--dtypes ...]

One random model of 358,626,868 parameters, batch 1. By default N steps are timed at the start, in the middle and at the
end of the 861 steps of a 5 s clip (the caches before the middle and the end hold random numbers, the same for all), the
plain way and ours in turn; a figure is the mean over the three places of the median step. Greedy codes of float32 must
be equal. Run it on a machine that does nothing else: two threads that wait for each other suffer most from a third.

A step cannot be faster than the memory delivers its weights and its keys and values. "of limit" is how near it comes;
"most" is the ratio that a way at that limit would have, so it depends on how well the machine serves the plain way.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F
from plain_generation import PlainModel, plain_step
from torch import Tensor

from visage_lite.decoding import BYTES, Prepared, prepare
from visage_lite.generation import (
    Guidance,
    Sampling,
    continue_steps,
    encode_branches,
    joint_guidance,
    two_way_guidance,
)
from visage_lite.model import Visage
from visage_lite.pattern import Pattern
from visage_lite.presets import paper

GREEDY = Sampling(greedy=True)
GUIDANCE = {"joint": joint_guidance(2.5), "two-way": two_way_guidance(2.5, 2.5)}
FRAMES, STEPS = 430, 861  # of a 5 s clip
TARGETS = {"joint": {"float32": 3, "bfloat16": 4, "int8": 6.5}, "two-way": {"float32": 6, "bfloat16": 8, "int8": 13}}


class Start(NamedTuple):
    """Where a measurement begins."""

    memory: Tensor  # [N, F+2, D], of every branch
    past: Tensor  # [layers, 2, N, heads, place, D / heads], keys and values
    ids: Tensor | None  # [1, Q], of the step before


class Plain:
    """The plain way, from the step after the given past."""

    def __init__(self, model: Visage, start: Start, guidance: Guidance) -> None:
        self.plain, self.guidance, self.start = PlainModel(model), guidance, start
        self.place, self.ids = start.past.shape[4], start.ids if start.ids is None else start.ids[None]
        self.branches = [self.plain.branch(row[None]) for row in start.memory]
        for row, branch in enumerate(self.branches):
            if self.place:
                branch.past = [(key[row : row + 1].clone(), value[row : row + 1].clone()) for key, value in start.past]

    def step(self) -> Tensor:
        streams = Pattern(4, 9).streams_at(self.place, FRAMES).tolist()
        self.ids = plain_step(self.plain, self.branches, self.ids, self.place, streams, self.guidance, GREEDY)
        self.place += 1
        return self.ids[0]


class Ours:
    """The package's way, from the step after the given past."""

    def __init__(self, prepared: Prepared, start: Start, guidance: Guidance) -> None:
        session = prepared.begin(start.memory, STEPS)
        session.place = start.past.shape[4]
        session.cache[:, :, :, :, : session.place] = start.past
        self.run = continue_steps(session, start.ids, FRAMES, [weight for _, weight in guidance], GREEDY)

    def step(self) -> Tensor:
        return next(self.run)


def start_at(place: int, model: Visage, guidance: Guidance) -> Start:
    """A clip and, if `place` is not 0, a random past; keys and values of a plausible size, random ids."""
    config, random = model.config, torch.Generator().manual_seed(place)
    conditions = torch.randn(1, 20, config.clip_dim, generator=random), torch.rand(1, 20, 49, generator=random)
    direction = F.normalize(torch.randn(1, 3, generator=random), dim=-1)
    memory = encode_branches(model, *conditions, direction, [condition for condition, _ in guidance])
    shape = (config.decoder_layers, 2, len(guidance), config.heads, place, config.d_model // config.heads)
    ids = torch.randint(0, config.vocab, (1, config.streams), generator=random) if place else None
    return Start(memory, torch.randn(shape, generator=random) * 0.5, ids)


def time_in_turn(ways: dict[str, Plain | Ours], steps: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Seconds of the median step, and the codes, of every way.

    They take turns, so that noise hits all. A turn is six steps, and the first two are not timed: in a real run, the
    weights in the processor's cache are one's own.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    codes: dict[str, list[Tensor]] = {name: [] for name in ways}
    while len(codes["plain"]) < steps:
        for name, way in ways.items():
            for turn in range(min(6, steps - len(codes[name]))):
                begin = time.perf_counter()
                codes[name].append(way.step())
                if turn > 1:
                    times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(each) for name, each in times.items()}
    return medians, {name: torch.stack(steps_of) for name, steps_of in codes.items()}


def bandwidth() -> float:
    """Bytes per second of the fastest of some sums over 1 GiB, on all threads."""
    numbers, best = torch.ones(2**28), math.inf
    for _ in range(7):
        begin = time.perf_counter()
        numbers.sum()
        best = min(best, time.perf_counter() - begin)
    return numbers.nbytes / best


def compare(name: str, model: Visage, prepared: dict[str, Prepared], places: list[int], steps: int) -> None:
    """Time one kind of guidance, check the codes, print the table."""
    guidance, measured = GUIDANCE[name], []
    for place in places:
        start = start_at(place, model, guidance)
        ways = {"plain": Plain(model, start, guidance)} | {d: Ours(p, start, guidance) for d, p in prepared.items()}
        seconds, codes = time_in_turn(ways, min(steps, STEPS - place))
        measured.append(seconds)
        if "float32" in codes:
            assert torch.equal(codes["plain"], codes["float32"]), f"greedy codes differ after step {place}"
    print(f"\n{name} guidance, {len(guidance)} branches, {steps} steps after each of {places}")
    table(name, prepared, measured, len(guidance) * (statistics.mean(places) + steps / 2), bandwidth())


def table(
    name: str, prepared: dict[str, Prepared], measured: list[dict[str, float]], rows: float, limit: float
) -> None:
    """Print the figures: `measured` seconds of each way by place; `rows` keys in a layer; `limit` in bytes/s."""
    print(
        f"{'':9} {'ms/step':>8} {'by place':>19} {'ratio':>6} {'wanted':>6} {'most':>6} {'MB/step':>8} {'of limit':>8}"
    )
    plain = statistics.mean(m["plain"] for m in measured)
    for way in measured[0]:
        mean = statistics.mean(m[way] for m in measured)
        by_place = " ".join(f"{1e3 * m[way]:.1f}" for m in measured)
        read = weight_bytes(way, name, prepared)
        least = (read + past_bytes(way, rows)) / limit  # seconds
        print(
            f"{way:9} {1e3 * mean:8.1f} {by_place:>19} {plain / mean:6.2f} {TARGETS[name].get(way, ''):>6} "
            f"{plain / least:6.2f} {read / 1e6:8.0f} {least / mean:8.0%}"
        )
    print(
        "greedy codes: float32 equals the plain way"
        if "float32" in measured[0]
        else "float32 not run, codes not compared"
    )
    print(f"MB/step are weights; memory bandwidth {limit / 1e9:.1f} GB/s; peak memory so far {peak_memory():.1f} GB")


def weight_bytes(way: str, name: str, prepared: dict[str, Prepared]) -> float:
    """Bytes of weights that a step reads; the plain way reads them once for each branch, in float32."""
    if way != "plain":
        return prepared[way].step_bytes
    some = next(iter(prepared.values()))
    return len(GUIDANCE[name]) * some.step_bytes / BYTES[some.dtype] * 4


def past_bytes(way: str, rows: float) -> float:
    """Bytes of keys and values that a step reads, of `rows` places of all branches together."""
    config = paper().model
    return 2 * config.decoder_layers * config.d_model * rows * (4 if way in ("plain", "float32") else 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=12, help="steps at each of three places")
    parser.add_argument("--full", action="store_true", help="all 861 steps instead")
    parser.add_argument("--guidance", choices=["joint", "two-way", "both"], default="both")
    parser.add_argument("--dtypes", nargs="+", choices=list(BYTES), default=list(BYTES))
    args = parser.parse_args()
    model = Visage(paper().model, seed=0).eval()
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {torch.get_num_threads()} threads, "
        f"peak memory {peak_memory():.1f} GB with the model in float32"
    )
    prepared = {}
    for dtype in args.dtypes:
        begin = time.perf_counter()
        prepared[dtype] = prepare(model, dtype)
        print(f"packed as {dtype} in {time.perf_counter() - begin:.1f} s, peak memory {peak_memory():.1f} GB")
    steps = STEPS if args.full else args.steps
    places = [0] if args.full else [0, (STEPS - steps) // 2, STEPS - steps]
    with torch.no_grad():
        for name in GUIDANCE if args.guidance == "both" else [args.guidance]:
            compare(name, model, prepared, places, steps)


def peak_memory() -> float:
    """GB, the most this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
