"""Swap tabu search under exact counts, and completion of a spectrum from its swap neighbourhoods.

The variables are ordered by group, so that the partners of a variable are one contiguous range. With the fields
``f_i = Q_ii + 2 sum_{j != i} Q_ij y_j``, swapping i out and j in changes the energy by ``f_j - f_i - 2 Q_ij``.

States are kept in a pool (see `qubo_prune.kernels.pool`) whose rows carry one extra word: 1 once the state's neighbourhood was harvested.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.kernels.jit import kernel
from qubo_prune.kernels.pool import push


class Landscape(NamedTuple):
    """The objective, ordered by group."""

    matrix: NDArray[np.float64]
    group_start: NDArray[np.int64]
    group_stop: NDArray[np.int64]
    group_of: NDArray[np.int64]
    counts: NDArray[np.int64]
    keys: NDArray[np.uint64]


class SwapPool(NamedTuple):
    """The best distinct states met so far and the hash set of all that ever entered."""

    energies: NDArray[np.float64]
    words: NDArray[np.uint64]
    size: NDArray[np.int64]
    table: NDArray[np.uint64]
    used: NDArray[np.int64]


@kernel
def splitmix(state: NDArray[np.uint64]) -> np.uint64:
    """Next 64 random bits (Steele, Lea, Flood 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def random_state(landscape: Landscape, random: NDArray[np.uint64], y: NDArray[np.bool_]) -> None:
    """Fill `y` with a uniformly random feasible state (selection sampling, group by group)."""
    for g in range(landscape.counts.shape[0]):
        needed = landscape.counts[g]
        left = landscape.group_stop[g] - landscape.group_start[g]
        for i in range(landscape.group_start[g], landscape.group_stop[g]):
            uniform = float(splitmix(random) >> np.uint64(11)) * 2.0**-53
            y[i] = uniform * left < needed
            needed -= np.int64(y[i])
            left -= 1


@kernel
def greedy_state(landscape: Landscape, y: NDArray[np.bool_]) -> None:
    """Fill `y` by adding the cheapest variable until every count is met."""
    n = y.shape[0]
    y[:] = False
    fields = np.empty(n)
    missing = landscape.counts.copy()
    for i in range(n):
        fields[i] = landscape.matrix[i, i]
    for _ in range(landscape.counts.sum()):
        best = -1
        for i in range(n):
            open_group = not y[i] and missing[landscape.group_of[i]] > 0
            if open_group and (best < 0 or fields[i] < fields[best]):
                best = i
        y[best] = True
        missing[landscape.group_of[best]] -= 1
        for i in range(n):
            fields[i] += 2.0 * landscape.matrix[best, i]


@kernel
def start_fields(landscape: Landscape, y: NDArray[np.bool_], fields: NDArray[np.float64]) -> float:
    """Compute the fields of `y` from scratch; return its energy."""
    n = y.shape[0]
    for i in range(n):
        fields[i] = landscape.matrix[i, i]
    energy = 0.0
    for i in range(n):
        if y[i]:
            energy += fields[i]
            for j in range(n):
                fields[j] += 2.0 * landscape.matrix[i, j]
            fields[i] -= 2.0 * landscape.matrix[i, i]
    return energy


@kernel
def state_key(landscape: Landscape, y: NDArray[np.bool_]) -> np.uint64:
    """Zobrist hash of a state."""
    key = np.uint64(0)
    for i in range(y.shape[0]):
        if y[i]:
            key ^= landscape.keys[i]
    return key


@kernel
def add_key(pool: SwapPool, key: np.uint64) -> bool:
    """Insert a key into the hash set; False if it was there. The caller keeps the table at most half full."""
    mask = np.uint64(pool.table.shape[0] - 1)
    if key == np.uint64(0):
        key = np.uint64(1)
    at = key & mask
    while pool.table[at] != np.uint64(0):
        if pool.table[at] == key:
            return False
        at = (at + np.uint64(1)) & mask
    pool.table[at] = key
    pool.used[0] += 1
    return True


@kernel
def offer_state(
    landscape: Landscape,
    pool: SwapPool,
    word: NDArray[np.uint64],
    y: NDArray[np.bool_],
    out: int,
    into: int,
    key: np.uint64,
    energy: float,
) -> None:
    """Put `y` with `out` and `into` swapped (-1: unchanged) into the pool if it is good enough and new."""
    capacity = pool.energies.shape[0]
    if pool.size[0] == capacity and not energy < pool.energies[0]:
        return
    if 2 * pool.used[0] >= pool.table.shape[0]:
        rebuild_table(landscape, pool)
    if not add_key(pool, key):
        return
    word[:] = np.uint64(0)
    for i in range(y.shape[0]):
        if y[i] != (i == out or i == into):
            word[i // 64] |= np.uint64(1) << np.uint64(i % 64)
    push(pool.energies, pool.words, pool.size, energy, word)


@kernel
def rebuild_table(landscape: Landscape, pool: SwapPool) -> None:
    """Forget all keys but those of the states in the pool; what fell out cannot come back, its energy is too high."""
    pool.table[:] = np.uint64(0)
    pool.used[0] = 0
    y = np.empty(landscape.group_of.shape[0], np.bool_)
    for s in range(pool.size[0]):
        unpack_row(pool.words[s], y)
        add_key(pool, state_key(landscape, y))


@kernel
def unpack_row(word: NDArray[np.uint64], y: NDArray[np.bool_]) -> None:
    """Unpack one packed state."""
    for i in range(y.shape[0]):
        y[i] = ((word[i // 64] >> np.uint64(i % 64)) & np.uint64(1)) == np.uint64(1)


@kernel
def tabu_search(
    landscape: Landscape,
    pool: SwapPool,
    y: NDArray[np.bool_],
    steps: int,
    random: NDArray[np.uint64],
) -> None:
    """Walk `steps` best non-tabu swaps from `y`, offering every state on the way to the pool."""
    n = y.shape[0]
    word = np.zeros(pool.words.shape[1], np.uint64)
    fields = np.empty(n)
    masked = np.empty(n)
    best = np.empty(n)
    partner = np.empty(n, np.int64)
    tabu_until = np.zeros(n, np.int64)
    energy = start_fields(landscape, y, fields)
    key = state_key(landscape, y)
    none = np.int64(-1)
    offer_state(landscape, pool, word, y, none, none, key, energy)
    tenure = max(2, min(20, n // 8))
    for step in range(1, steps + 1):
        for j in range(n):
            masked[j] = np.inf if y[j] or tabu_until[j] >= step else fields[j]
            best[j] = np.inf
            partner[j] = -1
        for i in range(n):
            if not y[i] or tabu_until[i] >= step:
                continue
            own = fields[i]
            row = landscape.matrix[i]
            for j in range(
                landscape.group_start[landscape.group_of[i]],
                landscape.group_stop[landscape.group_of[i]],
            ):
                change = masked[j] - own - 2.0 * row[j]
                better = change < best[j]
                best[j] = change if better else best[j]
                partner[j] = i if better else partner[j]
        into = -1
        for j in range(n):
            if partner[j] >= 0 and (into < 0 or best[j] < best[into]):
                into = j
        if into < 0:
            tabu_until[:] = 0
            continue
        out = partner[into]
        energy += best[into]
        y[out] = False
        y[into] = True
        key ^= landscape.keys[out] ^ landscape.keys[into]
        for j in range(n):
            fields[j] += 2.0 * (landscape.matrix[into, j] - landscape.matrix[out, j])
        fields[into] -= 2.0 * landscape.matrix[into, into]
        fields[out] += 2.0 * landscape.matrix[out, out]
        jitter = np.int64(splitmix(random) % np.uint64(tenure))
        tabu_until[out] = step + tenure + jitter
        tabu_until[into] = step + (tenure + jitter) // 2
        offer_state(landscape, pool, word, y, none, none, key, energy)


@kernel
def harvest(landscape: Landscape, pool: SwapPool, max_sources: int) -> int:
    """Offer all swap neighbours of up to `max_sources` unharvested states, lowest first; return how many sources there were."""
    n = landscape.group_of.shape[0]
    count = pool.size[0]
    last_word = pool.words.shape[1] - 1
    pending = np.empty(count, np.int64)
    num_pending = 0
    for s in range(count):
        if pool.words[s, last_word] == np.uint64(0):
            pending[num_pending] = s
            num_pending += 1
    pending = pending[:num_pending]
    order = pending[np.argsort(pool.energies[pending])][:max_sources]
    sources = pool.words[order].copy()
    levels = pool.energies[order].copy()
    for s in order:
        pool.words[s, last_word] = np.uint64(1)
    word = np.zeros(last_word + 1, np.uint64)
    y = np.empty(n, np.bool_)
    fields = np.empty(n)
    masked = np.empty(n)
    for s in range(order.shape[0]):
        capacity = pool.energies.shape[0]
        if pool.size[0] == capacity and levels[s] > pool.energies[0]:
            continue
        unpack_row(sources[s], y)
        energy = start_fields(landscape, y, fields)
        key = state_key(landscape, y)
        for j in range(n):
            masked[j] = np.inf if y[j] else fields[j]
        for i in range(n):
            if not y[i]:
                continue
            full = pool.size[0] == capacity
            room = (pool.energies[0] if full else np.inf) - energy + fields[i]
            start = landscape.group_start[landscape.group_of[i]]
            stop = landscape.group_stop[landscape.group_of[i]]
            row = landscape.matrix[i]
            hits = 0
            for j in range(start, stop):
                hits += np.int64(masked[j] - 2.0 * row[j] < room)
            if hits == 0:
                continue
            for j in range(start, stop):
                gain = masked[j] - 2.0 * row[j]
                if gain < room:
                    swapped = key ^ landscape.keys[i] ^ landscape.keys[j]
                    offer_state(landscape, pool, word, y, i, j, swapped, energy - fields[i] + gain)
    return order.shape[0]
