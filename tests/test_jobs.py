"""Work in several processes gives what a loop gives, in order; a failure or Ctrl-C drops what has not begun."""

import os
import time
from functools import partial

import pytest

from visage_lite.jobs import in_parallel


def square(x):
    return x * x


def fail_at(x, bad, folder):
    (folder / str(x)).touch()
    if x == bad:
        raise ValueError(f"item {x}")
    time.sleep(0.05)
    return x


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order(workers, capsys):
    assert list(in_parallel(square, range(7), workers, "squares", "number")) == [x * x for x in range(7)]
    assert "squares: 100%" in capsys.readouterr().err
    assert list(in_parallel(square, [], workers, progress=False)) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failure_is_raised_and_the_rest_dropped(workers, tmp_path):
    with pytest.raises(ValueError, match="item 2"):
        list(in_parallel(partial(fail_at, bad=2, folder=tmp_path), range(50), workers, progress=False))
    assert len(os.listdir(tmp_path)) < 10
