"""Threads for kernels that release the GIL, watched from the calling thread so that Ctrl-C and
limits are obeyed.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TypeVar

from qubo_prune.core.validation import as_count

_POLL_SECONDS = 0.02

_Entry = TypeVar("_Entry")


def num_threads(requested: object) -> int:
    """Return the number of threads to use: as requested, else one per core that this process may
    use.
    """
    if requested is None:
        affinity = getattr(os, "sched_getaffinity", None)  # Linux only
        return len(affinity(0)) if affinity else multiprocessing.cpu_count()
    return as_count(requested, "threads", least=1)


def run_workers(
    work: Callable[[int], None], count: int, poll: Callable[[], None], abort: Callable[[], None]
) -> None:
    """Run `work(0) ... work(count - 1)` in threads until all return.

    `poll` is called from the calling thread every 20 ms. If `poll` or a worker raises, `abort` is
    called, the workers are awaited and the exception is raised again.
    """
    with ThreadPoolExecutor(count, thread_name_prefix="qubo-prune") as executor:
        futures = [executor.submit(work, index) for index in range(count)]
        try:
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                poll()
        except BaseException:
            abort()
            raise


def take(entries: queue.SimpleQueue[_Entry], timeout: float) -> list[_Entry]:
    """Return all that is in a queue, waiting for the first entry, `timeout` seconds at most."""
    taken: list[_Entry] = []
    with suppress(queue.Empty):
        taken.append(entries.get(timeout=timeout))
        while True:
            taken.append(entries.get_nowait())
    return taken
