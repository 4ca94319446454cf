"""Runs on the workers of a Dask cluster, one at a time on each, so that they do not disturb each
other; the workers need the package, the solvers and the files at the same places.
"""

from __future__ import annotations

import importlib
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qubo_prune.bench.processes import Job, execute
from qubo_prune.bench.results import Run
from qubo_prune.core.errors import BackendError, BackendUnavailableError

_CONNECT_SECONDS = 10
_POLL_SECONDS = 0.2
_MOST_LOSSES = 3
"""So often a run is tried again whose worker went away."""


class DaskWorkers:
    """The workers of a cluster.

    Parameters
    ----------
    address : str
        Of its scheduler.

    Raises
    ------
    BackendUnavailableError
        If Dask is not installed, or no scheduler or no worker answers.
    """

    def __init__(self, address: str) -> None:
        try:
            # Not an import statement: its functions carry no types.
            distributed = importlib.import_module("distributed")
        except ImportError:
            raise BackendUnavailableError(
                "--on dask needs dask.distributed, which is not installed; install it with: pip"
                " install 'qubo-prune[dask]'"
            ) from None
        try:
            if not address.startswith("inproc://"):
                # A client takes 20 seconds to give up on an address that is none.
                distributed.comm.get_address_host_port(address, strict=True)
            self._client = distributed.Client(
                address, timeout=_CONNECT_SECONDS, set_as_default=False
            )
            self._client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError, TypeError, OverflowError, TimeoutError) as error:
            raise BackendUnavailableError(
                f"no Dask scheduler with workers answers at {address!r}"
                f" ({' '.join(str(error).split())}); check the address, as tcp://host:8786."
            ) from None

    def num_workers(self) -> int:
        """See `Executor`."""
        return max(1, len(self._workers()))

    def _workers(self) -> list[str]:
        return list(self._client.nthreads())

    def results(self, jobs: Sequence[Job], cancelled: Callable[[], bool]) -> Iterator[Run]:
        """See `Executor`."""
        waiting = deque((job, 0) for job in jobs)
        under_way: dict[Any, tuple[Job, int, str]] = {}
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            while (waiting or under_way) and not cancelled():
                busy = {worker for _, _, worker in under_way.values()}
                for worker in self._workers():
                    if waiting and worker not in busy:
                        job, losses = waiting.popleft()
                        future = self._client.submit(
                            run_remotely,
                            job.to_line(),
                            workers=[worker],
                            allow_other_workers=False,
                            pure=False,
                        )
                        under_way[future] = job, losses, worker
                        future.add_done_callback(done.put)
                try:
                    future = done.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    self._give_up_lost(under_way, waiting)
                    continue
                if future not in under_way:  # given up
                    continue
                job, losses, _ = under_way.pop(future)
                if future.status == "finished":
                    yield Run.from_line(future.result().encode(), "a run")
                elif future.status == "error":
                    raise BackendError(f"a Dask worker failed: {future.exception()}")
                else:
                    self._try_again(job, losses, waiting)
        finally:
            self._client.cancel(list(under_way))
            self._client.close()

    def _give_up_lost(
        self, under_way: dict[Any, tuple[Job, int, str]], waiting: deque[tuple[Job, int]]
    ) -> None:
        """Put runs back whose worker has gone: they are bound to it and would wait for ever."""
        workers = self._workers()
        for future, (job, losses, worker) in list(under_way.items()):
            if worker not in workers:
                del under_way[future]
                self._client.cancel([future])
                self._try_again(job, losses, waiting)

    def _try_again(self, job: Job, losses: int, waiting: deque[tuple[Job, int]]) -> None:
        if losses == _MOST_LOSSES:
            raise BackendError(
                f"{losses + 1} Dask workers were lost while they ran {job.run.backend} on"
                f" {job.run.instance}; run it here to see why."
            )
        waiting.appendleft((job, losses + 1))


def run_remotely(line: str) -> str:
    """Do a run in a process of its own on the machine of a worker."""
    run = execute(Job.from_line(line))
    return "" if run is None else run.to_line()
