"""Threads of this process as workers."""

from __future__ import annotations

import queue
import threading

import numpy as np

from qubo_prune.backends.enumeration.engine import Batch, Engine, nothing_done
from qubo_prune.backends.enumeration.executors.base import Done
from qubo_prune.backends.enumeration.kernels.walk import Shared
from qubo_prune.search.threads import take


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
