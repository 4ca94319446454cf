"""Best-first over subtrees, depth-first inside them: threads take the open node with the lowest
bound and search below it for a while.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.arrays import make_open_nodes
from qubo_prune.backends.branch_and_bound.kernels.cut import lower_cut
from qubo_prune.backends.branch_and_bound.kernels.explore import explore_all
from qubo_prune.backends.branch_and_bound.kernels.tables import OpenNodes, Shared, Tables, Workspace
from qubo_prune.core.stopping import Standing, Stop
from qubo_prune.search.threads import run_workers

_FIRST_BUDGET = 200
_LAST_BUDGET = 20_000
REFINE_AFTER = 8
"""Finer tables are made after this many nodes times n^2: about when they cost no more than the
search did so far.
"""
_LOWEST_FIRST_AFTER = 1 << 14
"""Nodes after which the lowest states come first: a search that ends before is not stopped."""
_BUNDLE, _BUNDLE_ENTRIES = 1024, 1 << 20
"""Most nodes of a bundle, and their entries: so many are put off before a turn ends."""
_MOST_BYTES = 1 << 27
"""Memory for open nodes above which no more are put off: the search goes deep instead."""


@dataclass(order=True)
class Bundle:
    """Open nodes that are searched in one turn, and the lowest of their bounds.

    Attributes
    ----------
    bound : float
        The lowest bound of a node.
    serial : int
        Number in the order of creation; the root is 0.
    nodes : OpenNodes
        The nodes.
    evaluated : bool
        Whether the bounds are those of the nodes themselves, not of their parents.
    """

    bound: float
    serial: int
    nodes: OpenNodes = field(compare=False)
    evaluated: bool = field(compare=False)

    @property
    def num_bytes(self) -> int:
        """Memory of the nodes."""
        return sum(array.nbytes for array in self.nodes)


class Turn(NamedTuple):
    """What a worker does next: search `bundle` for about `budget` nodes and put off what lies above
    `level`.
    """

    bundle: Bundle
    budget: int
    level: float


class Frontier:
    """The open nodes and the lowest known upper bound on the last wanted state, shared by the
    workers.

    Once a search takes a while, the lowest states come first: nodes above a level are put off,
    which is at first the lowest energy known. Once nothing is open below it, the level rises to
    where twice as many states will be proven.

    Parameters
    ----------
    root : OpenNodes
        Where the search begins.
    cut_energy : (1,) float64
        Energy of `cut_word`; inf if there is no such state.
    cut_word : (W,) uint64
        A state at or after the last wanted one, packed; anything if `cut_energy` is inf.
    known_energies : callable
        Returns the energies of states found so far, in any order.

    Attributes
    ----------
    cut : tuple of (1,) float64 and (W,) uint64
        The lowest such state that is known.
    root_bound : float
        Bound of the root once it was searched; -inf before.
    """

    def __init__(
        self,
        root: OpenNodes,
        cut_energy: NDArray[np.float64],
        cut_word: NDArray[np.uint64],
        known_energies: Callable[[], NDArray[np.float64]],
    ) -> None:
        self.cut = cut_energy.copy(), cut_word.copy()
        self.root_bound = -math.inf
        self._known_energies = known_energies
        self._heap: list[Bundle] = []
        self._running: list[float] = []
        self._serial = 0
        self._bytes = 0
        self._tasks = 0
        self._level = -math.inf
        self._closed = False
        self._changed = threading.Condition()
        self._add(root, evaluated=False)

    def take(self, work: Workspace, num_nodes: int) -> Turn | None:
        """Return the lowest open nodes, after so many were visited; None once everything is
        searched or closed.

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
            bundle = heapq.heappop(self._heap)
            self._bytes -= bundle.num_bytes
            self._running.append(bundle.bound)
            if bundle.bound >= self._level:
                self._level = self._next_level(bundle.bound)
            is_early = num_nodes < _LOWEST_FIRST_AFTER
            level = math.inf if is_early or self._bytes >= _MOST_BYTES else self._level
            return Turn(bundle, min(_LAST_BUDGET, _FIRST_BUDGET * self._tasks), level)

    def give_back(self, taken: Bundle, opened: OpenNodes, put_off: OpenNodes) -> None:
        """Add what a search left open, and what it put off, and end the turn that began when `take`
        gave that bundle.
        """
        most = _bundle_size(put_off.x.shape[1])
        with self._changed:
            for i in range(len(opened.bound)):
                self._add(_selected(opened, np.array([i])), evaluated=False)
            order = np.argsort(put_off.bound, kind="stable")
            for begin in range(0, len(order), most):
                self._add(_selected(put_off, order[begin : begin + most]), evaluated=True)
            self._running.remove(taken.bound)
            self._changed.notify_all()

    def _add(self, nodes: OpenNodes, *, evaluated: bool) -> None:
        bundle = Bundle(float(nodes.bound.min()), self._serial, nodes, evaluated)
        heapq.heappush(self._heap, bundle)
        self._serial += 1
        self._bytes += bundle.num_bytes

    def _next_level(self, bound: float) -> float:
        """Return an energy above `bound` up to which the next states are worth proving; inf if
        these are the last ones.
        """
        energies = np.unique(self._known_energies())
        wanted = 2 * int(np.searchsorted(energies, bound))
        return float(energies[wanted]) if wanted < len(energies) else math.inf

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
            return min([*self._running, *(each.bound for each in self._heap[:1])], default=np.inf)


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


def _bundle_size(num_variables: int) -> int:
    """Return how many nodes are put off in one turn at most."""
    return max(1, min(_BUNDLE, _BUNDLE_ENTRIES // num_variables))


def _first(nodes: OpenNodes, count: int) -> OpenNodes:
    """Return views of the first nodes."""
    return OpenNodes(nodes.fixed[:count], nodes.x[:count], nodes.bound[:count])


def _selected(nodes: OpenNodes, rows: NDArray[np.int64]) -> OpenNodes:
    """Return copies of some nodes."""
    return OpenNodes(nodes.fixed[rows], nodes.x[rows], nodes.bound[rows])


def search(
    tables: Tables,
    workspaces: list[Workspace],
    shared: Shared,
    frontier: Frontier,
    stop: Stop,
    refine: Refinement,
    start: Standing,
    pause_after: float = math.inf,
    pause: Callable[[], bool] = lambda: False,
) -> Tables:
    """Search below the open nodes of `frontier` until none is left, `stop` or `pause` say so, or
    about `pause_after` nodes are visited in all; what is left stays in `frontier`.

    Returns the last tables: a search that takes long goes on with those of `refine`, which keep the
    order of the variables. `start` is what is known before, for those who watch.
    """
    n = len(tables.matrix)

    def count_nodes() -> int:
        return sum(int(w.nodes[0]) for w in workspaces)

    def work(index: int) -> None:
        nonlocal tables
        workspace = workspaces[index]
        out = make_open_nodes(2 * n + 2, n)
        later = make_open_nodes(2 * _bundle_size(n), n)
        while (turn := frontier.take(workspace, num_nodes := count_nodes())) is not None:
            bundle = turn.bundle
            tables = refine.applied_to(tables, num_nodes)
            count, num_put_off = explore_all(
                tables,
                workspace,
                shared,
                bundle.nodes,
                bundle.evaluated,
                turn.level,
                turn.budget,
                out,
                later,
            )
            if bundle.serial == 0:
                frontier.root_bound = float(workspace.bound[0])
            frontier.give_back(bundle, _first(out, count), _first(later, num_put_off))
            if count_nodes() >= pause_after:
                frontier.close()

    def poll() -> None:
        nodes = count_nodes()
        if stop.should_stop(nodes) or pause():
            abort()
        stop.report(nodes, message="proving", standing=standing)

    def standing() -> Standing:
        bound = frontier.undecided_above() - float(tables.epsilon)
        return advanced(start, pool_energies(workspaces), float(shared.threshold[0]), bound)

    def abort() -> None:
        shared.stop[0] = True
        frontier.close()

    frontier.reopen()
    run_workers(work, len(workspaces), poll, abort)
    return tables


def pool_energies(workspaces: Iterable[Workspace]) -> NDArray[np.float64]:
    """Return the energies of the states in the pools of some workers."""
    return np.concatenate([each.pool_energies[: each.pool_size[0]] for each in workspaces])


def advanced(known: Standing, found: NDArray[np.float64], last: float, bound: float) -> Standing:
    """Return what is known once states of these energies are found, `last` lies at or after the
    last wanted one, and nothing below `bound` is left to be found; never less than before.
    """
    bound = max(known.bound, bound)
    proven = min(known.num_wanted, int(np.count_nonzero(found < bound)))
    return known._replace(
        best=min(known.best, float(found.min(initial=np.inf))),
        last=last,
        bound=bound,
        num_proven=max(known.num_proven or 0, proven),
    )
