"""Train the listener that says what a sound is: `python data/toy/train_listener.py` writes listener.safetensors.

Scenes of all twelve kinds, half of them heard through the toy codec, loud and soft, parts of different length. About
three minutes on two cores. Its seeds belong to it alone.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from visage_lite import presets
from visage_lite.codec import load_codec
from visage_lite.jobs import in_parallel
from visage_lite.listener import SAMPLE_RATE, Listener, hear_kinds
from visage_lite.scenes import ALL_KINDS, make_scene

HERE = Path(__file__).parent
TRAIN, UNSEEN = range(3_000_000, 3_001_200), range(3_500_000, 3_500_240)


def hear(seed: int, through_codec: bool) -> tuple[np.ndarray, int]:
    """W of a scene, as it is or through the codec, as float16, and the index of its kind."""
    number = seed % len(ALL_KINDS)
    foa = make_scene(seed, kind=ALL_KINDS[number]).foa(SAMPLE_RATE)[:1]
    if through_codec:
        codec = load_codec(presets.toy())
        foa = codec.decode(codec.encode(foa))
    return foa[0, : 5 * SAMPLE_RATE].astype(np.float16), number


def sounds(seeds: range, through_codec: bool) -> tuple[np.ndarray, np.ndarray]:
    """The sounds [n, N] and kinds [n] of all seeds."""
    heard = list(in_parallel(partial(hear, through_codec=through_codec), seeds, desc="scenes"))
    return np.stack([each for each, _ in heard]).astype(np.float32), np.array([kind for _, kind in heard])


def train(listener: Listener, sound: torch.Tensor, kind: torch.Tensor, steps: int, rng: np.random.Generator) -> None:
    """Steps of AdamW on random parts of random clips, the rate falling to zero."""
    optimizer = torch.optim.AdamW(listener.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        picked, seconds = rng.integers(len(sound), size=32), rng.uniform(1.5, 5)
        start = int(rng.uniform(0, 5 - seconds) * SAMPLE_RATE)
        part = sound[picked, start : start + int(seconds * SAMPLE_RATE)]
        noise = torch.from_numpy(rng.standard_normal(part.shape, dtype=np.float32))
        audible = part.abs().amax(1) > 1e-3  # a part may lie before the first stroke
        _, logits = listener(part + 10 ** rng.uniform(-5, -3) * noise)
        loss = F.cross_entropy(logits[audible], kind[picked][audible], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    halves = [sounds(TRAIN, through_codec) for through_codec in (False, True)]
    sound, kind = (torch.from_numpy(np.concatenate(each)) for each in zip(*halves))
    listener = Listener()
    train(listener, sound, kind, options.steps, np.random.default_rng(0))
    weights = {name: value.half().contiguous() for name, value in listener.state_dict().items()}
    save_file(weights, HERE / "listener.safetensors", metadata={"kinds": " ".join(listener.kinds)})
    listener.load_state_dict({name: value.float() for name, value in weights.items()})
    for through_codec in (False, True):
        unseen, kinds = sounds(UNSEEN, through_codec)
        right = np.array(hear_kinds(listener.eval(), unseen).kinds) == np.array(ALL_KINDS)[kinds]
        print(f"{len(right)} unseen scenes{' through the codec' * through_codec}: {right.mean():.1%} right")


if __name__ == "__main__":
    main()
