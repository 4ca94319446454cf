"""Exhaustive enumeration: visits every state, prunes nothing, and so checks everything else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.backends.workers import at_least_one, num_threads, run_workers
from qubo_prune.errors import InputError
from qubo_prune.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.backends.enumeration.tasks import Task
    from qubo_prune.problem import Problem
    from qubo_prune.stopping import Stop


@dataclass(frozen=True)
class Enumeration(Backend):
    """Visit all C(N, M) states on the CPU.

    The search walks sorted prefixes with their local fields, screens whole rows of completions in float32 against a threshold with a derived
    rounding margin, and re-evaluates in float64 what passes. It is the oracle of this package: no bound is involved.

    Parameters
    ----------
    threads : int, optional
        Number of threads; all available cores by default. The answer does not depend on it.
    task_states : int, optional
        Upper limit of the states per task (unless a single node holds more). The answer does not depend on it.
    tile_size : int, optional
        Number of variables in the dense tile, an even number; chosen by a cost model by default. The answer does not depend on it.
    """

    threads: int | None = None
    task_states: int = 1 << 27
    tile_size: int | None = None

    name: ClassVar[str] = "enumeration"
    summary: ClassVar[str] = "visits every state on the CPU; the oracle, up to about 1e12 states"
    capabilities: ClassVar[Capability] = (
        Capability.EXACT
        | Capability.PROVES
        | Capability.WARM_START
        | Capability.SEEDED
        | Capability.NATIVE_CONSTRAINT
        | Capability.TIME_LIMIT
        | Capability.CANCEL
        | Capability.PROGRESS
    )

    def __post_init__(self) -> None:
        num_threads(self.threads)
        at_least_one(self.task_states, "task_states")
        if self.tile_size is not None:
            tile_size = as_count(self.tile_size, "tile_size")
            if tile_size < 0 or tile_size % 2:
                raise InputError(
                    f"tile_size must be an even number of at least 0, not {tile_size}; leave it out to have it chosen."
                )

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Visit every state; see `Backend.run`."""
        from qubo_prune.backends.enumeration.arrays import make_tables, make_workspace
        from qubo_prune.backends.enumeration.kernel import Shared, walk
        from qubo_prune.backends.enumeration.layout import make_layout
        from qubo_prune.backends.enumeration.tasks import Partition
        from qubo_prune.backends.warm_start import starting_states
        from qubo_prune.kernels.pool import pack, unpack

        threads = num_threads(self.threads)
        wanted = min(num_states + 1, problem.num_states)
        begin = time.perf_counter()
        fixed = pack(problem.state(problem.fixed_removed)[None])[0]
        if not problem.groups:
            return RawResult(unpack(fixed[None], problem.num_blocks), 1, np.inf, 1)
        start = starting_states(problem, wanted, seed, stop, warm_start)
        seeded = time.perf_counter()

        layout = make_layout(problem.reduced(), fixed, self.tile_size)
        tables = make_tables(layout, problem)
        threshold = np.full(1, np.inf)
        if len(start) == wanted:
            threshold[0] = problem.energies(start[-1:])[0]
        shared = Shared(threshold, np.zeros(1, np.bool_))
        workspaces = [make_workspace(layout, wanted, problem.num_blocks) for _ in range(threads)]
        tasks = _Feed(iter(Partition(layout, self.task_states)))
        prepared = time.perf_counter()

        def work(index: int) -> None:
            while (task := tasks.next()) is not None and not shared.stop[0]:
                prefix = np.array(task.prefix, np.int64)
                walk(
                    tables, workspaces[index], shared, prefix, task.first, task.stop, task.with_node
                )

        def visited() -> int:
            return sum(int(w.visited[0]) for w in workspaces)

        def poll() -> None:
            count = visited()
            if stop.should_stop(count):
                shared.stop[0] = True
            stop.report(count, count / problem.num_states, "enumerating")

        def abort() -> None:
            shared.stop[0] = True

        run_workers(work, threads, poll, abort)
        count = visited()
        words = np.concatenate([w.pool_words[: w.pool_size[0]] for w in workspaces])
        states = unpack(words, problem.num_blocks)
        complete = count == problem.num_states
        if not complete:
            states = np.unique(np.concatenate([states, start]), axis=0)
        finished = time.perf_counter()
        return RawResult(
            states=states,
            num_complete=wanted if complete else 0,
            num_evaluated=count,
            native_status=f"visited {count} of {problem.num_states} states",
            timings={
                "warm_start": seeded - begin,
                "preparation": prepared - seeded,
                "search": finished - prepared,
            },
        )


class _Feed:
    """The tasks, handed out one at a time to any thread."""

    def __init__(self, tasks: Iterator[Task]) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()

    def next(self) -> Task | None:
        with self._lock:
            return next(self._tasks, None)
