"""Who does the tasks of a proof: threads of this process, or the workers of a Dask cluster."""

from __future__ import annotations

import queue
import threading
from functools import lru_cache

import numpy as np

from qubo_prune.backends.branch_and_bound.subtrees import Explored, Explorer, Job, Subtrees
from qubo_prune.backends.common.problem_bytes import decode_problem, encode_problem
from qubo_prune.search.threads import take

_lock = threading.Lock()


class Threads:
    """Threads of this process; see `Workers`."""

    def __init__(self, explorer: Explorer, count: int) -> None:
        self._explorer = explorer
        self._tasks: queue.SimpleQueue[Subtrees | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Subtrees, Explored] | BaseException] = (
            queue.SimpleQueue()
        )
        self._threads = [
            threading.Thread(target=self._work, name=f"qubo-prune-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def num_workers(self) -> int:
        """See `Workers`."""
        return len(self._threads)

    def put(self, task: Subtrees) -> None:
        """See `Workers`."""
        self._tasks.put(task)

    def come_back(self, timeout: float) -> list[tuple[Subtrees, Explored | None]]:
        """See `Workers`."""
        done: list[tuple[Subtrees, Explored | None]] = []
        for entry in take(self._results, timeout):
            if isinstance(entry, BaseException):
                raise entry
            done.append(entry)
        return done

    def close(self) -> None:
        """See `Workers`."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._results.put((task, self._explorer.run(task)))
            except BaseException as error:  # noqa: BLE001 - raised again by the coordinator
                self._results.put(error)


def encode_job(job: Job) -> bytes:
    """Return a job as bytes, the same ones for the same job."""
    return encode_problem(
        job.problem,
        {
            "num_states": job.num_states,
            "max_steps": job.max_steps,
            "anchor_interval": job.anchor_interval,
            "order": job.order.tolist(),
        },
    )


def run_remotely(job: bytes, task: Subtrees) -> Explored:
    """Do a task in a worker of the cluster, which keeps the tables of the last few problems."""
    with _lock:
        explorer = _explorer(job)
    return explorer.run(task)


@lru_cache(maxsize=2)
def _explorer(data: bytes) -> Explorer:
    problem, facts = decode_problem(data)
    order = np.array(facts["order"], np.int64)
    return Explorer(
        Job(problem, facts["num_states"], facts["max_steps"], facts["anchor_interval"], order)
    )
