"""The objective as swap moves see it, random feasible states, and the fields that make a swap cost
O(1) to evaluate and O(n) to make.

The variables are ordered by group, so that the partners of a variable are one contiguous range.
With the fields ``f_i = Q_ii + 2 sum_{j != i} Q_ij y_j``, swapping i out and j in changes the energy
by ``f_j - f_i - 2 Q_ij``.

With a budget, ``w'y >= W``, a swap may lead below it; only states that reach it are of use. What is
walked is then ``E(y) - price (w'y - W)``, at most the energy of a state that is of use, at a price
at which the ways up and down in weight are about as steep.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.pool import flip_bit

ANCHOR_INTERVAL = 4096
"""Swaps after which fields and energies are computed afresh, so that rounding errors do not add up
for ever.
"""


class Landscape(NamedTuple):
    """The objective, ordered by group; made by `qubo_prune.search.arrays.make_landscape`."""

    matrix: NDArray[np.float64]
    """Q, (n, n), symmetric."""
    diagonal: NDArray[np.float64]
    """Where fields start: Q_ii - price w_i."""
    offset: float
    """Where energies start: price W."""
    reach: NDArray[np.float64]
    """Largest Q_ij of each i over the other variables j of its group."""
    group_start: NDArray[np.int64]
    group_stop: NDArray[np.int64]
    group_of: NDArray[np.int64]
    counts: NDArray[np.int64]
    keys: NDArray[np.uint64]
    """Random words; the hash of a state is the xor of those of its ones (Zobrist 1970)."""
    tolerance: float
    """Energies closer than this are not told apart."""
    weights: NDArray[np.int64]
    """w, (n,); none without a budget."""
    at_least: int
    """W."""
    price: float


@kernel
def splitmix(random: NDArray[np.uint64]) -> np.uint64:
    """Next 64 random bits (Steele, Lea, Flood 2014)."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def uniform(random: NDArray[np.uint64]) -> float:
    """Next random number in [0, 1)."""
    return float(splitmix(random) >> np.uint64(11)) * 2.0**-53


@kernel
def below(random: NDArray[np.uint64], count: int) -> int:
    """Next random integer in 0, ..., count - 1."""
    return int(uniform(random) * count)


@kernel
def largest_couplings(
    matrix: NDArray[np.float64],
    group_start: NDArray[np.int64],
    group_stop: NDArray[np.int64],
    reach: NDArray[np.float64],
) -> float:
    """Write `Landscape.reach`; return the largest sum of absolute entries of a row."""
    n = matrix.shape[0]
    largest = 0.0
    for g in range(group_start.shape[0]):
        for i in range(group_start[g], group_stop[g]):
            reach[i] = -np.inf
            for j in range(group_start[g], group_stop[g]):
                if j != i:
                    reach[i] = max(reach[i], matrix[i, j])
            total = 0.0
            for j in range(n):
                total += abs(matrix[i, j])
            largest = max(largest, total)
    return largest


@kernel
def random_state(landscape: Landscape, random: NDArray[np.uint64], y: NDArray[np.bool_]) -> None:
    """Fill `y` with a uniformly random feasible state (selection sampling, group by group)."""
    for g in range(landscape.counts.shape[0]):
        needed = landscape.counts[g]
        left = landscape.group_stop[g] - landscape.group_start[g]
        for i in range(landscape.group_start[g], landscape.group_stop[g]):
            y[i] = uniform(random) * left < needed
            needed -= np.int64(y[i])
            left -= 1


@kernel
def crossed_state(
    landscape: Landscape,
    random: NDArray[np.uint64],
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    y: NDArray[np.bool_],
) -> None:
    """Fill `y` with the ones that two feasible states share, and random ones of those that only one
    of them has.
    """
    for g in range(landscape.counts.shape[0]):
        needed = landscape.counts[g]
        left = np.int64(0)
        for i in range(landscape.group_start[g], landscape.group_stop[g]):
            needed -= np.int64(first[i] and second[i])
            left += np.int64(first[i] != second[i])
        for i in range(landscape.group_start[g], landscape.group_stop[g]):
            y[i] = first[i] and second[i]
            if first[i] != second[i]:
                y[i] = uniform(random) * left < needed
                needed -= np.int64(y[i])
                left -= 1


@kernel
def shake(
    landscape: Landscape, random: NDArray[np.uint64], y: NDArray[np.bool_], swaps: int
) -> None:
    """Make random swaps."""
    for _ in range(swaps):
        i = below(random, y.shape[0])
        start = landscape.group_start[landscape.group_of[i]]
        size = landscape.group_stop[landscape.group_of[i]] - start
        j = i
        while y[j] == y[i]:  # no group is all ones or all zeros
            j = start + below(random, size)
        y[i], y[j] = y[j], y[i]


@kernel
def greedy_state(landscape: Landscape, y: NDArray[np.bool_]) -> None:
    """Fill `y` by adding the cheapest variable until every count is met."""
    n = y.shape[0]
    y[:] = False
    fields = np.empty(n)
    missing = landscape.counts.copy()
    for i in range(n):
        fields[i] = landscape.diagonal[i]
    for _ in range(landscape.counts.sum()):
        best = -1
        for i in range(n):
            open_group = not y[i] and missing[landscape.group_of[i]] > 0
            if open_group and (best < 0 or fields[i] < fields[best]):
                best = i
        y[best] = True
        missing[landscape.group_of[best]] -= 1
        add_field(landscape, best, fields)


@kernel
def add_field(landscape: Landscape, i: int, fields: NDArray[np.float64]) -> None:
    """Update the fields for y_i = 1."""
    own = fields[i]
    row = landscape.matrix[i]
    for j in range(fields.shape[0]):
        fields[j] += 2.0 * row[j]
    fields[i] = own


@kernel
def start_fields(landscape: Landscape, y: NDArray[np.bool_], fields: NDArray[np.float64]) -> float:
    """Compute the fields of `y` from scratch; return its energy, as it is walked."""
    n = y.shape[0]
    for i in range(n):
        fields[i] = landscape.diagonal[i]
    energy = landscape.offset
    for i in range(n):
        if y[i]:
            energy += fields[i]
            add_field(landscape, i, fields)
    return energy


@kernel
def start_word(landscape: Landscape, y: NDArray[np.bool_], word: NDArray[np.uint64]) -> None:
    """Pack `y` with its hash, as a row of a `SwapPool` whose neighbourhood was not expanded yet."""
    word[:] = np.uint64(0)
    for i in range(y.shape[0]):
        if y[i]:
            flip_bit(word, i)
            word[-2] ^= landscape.keys[i]
    for i in range(landscape.weights.shape[0]):
        if y[i]:
            word[-3] += np.uint64(landscape.weights[i])


@kernel
def swap(
    landscape: Landscape,
    y: NDArray[np.bool_],
    word: NDArray[np.uint64],
    fields: NDArray[np.float64],
    out: int,
    into: int,
) -> None:
    """Set y_out = 0 and y_into = 1 and update all that depends on it."""
    y[out] = False
    y[into] = True
    flip_bit(word, out)
    flip_bit(word, into)
    word[-2] ^= landscape.keys[out] ^ landscape.keys[into]
    gained = landscape.matrix[into]
    lost = landscape.matrix[out]
    for j in range(fields.shape[0]):
        fields[j] += 2.0 * (gained[j] - lost[j])
    fields[into] -= 2.0 * gained[into]
    fields[out] += 2.0 * lost[out]


@kernel
def swap_weight(landscape: Landscape, word: NDArray[np.uint64], out: int, into: int) -> None:
    """Update what a packed state weighs after a `swap`, if there is a budget; inside of that, it
    would make every swap slower.
    """
    if landscape.weights.shape[0]:
        word[-3] += np.uint64(landscape.weights[into] - landscape.weights[out])
