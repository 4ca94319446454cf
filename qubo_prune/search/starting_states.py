"""Good states to start an exact search from: a few swap tabu walks, then completion of the spectrum
from their neighbourhoods; and more of the same while the exact search lasts.

Nothing here is proven; an exact engine only takes an upper bound on its K-th energy from it.
"""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.search.swap_search import TENURE, Lane, SwapSearch
from qubo_prune.search.tabu_walks import TabuWalks

_STARTS = 8
_PATIENCE = 5
"""Rounds in a row without a new state after which no more are walked."""


class GoodStates:
    """The best states that swap tabu walks have met so far; deterministic in the seed.

    Parameters
    ----------
    problem : Problem
        With at least one group.
    num_states : int
        How many states are kept.
    seed : int
        Seed of every random choice.
    stop : Stop
        Watched while walks run.
    warm_start : ndarray of bool, shape (W, N), optional
        States that are known to be good.
    threads : int
        Threads at work; the states do not depend on it.
    """

    def __init__(
        self,
        problem: Problem,
        num_states: int,
        seed: int,
        stop: Stop,
        warm_start: NDArray[np.bool_] | None = None,
        threads: int = 1,
    ) -> None:
        self._search = search = SwapSearch(
            problem, num_states, _STARTS, seed, stop, threads, counted=False
        )
        if warm_start is not None:
            search.offer(search.variables_of(warm_start))
        none = np.zeros((0, search.num_variables), np.bool_)
        self._walks = TabuWalks(search, none, None, TENURE)
        self._rounds = self._idle_rounds = 0
        self._first = 0

    def walk(self) -> bool:
        """Walk for a round; return whether states were found."""
        number = self._rounds

        def work(lane: Lane) -> None:
            self._walks.work(number, lane)

        found = self._search.run(work)
        self._walks.after_round()
        found += self._search.complete()
        self._rounds += 1
        self._idle_rounds = 0 if found else self._idle_rounds + 1
        if not number:
            self._first = self._search.num_evaluated
        return found > 0

    def walk_on(self, evaluations: int, seconds: float = math.inf) -> bool:
        """Walk for as many rounds more as fit into so many evaluations in all, those of the first
        round left out, and begin none after so many seconds; return whether states were found. No
        more come once some rounds in a row found none.
        """
        found = False
        end = time.monotonic() + seconds
        while self._rounds and self._idle_rounds < _PATIENCE:
            spent = self._search.num_evaluated
            if spent - self._first + spent / self._rounds > evaluations:
                break
            if self._search.stopped or self._search.has_all_states or time.monotonic() > end:
                break
            found = self.walk() or found
        return found

    def states(self, *, in_order: bool = True) -> NDArray[np.bool_]:
        """Return the states, (K', N); `in_order` lowest first."""
        return self._search.states(in_order=in_order)


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
    good = GoodStates(problem, num_states, seed, stop, warm_start)
    good.walk()
    return good.states(in_order=in_order)
