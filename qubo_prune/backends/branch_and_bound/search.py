"""Best-first over subtrees, depth-first inside them: threads take the open node with the lowest
bound and search below it for a while.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.explore import (
    Shared,
    Tables,
    Workspace,
    explore,
    lower_cut,
)
from qubo_prune.core.stopping import Standing, Stop
from qubo_prune.search.threads import run_workers

_FIRST_BUDGET = 200
_LAST_BUDGET = 20_000
REFINE_AFTER = 8
"""Finer tables are made after this many nodes times n^2: about when they cost no more than the
search did so far.
"""


@dataclass(order=True)
class OpenNode:
    """A node to be searched: positions fixed to 0 or 1 (2 = free), a point to start from, and a
    valid lower bound.
    """

    bound: float
    serial: int
    fixed: NDArray[np.int8] = field(compare=False)
    x: NDArray[np.float64] = field(compare=False)


class Frontier:
    """The open nodes and the lowest known upper bound on the last wanted state, shared by the
    workers.

    Parameters
    ----------
    root : OpenNode
        Where the search begins.
    cut_energy : (1,) float64
        Energy of `cut_word`; inf if there is no such state.
    cut_word : (W,) uint64
        A state at or after the last wanted one, packed; anything if `cut_energy` is inf.

    Attributes
    ----------
    cut : tuple of (1,) float64 and (W,) uint64
        The lowest such state that is known.
    root_bound : float
        Bound of the root once it was searched; -inf before.
    """

    def __init__(
        self, root: OpenNode, cut_energy: NDArray[np.float64], cut_word: NDArray[np.uint64]
    ) -> None:
        self.cut = cut_energy.copy(), cut_word.copy()
        self.root_bound = -math.inf
        self._heap = [root]
        self._running: list[float] = []
        self._serial = 1
        self._tasks = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self, work: Workspace) -> tuple[OpenNode, int] | None:
        """Return the lowest open node and a node budget; None once everything is searched or
        closed.

        Blocks while other workers may still add nodes.
        """
        with self._changed:
            while not self._heap and self._running and not self._closed:
                self._changed.wait()
            if self._closed or not self._heap:
                return None
            self._tasks += 1
            lower_cut(*self.cut, work.cut_energy[0], work.cut_word)
            lower_cut(work.cut_energy, work.cut_word, self.cut[0][0], self.cut[1])
            node = heapq.heappop(self._heap)
            self._running.append(node.bound)
            return node, min(_LAST_BUDGET, _FIRST_BUDGET * self._tasks)

    def give_back(
        self,
        taken: OpenNode,
        fixed: NDArray[np.int8],
        x: NDArray[np.float64],
        bound: NDArray[np.float64],
    ) -> None:
        """Add what a search left open and end the turn that began when `take` gave that node."""
        with self._changed:
            for i in range(len(bound)):
                node = OpenNode(float(bound[i]), self._serial, fixed[i].copy(), x[i].copy())
                heapq.heappush(self._heap, node)
                self._serial += 1
            self._running.remove(taken.bound)
            self._changed.notify_all()

    def close(self) -> None:
        """Let no more nodes be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def reopen(self) -> None:
        """Let nodes be taken again."""
        with self._changed:
            self._closed = False

    @property
    def is_done(self) -> bool:
        """Whether no node is left."""
        return not self._heap

    def lowest_bound(self) -> float:
        """Return the lowest bound of an open node; inf if there is none."""
        with self._changed:
            return self._heap[0].bound if self._heap else np.inf

    def undecided_above(self) -> float:
        """Return the lowest bound of a node that is open or searched just now; inf if there is
        none.
        """
        with self._changed:
            return min([*self._running, *(node.bound for node in self._heap[:1])], default=np.inf)


class Refinement:
    """Finer tables for a search that takes long, made once by the worker that notices."""

    def __init__(self, make: Callable[[Tables], Tables]) -> None:
        self._make = make
        self._lock = threading.Lock()

    def applied_to(self, tables: Tables, num_nodes: int) -> Tables:
        """Return `tables`, or finer ones if `num_nodes` are many and nobody made them yet."""
        many = num_nodes > REFINE_AFTER * len(tables.matrix) ** 2
        if many and self._lock.acquire(blocking=False):  # once: the lock is kept
            return self._make(tables)
        return tables


def search(
    tables: Tables,
    workspaces: list[Workspace],
    shared: Shared,
    frontier: Frontier,
    stop: Stop,
    refine: Refinement,
    start: Standing,
    pause_after: float = math.inf,
) -> Tables:
    """Search below the open nodes of `frontier` until none is left, `stop` says so, or about
    `pause_after` nodes are visited in all; what is left stays in `frontier`.

    Returns the last tables: a search that takes long goes on with those of `refine`, which keep the
    order of the variables. `start` is what is known before, for those who watch.
    """
    n = len(tables.matrix)

    def count_nodes() -> int:
        return sum(int(w.nodes[0]) for w in workspaces)

    def work(index: int) -> None:
        nonlocal tables
        workspace = workspaces[index]
        out_fixed = np.empty((2 * n + 2, n), np.int8)
        out_x = np.empty((2 * n + 2, n))
        out_bound = np.empty(2 * n + 2)
        while (taken := frontier.take(workspace)) is not None:
            node, budget = taken
            count = 0
            tables = refine.applied_to(tables, count_nodes())
            if node.bound <= shared.threshold[0] + tables.epsilon:
                workspace.bound[0] = node.bound
                count = explore(
                    tables,
                    workspace,
                    shared,
                    node.fixed,
                    node.x,
                    budget,
                    out_fixed,
                    out_x,
                    out_bound,
                )
                if node.serial == 0:
                    frontier.root_bound = float(workspace.bound[0])
            frontier.give_back(node, out_fixed[:count], out_x[:count], out_bound[:count])
            if count_nodes() >= pause_after:
                frontier.close()

    def poll() -> None:
        nodes = count_nodes()
        if stop.should_stop(nodes):
            abort()
        stop.report(nodes, message="proving", standing=standing)

    def standing() -> Standing:
        bound = frontier.undecided_above() - float(tables.epsilon)
        found = np.concatenate([w.pool_energies[: w.pool_size[0]] for w in workspaces])
        return start._replace(
            best=min(start.best, float(found.min(initial=np.inf))),
            last=float(shared.threshold[0]),
            bound=bound,
            num_proven=min(start.num_wanted, int(np.count_nonzero(found < bound))),
        )

    def abort() -> None:
        shared.stop[0] = True
        frontier.close()

    frontier.reopen()
    run_workers(work, len(workspaces), poll, abort)
    return tables
