"""The same work for many items, on several processes, with a progress bar; Ctrl-C stops at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import TypeVar

from tqdm.auto import tqdm

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    desc: str = "",
    unit: str = "it",
    progress: bool = True,
) -> Iterator[Result]:
    """The results of `work` for every item, in order.

    Args:
        work: what can be pickled: a function of a module, or a `functools.partial` of one.
        items: what it is called with.
        workers: processes, each with one thread; None is one per core, 0 works in this process.
        desc, unit: of the progress bar. progress: show it.
    Raises: what `work` raises; items that have not begun are dropped then. On KeyboardInterrupt, and when no more
        results are asked for, the processes are ended where they are: work must write whole files or none.
    """
    workers = len(os.sched_getaffinity(0)) if workers is None and hasattr(os, "sched_getaffinity") else workers
    workers = (os.cpu_count() or 1) if workers is None else workers
    with tqdm(total=len(items), desc=desc, unit=unit, disable=not progress) as bar:
        if workers == 0:
            for item in items:
                yield work(item)
                bar.update()
            return
        others = active_children()
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
        try:
            with _deaf_children():
                results = pool.map(work, items)
            for result in results:
                yield result
                bar.update()
        except (KeyboardInterrupt, GeneratorExit):
            for child in set(active_children()) - set(others):
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started here do not hear Ctrl-C, which goes to all of a terminal's: this one ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it; here it only waits
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _one_thread() -> None:
    import torch  # late: not every work needs it, but most do, and threads of several processes would fight
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)  # NumPy's products too: on a busy machine their two threads took 30 times as long as one
