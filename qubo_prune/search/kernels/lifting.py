"""From a state with the right counts to one that reaches a budget: swaps that raise its weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.landscape import (
    Landscape,
    below,
    start_fields,
    start_word,
    swap,
    swap_weight,
)
from qubo_prune.search.kernels.swap_pool import Walker

_TRIES_PER_VARIABLE = 64


@kernel
def lift(landscape_: Landscape, walker_: Walker) -> None:
    """Swap until ``walker.y`` reaches the budget: always what costs least for each unit of weight
    that is still missing.
    """
    landscape, walker = borrowed(landscape_), borrowed(walker_)
    y, fields, word = walker.y, walker.fields, walker.word
    start_word(landscape, y, word)
    start_fields(landscape, y, fields)
    missing = landscape.at_least - np.int64(word[-3])
    while missing > 0:
        cheapest = np.inf
        out = into = np.int64(-1)
        for g in range(landscape.counts.shape[0]):
            for i in range(landscape.group_start[g], landscape.group_stop[g]):
                if not y[i]:
                    continue
                for j in range(landscape.group_start[g], landscape.group_stop[g]):
                    gained = min(missing, landscape.weights[j] - landscape.weights[i])
                    if y[j] or gained <= 0:
                        continue
                    change = fields[j] - fields[i] - 2.0 * landscape.matrix[i, j]
                    # What is cheap for what it brings; what saves energy, for all that it saves.
                    cost = change / gained if change > 0.0 else change
                    if cost < cheapest:
                        cheapest = cost
                        out, into = i, j
        if out < 0:
            return
        missing -= landscape.weights[into] - landscape.weights[out]
        swap(landscape, y, word, fields, out, into)
        swap_weight(landscape, word, out, into)


@kernel
def lift_at_random(landscape: Landscape, random: NDArray[np.uint64], y: NDArray[np.bool_]) -> None:
    """Make random swaps that raise the weight of `y` until it reaches the budget; after many that
    would not, take the heaviest of each group.
    """
    weights = landscape.weights
    missing = landscape.at_least
    for i in range(weights.shape[0]):
        missing -= weights[i] * np.int64(y[i])
    for _ in range(_TRIES_PER_VARIABLE * y.shape[0]):
        if missing <= 0:
            return
        i = below(random, y.shape[0])
        start = landscape.group_start[landscape.group_of[i]]
        size = landscape.group_stop[landscape.group_of[i]] - start
        j = start + below(random, size)
        if y[i] and not y[j] and weights[j] > weights[i]:
            missing -= weights[j] - weights[i]
            y[i], y[j] = y[j], y[i]
    if missing > 0:
        y[:] = False
        for g in range(landscape.counts.shape[0]):
            first, last = landscape.group_start[g], landscape.group_stop[g]
            order = np.argsort(-weights[first:last])
            for at in range(landscape.counts[g]):
                y[first + order[at]] = True
