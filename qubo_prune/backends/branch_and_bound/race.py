"""The choice between two orders of branching, from a sample of the nodes of either tree."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.arrays import (
    make_open_nodes,
    make_root,
    make_tables,
    make_workspace,
)
from qubo_prune.backends.branch_and_bound.kernels.explore import (
    Shared,
    Tables,
    lower_cut,
)
from qubo_prune.backends.branch_and_bound.kernels.probe import estimate_nodes
from qubo_prune.backends.branch_and_bound.orders import by_decisiveness
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.search.threads import run_workers

RACE_AFTER = 3
"""Orders are compared after this many nodes times n^2: the tables of another order, and the
estimates, then cost less than the search did so far.
"""
_WIDTH = 96
_SEED = 1
_MARGIN = 1.5
"""The other order has to promise so many times fewer nodes: an estimate scatters, and what is
searched already is lost.
"""


def other_tables(problem: Problem, tables: Tables, should_stop: Callable[[], bool]) -> Tables:
    """Return tables for the order by decisiveness; `tables` are those of the order at hand."""
    reduced = problem.reduced()
    shift = np.empty(len(tables.matrix))
    shift[np.searchsorted(reduced.variables, tables.block_of)] = tables.shifts[0]
    order = by_decisiveness(reduced, shift)
    return make_tables(
        problem, int(tables.max_steps), int(tables.anchor_interval), should_stop, order
    )


def promises_more(
    other: Tables, tables: Tables, cut: tuple[NDArray[np.float64], NDArray[np.uint64]], stop: Stop
) -> bool:
    """Whether the tree in the order of `other` has clearly fewer nodes, by estimate, that may hold
    states up to `cut`, an energy and a packed state; False once `stop` says so.
    """
    halt = np.zeros(1, np.bool_)
    sizes: list[float] = []

    def work(_index: int) -> None:
        sizes.extend(_tree_size(each, cut, halt) for each in (tables, other))

    def abort() -> None:
        halt[0] = True

    def poll() -> None:
        if stop.should_stop():
            abort()

    run_workers(work, 1, poll, abort)
    return not halt[0] and sizes[1] * _MARGIN < sizes[0]


@cache
def load_kernels() -> None:
    """Load the kernels of a race, once per process."""
    problem = Problem(np.eye(4), 2)
    tables = make_tables(problem, 1, 1, lambda: False)
    cut = np.full(1, np.inf), tables.base_word
    promises_more(other_tables(problem, tables, lambda: False), tables, cut, Stop())


def _tree_size(
    tables: Tables, cut: tuple[NDArray[np.float64], NDArray[np.uint64]], halt: NDArray[np.bool_]
) -> float:
    """Estimate the nodes of a whole tree."""
    n = len(tables.matrix)
    work = make_workspace(tables, 1, len(tables.hessian))
    lower_cut(work.cut_energy, work.cut_word, cut[0][0], cut[1])
    # What is met by chance is of no use here, as the search will meet it again: -inf keeps the
    # pool shut, and so the threshold in place.
    work.pool_energies[0] = -np.inf
    work.pool_size[0] = 1
    now, after = make_open_nodes(2 * _WIDTH, n), make_open_nodes(2 * _WIDTH, n)
    root = make_root(tables)
    now.fixed[:1], now.x[:1], now.bound[:1] = root
    shared = Shared(cut[0].copy(), halt)
    random = np.full(1, _SEED, np.uint64)
    return float(estimate_nodes(tables, work, shared, now, after, _WIDTH, random))
