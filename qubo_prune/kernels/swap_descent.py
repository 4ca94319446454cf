"""Swap descent under exact counts, with every neighbour met on the way offered to a pool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.kernels.jit import kernel
from qubo_prune.kernels.swap_search import (
    Landscape,
    SwapPool,
    offer_state,
    start_fields,
    state_key,
)


@kernel
def descend(
    landscape: Landscape, pool: SwapPool, y: NDArray[np.bool_], tolerance: float, max_moves: int
) -> int:
    """Offer `y`, then move it by the best swap until none lowers the energy by more than `tolerance`; return how many moves that took.

    Stops after `max_moves`; with fewer than that, `y` is a local minimum. Fields are computed anew for each move, so nothing drifts.
    """
    n = y.shape[0]
    word = np.zeros(pool.words.shape[1], np.uint64)
    fields = np.empty(n)
    none = np.int64(-1)
    energy = start_fields(landscape, y, fields)
    key = state_key(landscape, y)
    offer_state(landscape, pool, word, y, none, none, key, energy)
    for move in range(max_moves):
        lowest = -tolerance
        out, into = none, none
        for i in range(n):
            if not y[i]:
                continue
            row = landscape.matrix[i]
            own = fields[i]
            group = landscape.group_of[i]
            for j in range(landscape.group_start[group], landscape.group_stop[group]):
                if y[j]:
                    continue
                change = fields[j] - own - 2.0 * row[j]
                if pool.size[0] < pool.energies.shape[0] or energy + change < pool.energies[0]:
                    swapped = key ^ landscape.keys[i] ^ landscape.keys[j]
                    offer_state(landscape, pool, word, y, i, j, swapped, energy + change)
                if change < lowest:
                    lowest = change
                    out, into = i, j
        if out < 0:
            return move
        y[out] = False
        y[into] = True
        key ^= landscape.keys[out] ^ landscape.keys[into]
        energy = start_fields(landscape, y, fields)
    return max_moves
