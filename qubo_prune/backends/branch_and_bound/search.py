"""Best-first over subtrees, depth-first inside them: threads take the open node with the lowest
bound and search below it for a while.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

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


class Bounds(NamedTuple):
    """What a search leaves: the lowest bound of an open node, inf if it is complete; and the bound
    of the root.
    """

    open: float
    root: float


class Frontier:
    """The open nodes and the lowest known upper bound on the last wanted state, shared by the
    workers.
    """

    def __init__(
        self, root: OpenNode, cut_energy: NDArray[np.float64], cut_word: NDArray[np.uint64]
    ) -> None:
        self._cut = cut_energy, cut_word
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
            lower_cut(*self._cut, work.cut_energy[0], work.cut_word)
            lower_cut(work.cut_energy, work.cut_word, self._cut[0][0], self._cut[1])
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


def search(
    tables: Tables,
    workspaces: list[Workspace],
    shared: Shared,
    root: OpenNode,
    cut_word: NDArray[np.uint64],
    stop: Stop,
    refine: Callable[[Tables], Tables],
    start: Standing,
) -> tuple[Bounds, Tables]:
    """Search below `root`; a search that takes long goes on with ``refine(tables)``, which keep the
    order of the variables.

    Returns what it leaves and the last tables. `cut_word` is a state whose energy is
    ``shared.threshold[0]``, at or after the last wanted one (anything if that is inf); `start` is
    what is known before, for those who watch.
    """
    frontier = Frontier(root, shared.threshold.copy(), cut_word)
    n = len(root.fixed)
    root_bound = -np.inf
    refining = threading.Lock()

    def count_nodes() -> int:
        return sum(int(w.nodes[0]) for w in workspaces)

    def work(index: int) -> None:
        nonlocal root_bound, tables
        workspace = workspaces[index]
        out_fixed = np.empty((2 * n + 2, n), np.int8)
        out_x = np.empty((2 * n + 2, n))
        out_bound = np.empty(2 * n + 2)
        while (taken := frontier.take(workspace)) is not None:
            node, budget = taken
            count = 0
            if count_nodes() > REFINE_AFTER * n**2 and refining.acquire(blocking=False):
                tables = refine(tables)  # once: the lock is kept
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
                if node is root:
                    root_bound = float(workspace.bound[0])
            frontier.give_back(node, out_fixed[:count], out_x[:count], out_bound[:count])

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

    run_workers(work, len(workspaces), poll, abort)
    return Bounds(frontier.lowest_bound(), root_bound), tables
