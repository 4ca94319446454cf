"""The point of a node: its counts propagated, x moved to where they hold, and h = 2 Q x kept up to
date.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.bounds import FREE
from qubo_prune.backends.branch_and_bound.kernels.budget import decide_by_weight
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables, Workspace
from qubo_prune.core.kernels.jit import kernel


@kernel
def begin_node(tables: Tables, work: Workspace, level: int) -> bool:
    """Propagate the counts, and the budget, and move x to a point that has the counts; False if no
    state is left.
    """
    fixed = work.fixed[level]
    remaining = work.remaining[level]
    free = work.free[level]
    if not propagate(fixed, tables.group_of, tables.counts, remaining, free):
        return False
    if tables.weights.shape[0] > 0:
        found = decide_by_weight(
            tables.weights,
            tables.by_weight,
            tables.at_least,
            fixed,
            tables.group_of,
            remaining,
            work.groups,
        )
        if found < 0:
            return False
        if found > 0 and not propagate(fixed, tables.group_of, tables.counts, remaining, free):
            return False
    x = work.x[level]
    fields = work.fields[level]
    settled = work.settled[level]
    n = x.shape[0]
    first = work.first[level]
    moves = 0
    energy = work.energy[level]
    for j in range(first, n):
        if fixed[j] == FREE:
            continue
        if x[j] != fixed[j]:
            energy += move(fields, tables.relaxed[j], j, fixed[j] - x[j], first)
            x[j] = fixed[j]
            moves += 1
        if tables.is_relaxed and not settled[j]:
            settled[j] = True
            if fixed[j] == 1:
                energy += settle(fields, tables.matrix[j], tables.relaxed[j], x, settled, first)
                moves += 1
    for g in range(free.shape[0]):
        if free[g] == 0:
            continue
        excess = -float(remaining[g])
        for j in range(first, n):
            if fixed[j] == FREE and tables.group_of[j] == g:
                excess += x[j]
        while abs(excess) > 1e-13:
            j = first_to_move(fixed, x, fields, tables.group_of, g, first, excess > 0.0)
            if j < 0:
                break
            change = -min(excess, x[j]) if excess > 0.0 else min(-excess, 1.0 - x[j])
            energy += move(fields, tables.relaxed[j], j, change, first)
            x[j] += change
            excess += change
            moves += 1
    while first < n and fixed[first] != FREE:
        first += 1
    work.first[level] = first
    work.energy[level] = energy
    work.updates[level] += moves
    return True


@kernel
def propagate(
    fixed: NDArray[np.int8],
    group_of: NDArray[np.int64],
    counts: NDArray[np.int64],
    remaining: NDArray[np.int64],
    free: NDArray[np.int64],
) -> bool:
    """Count what each group still needs and fix what follows; False if some count cannot be met."""
    groups = counts.shape[0]
    n = fixed.shape[0]
    for g in range(groups):
        remaining[g] = counts[g]
        free[g] = 0
    for j in range(n):
        remaining[group_of[j]] -= np.int64(fixed[j] == 1)
        free[group_of[j]] += np.int64(fixed[j] == FREE)
    settled = 0
    for g in range(groups):
        if remaining[g] < 0 or remaining[g] > free[g]:
            return False
        settled += np.int64(free[g] > 0 and (remaining[g] == 0 or remaining[g] == free[g]))
    if settled == 0:
        return True
    for j in range(n):
        g = group_of[j]
        if fixed[j] == FREE and (remaining[g] == 0 or remaining[g] == free[g]):
            fixed[j] = 1 if remaining[g] > 0 else 0
    for g in range(groups):
        if remaining[g] == 0 or remaining[g] == free[g]:
            remaining[g] = 0
            free[g] = 0
    return True


@kernel
def first_to_move(
    fixed: NDArray[np.int8],
    x: NDArray[np.float64],
    fields: NDArray[np.float64],
    group_of: NDArray[np.int64],
    group: int,
    first: int,
    downwards: bool,
) -> int:
    """Return the free variable of a group that is best moved down (or up) next; -1 if none can."""
    best = -1
    for j in range(first, x.shape[0]):
        if fixed[j] != FREE or group_of[j] != group:
            continue
        if downwards:
            if x[j] > 0.0 and (best < 0 or fields[j] > fields[best]):
                best = j
        elif x[j] < 1.0 and (best < 0 or fields[j] < fields[best]):
            best = j
    return best


@kernel
def move(
    fields: NDArray[np.float64],
    row: NDArray[np.float64],
    position: int,
    change: float,
    first: int,
) -> float:
    """Update h = 2 Q x from `first` on for a change of the variable that `row` of Q belongs to;
    return that of x'Qx.
    """
    energy = change * (fields[position] + change * row[position])
    twice = 2.0 * change
    target = fields[first:]
    source = row[first:]
    for j in range(target.shape[0]):
        target[j] += twice * source[j]
    return energy


@kernel
def settle(
    fields: NDArray[np.float64],
    row: NDArray[np.float64],
    relaxed_row: NDArray[np.float64],
    x: NDArray[np.float64],
    settled: NDArray[np.bool_],
    first: int,
) -> float:
    """Update h from `first` on for a variable that is 1 and meets the others with its entries from
    now on, no longer with the relaxed ones; return the change of x'Qx.
    """
    energy = 0.0
    for j in range(first, x.shape[0]):
        change = 2.0 * (row[j] - relaxed_row[j])
        fields[j] += change
        energy += 0.0 if settled[j] else change * x[j]
    return energy


@kernel
def anchor(tables: Tables, work: Workspace, level: int) -> None:
    """Recompute h = 2 Q x and the energy from scratch, so that rounding cannot accumulate."""
    x = work.x[level]
    fields = work.fields[level]
    fixed = work.fixed[level]
    settled = work.settled[level]
    fields[:] = 0.0
    energy = tables.offset
    for i in range(x.shape[0]):
        settled[i] = x[i] == fixed[i]
        if settled[i] and x[i] != 0.0:
            energy += move(fields, tables.matrix[i], i, x[i], np.int64(0))
    for i in range(x.shape[0]):
        if not settled[i] and x[i] != 0.0:
            energy += move(fields, tables.relaxed[i], i, x[i], np.int64(0))
    work.energy[level] = energy
    work.updates[level] = 0
