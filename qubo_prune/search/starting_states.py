"""Good states to start an exact search from: a few swap tabu walks, then completion of the spectrum
from their neighbourhoods.

Nothing here is proven; an exact engine only takes an upper bound on its K-th energy from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.search.kernels.landscape import random_state
from qubo_prune.search.swap_search import Lane, SwapSearch, default_steps

_STARTS = 8


def starting_states(
    problem: Problem,
    num_states: int,
    seed: int,
    stop: Stop,
    warm_start: NDArray[np.bool_] | None = None,
    *,
    in_order: bool = True,
) -> NDArray[np.bool_]:
    """Return up to `num_states` distinct feasible states of low energy, shape (K', N); `in_order`
    lowest first.

    Deterministic in `seed`. `problem` must have at least one group. Stops early, with fewer or
    worse states, when `stop` says so.
    """
    search = SwapSearch(problem, num_states, _STARTS, seed, stop, counted=False)
    if warm_start is not None:
        search.offer(search.variables_of(warm_start))
    steps = default_steps(search.num_variables)

    def work(lane: Lane) -> None:
        if lane.index == 0:
            lane.walker.y[:] = search.greedy_state
        else:
            random_state(search.landscape, lane.random, lane.walker.y)
        search.walk(lane, steps)

    search.run(work)
    search.complete()
    return search.states(in_order=in_order)
