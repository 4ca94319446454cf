"""What a budget decides at a node: w'x >= W, over weights that are whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.bounds import FREE
from qubo_prune.core.kernels.jit import kernel


@kernel
def decide_by_weight(
    weights: NDArray[np.int64],
    by_weight: NDArray[np.int64],
    at_least: int,
    fixed: NDArray[np.int8],
    group_of: NDArray[np.int64],
    remaining: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> int:
    """Fix what no state that reaches the budget has otherwise; return how many positions, or -1 if
    there is no such state.

    The heaviest completion takes the `remaining` heaviest free positions of each group. What it has
    to spare is the slack: a position whose exchange for the best one on the other side costs more
    is fixed where it is. `by_weight` holds the positions from the heaviest on; `groups`, (3, g), is
    scratch.
    """
    left, lightest, heaviest = groups[0], groups[1], groups[2]
    left[:] = remaining
    lightest[:] = 0
    heaviest[:] = -1
    total = np.int64(0)
    for p in by_weight:
        if fixed[p] == 1:
            total += weights[p]
        elif fixed[p] == FREE:
            g = group_of[p]
            if left[g] > 0:
                left[g] -= 1
                total += weights[p]
                lightest[g] = weights[p]
            elif heaviest[g] < 0:
                heaviest[g] = weights[p]
    slack = total - at_least
    if slack < 0:
        return -1
    count = 0
    left[:] = remaining
    for p in by_weight:
        if fixed[p] != FREE:
            continue
        g = group_of[p]
        if left[g] > 0:
            left[g] -= 1
            if heaviest[g] >= 0 and weights[p] - heaviest[g] > slack:
                fixed[p] = 1
                count += 1
        elif lightest[g] - weights[p] > slack:
            fixed[p] = 0
            count += 1
    return count
