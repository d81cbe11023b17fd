"""The work of `jobs.in_parallel` on many machines, through Dask: a task an item, redone if its worker is lost.

Start `dask scheduler` on one machine and `dask worker ADDRESS --nthreads 1` on each; they must see the same folders
under the same names, and have the same versions installed (the recipe of the features checks that).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tqdm.auto import tqdm

Item, Result = TypeVar("Item"), TypeVar("Result")
LOST = 5  # so many workers may be lost over one item before it is given up


def on_cluster(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    scheduler: str,
    desc: str = "",
    unit: str = "it",
    progress: bool = True,
) -> Iterator[Result]:
    """The results of `work` for every item, as they come.

    Args:
        work: what can be pickled; it may be called again for an item whose worker was lost, so it must bear that.
        items: what it is called with.
        scheduler: address, such as "tcp://10.0.0.1:8786".
        desc, unit: of the progress bar. progress: show it.
    Raises: ImportError with the remedy without Dask; OSError if the scheduler does not answer; what `work` raises.
    Notebook: 03_features.
    """
    try:
        from dask import config
        from distributed import Client, as_completed
    except ImportError as error:
        raise ImportError("work on several machines needs Dask: pip install 'visage_lite[cluster]'") from error
    config.set({"distributed.scheduler.allowed-failures": LOST})
    with Client(scheduler, timeout="20s") as client:
        futures = client.map(work, items, pure=False, retries=2)
        try:
            with tqdm(total=len(items), desc=desc, unit=unit, disable=not progress) as bar:
                for _, result in as_completed(futures, with_results=True):
                    bar.update()
                    yield result
        finally:
            client.cancel([future for future in futures if not future.done()])
