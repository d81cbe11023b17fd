"""How fast generation is on a GPU, recorded (CUDA graphs) and not, against what its memory allows.

    python tests/benchmarks/bench_gpu.py [--dtype bfloat16|float32] [--batch N] [--quick]

One random model of 358,626,868 parameters, joint guidance, 5 s clips of 861 steps, sampled as the paper does. A clip
alone is to take at most 1.5 s on an H100 in bfloat16; then a batch of 64. Each way makes the same clips; the first run
warms up, and for the graphs also records ("first"); the median of three more counts. Without a GPU there is nothing to
measure, and the program says so.

"at best" is the time in which the memory delivers the weights of every step and the keys and values that attention
needs, at the bandwidth measured here by copying: no way of one pass a step is faster.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from visage_lite.decoding import GraphSession, Prepared, Session, StaticSession, prepare
from visage_lite.generation import Sampling, branches, continue_steps, encode_branches, joint_guidance
from visage_lite.model import Visage
from visage_lite.presets import ModelConfig, paper

WANTED_S = 1.5  # a clip of 5 s, batch 1, bfloat16, on an H100
GUIDANCE = joint_guidance(2.5)
KINDS = {"plain": Session, "graph": GraphSession}


def conditions(batch: int, config: ModelConfig, device: torch.device) -> list[Tensor]:
    """CLIP features, energy maps and directions of random clips."""
    random = torch.Generator().manual_seed(0)
    told = (torch.randn(batch, config.max_frames, config.clip_dim, generator=random),
            torch.rand(batch, config.max_frames, config.patches, generator=random),
            F.normalize(torch.randn(batch, 3, generator=random), dim=-1))  # fmt: skip
    return [x.to(device) for x in told]


@torch.no_grad()
def codes(prepared: Prepared, kind: type[Session], told: list[Tensor], frames: int, sampling: Sampling) -> Tensor:
    """The codes of clips by one way: int64 [B, C, K, T], on the CPU."""
    asked, weights = branches(GUIDANCE, mono=False)
    session = kind(prepared, encode_branches(prepared.model, *told, asked), prepared.pattern.steps(frames))
    generators = [torch.Generator().manual_seed(clip) for clip in range(len(told[0]))]
    steps = list(continue_steps(session, None, frames, weights, sampling, generators))
    return prepared.pattern.revert(torch.stack(steps, dim=1)).cpu()


def seconds(work: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor]:
    """How long the work takes until the GPU is done, and its result."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin, result


def bandwidth(device: torch.device, size: int) -> float:
    """Bytes per second, read and written, of the fastest of ten copies of `size` bytes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / min(seconds(lambda: target.copy_(source), device)[0] for _ in range(10))


def least_bytes(prepared: Prepared, batch: int, frames: int) -> float:
    """What all steps of a batch must read: weights, and of every row the keys and values up to the step's place."""
    config, steps = prepared.model.config, prepared.pattern.steps(frames)
    size = torch.finfo(prepared.cache_dtype).bits // 8
    places = steps * (steps + 1) / 2 + steps * (config.max_frames + 2)  # of itself, and of the encoder's memory
    rows = len(GUIDANCE) * batch
    return steps * prepared.step_bytes + 2 * config.decoder_layers * config.d_model * size * rows * places


def compare(prepared: Prepared, batch: int, frames: int, rate: int, copied: float, device: torch.device) -> dict:
    """Time every way for a batch and print the table. Returns: seconds of each."""
    told, preset = conditions(batch, prepared.model.config, device), paper()
    sampling = Sampling(temperature=preset.temperature, top_k=preset.top_k)
    best = least_bytes(prepared, batch, frames) / copied
    print(f"\nbatch {batch}, {frames / rate:.2f} s of sound each, {prepared.dtype}")
    heads = ("first s", "s", "ms/step", "clips/s", "of limit", "peak GB")
    print(f"{'':6}", *(f"{head:>8}" for head in heads))
    taken, made = {}, {}
    for name, kind in KINDS.items():
        prepared.kept = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        runs = [seconds(lambda kind=kind: codes(prepared, kind, told, frames, sampling), device) for _ in range(4)]
        (first, made[name]), taken[name] = runs[0], statistics.median(each for each, _ in runs[1:])
        peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else math.nan
        print(f"{name:6} {first:8.2f} {taken[name]:8.2f} {1e3 * taken[name] / prepared.pattern.steps(frames):8.3f} "
              f"{batch / taken[name]:8.2f} {best / taken[name]:8.0%} {peak:8.2f}")  # fmt: skip
        if not all(torch.equal(result, made[name]) for _, result in runs):
            print(f"{name}: four runs gave different codes")
    print(f"at best {best:.3f} s; same codes both ways: {(made['plain'] == made['graph']).float().mean():.1%}")
    return taken


def check(prepared: Prepared, device: torch.device) -> None:
    """Greedy float32 codes must be the same both ways; a short clip is enough."""
    told = conditions(2, prepared.model.config, device)
    ways = [codes(prepared, kind, told, 16, Sampling(greedy=True)) for kind in KINDS.values()]
    print(f"greedy codes, {prepared.dtype}: {(ways[0] == ways[1]).float().mean():.2%} the same both ways")
    prepared.kept = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--batch", type=int, default=64, help="clips of the second measurement")
    parser.add_argument("--quick", action="store_true", help="a small model on the CPU: only whether this program runs")
    args = parser.parse_args()
    if not (torch.cuda.is_available() or args.quick):
        print("no GPU here: nothing to measure (bench_generation.py measures the CPU)")
        return
    preset, device, size = paper(), torch.device("cpu" if args.quick else "cuda"), 2**32
    config, frames = preset.model, preset.code_frames
    if args.quick:
        config, frames, size = ModelConfig(d_model=32, heads=2, ffn=32, encoder_layers=1, decoder_layers=1), 20, 2**20
        KINDS["graph"] = StaticSession
    model = Visage(config, seed=0).eval().to(device)
    name, count = "CPU" if args.quick else torch.cuda.get_device_name(), sum(p.numel() for p in model.parameters())
    copied = bandwidth(device, size)
    print(f"{name}: {copied / 1e9:.0f} GB/s copied, torch {torch.__version__}, {count:,} parameters")
    ready = Prepared if args.quick else prepare
    options = {"compiled": False} if args.quick else {}
    check(ready(model, "float32", **options), device)
    prepared = ready(model, args.dtype, **options)
    taken = compare(prepared, 1, frames, preset.codec.frame_rate, copied, device)
    if not args.quick and args.dtype == "bfloat16":
        met = "met" if taken["graph"] <= WANTED_S else "NOT met"
        print(f"wanted on an H100: {WANTED_S} s for a clip: {met} here ({taken['graph']:.2f} s)")
    compare(prepared, 4 if args.quick else args.batch, frames, preset.codec.frame_rate, copied, device)


if __name__ == "__main__":
    main()
