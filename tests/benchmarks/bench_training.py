"""How fast a training step is at the published size, against the plain way and against the processor.

    python tests/benchmarks/bench_training.py [--steps N] [--rounds N] [--threads N] [--dtypes ...] [--layers E D]

One random model of 358,626,868 parameters, batch 2, 861 pattern steps (5 s), dropout 0.1 as published. A step is
forward, backward, clipping the gradient, AdamW. Each way runs in a process of its own, one after the other, from the
same weights and clips: two steps without dropout, the first loss of which must agree with the plain way's, then N timed
ones. A second is the median over steps and rounds; tokens are the clips' codes, 2 x 430 x 36 a step. PyTorch's float32
norm of one tensor over all streams is itself some 1e-3 off, of the plain way's parts less: gradient norms differ so.

Our float32 asks PyTorch for large memory pages, as `visage-lite train` does; the others are faster without.

"of limit" is how near a step comes to the FLOPs it needs (`sizing.flops`) at the rate of this machine's best matrix
product in that number type; "most" is the ratio that a way at that limit would have. Run it on a machine that does
nothing else. Where others compute too, `--threads 1` and the column "cpu s" (processor time, all threads) say more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from plain_training import PlainModel
from torch import Tensor

from visage_lite.model import Visage
from visage_lite.pattern import Pattern
from visage_lite.presets import ModelConfig, paper
from visage_lite.sizing import flops, memory, parameters

BATCH, FRAMES, RATE, DECAY = 2, 430, 1e-4, 0.01
WAYS = ("plain", "float32", "bfloat16")
TARGETS = {"float32": 1.2, "bfloat16": 2.0}  # ratio of speeds; memory at most 75 % of the plain way's
NEAR = {"float32": 1e-5, "bfloat16": 1e-3}  # relative difference of the first loss


def batch(config: ModelConfig) -> tuple[Tensor, ...]:
    """clip, energy_map, direction, ids and labels of random clips."""
    random = torch.Generator().manual_seed(0)
    codes = torch.randint(0, config.vocab, (BATCH, config.channels, config.codebooks, FRAMES), generator=random)
    clip = torch.randn(BATCH, 20, config.clip_dim, generator=random)
    energy_map = torch.rand(BATCH, 20, config.patches, generator=random)
    direction = torch.nn.functional.normalize(torch.randn(BATCH, 3, generator=random), dim=-1)
    pattern = Pattern(config.channels, config.codebooks)
    ids = pattern.build(codes, config.pad_id)
    return clip, energy_map, direction, ids, pattern.labels(ids, config.pad_id)


def plain_way(config: ModelConfig) -> tuple[Callable, Callable, torch.optim.Optimizer, list[Tensor]]:
    """What sets the dropout, the loss of a batch, the optimiser, and the weights."""
    plain = PlainModel(Visage(config, seed=0))

    def set_dropout(share: float) -> None:
        plain.dropout = share

    return set_dropout, plain.loss, plain.optimizer(RATE, DECAY), list(plain.weights.values())


def our_way(config: ModelConfig, dtype: str) -> tuple[Callable, Callable, torch.optim.Optimizer, list[Tensor]]:
    """The same, of the package's model; the optimiser is that of `training`."""
    model = Visage(config, seed=0).train()
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    bare = [weight for name, weight in named if weight.ndim < 2 or name.endswith("bias")]
    decayed = [weight for name, weight in named if weight.ndim >= 2 and not name.endswith("bias")]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": bare, "weight_decay": 0.0}]

    def set_dropout(share: float) -> None:
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = share

    def loss(*data: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            return model(*data)[0]

    return set_dropout, loss, torch.optim.AdamW(groups, lr=RATE, fused=True), list(model.parameters())


def measure(way: str, config: ModelConfig, steps: int) -> dict:
    """Run one way in this process: losses and gradient norms of all steps, seconds of the timed ones, GB at most."""
    data = batch(config)
    set_dropout, loss_of, optimizer, weights = plain_way(config) if way == "plain" else our_way(config, way)
    rows = []
    for step in range(2 + steps):
        set_dropout(config.dropout if step > 1 else 0.0)
        torch.manual_seed(step)
        begin = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = loss_of(*data)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        spent = time.perf_counter() - begin[0], time.process_time() - begin[1]
        rows.append((loss.item(), norm.item(), *spent))
        print(f"  {way:9} step {step}: loss {loss.item():.4f}, {spent[0]:.1f} s", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"losses": [row[0] for row in rows], "norms": [row[1] for row in rows], "peak": peak,
            "seconds": [row[2] for row in rows[2:]], "cpu": [row[3] for row in rows[2:]],
            "rate": product_rate(torch.bfloat16 if way == "bfloat16" else torch.float32)}


def product_rate(dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of some products of the sizes in a feed-forward block."""
    x, weight, best = torch.ones(1722, 1024, dtype=dtype), torch.ones(4096, 1024, dtype=dtype), float("inf")
    for _ in range(12):
        begin = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        best = min(best, time.perf_counter() - begin)
    return 2 * 1722 * 1024 * 4096 / best


def run(way: str, args: argparse.Namespace) -> dict:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--way", way, "--steps", str(args.steps), "--threads", str(args.threads)]
    command += ["--layers", *map(str, args.layers)]
    pages = {"THP_MEM_ALLOC_ENABLE": "1"} if way == "float32" else {}  # as `visage-lite train` sets it
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | pages)
    return json.loads(done.stdout)


def table(results: dict[str, list[dict]], config: ModelConfig) -> None:
    """Print the figures of all ways, each a list of rounds, beside those of the first."""
    head = ("s/step", "cpu s", "tokens/s", "ratio", "wanted", "most", "of limit", "peak GB", "of plain", "formula")
    print(f"\n{'':9}" + "".join(f"{name:>9}" for name in head))
    first, tokens = next(iter(results)), BATCH * FRAMES * config.streams
    seconds = {way: statistics.median(sum((r["seconds"] for r in rounds), [])) for way, rounds in results.items()}
    for way, rounds in results.items():
        peak, plain_peak = (max(r["peak"] for r in results[name]) for name in (way, first))
        least = flops(config, FRAMES, BATCH) / max(r["rate"] for r in rounds)
        cpu = statistics.median(sum((r["cpu"] for r in rounds), []))
        formula = sum(memory(config, FRAMES, BATCH, way).values()) / 1e9 if way != "plain" else float("nan")
        print(f"{way:9}{seconds[way]:9.2f}{cpu:9.2f}{tokens / seconds[way]:9.0f}{seconds[first] / seconds[way]:9.2f}"
              f"{TARGETS.get(way, ''):>9}{seconds[first] / least:9.2f}{least / seconds[way]:9.0%}{peak:9.2f}"
              f"{peak / plain_peak:9.0%}{formula:9.2f}")
    rates = ", ".join(f"{way} {max(r['rate'] for r in rounds) / 1e9:.0f}" for way, rounds in results.items())
    print(f"a step needs {flops(config, FRAMES, BATCH) / 1e12:.2f} TFLOP; GFLOP/s of a product: {rates}")


def check(results: dict[str, list[dict]]) -> None:
    """Losses and gradient norms of the two steps without dropout, against those of the plain way."""
    plain = results["plain"][0]
    for way in [way for way in results if way != "plain"]:
        ours = results[way][0]
        far = {key: [abs(a / b - 1) for a, b in zip(ours[key][:2], plain[key][:2])] for key in ("losses", "norms")}
        print(f"{way}: without dropout, first loss {ours['losses'][0]:.4f} is {far['losses'][0]:.1e} from the plain "
              f"way's, gradient norm {far['norms'][0]:.1e}; after one update {far['losses'][1]:.1e}")
        assert far["losses"][0] < NEAR[way], f"{way}: {ours['losses'][0]}, plain {plain['losses'][0]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each way in a round")
    parser.add_argument("--rounds", type=int, default=1, help="times that each way is run, in turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtypes", nargs="*", choices=WAYS[1:], default=list(WAYS[1:]))
    parser.add_argument("--layers", nargs=2, type=int, default=(6, 12), help="of encoder and decoder, if fewer")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = replace(paper().model, encoder_layers=args.layers[0], decoder_layers=args.layers[1])
    if args.way:
        print(json.dumps(measure(args.way, config, args.steps)))
        return
    print(f"{parameters(config):,} parameters, {args.threads} threads, batch {BATCH}", flush=True)
    results: dict[str, list[dict]] = {way: [] for way in ("plain", *args.dtypes)}
    for _ in range(args.rounds):
        for way, rounds in results.items():
            rounds.append(run(way, args))
    table(results, config)
    check(results)


if __name__ == "__main__":
    main()
