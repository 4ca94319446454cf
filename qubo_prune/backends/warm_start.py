"""Good states to start an exact search from: a few swap tabu walks, then completion of the spectrum from their neighbourhoods.

Nothing here is proven; an exact engine only takes an upper bound on its K-th energy from it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.swaps import group_order, make_landscape, make_pool, states_of

if TYPE_CHECKING:
    from qubo_prune.backends.base import Backend
    from qubo_prune.problem import Problem
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

    reduced = problem.reduced()
    order = group_order(reduced)
    landscape = make_landscape(reduced, seed)
    pool = make_pool(num_states, len(order))
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
    return states_of(pool, problem, reduced)


@cache
def warm_up(backend: type[Backend], **options: Any) -> None:
    """Solve a tiny problem, once per process, so that the kernels of `backend` with these options are loaded."""
    from qubo_prune.problem import Problem
    from qubo_prune.stopping import Stop

    backend.configured(**options).run(Problem(np.eye(4), 2), 1, Stop(), 0)


@cache
def load_energies() -> None:
    """Load the kernel behind `Problem.energies`, once per process."""
    from qubo_prune.problem import Problem

    Problem(np.eye(2), 1).energies([[True, False]])
