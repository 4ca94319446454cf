"""Problems and pools as the swap kernels take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qubo_prune.kernels.pool import num_words, unpack
from qubo_prune.spectrum import lexicographic_order

if TYPE_CHECKING:
    from qubo_prune.kernels.swap_search import Landscape, SwapPool
    from qubo_prune.problem import Problem, ReducedProblem


def group_order(reduced: ReducedProblem) -> NDArray[np.int64]:
    """Return the free variables ordered by group, as a landscape has them."""
    return np.argsort(reduced.group_of, kind="stable")


def make_landscape(reduced: ReducedProblem, seed: int) -> Landscape:
    """Return the objective in `group_order`, with random keys that identify states."""
    from qubo_prune.kernels.swap_search import Landscape

    order = group_order(reduced)
    groups = reduced.group_of[order]
    every = np.arange(reduced.num_groups)
    keys = np.random.default_rng([seed % 2**63, 0x5EED]).integers(
        1, 2**64, size=len(order), dtype=np.uint64
    )
    return Landscape(
        np.ascontiguousarray(reduced.matrix[np.ix_(order, order)]),
        np.searchsorted(groups, every, side="left").astype(np.int64),
        np.searchsorted(groups, every, side="right").astype(np.int64),
        groups.astype(np.int64),
        reduced.counts.astype(np.int64),
        keys,
    )


def make_pool(capacity: int, num_variables: int) -> SwapPool:
    """Return an empty pool for `capacity` states of `num_variables` free variables."""
    from qubo_prune.kernels.swap_search import SwapPool

    table = 1 << max(12, (16 * capacity - 1).bit_length())
    return SwapPool(
        np.full(capacity, np.inf),
        np.zeros((capacity, num_words(num_variables) + 1), np.uint64),
        np.zeros(1, np.int64),
        np.zeros(table, np.uint64),
        np.zeros(1, np.int64),
    )


def states_of(pool: SwapPool, problem: Problem, reduced: ReducedProblem) -> NDArray[np.bool_]:
    """Return the states in a pool as a spectrum has them, lowest first, shape (K', N)."""
    order = group_order(reduced)
    ordered = unpack(pool.words[: int(pool.size[0]), :-1], len(order))
    free = np.empty_like(ordered)
    free[:, order] = ordered
    states = reduced.expand(free)
    return states[lexicographic_order(states, problem.energies(states))]
