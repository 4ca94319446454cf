"""Finer tables for a search that takes long: tighter bounds, which take a while to prepare."""

from __future__ import annotations

from collections.abc import Callable

from qubo_prune.backends.branch_and_bound.arrays import refine_tables, without_products
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables
from qubo_prune.backends.branch_and_bound.race import Cut, tree_size
from qubo_prune.core.problem.problem import Problem

_LARGEST = 500
"""Variables above which the multipliers are not sought: their time grows with the cube."""
_WORTH = 24
"""So many nodes times n^2 a tree has to have, or the multipliers cost more than they can save.
"""
_WIDTH, _WIDER = 64, 8
"""Nodes of each depth that a sample of the least such tree has, and how many times as many that of
a larger one has at most: in proportion to the tree, as a small sample may be off by any factor.
"""
_MARGIN = 1.2
"""So many times fewer nodes the multipliers have to promise: an estimate scatters, and a node takes
a little longer with them.
"""


def is_long(num_variables: int, expected: float) -> bool:
    """Tell whether a tree of so many nodes, by estimate, is worth finer tables at once."""
    return num_variables <= _LARGEST and expected >= _WORTH * num_variables**2


def refined(
    tables: Tables,
    problem: Problem,
    cut: Cut,
    should_stop: Callable[[], bool],
) -> Tables:
    """Return tables of the same order with tighter bounds, or the same ones where it is to stop.

    Parameters
    ----------
    tables, problem
        Those at hand, and what they are of.
    cut
        What is known of the last wanted state.
    should_stop : callable
        Asked now and then.
    """
    n = len(tables.matrix)
    if n <= _LARGEST and not tables.is_relaxed:
        expected = tree_size(tables, cut, should_stop, _WIDTH)
        if is_long(n, expected):
            width = _WIDTH * min(_WIDER, int(expected / (_WORTH * n**2 or 1)))
            if width > _WIDTH:
                expected = tree_size(tables, cut, should_stop, width)
            without = without_products(tables, problem, should_stop)
            most = expected / _MARGIN
            promised = tree_size(without, cut, should_stop, width, most)
            tables = without if promised <= most and not should_stop() else tables
    return refine_tables(tables, problem, should_stop)
