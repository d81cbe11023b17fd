"""How fast features are made at the published size, against the plain way; CLIP ViT-B/32, DAC 44.1 kHz, random weights.

    python tests/benchmarks/bench_features.py [--clips N]

The plain way does what the released scripts do for a clip and its one rotated variant: CLIP once for the feature and
once for the tokens, and DAC for two batches of four channels. Ours runs CLIP on the view and on its mirror image, DAC on
six signals one by one, and has all eight variants. Both on all cores, in turn; medians. The limit is what the network's
multiplications take at the speed of a large product of matrices on this machine, measured here.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
import warnings

import dac
import numpy as np
import torch
from torch import Tensor

from visage_lite.codec import DacCodec
from visage_lite.scenes import make_scene
from visage_lite.towers import ARCHITECTURE, empty_tower
from visage_lite.variants import VARIANTS, six_signals
from visage_lite.vision import Vision


def plain_codes(model: torch.nn.Module, foa: np.ndarray) -> Tensor:
    """The codes of the four channels and of the four turned by 90 degrees: int64 [2, 4, K, T]."""
    turned = foa.copy()
    turned[1], turned[3] = -foa[3], foa[1]
    with torch.no_grad():
        batches = [torch.from_numpy(field)[:, None] for field in (foa, turned)]
        return torch.stack([model.encode(model.preprocess(batch, 44100))[1] for batch in batches])


def plain_vision(vision: Vision, frames: np.ndarray) -> None:
    """One pass for the feature, one for the tokens."""
    vision.tokens(frames)
    vision.tokens(frames)


def multiplications(model: torch.nn.Module, samples: int) -> float:
    """Multiply-adds of DAC's encoder for one signal."""
    counted = []
    hooks = [
        module.register_forward_hook(lambda m, given, out: counted.append(out.numel() * m.weight[0].numel()))
        for module in model.encoder.modules()
        if isinstance(module, torch.nn.Conv1d)
    ]
    with torch.inference_mode():
        model.encoder(torch.zeros(1, 1, samples))
    for hook in hooks:
        hook.remove()
    return float(sum(counted))


def machine_speed() -> float:
    """Multiply-adds per second of a product of two 2048 x 2048 matrices, float32."""
    a, times = torch.ones(2048, 2048), []
    for _ in range(5):
        begin = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begin)
    return 2048**3 / min(times)


def timed(call, *arguments) -> tuple[float, object]:
    begin = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - begin, result


def agreement(ours: np.ndarray, plain: np.ndarray) -> float:
    return float(np.mean(ours == plain[..., : ours.shape[-1]]))


def bfloat16_codes(codec: DacCodec, signals: np.ndarray) -> np.ndarray:
    with torch.autocast("cpu", torch.bfloat16):
        return codec.encode(signals)


def measure(clips: int) -> dict[str, list[float]]:
    """Seconds of every part of every clip; checks that the codes agree, and prints how far."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, ours = dac.DAC().eval(), dac.DAC()
        ours.load_state_dict(plain.state_dict())
    codec, vision = DacCodec(ours, frame_rate=86), Vision(empty_tower(ARCHITECTURE), "random ViT-B/32")
    work = 6 * multiplications(codec.model, 220500)
    times: dict[str, list[float]] = {}
    for seed in range(clips):
        scene = make_scene(seed)
        foa, frames = scene.foa(44100), scene.view()
        seconds, codes = timed(plain_codes, plain, foa)
        times.setdefault("plain DAC", []).append(seconds)
        seconds, six = timed(codec.encode, six_signals(foa))
        times.setdefault("our DAC", []).append(seconds)
        times.setdefault("plain CLIP", []).append(timed(plain_vision, vision, frames)[0])
        mirrored = np.ascontiguousarray(frames[:, :, ::-1])
        times.setdefault("our CLIP", []).append(timed(lambda: (vision.tokens(frames), vision.tokens(mirrored)))[0])  # noqa: B023
        seconds, half = timed(bfloat16_codes, codec, six_signals(foa))
        times.setdefault("our DAC, bfloat16", []).append(seconds)
        both = np.stack([VARIANTS[0].codes(six), VARIANTS[3].codes(six)])  # 3 quarter turns are -90 degrees
        print(
            f"clip {seed}: codes equal to the plain way's {agreement(both, codes.numpy()):.3%}; bfloat16's equal to "
            f"float32's {agreement(half, six):.1%}"
        )
        assert agreement(both, codes.numpy()) > 0.999
    times["limit of DAC"] = [work / machine_speed()]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=2, help="scenes of 5 s")
    medians = {name: statistics.median(each) for name, each in measure(parser.parse_args().clips).items()}
    for name, seconds in medians.items():
        print(f"{name:18} {seconds:7.2f} s")
    plain, ours = (medians[f"{who} DAC"] + medians[f"{who} CLIP"] for who in ("plain", "our"))
    half = medians["our DAC, bfloat16"] + medians["our CLIP"]
    print(f"per clip    plain {plain:.1f} s, ours {ours:.1f} s: {plain / ours:.2f} times as fast (wanted 2)")
    print(f"per variant plain {plain / 2:.1f} s, ours {ours / 8:.2f} s: {4 * plain / ours:.1f} times (wanted 8)")
    print(f"with DAC in bfloat16: {plain / half:.2f} times per clip, {4 * plain / half:.1f} per variant")
    print(f"our DAC is at {medians['limit of DAC'] / medians['our DAC']:.0%} of the limit")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
