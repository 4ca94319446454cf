"""The choice between two orders of branching, from a sample of the nodes of either tree."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.arrays import (
    make_open_nodes,
    make_root,
    make_tables,
    make_workspace,
    without_products,
)
from qubo_prune.backends.branch_and_bound.kernels.cut import lower_cut
from qubo_prune.backends.branch_and_bound.kernels.probe import estimate_nodes
from qubo_prune.backends.branch_and_bound.kernels.tables import Shared, Tables
from qubo_prune.backends.branch_and_bound.orders import (
    DECISIVE,
    DIAGONAL,
    by_decisiveness,
    by_diagonal,
    first_order,
)
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.search.budget_price import with_price
from qubo_prune.search.threads import run_workers

RACE_AFTER = 1
"""Orders are compared for the first time after this many nodes times n^2: a look at the tree then
costs a part of what the search did so far, and little is lost with what it did.
"""
_RACES = 2
_AGAIN, _WIDER = 64, 8
"""They are compared again after so many times the nodes, with so many times the sample: more often
is dear, as it takes a large one to tell what is left of a tree.
"""
_WIDTH = 32
_SEED = 1
_MARGIN = 1.5
"""The other order has to promise so many times fewer nodes than are left: an estimate scatters."""
_LITTLE = 0.5
"""Less than so many times the nodes visited is little."""
_WORTH = 8
"""So many nodes times n^2 a tree has to have, or the tables of the other order cost more than they
can save.
"""


class Cut(NamedTuple):
    """What is known of the last wanted state.

    Attributes
    ----------
    energy : ndarray of float64, shape (1,)
        Of `word`; inf if there is no such state.
    word : ndarray of uint64, shape (W,)
        A state at or after the last wanted one, packed.
    before : ndarray of float64, shape (1,) or (0,)
        Energy of a state at or after the last but one, if the search makes use of it.
    """

    energy: NDArray[np.float64]
    word: NDArray[np.uint64]
    before: NDArray[np.float64] = np.empty(0)


class Race:
    """When two orders are compared, and which one wins.

    Parameters
    ----------
    problem : Problem
        With at least one group.
    tables : Tables
        Of the order that the search begins with.

    Attributes
    ----------
    after : float
        How many nodes are to be visited before the next comparison; inf if there is none.
    at_hand : Tables
        Those that the search goes on with, finer ones of the same order.
    order, other_order : str
        What the order that the search begins with is called, and the other one.
    expected : float
        Nodes of their whole tree, by the last estimate; 0 as long as there is none.
    """

    def __init__(self, problem: Problem, tables: Tables) -> None:
        self._problem = problem
        self._tables = self.at_hand = tables
        self.order = first_order(tables.matrix, tables.group_of)
        self.other_order = DIAGONAL if self.order == DECISIVE else DECISIVE
        self._other: Tables | None = None
        self._number = 0
        self.expected = 0.0
        self.after: float = RACE_AFTER * len(tables.matrix) ** 2

    def skip(self, num_nodes: int) -> None:
        """Compare no more before that many nodes are visited."""
        while self.after <= num_nodes < math.inf:
            self._number += 1
            self.after = self.after * _AGAIN if self._number < _RACES else math.inf

    def close(self) -> None:
        """Compare no more."""
        self.after = math.inf

    def winner(
        self,
        cut: Cut,
        stop: Stop,
        num_nodes: int,
        better: Callable[[float], Cut | None] = lambda _expected: None,
    ) -> Tables | None:
        """Return the tables of the other order if its tree, by estimate, has clearly fewer nodes
        than are left of the one at hand; else None.

        Parameters
        ----------
        cut
            What is known of the last wanted state.
        stop
            Watched; once it says so, nothing wins.
        num_nodes
            Nodes visited so far.
        better : callable
            Told the estimate of the tree at hand, it may return a better cut, with which there is a
            new one.
        """
        width = _WIDTH * _WIDER**self._number
        self.skip(num_nodes)
        whole = tree_size(self.at_hand, cut, stop.should_stop, width)
        if (found := better(whole)) is not None:
            cut = found
            whole = tree_size(self.at_hand, cut, stop.should_stop, width)
        self.expected = whole
        left = whole - num_nodes
        if self.order == DECISIVE:
            self.close()  # the other one is that of the file, which is hardly better
            return None
        is_small = whole < _WORTH * len(self._tables.matrix) ** 2 or left < _LITTLE * num_nodes
        if is_small or stop.should_stop():
            return None
        other = self.other(stop.should_stop)
        if self.at_hand.is_relaxed:
            other = without_products(other, self._problem, stop.should_stop)
        promised = tree_size(other, cut, stop.should_stop, width, left)
        if promised > left / _MARGIN or stop.should_stop():
            return None
        self.close()
        self.expected = promised
        return other

    def other(self, should_stop: Callable[[], bool]) -> Tables:
        """Return the tables of the other order, prepared the first time."""
        if self._other is None:
            self._other = other_tables(self._problem, self._tables, should_stop)
        return self._other


def other_tables(problem: Problem, tables: Tables, should_stop: Callable[[], bool]) -> Tables:
    """Return tables for the other order; `tables` are those of the one that a search begins
    with.
    """
    reduced = with_price(problem.reduced(), float(tables.price))
    shift = np.empty(len(tables.matrix))
    shift[np.searchsorted(reduced.variables, tables.block_of)] = tables.shifts[0]
    begun = first_order(tables.matrix, tables.group_of)
    order = by_diagonal(reduced) if begun == DECISIVE else by_decisiveness(reduced, shift)
    return make_tables(
        problem,
        int(tables.max_steps),
        int(tables.anchor_interval),
        should_stop,
        order,
        shift[order],
        float(tables.price),
    )


def tree_size(
    tables: Tables,
    cut: Cut,
    should_stop: Callable[[], bool],
    width: int,
    most: float = math.inf,
) -> float:
    """Estimate the nodes of a whole tree that may hold states up to `cut`, from a sample of `width`
    nodes of each depth; some part of them once it is more than `most`, or `should_stop` says so.
    """
    halt = np.zeros(1, np.bool_)
    sizes: list[float] = []

    def work(_index: int) -> None:
        sizes.append(_tree_size(tables, cut, halt, width, most))

    def abort() -> None:
        halt[0] = True

    def poll() -> None:
        if should_stop():
            abort()

    run_workers(work, 1, poll, abort)
    return sizes[0]


@cache
def load_kernels() -> None:
    """Load the kernels of a race, once per process."""
    problem = Problem(np.eye(4), 2)
    tables = make_tables(problem, 1, 1, lambda: False)
    tree_size(tables, Cut(np.full(1, np.inf), tables.base_word), lambda: False, 1)
    other_tables(problem, tables, lambda: False)


def _tree_size(
    tables: Tables, cut: Cut, halt: NDArray[np.bool_], width: int, most: float = math.inf
) -> float:
    n = len(tables.matrix)
    work = make_workspace(tables, 1, len(tables.hessian))
    lower_cut(work.cut_energy, work.cut_word, cut.energy[0], cut.word)
    # What is met by chance is of no use here, as the search will meet it again: -inf keeps the
    # pool shut, and so the threshold in place.
    work.pool_energies[0] = -np.inf
    work.pool_size[0] = 1
    now, after = make_open_nodes(2 * width, n), make_open_nodes(2 * width, n)
    root = make_root(tables)
    now.fixed[:1], now.x[:1], now.bound[:1] = root
    shared = Shared(cut.energy.copy(), cut.before.copy(), halt)
    random = np.full(1, _SEED, np.uint64)
    return float(estimate_nodes(tables, work, shared, now, after, width, random, most))
