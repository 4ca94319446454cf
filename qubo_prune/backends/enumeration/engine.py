"""What every executor runs: the tasks of one problem, in batches, into a pool of the best
states.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.enumeration.arrays import make_tables, make_workspace
from qubo_prune.backends.enumeration.kernels.walk import Shared, Workspace, walk
from qubo_prune.backends.enumeration.space.layout import TileChooser, make_layout
from qubo_prune.backends.enumeration.space.tasks import Partition
from qubo_prune.core.errors import BackendError, InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.text import format_count
from qubo_prune.search.budget_price import magnitude_of, price_of, with_price
from qubo_prune.search.kernels.pool import pack

_MOST_STATES = 10**300
"""Counts beyond are no floats, and no run over them would end."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The tasks numbered [first, stop), to be run by one worker for about this many seconds."""

    first: int
    stop: int
    seconds: float


class Result(NamedTuple):
    """What came of a batch.

    Attributes
    ----------
    finished : int
        The tasks up to this number, exclusive, were visited completely; the others have to be done
        again.
    visited : int
        States visited, those of a task that was broken off included.
    seconds : float
        Time it took; 0 if nothing was done.
    energies : ndarray of float64, shape (k,)
        Canonical energies of the best states visited.
    words : ndarray of uint64, shape (k, W)
        Those states, packed.
    """

    finished: int
    visited: int
    seconds: float
    energies: NDArray[np.float64]
    words: NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Job:
    """A problem with groups and how it is cut into tasks: all that a worker has to know.

    Attributes
    ----------
    problem : Problem
        What to enumerate.
    capacity : int
        How many of the best states to keep.
    task_states : int
        Upper limit of the states per task.
    tile_size : int, optional
        Size of the dense tile; chosen by a cost model if None.
    """

    problem: Problem
    capacity: int
    task_states: int
    tile_size: int | None = None


class Engine:
    """A job with its tables; shared by the threads of a process.

    Parameters
    ----------
    job : Job
        What to enumerate.
    choose : callable, optional
        Chooses the tile; by default what is best for processors.

    Attributes
    ----------
    job : Job
        What it runs.
    layout : Layout
        The problem as the kernels see it.
    partition : Partition
        The tasks.
    price : float
        What a budget's weight costs in the layout; 0 without a budget that binds.
    allowance : float
        Bound on the float64 error of what the kernels compute, against a canonical energy.

    Raises
    ------
    InputError
        If there are so many states that their number is no float.
    """

    def __init__(self, job: Job, choose: TileChooser | None = None) -> None:
        problem = job.problem
        if problem.num_states > _MOST_STATES:
            raise InputError(
                f"enumeration takes at most 1e300 states, not {format_count(problem.num_states)};"
                " use another backend."
            )
        fixed = pack(problem.state(problem.fixed_removed)[None])[0]
        self.job = job
        reduced = problem.reduced()
        self.price = price_of(reduced)
        self.layout = make_layout(with_price(reduced, self.price), fixed, job.tile_size, choose)
        self.partition = Partition(self.layout, job.task_states)
        self._tables = make_tables(self.layout, problem, magnitude_of(reduced, self.price))
        self.allowance = self._tables.allowance
        self._idle: list[Workspace] = []
        self._lock = threading.Lock()

    def new_workspace(self) -> Workspace:
        """Return one thread's scratch."""
        return make_workspace(self.layout, self.job.capacity, self.job.problem.num_blocks)

    def nbytes(self) -> int:
        """Return the size of the tables, which the threads of a process share."""
        return sum(x.nbytes for x in self._tables if isinstance(x, np.ndarray))

    def compile(self) -> None:
        """Compile the kernels, or load them, without visiting anything."""
        shared = Shared(np.full(1, np.inf), np.ones(1, np.bool_))
        walk(self._tables, self.new_workspace(), shared, np.zeros(0, np.int64), 0, 0, False)

    def run_alone(self, batch: Batch, threshold: float) -> Result:
        """Run a batch with scratch of its own, from any thread."""
        with self._lock:
            work = self._idle.pop() if self._idle else None
        work = work or self.new_workspace()
        result = self.run(batch, work, Shared(np.full(1, threshold), np.zeros(1, np.bool_)))
        with self._lock:
            self._idle.append(work)
        return result

    def run(self, batch: Batch, work: Workspace, shared: Shared) -> Result:
        """Run the tasks of a batch until its time is over, at least one, unless `shared` says stop.

        Raises
        ------
        BackendError
            If a task visited another number of states than it holds.
        """
        begin = time.perf_counter()
        work.pool_size[0] = 0
        before = int(work.visited[0])
        finished = batch.first
        for task in self.partition.tasks(batch.first, batch.stop):
            if shared.stop[0]:
                break
            visited = int(work.visited[0])
            prefix = np.array(task.prefix, np.int64)
            if not walk(self._tables, work, shared, prefix, task.first, task.stop, task.with_node):
                break
            visited = int(work.visited[0]) - visited
            if visited != task.num_states:
                raise BackendError(
                    f"a task of {task.num_states} states visited {visited}; please report this."
                )
            finished += 1
            if time.perf_counter() - begin > batch.seconds:
                break
        size = int(work.pool_size[0])
        wanted = work.pool_energies[:size] <= shared.threshold[0]
        return Result(
            finished,
            int(work.visited[0]) - before,
            time.perf_counter() - begin,
            work.pool_energies[:size][wanted],
            work.pool_words[:size][wanted],
        )


def nothing_done(batch: Batch) -> Result:
    """Return the result of a batch whose worker was lost."""
    return Result(batch.first, 0, 0.0, np.zeros(0), np.zeros((0, 0), np.uint64))
