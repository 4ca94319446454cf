"""Some open nodes as a task that anybody can do, and what comes of it: other open nodes, and the
best states below those that are finished.
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.arrays import (
    make_open_nodes,
    make_root,
    make_tables,
    make_workspace,
)
from qubo_prune.backends.branch_and_bound.kernels.cut import lower_cut
from qubo_prune.backends.branch_and_bound.kernels.explore import explore_all
from qubo_prune.backends.branch_and_bound.kernels.tables import OpenNodes, Shared, Tables, Workspace
from qubo_prune.backends.branch_and_bound.race import Cut
from qubo_prune.backends.branch_and_bound.refining import refined
from qubo_prune.core.problem.problem import Problem

_BUDGET = 1000
"""Nodes between two looks at the clock."""


@dataclass(order=True)
class OpenNode:
    """A node to be searched: positions fixed to 0 or 1 (2 = free), a point to start from, and a
    valid lower bound.
    """

    bound: float
    serial: int
    fixed: NDArray[np.int8] = field(compare=False)
    x: NDArray[np.float64] = field(compare=False)


@dataclass(frozen=True, eq=False)
class Job:
    """All that a worker has to know.

    Attributes
    ----------
    problem : Problem
        What is to be solved.
    num_states : int
        How many of its lowest states are wanted.
    max_steps, anchor_interval : int
        Options of `BranchAndBound`.
    order : ndarray of int64, shape (n,)
        The free blocks in branching order. It travels, as no machine has to find the same.
    """

    problem: Problem
    num_states: int
    max_steps: int
    anchor_interval: int
    order: NDArray[np.int64]


class Nodes(NamedTuple):
    """Open nodes.

    Attributes
    ----------
    bound : ndarray of float64, shape (k,)
        Valid lower bounds.
    fixed : ndarray of int8, shape (k, n)
        Positions fixed to 0 or 1, in branching order; 2 = free.
    x : ndarray of float64, shape (k, n)
        Points to start from.
    """

    bound: NDArray[np.float64]
    fixed: NDArray[np.int8]
    x: NDArray[np.float64]


class Subtrees(NamedTuple):
    """What a worker is to do: search below some nodes until its time is over.

    Attributes
    ----------
    number : int
        Of the task.
    nodes : Nodes
        Where to search.
    threshold : float
        Energy of a state at or after the last wanted one; inf if none is known.
    cut_word : ndarray of uint64, shape (W,)
        That state, packed.
    seconds : float
        About how long.
    most_nodes : int
        About how many nodes to visit at most.
    is_refined : bool
        Whether to use the shifts of more depths.
    """

    number: int
    nodes: Nodes
    threshold: float
    cut_word: NDArray[np.uint64]
    seconds: float
    most_nodes: int
    is_refined: bool


class Explored(NamedTuple):
    """What came of it.

    Attributes
    ----------
    nodes : Nodes
        What is still open.
    energies, words : ndarray of float64, shape (s,), and of uint64, shape (s, W)
        The best states found below the others, packed.
    num_nodes : int
        Nodes visited.
    seconds : float
        Time it took.
    first_bound : float
        Bound of the first node of the task.
    epsilon : float
        The rounding that the bounds allow for.
    """

    nodes: Nodes
    energies: NDArray[np.float64]
    words: NDArray[np.uint64]
    num_nodes: int
    seconds: float
    first_bound: float
    epsilon: float


class Explorer:
    """A job with its tables; shared by the threads of a process.

    Parameters
    ----------
    job : Job
        What is to be proven.
    tables : Tables, optional
        Those of the job, if they are there already.
    """

    def __init__(self, job: Job, tables: Tables | None = None) -> None:
        self.job = job
        self.tables = tables or _make_tables(job)
        self._refined: Tables | None = None
        self._idle: list[Workspace] = []
        self._lock = threading.Lock()

    def root(self) -> OpenNode:
        """Return the root of the tree."""
        root = make_root(self.tables)
        return OpenNode(float(root.bound[0]), 0, root.fixed[0], root.x[0])

    def start(self, fixed: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return a point of a node to start from: the free ones of each group spread evenly."""
        x: NDArray[np.float64] = (fixed == 1).astype(np.float64)
        for group, count in enumerate(self.tables.counts):
            member = self.tables.group_of == group
            free = member & (fixed > 1)
            if free.any():
                x[free] = (count - x[member].sum()) / free.sum()
        return x

    def run(self, task: Subtrees) -> Explored:
        """Do a task, from any thread: its lowest node first, until its time is over."""
        tables = self._tables_of(task)
        with self._lock:
            work = self._idle.pop() if self._idle else None
        if work is None:
            work = make_workspace(tables, self.job.num_states, self.job.problem.num_blocks)
        result = _search(tables, work, task)
        with self._lock:
            self._idle.append(work)
        return result

    def _tables_of(self, task: Subtrees) -> Tables:
        if not task.is_refined:
            return self.tables
        with self._lock:
            if self._refined is None:
                cut = Cut(np.full(1, task.threshold), task.cut_word)
                self._refined = refined(self.tables, self.job.problem, cut, lambda: False)
            return self._refined


def _make_tables(job: Job) -> Tables:
    positions = np.searchsorted(job.problem.reduced().variables, job.order)
    return make_tables(job.problem, job.max_steps, job.anchor_interval, lambda: False, positions)


def nodes_of(nodes: list[OpenNode], n: int) -> Nodes:
    """Return open nodes of `n` positions as arrays."""
    return Nodes(
        np.array([node.bound for node in nodes], np.float64),
        np.array([node.fixed for node in nodes], np.int8).reshape(len(nodes), n),
        np.array([node.x for node in nodes], np.float64).reshape(len(nodes), n),
    )


def _search(tables: Tables, work: Workspace, task: Subtrees) -> Explored:
    begin = time.perf_counter()
    n = len(tables.matrix)
    before = int(work.nodes[0])
    work.pool_size[0] = 0
    work.cut_energy[0] = np.inf
    lower_cut(work.cut_energy, work.cut_word, task.threshold, task.cut_word)
    shared = Shared(np.full(1, task.threshold), np.empty(0), np.zeros(1, np.bool_))
    out, later = make_open_nodes(2 * n + 2, n), make_open_nodes(2, n)
    heap = [
        OpenNode(float(b), k, f, x) for k, (b, f, x) in enumerate(zip(*task.nodes, strict=True))
    ]
    heapq.heapify(heap)
    serial, first_bound = len(heap), np.nan
    while heap:
        node = heapq.heappop(heap)
        if node.bound > shared.threshold[0] + tables.epsilon:
            heap.clear()  # as are all others
            break
        left = task.most_nodes - (int(work.nodes[0]) - before)
        alone = OpenNodes(node.fixed[None], node.x[None], np.full(1, node.bound))
        budget = min(_BUDGET, left)
        count, _ = explore_all(tables, work, shared, alone, False, np.inf, budget, out, later)
        if np.isnan(first_bound):
            first_bound = float(work.bound[0])
        for k in range(count):
            opened = OpenNode(float(out.bound[k]), serial, out.fixed[k].copy(), out.x[k].copy())
            heapq.heappush(heap, opened)
            serial += 1
        if (
            time.perf_counter() - begin > task.seconds
            or int(work.nodes[0]) - before >= task.most_nodes
        ):
            break
    size = int(work.pool_size[0])
    wanted = work.pool_energies[:size] <= shared.threshold[0]
    return Explored(
        nodes_of(heap, n),
        work.pool_energies[:size][wanted],
        work.pool_words[:size][wanted],
        int(work.nodes[0]) - before,
        time.perf_counter() - begin,
        first_bound,
        float(tables.epsilon),
    )
