"""Problems, states and pools as the swap kernels take them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.energy import read_only
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.validation import frozen
from qubo_prune.search.kernels.annealing import Chains
from qubo_prune.search.kernels.landscape import Landscape, largest_couplings
from qubo_prune.search.kernels.pool import num_words, unpack
from qubo_prune.search.kernels.swap_pool import SwapPool, Walker

if TYPE_CHECKING:
    from qubo_prune.core.problem.budget import Budget
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.problem.reduced import ReducedProblem

_ROUNDINGS = 2.0**-44
"""Energies are sums of fields; 2^9 roundings of the largest field allow for what they collect
between two anchors.
"""


def group_order(reduced: ReducedProblem) -> NDArray[np.int64]:
    """Return the free variables ordered by group, as a landscape has them."""
    return np.argsort(reduced.group_of, kind="stable")


def binding_budget(reduced: ReducedProblem) -> Budget | None:
    """Return what the free variables have to weigh beyond the lightest of their groups, in units of
    the greatest common divisor; None if there is no budget, or if every state with the right counts
    reaches it.

    Counts are exact, so that only differences within a group matter, and they are small numbers
    where all blocks weigh much the same. No sum lies between two multiples of the divisor, so that
    `at_least` is one, rounded up.

    >>> from qubo_prune import Problem
    >>> problem = Problem([[1.0, 0.0], [0.0, 2.0]], 1, weights=[7, 9], at_least=8)
    >>> budget = binding_budget(problem.reduced())
    >>> budget.weights.tolist(), budget.at_least
    ([0, 1], 1)
    """
    budget = reduced.budget
    if budget is None:
        return None
    weights, at_least = budget.weights.copy(), budget.at_least
    least = 0
    for group, count in enumerate(reduced.counts.tolist()):
        members = np.flatnonzero(reduced.group_of == group)
        lightest = int(weights[members].min())
        weights[members] -= lightest
        at_least -= lightest * count
        least += int(np.sort(weights[members])[:count].sum())
    if least >= at_least:
        return None
    divisor = int(np.gcd.reduce(weights))  # not 0, or all states would weigh the same
    return replace(budget, weights=frozen(weights // divisor), at_least=-(-at_least // divisor))


def make_landscape(reduced: ReducedProblem, seed: int) -> Landscape:
    """Return the objective in `group_order`, with random keys that identify states."""
    order = group_order(reduced)
    groups = reduced.group_of[order]
    every = np.arange(reduced.num_groups)
    start = np.searchsorted(groups, every, side="left").astype(np.int64)
    stop = np.searchsorted(groups, every, side="right").astype(np.int64)
    matrix = reduced.matrix
    if np.any(order[1:] < order[:-1]):  # else a copy of a large matrix is saved
        matrix = np.ascontiguousarray(matrix[np.ix_(order, order)])
    matrix = read_only(matrix)
    reach = np.empty(len(order))
    largest = largest_couplings(matrix, start, stop, reach)
    keys = np.random.default_rng([seed, 0x5EED]).integers(
        1, 2**64, size=len(order), dtype=np.uint64
    )
    budget = binding_budget(reduced)
    return Landscape(
        matrix=matrix,
        diagonal=np.diagonal(matrix).copy(),
        offset=0.0,
        reach=reach,
        group_start=start,
        group_stop=stop,
        group_of=groups.astype(np.int64),
        counts=reduced.counts.astype(np.int64),
        keys=keys,
        tolerance=_ROUNDINGS * largest,
        weights=np.zeros(0, np.int64) if budget is None else budget.weights[order],
        at_least=0 if budget is None else budget.at_least,
        price=0.0,
    )


def priced(landscape: Landscape, price: float) -> Landscape:
    """Return a landscape with a budget, which has no price yet, at a price of weight."""
    weights = landscape.weights
    magnitude = price * float(max(weights.max(), landscape.at_least))
    return landscape._replace(
        diagonal=landscape.diagonal - price * weights,
        offset=price * landscape.at_least,
        price=price,
        tolerance=landscape.tolerance + _ROUNDINGS * magnitude,
    )


def make_pool(capacity: int, num_variables: int, *, weighed: bool = False) -> SwapPool:
    """Return an empty pool for `capacity` states of `num_variables` free variables, whose weights
    it keeps where there is a budget.
    """
    table = 1 << max(8, (8 * capacity - 1).bit_length())
    return SwapPool(
        energies=np.full(capacity, np.inf),
        words=np.zeros((capacity, _width(num_variables, weighed)), np.uint64),
        size=np.zeros(1, np.int64),
        table=np.zeros(table, np.uint64),
        used=np.zeros(1, np.int64),
        cut=np.full(1, np.inf),
    )


def make_walker(num_variables: int, *, weighed: bool = False) -> Walker:
    """Return a walker over `num_variables` free variables; its state is still to be set."""
    n, width = num_variables, _width(num_variables, weighed)
    return Walker(
        y=np.zeros(n, np.bool_),
        fields=np.zeros(n),
        word=np.zeros(width, np.uint64),
        neighbour=np.zeros(width, np.uint64),
        tabu_until=np.zeros(n, np.int64),
        rows=np.zeros(n, np.int64),
        row_values=np.zeros(n),
        columns=np.zeros(n, np.int64),
        column_values=np.zeros(n),
        best=np.zeros(n, np.bool_),
    )


def make_chains(count: int, num_variables: int, *, weighed: bool = False) -> Chains:
    """Return Markov chains over `num_variables` free variables; their states are still to be set,
    and `start_chain` to be called for each.
    """
    n, width = num_variables, _width(num_variables, weighed)
    return Chains(
        y=np.zeros((count, n), np.bool_),
        fields=np.zeros((count, n)),
        words=np.zeros((count, width), np.uint64),
        places=np.zeros((count, n), np.int64),
        positions=np.zeros((count, n), np.int64),
        energies=np.zeros(count),
        moves=np.zeros(count, np.int64),
        neighbour=np.zeros(width, np.uint64),
    )


def _width(num_variables: int, weighed: bool) -> int:
    """Return how many words a state takes, with what a pool keeps beside it."""
    return num_words(num_variables) + (3 if weighed else 2)


def states_of(
    pool: SwapPool, problem: Problem, reduced: ReducedProblem, *, in_order: bool = True
) -> NDArray[np.bool_]:
    """Return the states in a pool, shape (K', N); `in_order` as a spectrum has them, lowest
    first.
    """
    order = group_order(reduced)
    ordered = unpack(pool.words[: int(pool.size[0]), :-2], len(order))
    columns = reduced.variables[order]
    states = ordered
    if not np.array_equal(columns, np.arange(problem.num_blocks)):
        states = np.zeros((len(ordered), problem.num_blocks), np.bool_)
        states[:, problem.fixed_removed] = True
        states[:, columns] = ordered
    if not in_order:
        return states
    return states[lexicographic_order(states, problem.energies(states))]
