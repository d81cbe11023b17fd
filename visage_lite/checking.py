"""Checks an answer to an exercise and says ok, not done yet, or not right with a hint. The exercises are in `tasks_*`.

An exercise is a function of one argument, the reader's answer, that asserts what must hold; what it asserts
says what went wrong. Its name is the name of the function in `notebooks/solutions/<notebook>.py`, which must pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


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
