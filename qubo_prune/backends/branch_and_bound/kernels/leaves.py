"""Small nodes, whose states are all looked at, and the pool that keeps the best."""

from __future__ import annotations

import numpy as np

from qubo_prune.backends.branch_and_bound.kernels.bounds import FREE
from qubo_prune.backends.branch_and_bound.kernels.cut import highest_wanted, last_but_one, lower_cut
from qubo_prune.backends.branch_and_bound.kernels.points import move, settle
from qubo_prune.backends.branch_and_bound.kernels.tables import Shared, Tables, Workspace
from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.pool import packed_energy, precedes, push


@kernel
def is_small(work: Workspace, level: int) -> bool:
    """Whether at most one group is open and at most two of its variables are still to be picked, or
    to be left out.
    """
    groups = 0
    small = True
    for g in range(work.free.shape[1]):
        if work.free[level, g] > 0:
            groups += 1
            picks = min(work.remaining[level, g], work.free[level, g] - work.remaining[level, g])
            small = small and picks <= 2
    return groups == 0 or (groups == 1 and small)


@kernel
def enumerate_leaf(tables: Tables, work: Workspace, shared: Shared, level: int) -> None:
    """Visit all completions of a small node: one or two variables of one group differ from all the
    others.
    """
    n = tables.group_of.shape[0]
    fixed = work.fixed[level]
    x = work.x[level]
    fields = work.fields[level]
    settled = work.settled[level]
    first = work.first[level]
    none = np.int64(-1)
    picks = 0
    common = 0
    for g in range(tables.counts.shape[0]):
        if work.free[level, g] > 0:
            picks = work.remaining[level, g]
            common = 0
            if 2 * picks > work.free[level, g]:
                picks = work.free[level, g] - picks
                common = 1
    positions = work.positions
    count = 0
    base = work.energy[level]
    for j in range(first, n):
        if fixed[j] == FREE:
            if x[j] != common:
                base += move(fields, tables.relaxed[j], j, common - x[j], first)
                x[j] = common
            positions[count] = j
            count += 1
    if tables.is_relaxed and common == 1:
        for a in range(count):
            j = positions[a]
            settled[j] = True
            base += settle(fields, tables.matrix[j], tables.relaxed[j], x, settled, first)
    if picks == 0:
        offer(tables, work, shared, level, none, none, base)
        return
    cost = work.gradient
    for a in range(count):
        j = positions[a]
        cost[j] = tables.matrix[j, j] + (fields[j] if common == 0 else -fields[j])
    limit = highest_wanted(tables, shared)
    if picks == 1:
        for a in range(count):
            j = positions[a]
            if base + cost[j] <= limit:
                offer(tables, work, shared, level, j, none, base + cost[j])
        return
    for a in range(count):
        i = positions[a]
        row = tables.matrix[i]
        room = limit - base - cost[i]
        for b in range(a):
            j = positions[b]
            if cost[j] + 2.0 * row[j] <= room:
                offer(tables, work, shared, level, i, j, base + cost[i] + cost[j] + 2.0 * row[j])


@kernel
def offer(
    tables: Tables, work: Workspace, shared: Shared, level: int, i: int, j: int, energy: float
) -> None:
    """Evaluate the level's binary point with i and j toggled (-1: none), if it reaches the budget;
    keep it if it belongs to the best.
    """
    if energy > highest_wanted(tables, shared):
        return
    x = work.x[level]
    work.word[:] = tables.base_word
    weight = np.int64(0)
    for p in range(x.shape[0]):
        if (x[p] > 0.5) != (p == i or p == j):
            block = tables.block_of[p]
            work.word[block // 64] |= np.uint64(1) << np.uint64(block % 64)
            if tables.weights.shape[0] > 0:
                weight += tables.weights[p]
    if tables.weights.shape[0] > 0 and weight < tables.at_least:
        return
    exact = packed_energy(tables.hessian, tables.linear, work.word, work.removed, tables.decimals)
    full = work.pool_size[0] == work.pool_energies.shape[0]
    if full and not precedes(exact, work.word, work.pool_energies[0], work.pool_words[0]):
        return
    push(work.pool_energies, work.pool_words, work.pool_size, exact, work.word)
    if work.pool_size[0] == work.pool_energies.shape[0]:
        lower_cut(work.cut_energy, work.cut_word, work.pool_energies[0], work.pool_words[0])
        if work.pool_energies[0] < shared.threshold[0]:
            shared.threshold[0] = work.pool_energies[0]
    if shared.before.shape[0] > 0:
        before = last_but_one(work.pool_energies, work.pool_size[0])
        if before < shared.before[0]:
            shared.before[0] = before
