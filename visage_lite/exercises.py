"""Answers to the notebooks' exercises are checked here: `check("name", your_function)`.

An exercise is a function of one argument, the reader's answer, that asserts what must hold; what it asserts
says what went wrong. Its name is the name of the function in `notebooks/solutions/<notebook>.py`, which must pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visage_lite import ambisonics


@dataclass(frozen=True)
class Exercise:
    """One exercise: where it stands, what is asserted of an answer, and the hint given when that fails."""

    notebook: str
    hint: str
    holds: Callable[[Callable], None]


EXERCISES: dict[str, Exercise] = {}


def exercise(notebook: str, hint: str) -> Callable[[Callable], Callable]:
    """Register the decorated function as the exercise of its own name.

    Args:
        notebook: the file's name without its ending, e.g. "02_ambisonics".
        hint: one sentence that points the reader on, without giving the answer away.

    Returns: a decorator.
    """

    def register(holds: Callable[[Callable], None]) -> Callable[[Callable], None]:
        EXERCISES[holds.__name__] = Exercise(notebook, hint, holds)
        return holds

    return register


def verdict(name: str, answer: Callable) -> str:
    """What is to be said about an answer, starting with "ok", "not done yet" or "not right yet".

    Args:
        name: the exercise's name.
        answer: the reader's function.

    Returns: one or two lines of text.
    Raises: ValueError if there is no exercise of that name.
    """
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r}: choose one of {', '.join(sorted(EXERCISES))}")
    entry = EXERCISES[name]
    try:
        entry.holds(answer)
    except NotImplementedError:
        return f"not done yet: {name}"
    except AssertionError as error:
        said = str(error).strip().splitlines()
        return f"not right yet: {name}: {said[0] if said else 'the result is another'}\n  hint: {entry.hint}"
    except Exception as error:
        return f"not right yet: {name} raised {type(error).__name__}: {error}\n  hint: {entry.hint}"
    return f"ok: {name}"


def check(name: str, answer: Callable) -> None:
    """Print whether an answer to an exercise is ok, not done yet, or not right with a hint.

    Args:
        name: the exercise's name, as the notebook gives it.
        answer: your function.

    Raises: ValueError if there is no exercise of that name.
    """
    print(verdict(name, answer))


# 00_quickstart


@exercise("00_quickstart", "turning the head by +yaw turns the scene by −yaw: only the azimuth changes")
def heard_azimuth_deg(answer: Callable) -> None:
    """Where a source at `azimuth_deg` is heard after the head turned by `yaw_deg`: answer(azimuth_deg, yaw_deg)."""
    for azimuth, yaw, expected in ((60, 0, 60), (60, 60, 0), (0, 90, -90), (-170, 30, 160)):
        got = answer(azimuth, yaw)
        assert abs((got - expected + 180) % 360 - 180) < 1e-6, f"a source at {azimuth}°, head at {yaw}°: got {got}°"


@exercise("00_quickstart", "W and Z stay; Y and X are a point of the plane that turns by −yaw: a cosine and a sine each")
def head_turned(answer: Callable) -> None:
    """A sound field [4, N] as it reaches a head turned left by `yaw_deg`: answer(foa, yaw_deg)."""
    foa = np.random.default_rng(0).standard_normal((4, 50))
    before = foa.copy()
    quarter = answer(foa, 90)
    assert np.shape(quarter) == (4, 50), f"the answer has shape {np.shape(quarter)}, not (4, 50)"
    assert np.allclose(quarter[[0, 2]], foa[[0, 2]]), "W and Z must stay as they are"
    assert np.allclose(quarter[1], -foa[3]), "head at 90°: what was in front (+X) must be on the right (−Y)"
    assert np.allclose(answer(foa, 37), ambisonics.rotate_yaw(foa, -np.deg2rad(37))), "another result at 37°"
    assert np.array_equal(foa, before), "the sound field that was passed in has changed: work on a copy"


@exercise("00_quickstart", "compare the energy (mean of the squares) of the two rows of the stereo sound")
def louder_ear(answer: Callable) -> None:
    """Which ear of a stereo sound [2, N] is louder, "left" or "right": answer(stereo)."""
    noise = np.random.default_rng(0).standard_normal(2000)
    assert answer(np.stack([noise, 0.5 * noise])) == "left", "the left row is twice the right row"
    assert answer(np.stack([-0.2 * noise, -0.9 * noise])) == "right", "sign must not matter"
