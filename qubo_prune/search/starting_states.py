"""Good states to start an exact search from: a few swap tabu walks, then completion of the spectrum
from their neighbourhoods; and more of the same while the exact search lasts.

Nothing here is proven; an exact engine only takes an upper bound on its K-th energy from it.
"""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.defaults import PATIENCE, WALKS
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.search.swap_search import TENURE, Lane, SwapSearch
from qubo_prune.search.tabu_walks import TabuWalks

_STARTS = 8


def with_margin(num_states: int, problem: Problem) -> int:
    """Return how many states to keep for a result of `num_states`: some more, since energies of
    walks are rounded.
    """
    return min(num_states + max(16, num_states // 8), problem.num_states)


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
    whole : bool
        Whether rounds are those of the `tabu` backend, with twice as many walks and a margin of
        states.
    """

    def __init__(
        self,
        problem: Problem,
        num_states: int,
        seed: int,
        stop: Stop,
        warm_start: NDArray[np.bool_] | None = None,
        threads: int = 1,
        *,
        whole: bool = False,
    ) -> None:
        self._search = search = SwapSearch(
            problem,
            with_margin(num_states, problem) if whole else num_states,
            WALKS if whole else _STARTS,
            seed,
            stop,
            threads,
            expanders=WALKS if whole else 1,
            counted=False,
        )
        known = np.zeros((0, search.num_variables), np.bool_)
        if warm_start is not None:
            given = search.variables_of(warm_start)
            search.offer(given)
            known = given if whole else known
        self._walks = TabuWalks(search, known, None, TENURE)
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
        while self._rounds and self._idle_rounds < PATIENCE:
            spent = self._search.num_evaluated
            if spent - self._first + spent / self._rounds > evaluations:
                break
            if self._search.stopped or self._search.has_all_states or time.monotonic() > end:
                break
            found = self.walk() or found
        return found

    @property
    def has_ended(self) -> bool:
        """Whether the last rounds found nothing, or nothing is left to be found."""
        return self._idle_rounds >= PATIENCE or self._search.has_all_states

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
