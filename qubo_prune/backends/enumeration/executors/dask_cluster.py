"""Batches run by the workers of a Dask cluster."""

from __future__ import annotations

import threading
from functools import lru_cache

from qubo_prune.backends.common.dask_workers import DaskWorkers
from qubo_prune.backends.enumeration.engine import Batch, Engine, Job, Result, nothing_done
from qubo_prune.backends.enumeration.executors import messages as wire
from qubo_prune.backends.enumeration.executors.base import Done

Task = tuple[Batch, float]
"""A batch, and the threshold that goes with it."""

_engine_lock = threading.Lock()


class Dask(DaskWorkers[Task, Result]):
    """A cluster, or threads of this process behind the same interface where no scheduler is named.

    Parameters
    ----------
    engine : Engine
        What to enumerate.
    scheduler : str, optional
        Address of the scheduler.
    threads : int
        Threads where there is no scheduler.
    """

    def __init__(self, engine: Engine, scheduler: str | None, threads: int) -> None:
        job = engine.job
        data = wire.encode_job(
            Job(job.problem, job.capacity, job.task_states, engine.layout.tile_size)
        )
        super().__init__(data, run_remotely, scheduler, threads, engine.compile)

    def submit(self, batch: Batch, threshold: float) -> None:
        """See `Executor`."""
        self.put((batch, threshold))

    def results(self, timeout: float) -> list[Done]:
        """See `Executor`."""
        return [
            (batch, nothing_done(batch) if result is None else result)
            for (batch, _), result in self.come_back(timeout)
        ]

    def visited(self) -> int:
        """See `Executor`."""
        return 0

    def stop(self) -> None:
        """Nothing to do: batches are short, and those under way come back by themselves."""


def run_remotely(job: bytes, task: Task) -> Result:
    """Run a batch in a worker of the cluster, which keeps the tables of the last few problems."""
    with _engine_lock:
        engine = _engine(job)
    return engine.run_alone(*task)


@lru_cache(maxsize=2)
def _engine(job: bytes) -> Engine:
    engine = Engine(wire.decode_job(job))
    engine.compile()  # not within the time of the first batch
    return engine
