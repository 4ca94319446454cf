"""Who runs the batches: the protocol, and threads of this process."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import Protocol, TypeVar

import numpy as np

from qubo_prune.backends.enumeration.engine import Batch, Engine, Result, nothing_done
from qubo_prune.backends.enumeration.kernel import Shared

Done = tuple[Batch, Result]

_Entry = TypeVar("_Entry")


class Executor(Protocol):
    """Runs batches somewhere; every batch that is submitted comes back, done or not."""

    def num_workers(self) -> int:
        """Return how many batches run at the same time."""

    def submit(self, batch: Batch, threshold: float) -> None:
        """Queue a batch; `threshold` bounds the energy of the last state wanted from above."""

    def results(self, timeout: float) -> list[Done]:
        """Wait for results, `timeout` seconds at most; a batch that was lost comes back with nothing done.

        Raises
        ------
        BackendError
            If batches cannot be run.
        """

    def visited(self) -> int:
        """Return how many states were visited for batches that have not come back, as far as is known."""

    def stop(self) -> None:
        """Let all batches come back soon, whether done or not."""

    def close(self) -> None:
        """End at once; may be called at any time, once."""


class Threads:
    """Threads of this process, which share one threshold."""

    def __init__(self, engine: Engine, count: int) -> None:
        self._engine = engine
        self._shared = Shared(np.full(1, np.inf), np.zeros(1, np.bool_))
        self._workspaces = [engine.new_workspace() for _ in range(count)]
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
        self._returned = 0
        self._threads = [
            threading.Thread(target=self._work, args=(index,), name=f"qubo-prune-{index}")
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def num_workers(self) -> int:
        """See `Executor`."""
        return len(self._threads)

    def submit(self, batch: Batch, threshold: float) -> None:
        """See `Executor`."""
        self._shared.threshold[0] = min(threshold, self._shared.threshold[0])
        self._batches.put(batch)

    def results(self, timeout: float) -> list[Done]:
        """See `Executor`."""
        done: list[Done] = []
        for entry in take(self._results, timeout):
            if isinstance(entry, BaseException):
                raise entry
            self._returned += entry[1].visited
            done.append(entry)
        return done

    def visited(self) -> int:
        """See `Executor`."""
        return sum(int(work.visited[0]) for work in self._workspaces) - self._returned

    def stop(self) -> None:
        """See `Executor`."""
        self._shared.stop[0] = True

    def close(self) -> None:
        """See `Executor`."""
        self._shared.stop[0] = True
        for _ in self._threads:
            self._batches.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, index: int) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                if self._shared.stop[0]:
                    self._results.put((batch, nothing_done(batch)))
                else:
                    result = self._engine.run(batch, self._workspaces[index], self._shared)
                    self._results.put((batch, result))
            except BaseException as error:  # noqa: BLE001 - raised again by the coordinator
                self._results.put(error)


def take(entries: queue.SimpleQueue[_Entry], timeout: float) -> list[_Entry]:
    """Return all that is in a queue, waiting for the first entry, `timeout` seconds at most."""
    taken: list[_Entry] = []
    with suppress(queue.Empty):
        taken.append(entries.get(timeout=timeout))
        while True:
            taken.append(entries.get_nowait())
    return taken
