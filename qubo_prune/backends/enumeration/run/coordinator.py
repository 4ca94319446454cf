"""Hands out the tasks in batches, collects what comes back and keeps the account, whoever does the
work.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qubo_prune.backends.enumeration.engine import Batch, Result
from qubo_prune.backends.enumeration.run.progress import Ledger, Range

if TYPE_CHECKING:
    from qubo_prune.backends.enumeration.executors.base import Executor
    from qubo_prune.backends.enumeration.run.checkpoint import Checkpoint
    from qubo_prune.backends.enumeration.space.tasks import Partition
    from qubo_prune.core.stopping import Stop

_POLL_SECONDS = 0.02
_BATCH_SECONDS = 0.4
"""Time that a batch should take: long against the time to send it, short against the patience of
whoever stops the run.
"""

_LONGEST_BATCH = 5 * _BATCH_SECONDS
_GRACE_SECONDS = 10.0
"""How long a stopped run waits for what its workers have."""

_BATCHES_PER_WORKER = 2
_SHARES_PER_WORKER = 4


class Coordinator:
    """One run over the tasks that are not finished yet.

    Parameters
    ----------
    partition : Partition
        The tasks.
    ledger : Ledger
        What is finished already; kept up to date.
    threshold : float
        Upper bound on the energy of the last state wanted.
    """

    def __init__(self, partition: Partition, ledger: Ledger, threshold: float) -> None:
        self._partition = partition
        self._ledger = ledger
        self._threshold = threshold
        # The lowest range is on top, so that what was lost is done again first and few ranges are
        # ever open.
        self._pending: list[Range] = ledger.finished.gaps(partition.num_tasks)[::-1]
        self._todo = partition.num_states - ledger.num_finished
        self._unsent = self._todo
        self._in_flight = 0
        self._rate = 0.0

    def run(self, executor: Executor, stop: Stop, checkpoint: Checkpoint | None) -> None:
        """Run batches until all tasks are finished or `stop` says so; the executor is left open."""
        deadline = None
        while True:
            if deadline is None:
                self._send(executor, stop)
            if not self._in_flight:
                return
            for batch, result in executor.results(_POLL_SECONDS):
                self._receive(batch, result)
            visited = self._ledger.num_visited + executor.visited()
            if deadline is not None:
                if time.monotonic() > deadline:
                    return
            elif stop.should_stop(visited):
                deadline = time.monotonic() + _GRACE_SECONDS
                executor.stop()
            stop.report(visited, visited / self._todo, "enumerating")
            if checkpoint is not None:
                checkpoint.save_if_due(self._ledger)

    def _send(self, executor: Executor, stop: Stop) -> None:
        workers = max(1, executor.num_workers())
        threshold = min(self._threshold, self._ledger.best.threshold())
        while self._pending and self._in_flight < workers * _BATCHES_PER_WORKER:
            first, end = self._pending.pop()
            before = self._partition.states_before(first)
            # Shares shrink towards the end, so that all workers finish together.
            size = min(
                int(self._rate * _BATCH_SECONDS), self._unsent // workers // _SHARES_PER_WORKER
            )
            if stop.max_evaluations is not None:
                size = min(size, stop.max_evaluations // workers // _BATCHES_PER_WORKER)
            last = min(end, max(first + 1, self._partition.task_at(before + size)))
            if last < end:
                self._pending.append((last, end))
            self._unsent -= self._partition.states_before(last) - before
            self._in_flight += 1
            executor.submit(Batch(first, last, _LONGEST_BATCH), threshold)

    def _receive(self, batch: Batch, result: Result) -> None:
        self._in_flight -= 1
        done = self._partition.states_before(result.finished)
        finished = done - self._partition.states_before(batch.first)
        self._ledger.record(batch.first, finished, result)
        if result.finished < batch.stop:
            self._pending.append((result.finished, batch.stop))
            self._unsent += self._partition.states_before(batch.stop) - done
        if result.seconds > 0:
            rate = result.visited / result.seconds
            self._rate = (self._rate + rate) / 2 if self._rate else rate
