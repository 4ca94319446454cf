"""Swap descent under exact counts, with every neighbour that is good enough offered to a pool."""

from __future__ import annotations

import numpy as np

from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.landscape import (
    Landscape,
    start_fields,
    start_word,
    swap,
    swap_weight,
)
from qubo_prune.search.kernels.swap_pool import (
    SwapPool,
    Walker,
    find_sides,
    list_sides,
    offer_neighbour,
    offer_state,
    reaches,
)


@kernel
def descend(landscape_: Landscape, pool_: SwapPool, walker_: Walker, max_moves: int) -> int:
    """Offer ``walker.y``, then move it by the best swap until none lowers the energy by more than
    rounding; return how many moves that took. A state that reaches the budget is not moved to one
    that misses it.

    Stops after `max_moves`; with fewer than that, the state is a local minimum.
    """
    landscape, pool, walker = borrowed(landscape_), borrowed(pool_), borrowed(walker_)
    y, fields = walker.y, walker.fields
    word, neighbour = walker.word, walker.neighbour
    walker.tabu_until[:] = 0
    start_word(landscape, y, word)
    energy = start_fields(landscape, y, fields)
    offer_state(landscape, pool, pool.table, word, energy)
    for move in range(max_moves):
        change = -0.5 * landscape.tolerance  # half of it
        room = 0.5 * (pool.cut[0] - energy)
        out = into = np.int64(-1)
        for g in range(landscape.counts.shape[0]):
            sides = find_sides(landscape, walker, g, 1)
            interest = max(change, room)
            num_rows, num_columns = list_sides(landscape, walker, g, 1, sides, interest, interest)
            for k in range(num_rows):
                i = walker.rows[k]
                row = landscape.matrix[i]
                for c in range(num_columns):
                    j = walker.columns[c]
                    found = walker.column_values[c] - walker.row_values[k] - row[j]
                    if found < change and reaches(landscape, word, i, j):
                        change = found
                        out, into = i, j
                    if found < room:
                        offer_neighbour(
                            landscape, pool, pool.table, word, neighbour, i, j, energy + 2.0 * found
                        )
                        room = 0.5 * (pool.cut[0] - energy)
        if out < 0:
            return move
        if y[into]:
            out, into = into, out
        swap(landscape, y, word, fields, out, into)
        swap_weight(landscape, word, out, into)
        energy += 2.0 * change
    return max_moves
