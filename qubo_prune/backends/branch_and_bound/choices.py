"""Tables for many small choices: groups of which one variable is removed, or all but one.

No product of two members of a group can be 1 there, and products of different groups are not
negative. A relaxation that knows neither has a bound that says little, and the diagonal says
nothing of the order. So the entries between free variables are relaxed first, as in `products`, and
the order is found with what is left of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qubo_prune.backends.branch_and_bound.arrays import make_tables, with_shifts
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables
from qubo_prune.backends.branch_and_bound.orders import by_decisiveness
from qubo_prune.backends.branch_and_bound.products import product_multipliers
from qubo_prune.backends.branch_and_bound.race import Cut, tree_size
from qubo_prune.backends.branch_and_bound.relaxation import diagonal_shifts
from qubo_prune.core.problem.problem import Problem

CHOICES_AFTER = 0.25
"""The tables are made after this many nodes times n^2: they then cost about as much as the search
did so far.
"""
_LARGEST = 500
"""Variables above which they are not sought: their time grows with the cube."""
_FEWEST = 5
"""So many groups are many."""
_WIDTH = 16
_LITTLE = 0.5
"""Less than so many times the nodes visited is little."""


def choices_after(tables: Tables) -> float:
    """Return after how many nodes tables for many choices are worth making; inf if they are not."""
    sizes = np.bincount(tables.group_of, minlength=len(tables.counts))
    chosen = (tables.counts == 1) | (tables.counts == sizes - 1)
    n = len(tables.matrix)
    many = int(chosen.sum()) >= _FEWEST and 2 * int(sizes[chosen].sum()) > n
    return CHOICES_AFTER * n**2 if many and n <= _LARGEST else math.inf


def choice_tables(
    problem: Problem, tables: Tables, cut: Cut, num_nodes: int, should_stop: Callable[[], bool]
) -> Tables | None:
    """Return tables with relaxed entries, in an order that suits them, if their tree is the smaller
    one by estimate; else None.

    Parameters
    ----------
    problem, tables
        What is to be solved, and the tables at hand.
    cut
        What is known of the last wanted state.
    num_nodes : int
        Nodes visited so far.
    should_stop : callable
        Asked now and then; once it says so, there are none.
    """
    left = tree_size(tables, cut, should_stop, _WIDTH) - num_nodes
    if left < _LITTLE * num_nodes or should_stop():
        return None
    chosen = relaxed_and_ordered(problem, tables, should_stop)
    if chosen is None:
        return None
    promised = tree_size(chosen, cut, should_stop, _WIDTH, left)
    return None if promised > left or should_stop() else chosen


def relaxed_and_ordered(
    problem: Problem, tables: Tables, should_stop: Callable[[], bool]
) -> Tables | None:
    """Return tables whose entries are relaxed, by decisiveness of what is left; None if it is to
    stop.
    """
    multipliers = product_multipliers(
        tables.matrix, tables.group_of, tables.counts, tables.shifts[0], should_stop
    )
    here = np.argsort(tables.block_of)  # positions, in the order of the problem
    # Rounded, but nowhere above the matrix.
    relaxed = (tables.matrix - multipliers)[np.ix_(here, here)]
    reduced = replace(problem.reduced(), matrix=relaxed)
    # The shifts of the root alone, for the order.
    shift = diagonal_shifts(relaxed, reduced.group_of, len(relaxed), should_stop)[0]
    order = by_decisiveness(reduced, shift)
    bare = make_tables(problem, int(tables.max_steps), int(tables.anchor_interval), _at_once, order)
    relaxed = np.ascontiguousarray(relaxed[np.ix_(order, order)])
    changed = bare._replace(relaxed=relaxed, is_relaxed=True)
    finished = with_shifts(changed, problem, int(tables.stride), should_stop)
    return None if finished is changed else finished


def _at_once() -> bool:
    """Tell those who prepare shifts, which others will replace, to stop."""
    return True
