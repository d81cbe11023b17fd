"""Work in several processes gives what a loop gives, in order; a failure or Ctrl-C drops what has not begun."""

import os
import signal
import subprocess
import sys
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


SLEEPER = """
import sys, time
from visage_lite.jobs import in_parallel
if __name__ == "__main__":
    print("begun", flush=True)
    try:
        list(in_parallel(time.sleep, [60] * 5, workers=2, progress=False))
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="a process group of its own is POSIX")
@pytest.mark.parametrize("after_s", [0.3, 1.5, 6.0])  # while the processes start, while they import, while they work
def test_ctrl_c_stops_at_once_and_without_a_traceback(tmp_path, after_s):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    command = [sys.executable, str(tmp_path / "sleeper.py")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    sleeper = subprocess.Popen(command, start_new_session=True, **pipes)
    assert sleeper.stdout.readline() == "begun\n"
    time.sleep(after_s)
    os.killpg(sleeper.pid, signal.SIGINT)
    out, err = sleeper.communicate(timeout=20)
    assert (out, err) == ("stopped\n", "")
