"""Tasks run by the workers of a Dask cluster."""

from __future__ import annotations

import importlib
import queue
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, Generic, TypeVar

from qubo_prune.core.errors import BackendError, BackendUnavailableError
from qubo_prune.search.threads import take

_CONNECT_SECONDS = 10
_COUNT_SECONDS = 1.0
"""Workers come and go; they are counted again after this time."""

_MOST_LOSSES = 3
"""So many times in a row, tasks may be lost without any result between them."""

_REJOIN_SECONDS = 60.0
"""So long a run waits for a worker once the last one has gone."""

_Result = TypeVar("_Result")
_Task = TypeVar("_Task")


class DaskWorkers(Generic[_Task, _Result]):
    """A cluster, or threads of this process behind the same interface where no scheduler is named.

    Parameters
    ----------
    job : bytes
        What every worker has to know; sent to each once.
    run : callable
        Runs a task in a worker, from the job and the task.
    scheduler : str, optional
        Address of the scheduler.
    threads : int
        Threads where there is no scheduler.
    compile_here : callable, optional
        Loads the kernels, where they run in this process and are not there yet.

    Raises
    ------
    BackendUnavailableError
        If dask is not installed, no scheduler answers, or it has no workers.
    """

    def __init__(
        self,
        job: bytes,
        run: Callable[[bytes, _Task], _Result],
        scheduler: str | None,
        threads: int,
        compile_here: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            # Not an import statement: its functions carry no types.
            distributed = importlib.import_module("distributed")
        except ImportError:
            raise BackendUnavailableError(
                "executor='dask' needs dask.distributed, which is not installed; "
                "install it with: pip install 'qubo-prune[dask]'"
            ) from None
        self._data, self._run = job, run
        self._cluster: Any = None
        if scheduler is None:
            compile_here()
            # Kernels release the GIL, so threads do, and no script is run again by new processes.
            self._cluster = distributed.LocalCluster(
                n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None
            )
        try:
            if scheduler is not None and not scheduler.startswith("inproc://"):
                # A client takes 20 seconds to give up on an address that is none, and says so at
                # length.
                distributed.comm.get_address_host_port(scheduler, strict=True)
            self._client = distributed.Client(
                self._cluster or scheduler, timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, TypeError, OverflowError) as error:
            raise BackendUnavailableError(
                f"no Dask scheduler answers at {scheduler!r} ({' '.join(str(error).split())}); "
                "check the address, as tcp://host:8786, and that it runs."
            ) from None
        try:
            self._client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except TimeoutError:
            self._client.close()
            raise BackendUnavailableError(
                f"the Dask scheduler at {scheduler!r} has no workers; start some, as: dask worker"
                f" {scheduler}"
            ) from None
        self._job: Any = None
        self._scatter()
        self._held_back: list[_Task] = []
        self._alone_since: float | None = None
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._futures: dict[Any, _Task] = {}
        self._losses = 0
        self._count = 0
        self._counted = -_COUNT_SECONDS

    def num_workers(self) -> int:
        """Return how many tasks run at the same time."""
        if time.monotonic() - self._counted > _COUNT_SECONDS:
            self._counted = time.monotonic()
            self._count = sum(self._client.nthreads().values())
        return self._count

    def put(self, task: _Task) -> None:
        """Queue a task."""
        if self._alone_since is not None:
            self._held_back.append(task)
            return
        future = self._client.submit(self._run, self._job, task, pure=False)
        self._futures[future] = task
        future.add_done_callback(self._results.put)

    def come_back(self, timeout: float) -> list[tuple[_Task, _Result | None]]:
        """Wait for results, `timeout` seconds at most; every task comes back, with None where its
        result was lost.

        Raises
        ------
        BackendError
            If tasks cannot be run.
        """
        if self._alone_since is not None:
            self._rejoin(self._alone_since, timeout)
        done: list[tuple[_Task, _Result | None]] = []
        lost: list[Any] = []
        for future in take(self._results, timeout):
            task = self._futures.pop(future)
            result = self._fetched(future)
            if result is None:
                lost.append(future)
            else:
                self._losses = 0
            done.append((task, result))
        if lost:
            self._look_into(lost)
        return done

    def _fetched(self, future: Any) -> _Result | None:
        """Return the result of a task that came back, None if it was lost."""
        if future.status != "finished":
            return None
        try:
            result: _Result = future.result()
        except (CancelledError, OSError):  # its worker died before the result was fetched
            return None
        return result

    def _look_into(self, lost: list[Any]) -> None:
        """Find out why tasks came back undone; those of one moment are one loss."""
        errors = [each.exception() for each in lost if each.status == "error"]
        reason = next((each for each in errors if isinstance(each, BackendError)), None)
        if reason is None and self._client.nthreads() and self._job.status == "finished":
            self._losses += 1
            if self._losses <= _MOST_LOSSES:
                return
            reason = errors[0] if errors else lost[0].status
        if reason is not None:
            raise BackendError(f"the Dask workers failed: {reason}")
        # The problem went with the last worker that had it.
        self._alone_since = time.monotonic()

    def _rejoin(self, since: float, timeout: float) -> None:
        """Go on as soon as there is a worker again."""
        if not self._client.nthreads():
            waited = time.monotonic() - since
            if waited > _REJOIN_SECONDS:
                raise BackendError(
                    "the last Dask worker has gone, and none came in its place for"
                    f" {_REJOIN_SECONDS:g} s; start some and run again, with --checkpoint to go on"
                    " from where it was."
                )
            time.sleep(min(timeout, _COUNT_SECONDS))
            return
        self._scatter()
        self._alone_since = None
        held_back, self._held_back = self._held_back, []
        for task in held_back:
            self.put(task)

    def _scatter(self) -> None:
        self._job = self._client.scatter(self._data, broadcast=True, hash=False)

    def close(self) -> None:
        """End at once; may be called at any time, once."""
        with suppress(Exception):  # the run is over; a scheduler that has gone must not spoil it
            self._client.cancel(list(self._futures))
        for each in (self._client, self._cluster):
            if each is not None:
                each.close()
