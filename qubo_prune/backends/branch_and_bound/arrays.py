"""The arrays that the branch-and-bound kernel works on: constant tables, one thread's scratch and
the root node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.bounds import FREE
from qubo_prune.backends.branch_and_bound.kernels.tables import OpenNodes, Tables, Workspace
from qubo_prune.backends.branch_and_bound.orders import (
    DECISIVE,
    by_decisiveness,
    by_diagonal,
    first_order,
)
from qubo_prune.backends.branch_and_bound.products import product_multipliers
from qubo_prune.backends.branch_and_bound.relaxation import diagonal_shifts
from qubo_prune.core.kernels.energy import read_only, rounding_bound
from qubo_prune.core.memory import check_memory
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.problem.reduced import ReducedProblem
from qubo_prune.core.validation import row_slices, sum_of_magnitudes
from qubo_prune.search.arrays import binding_budget
from qubo_prune.search.budget_price import price_of, with_price
from qubo_prune.search.kernels.pool import new_pool, num_words, pack

_PREPARED_DEPTHS = 10
_REFINED_DEPTHS = 80


def make_tables(
    problem: Problem,
    max_steps: int,
    anchor_interval: int,
    should_stop: Callable[[], bool],
    order: NDArray[np.int64] | None = None,
    root_shift: NDArray[np.float64] | None = None,
    price: float | None = None,
) -> Tables:
    """Put the variables into the order of branching, that of `first_order` unless told otherwise,
    and prepare the shifts; those of the root, in that order, may be known, and so may the price of
    a budget.
    """
    bare = problem.reduced()
    if price is None:
        price = price_of(bare)
    reduced = with_price(bare, price)
    if order is None:
        if first_order(reduced.matrix, reduced.group_of) == DECISIVE:
            n = len(reduced.matrix)
            shift = diagonal_shifts(reduced.matrix, reduced.group_of, n, should_stop)[0]
            order = by_decisiveness(reduced, shift)
            root_shift = shift[order]
        else:
            order = by_diagonal(reduced)
    check_memory(reduced.matrix.nbytes, f"sorting the matrix of {len(order):,} free blocks")
    matrix = np.ascontiguousarray(reduced.matrix[np.ix_(order, order)])
    group_of = np.ascontiguousarray(reduced.group_of[order])
    stride = -(-len(matrix) // _PREPARED_DEPTHS)
    shifts = diagonal_shifts(matrix, group_of, stride, should_stop, root_shift)
    budget = binding_budget(reduced)
    weights = np.zeros(0, np.int64) if budget is None else budget.weights[order]
    return Tables(
        matrix=matrix,
        relaxed=matrix,
        is_relaxed=False,
        shifts=shifts,
        stride=stride,
        group_of=group_of,
        outside=np.where(np.arange(reduced.num_groups)[:, None] == group_of, 0.0, np.inf),
        counts=reduced.counts.astype(np.int64),
        block_of=reduced.variables[order],
        by_block=np.argsort(order, kind="stable").astype(np.int64),
        base_word=pack(problem.state(problem.fixed_removed)[None])[0],
        offset=reduced.offset,
        epsilon=rounding_allowance(problem, reduced, float(np.abs(shifts).max()), anchor_interval),
        quantum=energy_quantum(problem),
        max_steps=max_steps,
        anchor_interval=anchor_interval,
        hessian=read_only(problem.hessian),
        linear=read_only(problem.linear),
        decimals=problem.decimals,
        weights=weights,
        by_weight=np.argsort(-weights, kind="stable").astype(np.int64),
        at_least=0 if budget is None else budget.at_least,
        price=price,
    )


def refine_tables(tables: Tables, problem: Problem, should_stop: Callable[[], bool]) -> Tables:
    """Prepare the shifts of more depths: fewer nodes, which pays on a hard problem only."""
    stride = -(-len(tables.matrix) // _REFINED_DEPTHS)
    if stride == tables.stride:
        return tables
    return with_shifts(tables, problem, stride, should_stop)


def without_products(tables: Tables, problem: Problem, should_stop: Callable[[], bool]) -> Tables:
    """Return tables whose free variables meet with ``Q - S``, S the multipliers of ``X >= 0``; the
    same ones where there are none, or it is to stop.
    """
    multipliers = product_multipliers(
        tables.matrix, tables.group_of, tables.counts, tables.shifts[0], should_stop
    )
    if should_stop() or not multipliers.any():
        return tables
    relaxed = tables.matrix - multipliers  # rounded, but nowhere above the matrix
    changed = tables._replace(relaxed=relaxed, is_relaxed=True)
    finished = with_shifts(changed, problem, int(tables.stride), should_stop)
    return tables if finished is changed else finished


def with_shifts(
    tables: Tables, problem: Problem, stride: int, should_stop: Callable[[], bool]
) -> Tables:
    """Return tables with the shifts of every `stride`-th depth, or the same ones where it is to
    stop.
    """
    shifts = diagonal_shifts(tables.relaxed, tables.group_of, stride, should_stop)
    if should_stop():  # not all of them are solved for
        return tables
    largest = float(np.abs(shifts).max())
    reduced = with_price(problem.reduced(), float(tables.price))
    updates = int(tables.anchor_interval)
    if tables.is_relaxed:
        # Entries change by S where a variable is settled: a step, with sums of n terms that count
        # as n. Sums of all entries, and the largest ones, are the same in any order.
        magnitudes = np.abs(tables.matrix) + 2.0 * (tables.matrix - tables.relaxed)
        reduced = replace(reduced, matrix=magnitudes)
        updates += 2 * len(tables.matrix) + 1
    epsilon = rounding_allowance(problem, reduced, largest, updates)
    return tables._replace(
        shifts=shifts, stride=stride, epsilon=max(epsilon, float(tables.epsilon))
    )


def rounding_allowance(
    problem: Problem, reduced: ReducedProblem, largest_shift: float, max_updates: int
) -> float:
    """Bound the float64 error of a node bound or of an incremental energy against a canonical one.

    A field ``h_j = 2 sum_i Q_ij x_i`` is a sum of at most n terms after an anchor and of two more
    for each of `max_updates` later steps; each addition is off by at most one unit roundoff of ``2
    sum_i |Q_ij|``. Fields enter a bound with weights of at most 3/2 each, shifts with at most 2. A
    point may miss the counts by 1e-13, along which direction the objective need not be convex.
    Canonical energies and the reduction to free variables are rounded on the scale of the original
    matrix. The price of a budget is in the offset too, and energies are rounded on that scale.
    """
    n = len(reduced.matrix)
    largest_row = max(
        float(np.abs(reduced.matrix[rows]).sum(axis=1).max()) for rows in row_slices(n)
    )
    magnitude = 2.0 * sum_of_magnitudes(reduced.matrix) + 2.0 * n * largest_shift
    if reduced.budget is not None:
        magnitude += abs(reduced.offset)
    additions = 2 * (max_updates + 2 * n) + 4 * n + 64
    infeasibility = (
        4e-13 * n * (float(max(-reduced.matrix.min(), reduced.matrix.max())) + largest_shift)
    )
    active = np.concatenate([problem.fixed_removed, reduced.variables])
    canonical = rounding_bound(problem.hessian, problem.linear, active)
    # The energy accumulates every step times the field's error at that step.
    energy = max_updates**2 * 2.0**-53 * 2.0 * largest_row
    # Where products underflow, errors are absolute: at most half the smallest subnormal number for
    # each of n fields and each update.
    underflow = 4.0 * additions * n * 2.0**-1074
    return (
        2.0 * additions * 2.0**-53 * magnitude
        + energy
        + infeasibility
        + 4.0 * canonical
        + underflow
    )


def smallest_terms_bound(reduced: ReducedProblem) -> float:
    """Return a lower bound on the energy from the smallest terms alone (Gilmore 1962, Lawler 1963).

    A variable that is removed meets ``c_h`` others of each group h, one fewer in its own. So its
    row adds at least ``m_i``, which is Q_ii plus as many of the row's smallest entries, and the
    energy is at least the sum of the ``c_g`` smallest m_i of each group. It is rounded by less than
    half of `rounding_allowance`. Where all entries are positive this is too, as the convex
    relaxation need not be.

    >>> from qubo_prune import Problem
    >>> rows = [[1.0, 2.0, 3.0], [2.0, 1.0, 4.0], [3.0, 4.0, 1.0]]
    >>> smallest_terms_bound(Problem(rows, 2).reduced())
    6.0
    """
    matrix, group_of = reduced.matrix, reduced.group_of
    least = np.diagonal(matrix).copy()
    members = [np.flatnonzero(group_of == group) for group in range(reduced.num_groups)]
    for group, (others, count) in enumerate(zip(members, reduced.counts, strict=True)):
        entries = matrix[:, others]
        entries[others, np.arange(len(others))] = np.inf
        for rows, wanted in ((group_of != group, count), (group_of == group, count - 1)):
            if wanted:
                smallest = np.partition(entries[rows], wanted - 1, axis=1)[:, :wanted]
                least[rows] += smallest.sum(axis=1)
    return reduced.offset + sum(
        float(np.sort(least[each])[:count].sum())
        for each, count in zip(members, reduced.counts, strict=True)
    )


def energy_quantum(problem: Problem) -> float:
    """Return the largest q of which every energy is a multiple, or the float next to one where
    entries are decimals; 0 if sums of such multiples would be rounded.

    Graphs and integer matrices have one; then ties are exact and can be told from near ties.

    >>> from qubo_prune import Problem
    >>> energy_quantum(Problem([[0.5, 0.3], [0.3, 0.2]], 1))
    0.1
    """
    scale = problem.decimals
    diagonal = np.abs(np.diagonal(problem.hessian) + problem.linear)

    def terms(rows: slice) -> NDArray[np.float64]:
        """Return the absolute terms of some rows, those that are 0 left out."""
        lower = np.abs(np.tril(problem.hessian[rows], rows.start - 1))
        together = np.concatenate([diagonal[rows], 2.0 * lower[lower != 0.0]])
        if scale:
            together = np.rint(together * scale)
        return np.asarray(together[together != 0.0])

    parts = [*row_slices(problem.num_blocks)]
    largest = max(float(terms(rows).max(initial=0.0)) for rows in parts)
    if not largest:
        return 1.0
    unit = float(np.ldexp(1.0, int(np.frexp(largest)[1]) - 50))
    if unit < np.finfo(float).tiny:
        return 0.0
    divisor, total = 0, 0.0
    for rows in parts:
        multiples = terms(rows) / unit
        if (multiples != np.floor(multiples)).any():
            return 0.0
        divisor = int(np.gcd.reduce(multiples.astype(np.int64), initial=divisor))
        total += float(multiples.sum())
    # Sums are exact where they have 52 bits, zeros at the end left out.
    quantum = unit * divisor if total / (divisor & -divisor) < 2.0**52 else 0.0
    return quantum / scale if scale else quantum


def next_energy(bound: float, quantum: float, decimals: float = 0.0) -> float:
    """Return the lowest energy at or above a bound: where there is a quantum, a multiple of it.

    An energy over the quantum is an integer, which rounding the quotient of a bound cannot step
    over, and such multiples are exact as far as there are energies. Where entries are decimals the
    quantum is rounded too, so the quotient gives way by more than both, and energies are whole
    numbers over `decimals`.

    >>> next_energy(-279.3, 2.0), next_energy(-279.3, 0.0), next_energy(0.25, 0.1, 10.0)
    (-278.0, -279.3, 0.3)
    """
    if not quantum or not math.isfinite(bound):
        return bound
    if not decimals:
        return math.ceil(bound / quantum) * quantum
    quotient = bound / quantum
    whole = math.ceil(quotient - 2.0**-50 * abs(quotient))
    return whole * round(quantum * decimals) / decimals


def make_workspace(tables: Tables, num_states: int, num_blocks: int) -> Workspace:
    """Return one thread's scratch."""
    n = len(tables.matrix)
    groups = len(tables.counts)
    levels = n + 2
    pool_energies, pool_words, pool_size = new_pool(num_states, num_blocks)
    return Workspace(
        x=np.zeros((levels, n)),
        fields=np.zeros((levels, n)),
        energy=np.zeros(levels),
        fixed=np.zeros((levels, n), np.int8),
        settled=np.zeros((levels, n), np.bool_),
        first=np.zeros(levels, np.int64),
        updates=np.zeros(levels, np.int64),
        bound=np.full(levels, -np.inf),
        pending=np.full(levels, -1, np.int8),
        remaining=np.zeros((levels, groups), np.int64),
        free=np.zeros((levels, groups), np.int64),
        gradient=np.zeros(n),
        up_bar=np.zeros(n),
        down_bar=np.zeros(n),
        scratch=np.zeros(n),
        positions=np.zeros(n, np.int64),
        cut=np.zeros((groups, 2)),
        groups=np.zeros((3, groups), np.int64),
        word=np.zeros(num_words(num_blocks), np.uint64),
        removed=np.zeros(num_blocks, np.int64),
        cut_energy=np.full(1, np.inf),
        cut_word=np.zeros(num_words(num_blocks), np.uint64),
        pool_energies=pool_energies,
        pool_words=pool_words,
        pool_size=pool_size,
        nodes=np.zeros(1, np.int64),
    )


def make_root(tables: Tables) -> OpenNodes:
    """Return the root alone: nothing fixed, every group spread evenly."""
    sizes = np.bincount(tables.group_of, minlength=len(tables.counts))
    n = len(tables.matrix)
    even = (tables.counts / sizes)[tables.group_of]
    return OpenNodes(np.full((1, n), FREE, np.int8), even[None], np.full(1, -np.inf))


def make_open_nodes(count: int, num_variables: int) -> OpenNodes:
    """Return room for `count` nodes."""
    shape = count, num_variables
    return OpenNodes(np.empty(shape, np.int8), np.empty(shape), np.empty(count))
