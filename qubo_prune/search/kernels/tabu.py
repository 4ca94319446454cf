"""Swap tabu search under exact counts: the best swap of the whole neighbourhood, found among the
few that can be it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import inlined, kernel
from qubo_prune.search.kernels.landscape import (
    ANCHOR_INTERVAL,
    Landscape,
    splitmix,
    start_fields,
    start_word,
    swap,
    swap_weight,
)
from qubo_prune.search.kernels.swap_pool import (
    Sides,
    SwapPool,
    Walker,
    find_sides,
    list_sides,
    offer_neighbour,
    offer_state,
)


@kernel
def tabu_walk(
    landscape_: Landscape,
    pool_: SwapPool,
    known: NDArray[np.uint64],
    walker_: Walker,
    steps: int,
    tenure: int,
    budget: int,
    random: NDArray[np.uint64],
    evaluated: NDArray[np.int64],
    halt: NDArray[np.bool_],
) -> float:
    """Walk from ``walker.y`` along the best swaps that are not tabu, and offer the neighbours that
    are looked at to the pool.

    A variable that left may not return for `tenure` steps or up to twice as many, one that entered
    may not leave for half as long; a swap that leads below the best state of this walk is always
    allowed. Neighbours are offered once it has left its first local minimum: those met on the way
    down would fill the pool only to be thrown out again.

    Parameters
    ----------
    known : (2^k,) uint64
        Hash set of states that need not be offered.
    steps : int
        Most swaps made.
    budget : int
        The walk ends once so many neighbours are evaluated in it.
    random : (1,) uint64
        State of the random numbers.
    evaluated : (1,) int64
        Grows by the number of neighbours whose energy is computed.
    halt : (1,) bool
        The walk ends soon after another thread sets it.

    Returns
    -------
    float
        Energy of the best state met, which is ``walker.best``.
    """
    landscape, pool, walker = borrowed(landscape_), borrowed(pool_), borrowed(walker_)
    y, fields, tabu_until = walker.y, walker.fields, walker.tabu_until
    tabu_until[:] = 0
    start_word(landscape, y, walker.word)
    energy = start_fields(landscape, y, fields)
    offer_state(landscape, pool, known, walker.word, energy)
    lowest = energy
    walker.best[:] = y
    harvesting = False
    last = evaluated[0] + budget
    for step in range(1, steps + 1):
        if halt[0] or evaluated[0] >= last:
            break
        aspired = 0.5 * (lowest - energy - landscape.tolerance)
        change, out, into = best_swap(
            landscape, pool, known, walker, step, energy, aspired, harvesting, evaluated
        )
        if out < 0:
            tabu_until[:] = 0
            continue
        if y[into]:
            out, into = into, out
        harvesting = harvesting or change >= 0.0
        swap(landscape, y, walker.word, fields, out, into)
        swap_weight(landscape, walker.word, out, into)
        energy += 2.0 * change
        if step % ANCHOR_INTERVAL == 0:
            energy = start_fields(landscape, y, fields)
        jitter = np.int64(splitmix(random) % np.uint64(tenure))
        tabu_until[out] = step + tenure + jitter
        tabu_until[into] = step + (tenure + jitter) // 2
        if energy < lowest:
            lowest = energy
            walker.best[:] = y
        offer_state(landscape, pool, known, walker.word, energy)
    return lowest


@inlined
def best_swap(
    landscape: Landscape,
    pool: SwapPool,
    known: NDArray[np.uint64],
    walker: Walker,
    step: int,
    energy: float,
    aspired: float,
    harvesting: bool,
    evaluated: NDArray[np.int64],
) -> tuple[float, int, int]:
    """Return the best swap that is free, or leads below what is aspired to: half its change of the
    energy and its two variables (infinity and -1 if there is none).

    The neighbours that the pool has room for are offered to it on the way if `harvesting`.
    """
    tabu_until = walker.tabu_until
    change = np.inf
    out, into = -1, -1
    surcharge = least_surcharge(landscape, walker) if harvesting else np.inf
    harvesting = surcharge < np.inf
    room = 0.5 * (pool.cut[0] - energy - surcharge) if harvesting else -np.inf
    for g in range(landscape.counts.shape[0]):
        sides = find_sides(landscape, walker, g, step)
        if sides.free_row >= 0:
            # The swaps of one good row tell how good a swap has to be to be worth a look.
            found, j = best_of_row(landscape, walker, g, step, sides)
            if found < change:
                change = found
                out, into = sides.free_row, j
        limit = max(room, min(aspired, change))
        free_limit = change if change < np.inf else -np.inf  # inf: nothing is free
        num_rows, num_columns = list_sides(landscape, walker, g, step, sides, free_limit, limit)
        evaluated[0] += (num_rows + 1) * num_columns
        interest = max(change, room)
        for k in range(num_rows):
            i = walker.rows[k]
            value = walker.row_values[k]
            row = landscape.matrix[i]
            for c in range(num_columns):
                found = walker.column_values[c] - value - row[walker.columns[c]]
                if found < interest:
                    j = walker.columns[c]
                    free = tabu_until[i] < step and tabu_until[j] < step
                    if found < change and (free or found < aspired):
                        change = found
                        out, into = i, j
                    if found < room:
                        reached = energy + 2.0 * found
                        offer_neighbour(
                            landscape, pool, known, walker.word, walker.neighbour, i, j, reached
                        )
                        room = 0.5 * (pool.cut[0] - energy - surcharge)
                    interest = max(change, room)
    return change, out, into


@inlined
def least_surcharge(landscape: Landscape, walker: Walker) -> float:
    """Return by how much less a neighbour that reaches the budget costs at least, at the price of
    the walk, than its energy; infinity if none reaches it.
    """
    weights, y = landscape.weights, walker.y
    if not weights.shape[0]:
        return 0.0
    gain = loss = np.int64(0)
    for g in range(landscape.counts.shape[0]):
        lightest = lightest_one = np.int64(1) << 62
        heaviest = heaviest_one = np.int64(-1)
        for i in range(landscape.group_start[g], landscape.group_stop[g]):
            if y[i]:
                lightest_one = min(lightest_one, weights[i])
                heaviest_one = max(heaviest_one, weights[i])
            else:
                lightest = min(lightest, weights[i])
                heaviest = max(heaviest, weights[i])
        gain = max(gain, heaviest - lightest_one)
        loss = max(loss, heaviest_one - lightest)
    surplus = np.int64(walker.word[-3]) - landscape.at_least
    if surplus + gain < 0:
        return np.inf
    return landscape.price * float(max(0, surplus - loss))


@inlined
def best_of_row(
    landscape: Landscape, walker: Walker, g: int, step: int, sides: Sides
) -> tuple[float, int]:
    """Return half the change of the best free swap with a group's best free row, and its column."""
    y, fields, tabu_until = walker.y, walker.fields, walker.tabu_until
    row = landscape.matrix[sides.free_row]
    change, column = np.inf, -1
    for j in range(landscape.group_start[g], landscape.group_stop[g]):
        found = sides.sign * fields[j] - sides.highest_free_row - row[j]
        is_column = y[j] != y[sides.free_row]
        if found < change and is_column and tabu_until[j] < step:
            change = found
            column = j
    return change, column
