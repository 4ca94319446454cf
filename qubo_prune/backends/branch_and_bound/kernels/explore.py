"""The branch-and-bound kernel: depth-first search below one node, with a safe bound at every node.

Positions 0...n-1 are the variables in branching order; `x` holds fixed variables at 0 or 1 and free
ones in [0, 1]. A node is begun in `points`, bounded in `bounds`, dropped by the `cut`, and one of
the `leaves` where few states are left; `tables` has what all of them pass on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.bounds import Node, fix_by_reduced_cost, relax
from qubo_prune.backends.branch_and_bound.kernels.cut import highest_wanted, only_later_ties
from qubo_prune.backends.branch_and_bound.kernels.leaves import enumerate_leaf, is_small
from qubo_prune.backends.branch_and_bound.kernels.points import anchor, begin_node
from qubo_prune.backends.branch_and_bound.kernels.tables import OpenNodes, Shared, Tables, Workspace
from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import inlined, kernel

PRUNED, LEAF, OPEN = 0, 1, 2


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
