"""A plain exhaustive search as the baseline: walk sorted prefixes with their local fields; the last
two levels are "add two rows, take the minimum".

Compiled, float32 and vectorised, but without padding, tiling, tables or a second look at anything.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def walk(hessian: NDArray[np.float32], count: int, first: int, last: int) -> tuple[float, int]:
    """Lowest energy of the states of `count` >= 3 blocks whose smallest lies in [first, last), and
    how many there are.
    """
    n = hessian.shape[0]
    rows = np.float32(2.0) * hessian
    fields = np.zeros((count, n), np.float32)
    energy = np.zeros(count, np.float32)
    at = np.zeros(count, np.int64)
    best = np.full(n, np.inf, np.float32)
    for j in range(n):
        fields[0, j] = hessian[j, j]
    visited = 0
    depth = 0
    at[0] = first
    while depth >= 0:
        i = at[depth]
        stop = n - (count - depth) + 1
        if depth == 0:
            stop = min(stop, last)
        if i >= stop:
            depth -= 1
            continue
        at[depth] = i + 1
        if depth == count - 2:
            base = energy[depth] + fields[depth, i]
            low = best[i + 1 :]
            own = fields[depth, i + 1 :]
            row = rows[i, i + 1 :]
            for j in range(low.shape[0]):
                value = base + (own[j] + row[j])
                low[j] = value if value < low[j] else low[j]
            visited += low.shape[0]
            continue
        energy[depth + 1] = energy[depth] + fields[depth, i]
        old = fields[depth, i + 1 :]
        new = fields[depth + 1, i + 1 :]
        row = rows[i, i + 1 :]
        for j in range(old.shape[0]):
            new[j] = old[j] + row[j]
        depth += 1
        at[depth] = i + 1
    return best.min(), visited
