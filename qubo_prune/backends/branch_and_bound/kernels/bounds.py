"""Bounds of a node: pairwise steps on a convex relaxation, and a bound that holds at any of its
points.

Positions 0...n-1 are the variables in branching order; `x` holds fixed variables at 0 or 1 and free
ones in [0, 1]. With ``h = 2 Q x`` and the shifts u of the first free position,

    q(x) = x'Qx + sum_free u_j x_j (1 - x_j),      g_j = h_j + u_j (1 - 2 x_j),

q is convex along count-preserving directions and equals the energy at binary points. Hence for
*any* feasible x

    E(y) >= q(x) + sum_free g_j (y_j - x_j) >= q(x) - g'x + (sum of the r smallest g per group),

and no solver tolerance is trusted: pairwise steps only move x to where this bound is higher.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.passes import (
    extremes,
    least_change,
    position_of,
    shift,
)
from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import inlined, kernel

FREE = 2
SETTLING_STEPS = 8
"""Steps taken to improve the point although the node can no longer be dropped: its children start
from there.
"""


class Node(NamedTuple):
    """What a bound reads and moves: views that begin at `first`, the first free position.

    Only `matrix` and `outside` are whole, so that the compiler knows their rows to be contiguous.
    """

    first: int
    matrix: NDArray[np.float64]
    outside: NDArray[np.float64]
    shifts: NDArray[np.float64]
    group_of: NDArray[np.int64]
    fixed: NDArray[np.int8]
    remaining: NDArray[np.int64]
    free: NDArray[np.int64]
    x: NDArray[np.float64]
    fields: NDArray[np.float64]
    energy: NDArray[np.float64]
    updates: NDArray[np.int64]
    gradient: NDArray[np.float64]
    up_bar: NDArray[np.float64]
    down_bar: NDArray[np.float64]
    scratch: NDArray[np.float64]
    cut: NDArray[np.float64]


@kernel
def relax(node: Node, limit: float, max_steps: int) -> float:
    """Take pairwise steps until the bound exceeds `limit`, cannot do so any more, or stops rising;
    return the last bound.

    Leaves the gradient of the last point and the cut of each group behind.
    """
    node = borrowed(node)
    value = convexify(node)
    for step in range(max_steps + 1):
        up, down, gap = steepest_pair(node)
        # The bound is at most `value`, so it is worth computing only above the limit or at the end.
        last = step == max_steps or up < 0 or (value <= limit and step >= SETTLING_STEPS)
        if value > limit and (last or step % 4 == 3):
            bound = value + dual_minimum(node)
            if bound > limit:
                return bound
        if last:
            break
        value -= pairwise_step(node, up, down, gap)
    return value + linear_minimum(node)


@inlined
def convexify(node: Node) -> float:
    """Return q(x); sets the gradient g, and bars what cannot be raised (lowered) by an infinite
    term.
    """
    fixed, shifts, x, fields = node.fixed, node.shifts, node.x, node.fields
    gradient, up_bar, down_bar = node.gradient, node.up_bar, node.down_bar
    value = node.energy[0]
    for j in range(x.shape[0]):
        value += shifts[j] * x[j] * (1.0 - x[j])
        gradient[j] = fields[j] + shifts[j] * (1.0 - 2.0 * x[j])
        up_bar[j] = 0.0 if fixed[j] == FREE and x[j] < 1.0 else np.inf
        down_bar[j] = 0.0 if fixed[j] == FREE and x[j] > 0.0 else np.inf
    return value


@inlined
def steepest_pair(node: Node) -> tuple[int, int, float]:
    """Return what to raise and what to lower, two of one group, and the gap of their gradients (-1,
    -1 and 0 if no pair descends).
    """
    gradient, up_bar, down_bar, cut = node.gradient, node.up_bar, node.down_bar, node.cut
    up, down, gap = -1, -1, 0.0
    for g in range(node.free.shape[0]):
        if node.free[g] == 0:
            continue
        outside = node.outside[g, node.first :]
        lowest, highest = extremes(gradient, up_bar, down_bar, outside)
        cut[g, 0] = lowest
        cut[g, 1] = highest
        if highest - lowest > gap:
            gap = highest - lowest
            up = position_of(gradient, up_bar, outside, lowest)
            down = position_of(gradient, down_bar, outside, highest)
    return up, down, gap


@inlined
def pairwise_step(node: Node, up: int, down: int, gap: float) -> float:
    """Shift as much of x from `down` to `up` as lowers q most; return by how much."""
    shifts, x, fields, gradient = node.shifts, node.x, node.fields, node.gradient
    up_row = node.matrix[node.first + up, node.first :]
    down_row = node.matrix[node.first + down, node.first :]
    bare = up_row[up] + down_row[down] - 2.0 * up_row[down]
    curvature = bare - shifts[up] - shifts[down]
    length = min(1.0 - x[up], x[down])
    if 2.0 * curvature * length > gap:
        length = gap / (2.0 * curvature)
    node.energy[0] += length * (fields[up] - fields[down] + length * bare)
    x[up] = 1.0 if length == 1.0 - x[up] else x[up] + length
    x[down] = 0.0 if length == x[down] else x[down] - length
    node.up_bar[up] = 0.0 if x[up] < 1.0 else np.inf
    node.down_bar[up] = 0.0
    node.up_bar[down] = 0.0
    node.down_bar[down] = 0.0 if x[down] > 0.0 else np.inf
    shift(fields, gradient, up_row, down_row, 2.0 * length)
    gradient[up] = fields[up] + shifts[up] * (1.0 - 2.0 * x[up])
    gradient[down] = fields[down] + shifts[down] * (1.0 - 2.0 * x[down])
    node.updates[0] += 1
    return length * (gap - curvature * length)


@inlined
def dual_minimum(node: Node) -> float:
    """Bound `linear_minimum` from below without a selection: for any level per group, g'y >= r
    level + sum min(0, g_j - level).
    """
    fixed, group_of, x = node.fixed, node.group_of, node.x
    gradient, cut = node.gradient, node.cut
    if node.remaining.shape[0] == 1:
        level = 0.5 * (cut[0, 0] + cut[0, 1])
        change = least_change(gradient, x, node.up_bar, node.down_bar, level)
        return node.remaining[0] * level + change
    total = 0.0
    for g in range(node.remaining.shape[0]):
        if node.free[g] > 0:
            total += node.remaining[g] * (0.5 * (cut[g, 0] + cut[g, 1]))
    for j in range(x.shape[0]):
        if fixed[j] == FREE:
            g = group_of[j]
            total += min(0.0, gradient[j] - 0.5 * (cut[g, 0] + cut[g, 1])) - gradient[j] * x[j]
    return total


@inlined
def linear_minimum(node: Node) -> float:
    """Minimise over feasible y the change g'(y - x); leaves each group's two middle gradients in
    `cut`.
    """
    fixed, group_of, x = node.fixed, node.group_of, node.x
    gradient, scratch = node.gradient, node.scratch
    total = 0.0
    for g in range(node.remaining.shape[0]):
        count = 0
        for j in range(x.shape[0]):
            if fixed[j] == FREE and group_of[j] == g:
                scratch[count] = gradient[j]
                count += 1
                total -= gradient[j] * x[j]
        if count == 0:
            continue
        wanted = node.remaining[g]
        select_smallest(scratch, count, wanted)
        highest = scratch[0]
        for k in range(wanted):
            total += scratch[k]
            highest = max(highest, scratch[k])
        lowest = scratch[wanted]
        for k in range(wanted, count):
            lowest = min(lowest, scratch[k])
        node.cut[g, 0] = highest
        node.cut[g, 1] = lowest
    return total


@kernel
def select_smallest(values: NDArray[np.float64], count: int, wanted: int) -> None:
    """Reorder so that the `wanted` smallest values come first (quickselect)."""
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted - 1 <= j:
            high = j
        elif wanted - 1 >= i:
            low = i
        else:
            return


@inlined
def fix_by_reduced_cost(node: Node, bound: float, limit: float) -> bool:
    """Fix what no state below the limit can have otherwise: moving j across the cut costs |g_j -
    g_cut| more.

    Returns whether anything was fixed.
    """
    fixed, gradient, cut = node.fixed, node.gradient, node.cut
    count = 0
    for j in range(fixed.shape[0]):
        if fixed[j] != FREE:
            continue
        g = node.group_of[j]
        if bound + (gradient[j] - cut[g, 0]) > limit:
            fixed[j] = 0
            count += 1
        elif bound + (cut[g, 1] - gradient[j]) > limit:
            fixed[j] = 1
            count += 1
    return count > 0
