"""What several commands of `visage-lite` share. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def guidance_named(name: str, scale: float, direction_scale: float) -> list:
    """Guidance by name. Raises: ValueError for another name, or a scale that is not finite."""
    from visage_lite.generation import joint_guidance, no_guidance, two_way_guidance

    two_way = two_way_guidance(scale, direction_scale)
    kinds = {"none": no_guidance(), "joint": joint_guidance(scale), "two-way": two_way}
    if name not in kinds:
        raise ValueError(f"no guidance {name!r}: choose one of {', '.join(kinds)}")
    if not math.isfinite(scale + direction_scale):
        raise ValueError(f"guidance scales must be finite numbers, not {scale} and {direction_scale}")
    return kinds[name]


@contextmanager
def resumable() -> Iterator[None]:
    """Work that goes on where it stopped: Ctrl-C says so."""
    try:
        yield
    except KeyboardInterrupt:
        tell("interrupted; what is done is kept, and the same command goes on from there", 130)
        raise SystemExit(130) from None


def or_else(value: float | None, otherwise: float) -> float:
    """The value of an option, or another where it was left out."""
    return otherwise if value is None else value


def device_named(name: str | None) -> str:
    """The device of a name, or the best one here. Raises: ValueError for a device that is not here."""
    import torch

    if name not in (None, "cpu", "cuda"):
        raise ValueError(f"--device is cpu or cuda, not {name}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU here; leave the option out")
    return name or ("cuda" if torch.cuda.is_available() else "cpu")


def tell(message: str, code: int) -> int:
    """Say in one line on stderr what happened. Returns: the exit code."""
    if message:
        print("visage-lite:", " ".join(message.split()), file=sys.stderr)
    return code
