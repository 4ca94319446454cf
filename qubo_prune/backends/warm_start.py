"""Good states to start an exact search from: a few swap tabu walks, then completion of the spectrum from their neighbourhoods.

Nothing here is proven; an exact engine only takes an upper bound on its K-th energy from it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qubo_prune.kernels.pool import num_words, unpack

if TYPE_CHECKING:
    from qubo_prune.backends.base import Backend
    from qubo_prune.kernels.swap_search import Landscape, SwapPool
    from qubo_prune.problem import Problem, ReducedProblem
    from qubo_prune.stopping import Stop

_STARTS = 8
_OPERATIONS_PER_START = 5e7
_OPERATIONS_PER_CALL = 2e8


def starting_states(
    problem: Problem,
    num_states: int,
    seed: int,
    stop: Stop,
    warm_start: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Return up to `num_states` distinct feasible states of low energy, lowest first, shape (K', N).

    Deterministic in `seed`. `problem` must have at least one group. Stops early, with fewer or worse states, when `stop` says so.
    """
    from qubo_prune.kernels import swap_search
    from qubo_prune.spectrum import lexicographic_order

    reduced = problem.reduced()
    order = np.argsort(reduced.group_of, kind="stable")
    landscape = _landscape(reduced, order, seed)
    pool = _pool(num_states, len(order))
    random = np.array([seed % 2**64], np.uint64)
    n, ones = len(order), int(reduced.counts.sum())
    steps = int(max(20, min(10 * n, _OPERATIONS_PER_START / (n * ones))))
    y = np.zeros(n, np.bool_)
    for state in () if warm_start is None else warm_start:
        swap_search.tabu_search(landscape, pool, state[reduced.variables][order], 0, random)
    for start in range(_STARTS):
        if start == 0:
            swap_search.greedy_state(landscape, y)
        else:
            swap_search.random_state(landscape, random, y)
        swap_search.tabu_search(landscape, pool, y, steps, random)
        if stop.should_stop():
            break
    sources_per_call = int(max(1, _OPERATIONS_PER_CALL / (n * ones)))
    while not stop.should_stop() and swap_search.harvest(landscape, pool, sources_per_call):
        pass
    size = int(pool.size[0])
    ordered = unpack(pool.words[:size, :-1], n)
    free = np.empty_like(ordered)
    free[:, order] = ordered
    states = reduced.expand(free)
    energies = problem.energies(states)
    return states[lexicographic_order(states, energies)]


@cache
def warm_up(backend: type[Backend]) -> None:
    """Solve a tiny problem, once per process, so that the kernels of `backend` are loaded."""
    from qubo_prune.problem import Problem
    from qubo_prune.stopping import Stop

    backend.configured(threads=1).run(Problem(np.eye(4), 2), 1, Stop(), 0)


def nearest_feasible(problem: Problem, states: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Turn any states (K, N) into feasible ones by greedily adding and dropping the cheapest blocks; distinct, shape (K', N)."""
    repaired = states.copy()
    repaired[:, problem.fixed_removed] = True
    repaired[:, problem.fixed_kept] = False
    for group in problem.groups:
        indices = group.indices
        while True:
            excess = repaired[:, indices].sum(axis=1) - group.count
            wrong = np.flatnonzero(excess)
            if not wrong.size:
                break
            rows = repaired[wrong]
            # Cost of adding a block that is not removed, and minus the gain of keeping one that is.
            cost = problem.linear + np.diagonal(problem.hessian) + 2.0 * (rows @ problem.hessian)
            cost -= 2.0 * np.diagonal(problem.hessian) * rows
            sign = np.where(excess[wrong] > 0, -1.0, 1.0)[:, None]
            candidates = np.where(rows == (sign < 0), sign * cost, np.inf)[:, indices]
            chosen = indices[candidates.argmin(axis=1)]
            repaired[wrong, chosen] ^= True
    return np.unique(repaired, axis=0)


def _landscape(reduced: ReducedProblem, order: NDArray[np.int64], seed: int) -> Landscape:
    from qubo_prune.kernels.swap_search import Landscape

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


def _pool(capacity: int, num_variables: int) -> SwapPool:
    from qubo_prune.kernels.swap_search import SwapPool

    table = 1 << max(12, (16 * capacity - 1).bit_length())
    return SwapPool(
        np.full(capacity, np.inf),
        np.zeros((capacity, num_words(num_variables) + 1), np.uint64),
        np.zeros(1, np.int64),
        np.zeros(table, np.uint64),
        np.zeros(1, np.int64),
    )
