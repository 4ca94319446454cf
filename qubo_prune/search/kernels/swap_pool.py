"""The bounded pool of the best distinct states that swap searches meet, and its completion from
swap neighbourhoods.

It is a pool as in `qubo_prune.search.kernels.pool` whose rows carry two more words: the hash of the
state, and 1 once its neighbourhood was expanded; with a budget a third, what the state weighs,
before them. Energies in a pool are those of the problem, whatever price walks go by, and all its
states reach the budget.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.landscape import Landscape, start_fields, start_word
from qubo_prune.search.kernels.pool import copy_word, flip_bit, push, unpack_word


class SwapPool(NamedTuple):
    """The best distinct states met so far."""

    energies: NDArray[np.float64]
    words: NDArray[np.uint64]
    size: NDArray[np.int64]
    table: NDArray[np.uint64]
    """Hash set of all states that ever entered, until it is rebuilt from those that are left."""
    used: NDArray[np.int64]
    cut: NDArray[np.float64]
    """Only states of lower energy are taken."""


class Walker(NamedTuple):
    """A state with its fields, and what is needed to look through its neighbourhood."""

    y: NDArray[np.bool_]
    fields: NDArray[np.float64]
    word: NDArray[np.uint64]
    neighbour: NDArray[np.uint64]
    tabu_until: NDArray[np.int64]
    rows: NDArray[np.int64]
    row_values: NDArray[np.float64]
    columns: NDArray[np.int64]
    column_values: NDArray[np.float64]
    best: NDArray[np.bool_]


class Sides(NamedTuple):
    """Extremes over the variables of a group: rows are those on its smaller side (ones or zeros),
    columns the others.
    """

    sign: float
    highest_row: float
    highest_free_row: float
    free_row: int
    lowest_column: float
    lowest_free_column: float


@kernel
def add_key(table: NDArray[np.uint64], used: NDArray[np.int64], key: np.uint64) -> bool:
    """Insert a key into a hash set; False if it was there. The caller keeps the table at most half
    full.
    """
    mask = np.uint64(table.shape[0] - 1)
    stored = key | np.uint64(1)  # never 0, which marks an empty place
    at = (key >> np.uint64(1)) & mask
    while table[at] != np.uint64(0):
        if table[at] == stored:
            return False
        at = (at + np.uint64(1)) & mask
    table[at] = stored
    used[0] += 1
    return True


@kernel
def has_key(table: NDArray[np.uint64], key: np.uint64) -> bool:
    """Tell whether a key is in a hash set."""
    mask = np.uint64(table.shape[0] - 1)
    stored = key | np.uint64(1)
    at = (key >> np.uint64(1)) & mask
    while table[at] != np.uint64(0):
        if table[at] == stored:
            return True
        at = (at + np.uint64(1)) & mask
    return False


@kernel
def clear(pool: SwapPool, cut: float) -> None:
    """Empty a pool; from now on it takes states below `cut`."""
    pool.size[0] = 0
    pool.table[:] = np.uint64(0)
    pool.used[0] = 0
    pool.cut[0] = cut


@kernel
def put(pool: SwapPool, energy: float, word: NDArray[np.uint64], tolerance: float) -> bool:
    """Put a packed state with its hash into the pool if it is good enough and new."""
    if not energy < pool.cut[0]:
        return False
    if 2 * pool.used[0] >= pool.table.shape[0]:
        # What fell out of the pool cannot come back: its energy is not below the cut.
        pool.table[:] = np.uint64(0)
        pool.used[0] = 0
        for s in range(pool.size[0]):
            add_key(pool.table, pool.used, pool.words[s, -2])
    if not add_key(pool.table, pool.used, word[-2]):
        return False
    push(pool.energies, pool.words, pool.size, energy, word)
    if pool.size[0] == pool.energies.shape[0]:
        # A state that is better by a rounding error is no news, or ties would be exchanged for
        # ever.
        pool.cut[0] = min(pool.cut[0], pool.energies[0] - tolerance)
    return True


@kernel
def weight_swapped(landscape: Landscape, word: NDArray[np.uint64], i: int, j: int) -> int:
    """Return what a packed state weighs with i and j swapped, where there is a budget."""
    gained = landscape.weights[j] - landscape.weights[i]
    if (word[j // 64] >> np.uint64(j % 64)) & np.uint64(1):
        gained = -gained
    return int(np.int64(word[-3]) + gained)


@kernel
def reaches(landscape: Landscape, word: NDArray[np.uint64], i: int, j: int) -> bool:
    """Tell whether a packed state with i and j swapped reaches the budget, if there is one."""
    if not landscape.weights.shape[0]:
        return True
    return weight_swapped(landscape, word, i, j) >= landscape.at_least


@kernel
def offer_state(
    landscape: Landscape,
    pool: SwapPool,
    known: NDArray[np.uint64],
    word: NDArray[np.uint64],
    energy: float,
) -> None:
    """Offer a packed state of the energy walked, unless it misses the budget or its hash is among
    the `known` ones.
    """
    if not energy < pool.cut[0] or has_key(known, word[-2]):
        return
    if landscape.weights.shape[0]:
        surplus = np.int64(word[-3]) - landscape.at_least
        if surplus < 0:
            return
        energy += landscape.price * surplus
    put(pool, energy, word, landscape.tolerance)


@kernel
def offer_neighbour(
    landscape: Landscape,
    pool: SwapPool,
    known: NDArray[np.uint64],
    word: NDArray[np.uint64],
    neighbour: NDArray[np.uint64],
    i: int,
    j: int,
    energy: float,
) -> bool:
    """Offer a packed state with i and j swapped, of the energy walked, unless it misses the budget
    or its hash is among the `known` ones; tell whether it entered.

    `neighbour` is scratch.
    """
    key = word[-2] ^ landscape.keys[i] ^ landscape.keys[j]
    if not energy < pool.cut[0]:
        return False
    if landscape.weights.shape[0]:
        surplus = weight_swapped(landscape, word, i, j) - landscape.at_least
        if surplus < 0:
            return False
        energy += landscape.price * surplus
        if not energy < pool.cut[0]:
            return False
    if has_key(known, key):
        return False
    copy_word(neighbour, word)
    if landscape.weights.shape[0]:
        neighbour[-3] = np.uint64(weight_swapped(landscape, word, i, j))
    flip_bit(neighbour, i)
    flip_bit(neighbour, j)
    neighbour[-2] = key
    return put(pool, energy, neighbour, landscape.tolerance)


@kernel
def find_sides(landscape: Landscape, walker: Walker, g: int, step: int) -> Sides:
    """Return the extremes of the values of group `g`; variables that are tabu at `step` are not
    free.

    The value of a variable is half its field, negated if the rows are zeros: half the change by the
    swap of a row and a column is then the column's value minus the row's minus Q_ij.
    """
    start, stop = landscape.group_start[g], landscape.group_stop[g]
    rows_are_ones = 2 * landscape.counts[g] <= stop - start
    sign = 0.5 if rows_are_ones else -0.5
    highest_row = highest_free_row = -np.inf
    lowest_column = lowest_free_column = np.inf
    free_row = np.int64(-1)
    for i in range(start, stop):
        value = sign * walker.fields[i]
        free = walker.tabu_until[i] < step
        if walker.y[i] == rows_are_ones:
            highest_row = max(highest_row, value)
            if free and value > highest_free_row:
                highest_free_row = value
                free_row = i
        else:
            lowest_column = min(lowest_column, value)
            if free and value < lowest_free_column:
                lowest_free_column = value
    return Sides(sign, highest_row, highest_free_row, free_row, lowest_column, lowest_free_column)


@kernel
def list_sides(
    landscape: Landscape,
    walker: Walker,
    g: int,
    step: int,
    sides: Sides,
    free_limit: float,
    limit: float,
) -> tuple[int, int]:
    """List the rows and columns of group `g` that can be part of a swap worth a look; return how
    many of each.

    Worth it are swaps of two free variables whose half change is at most `free_limit`, and any at
    most `limit`. No swap of i changes the energy by less than its best partner's value and
    `Landscape.reach` allow, which rules out most variables where there are many.
    """
    rows_are_ones = sides.sign > 0
    free_row_bound = min(sides.lowest_free_column - free_limit, sides.lowest_column - limit)
    row_bound = sides.lowest_column - limit
    free_column_bound = max(sides.highest_free_row + free_limit, sides.highest_row + limit)
    column_bound = sides.highest_row + limit
    num_rows = num_columns = np.int64(0)
    for i in range(landscape.group_start[g], landscape.group_stop[g]):
        value = sides.sign * walker.fields[i]
        free = walker.tabu_until[i] < step
        if walker.y[i] == rows_are_ones:
            walker.rows[num_rows] = i
            walker.row_values[num_rows] = value
            bound = free_row_bound if free else row_bound
            num_rows += np.int64(value + landscape.reach[i] >= bound)
        else:
            walker.columns[num_columns] = i
            walker.column_values[num_columns] = value
            bound = free_column_bound if free else column_bound
            num_columns += np.int64(value - landscape.reach[i] <= bound)
    return int(num_rows), int(num_columns)


@kernel
def expand(
    landscape_: Landscape,
    pool_: SwapPool,
    known: NDArray[np.uint64],
    walker_: Walker,
    words: NDArray[np.uint64],
    energies: NDArray[np.float64],
    evaluated: NDArray[np.int64],
    halt: NDArray[np.bool_],
) -> int:
    """Offer all swap neighbours of the given states, the rows of `words`; return how many entered
    the pool.
    """
    landscape, pool, walker = borrowed(landscape_), borrowed(pool_), borrowed(walker_)
    word, neighbour = walker.word, walker.neighbour
    walker.tabu_until[:] = 0
    entered = np.int64(0)
    for s in range(words.shape[0]):
        if halt[0]:
            break
        if energies[s] > pool.cut[0] + landscape.tolerance:
            continue
        unpack_word(words[s], walker.y)
        start_word(landscape, walker.y, word)
        energy = start_fields(landscape, walker.y, walker.fields)
        for g in range(landscape.counts.shape[0]):
            sides = find_sides(landscape, walker, g, 1)
            room = 0.5 * (pool.cut[0] - energy)
            num_rows, num_columns = list_sides(landscape, walker, g, 1, sides, room, room)
            evaluated[0] += num_rows * num_columns
            for k in range(num_rows):
                i = walker.rows[k]
                value = walker.row_values[k]
                row = landscape.matrix[i]
                for c in range(num_columns):
                    j = walker.columns[c]
                    change = walker.column_values[c] - value - row[j]
                    if change < room:
                        found = offer_neighbour(
                            landscape, pool, known, word, neighbour, i, j, energy + 2.0 * change
                        )
                        entered += np.int64(found)
                        room = 0.5 * (pool.cut[0] - energy)
    return int(entered)


@kernel
def merge(pool: SwapPool, other: SwapPool, order: NDArray[np.int64], tolerance: float) -> int:
    """Put the states of another pool into `pool`, in the given order, by energy; return how many
    entered.
    """
    entered = np.int64(0)
    for s in order:
        if not other.energies[s] < pool.cut[0]:
            break
        entered += np.int64(put(pool, other.energies[s], other.words[s], tolerance))
    return int(entered)
