"""The branch-and-bound kernel: depth-first search below one node, with a safe bound at every node.

Positions 0...n-1 are the variables in branching order; `x` holds fixed variables at 0 or 1 and free
ones in [0, 1]. The bounds are in `bounds`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.bounds import (
    FREE,
    Node,
    fix_by_reduced_cost,
    relax,
)
from qubo_prune.backends.branch_and_bound.kernels.budget import decide_by_weight
from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import inlined, kernel
from qubo_prune.search.kernels.pool import copy_word, packed_energy, precedes, push

PRUNED, LEAF, OPEN = 0, 1, 2


class Tables(NamedTuple):
    """What does not change during a search.

    With a budget that binds, `matrix` and `offset` have a price on weight; without, `weights` and
    `by_weight` are empty.

    Two free variables meet with `relaxed`, which is nowhere above `matrix`, others with `matrix`;
    `is_relaxed` says whether they differ at all.
    """

    matrix: NDArray[np.float64]
    relaxed: NDArray[np.float64]
    is_relaxed: bool
    shifts: NDArray[np.float64]
    stride: int
    group_of: NDArray[np.int64]
    outside: NDArray[np.float64]
    counts: NDArray[np.int64]
    block_of: NDArray[np.int64]
    by_block: NDArray[np.int64]
    base_word: NDArray[np.uint64]
    offset: float
    epsilon: float
    quantum: float
    max_steps: int
    anchor_interval: int
    hessian: NDArray[np.float64]
    linear: NDArray[np.float64]
    decimals: float
    weights: NDArray[np.int64]
    by_weight: NDArray[np.int64]
    at_least: int
    price: float


class Workspace(NamedTuple):
    """One thread's scratch: a level per branching decision, the pool of its best states and its
    counters.

    At a level, `fields` holds h from the level's first free position on and `energy` holds x'Qx
    plus the offset, both with the relaxed entries between variables that are not `settled`.
    """

    x: NDArray[np.float64]
    fields: NDArray[np.float64]
    energy: NDArray[np.float64]
    fixed: NDArray[np.int8]
    settled: NDArray[np.bool_]
    first: NDArray[np.int64]
    updates: NDArray[np.int64]
    bound: NDArray[np.float64]
    pending: NDArray[np.int8]
    remaining: NDArray[np.int64]
    free: NDArray[np.int64]
    gradient: NDArray[np.float64]
    up_bar: NDArray[np.float64]
    down_bar: NDArray[np.float64]
    scratch: NDArray[np.float64]
    positions: NDArray[np.int64]
    cut: NDArray[np.float64]
    groups: NDArray[np.int64]
    word: NDArray[np.uint64]
    removed: NDArray[np.int64]
    cut_energy: NDArray[np.float64]
    cut_word: NDArray[np.uint64]
    pool_energies: NDArray[np.float64]
    pool_words: NDArray[np.uint64]
    pool_size: NDArray[np.int64]
    nodes: NDArray[np.int64]


class Shared(NamedTuple):
    """What all threads see: the upper bounds on the energy of the last wanted state and of the one
    before it, and the request to stop.

    `before` is empty where somebody else keeps the states behind the threshold.
    """

    threshold: NDArray[np.float64]
    before: NDArray[np.float64]
    stop: NDArray[np.bool_]


class OpenNodes(NamedTuple):
    """Nodes to be searched: positions fixed to 0 or 1 (2 = free), (m, n); points to start from,
    (m, n); and valid lower bounds, (m,).
    """

    fixed: NDArray[np.int8]
    x: NDArray[np.float64]
    bound: NDArray[np.float64]


@kernel
def explore_all(
    tables: Tables,
    work: Workspace,
    shared: Shared,
    nodes: OpenNodes,
    evaluated: bool,
    level: float,
    budget: int,
    out: OpenNodes,
    later: OpenNodes,
) -> tuple[int, int]:
    """Search below `nodes`, whose bounds are those of their own points if they are `evaluated`, for
    about `budget` nodes, and put off what lies above `level`.

    Returns the number of nodes left open, written to `out`, and of those put off, written to
    `later`: these are evaluated. 0 and 0 mean that all subtrees are finished.
    """
    tables = borrowed(tables)
    work = borrowed(work)
    shared = borrowed(shared)
    nodes = borrowed(nodes)
    out = borrowed(out)
    later = borrowed(later)
    end = work.nodes[0] + budget
    put_off = np.zeros(1, np.int64)
    room = later.bound.shape[0] - nodes.bound.shape[0]
    count = 0
    for i in range(nodes.bound.shape[0]):
        if nodes.bound[i] > highest_wanted(tables, shared):
            continue
        if count > 0 or nodes.bound[i] > level:
            put_off_node(later, put_off, nodes.fixed[i], nodes.x[i], nodes.bound[i])
            continue
        work.fixed[0, :] = nodes.fixed[i]
        work.x[0, :] = nodes.x[i]
        work.bound[0] = nodes.bound[i]
        count = explore(tables, work, shared, evaluated, level, end, out, later, put_off, room + i)
    return count, put_off[0]


@kernel
def put_off_node(
    later: OpenNodes,
    put_off: NDArray[np.int64],
    fixed: NDArray[np.int8],
    x: NDArray[np.float64],
    bound: float,
) -> None:
    """Append a node to those put off."""
    at = put_off[0]
    later.fixed[at] = fixed
    later.x[at] = x
    later.bound[at] = bound
    put_off[0] = at + 1


@kernel
def explore(
    tables: Tables,
    work: Workspace,
    shared: Shared,
    evaluated: bool,
    put_off_above: float,
    end: int,
    out: OpenNodes,
    later: OpenNodes,
    put_off: NDArray[np.int64],
    most_put_off: int,
) -> int:
    """Search depth-first below the node of level 0 until `end` nodes are visited, or `most_put_off`
    put off; return the number of open nodes left in `out`, 0 if the rest is finished.
    """
    level = np.int64(0)
    work.first[0] = 0
    anchor(tables, work, level)
    if not begin_node(tables, work, level):
        return 0
    if not evaluated and evaluate(tables, work, shared, level) != OPEN:
        return 0
    work.pending[0] = 1
    while level >= 0:
        value = work.pending[level]
        if value < 0:
            level -= 1
            continue
        if work.nodes[0] >= end or put_off[0] >= most_put_off or shared.stop[0]:
            return export_open(work, level, out)
        # The second value is tried after the first: 1, then 0, then none.
        work.pending[level] = value - 1
        if work.bound[level] > highest_wanted(tables, shared):
            work.pending[level] = -1
            continue
        branch(work, level, value)
        if not begin_node(tables, work, level + 1):
            continue
        if evaluate(tables, work, shared, level + 1) == OPEN:
            child = level + 1
            if work.bound[child] > put_off_above:
                put_off_node(later, put_off, work.fixed[child], work.x[child], work.bound[child])
            else:
                level = child
                work.pending[level] = 1
    return 0


@kernel
def branch(work: Workspace, level: int, value: int) -> None:
    """Make the child one level below that decides the first free position: the shifts are prepared
    for this order.
    """
    first = work.first[level]
    work.fixed[level + 1, :] = work.fixed[level]
    work.x[level + 1, :] = work.x[level]
    work.fields[level + 1, first:] = work.fields[level, first:]
    work.energy[level + 1] = work.energy[level]
    work.settled[level + 1, first:] = work.settled[level, first:]
    work.first[level + 1] = first
    work.updates[level + 1] = work.updates[level]
    work.fixed[level + 1, first] = value


@kernel
def export_open(work: Workspace, level: int, out: OpenNodes) -> int:
    """Write every child not yet tried, from the root down."""
    count = 0
    for at in range(level + 1):
        for value in range(work.pending[at] + 1):
            out.fixed[count] = work.fixed[at]
            out.fixed[count, work.first[at]] = value
            out.x[count] = work.x[at]
            out.bound[count] = work.bound[at]
            count += 1
    return count


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


@kernel
def evaluate(tables: Tables, work: Workspace, shared: Shared, level: int) -> int:
    """Bound the node: PRUNED, LEAF (its states were enumerated) or OPEN (to be branched on)."""
    work.nodes[0] += 1
    if work.updates[level] > tables.anchor_interval:
        anchor(tables, work, level)
    if is_small(work, level):
        enumerate_leaf(tables, work, shared, level)
        return LEAF
    limit = highest_wanted(tables, shared)
    node = node_at(tables, work, level)
    bound = relax(node, limit, tables.max_steps)
    work.bound[level] = max(bound, work.bound[max(level - 1, 0)])
    if work.bound[level] > limit or only_later_ties(tables, work, level, bound):
        return PRUNED
    if fix_by_reduced_cost(node, bound, limit):
        if not begin_node(tables, work, level):
            return PRUNED
        if is_small(work, level):
            enumerate_leaf(tables, work, shared, level)
            return LEAF
    return OPEN


@inlined
def node_at(tables: Tables, work: Workspace, level: int) -> Node:
    """Return the views of a level's node, from its first free position on."""
    first = work.first[level]
    return Node(
        first,
        tables.relaxed,
        tables.outside,
        tables.shifts[first // tables.stride, first:],
        tables.group_of[first:],
        work.fixed[level, first:],
        work.remaining[level],
        work.free[level],
        work.x[level, first:],
        work.fields[level, first:],
        work.energy[level : level + 1],
        work.updates[level : level + 1],
        work.gradient[first:],
        work.up_bar[first:],
        work.down_bar[first:],
        work.scratch,
        work.cut,
    )


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


@kernel
def last_but_one(energies: NDArray[np.float64], size: int) -> float:
    """Return the energy of the last but one state of a full pool; inf where it lacks two or more.

    >>> last_but_one(np.array([5.0, 2.0, 4.0]), 3), last_but_one(np.array([5.0, 2.0, np.inf]), 2)
    (4.0, 5.0)
    """
    capacity = energies.shape[0]
    if capacity == 1 or size < capacity - 1:
        return np.inf
    if size < capacity:
        return energies[0]
    return max(energies[1], energies[min(2, capacity - 1)])  # children of the root of a heap


@kernel
def highest_wanted(tables: Tables, shared: Shared) -> float:
    """Return the bound above which no node has a state that is wanted.

    Where the last wanted state is the first of its energy, others of the same are of no use: it is
    only wanted for its energy, to tell whether a tie is cut off, and that is known.
    """
    last = shared.threshold[0]
    if tables.quantum > 0.0 and shared.before.shape[0] > 0 and shared.before[0] < last:
        last -= tables.quantum
    return last + tables.epsilon


@kernel
def lower_cut(
    cut_energy: NDArray[np.float64],
    cut_word: NDArray[np.uint64],
    energy: float,
    word: NDArray[np.uint64],
) -> None:
    """Keep the lower of two upper bounds on the last wanted state, in the order of a spectrum."""
    if precedes(energy, word, cut_energy[0], cut_word):
        cut_energy[0] = energy
        copy_word(cut_word, word)


@kernel
def only_later_ties(tables: Tables, work: Workspace, level: int, bound: float) -> bool:
    """Whether the node holds at best states that tie with the cut and come after it in a spectrum.

    Energies that are multiples of a quantum cannot lie strictly between the cut's and the next one
    below.
    """
    if tables.quantum == 0.0 or not bound > work.cut_energy[0] - tables.quantum + tables.epsilon:
        return False
    fixed = work.fixed[level]
    remaining = work.remaining[level].copy()
    word = work.word
    copy_word(word, tables.base_word)
    for p in tables.by_block:
        g = tables.group_of[p]
        take = fixed[p] == 1
        if fixed[p] == FREE and remaining[g] > 0:
            remaining[g] -= 1
            take = True
        if take:
            block = tables.block_of[p]
            word[block // 64] |= np.uint64(1) << np.uint64(block % 64)
    energy = work.cut_energy[0]
    # The cut itself may come from the heuristic start, in no pool yet: the node that holds it
    # stays.
    return precedes(energy, work.cut_word, energy, word)
