"""The tabu search beside a proof that has a time limit, so that one which is not finished by then
costs no states.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.search.starting_states import GoodStates

_ALONE = 1 / 8
"""Part of the limit that a proof has for itself: most need no more. A large one has none."""
_PREPARED = 1 / 4
"""Part of the limit after which shifts that are not ready say that a tree will not be either."""
_SHARE = 1 / 2
"""Part of the time that walks take until then, and later where the tree may be finished."""
_LARGE_SHARE = 15 / 16
"""Part of the time that they take where it will not."""
_TURN = 1 / 64
"""Part of the limit by which they lag behind before they go on."""
_LARGE = 200
"""Variables above which the shifts alone take long, so that there is no proof to be delayed."""
_STEPS, _STEP_SECONDS = 32, 6e-10
"""Steps that shifts take at least, and seconds of one over n^3: a decomposition."""


class Walks:
    """The very search of the `tabu` backend, round by round, in a share of the time.

    Once it has ended by itself, all the time is left to the proof, and no list of that backend is
    better. Without a time limit it never begins.

    Parameters
    ----------
    problem : Problem
        With at least one group.
    num_states : int
        How many states are wanted.
    seed : int
        Seed of every random choice.
    stop : Stop
        With or without a time limit.
    warm_start : ndarray of bool, shape (W, N), optional
        States that are known to be good.
    threads : int
        Threads at work.

    Attributes
    ----------
    unfinishable : bool
        Whether the tree will not be finished in time; to be set by whoever knows.
    """

    def __init__(
        self,
        problem: Problem,
        num_states: int,
        seed: int,
        stop: Stop,
        warm_start: NDArray[np.bool_] | None,
        threads: int,
    ) -> None:
        self._arguments = problem, num_states, seed, stop, warm_start, threads
        self._stop = stop
        self._tabu: GoodStates | None = None
        self._seconds = 0.0
        self._limit: float | None = None
        self._is_alone = True
        self.unfinishable = False

    def start(self, evaluations: int) -> GoodStates:
        """Walk for a round to start from, and for so many evaluations more, in a quarter of the
        time at most; return what walked: this search, if the problem is large; else one with half
        the walks. With no evaluations the proof has no need of more walks, then or later.

        Where the limit is too short for shifts, a large problem is walked on until the end.
        """
        problem, num_states, seed, stop, warm_start, threads = self._arguments
        self._limit = stop.time_limit if evaluations else None
        if self._limit is None or (n := sum(len(g.indices) for g in problem.groups)) <= _LARGE:
            good = GoodStates(problem, num_states, seed, stop, warm_start, threads)
            good.walk()
            if evaluations:
                good.walk_on(evaluations, stop.remaining / 4)
            return good
        begin = stop.elapsed
        good = self._tabu = GoodStates(*self._arguments, whole=True)
        self._is_alone = False
        good.walk()
        good.walk_on(evaluations, stop.remaining / 4)
        is_short = self._limit < _STEPS * _STEP_SECONDS * n**3
        while is_short and not (good.has_ended or stop.should_stop()):
            good.walk()
        self._seconds = stop.elapsed - begin
        return good

    @property
    def has_begun(self) -> bool:
        """Whether there are states of this search."""
        return self._tabu is not None

    @property
    def seconds_beside(self) -> float:
        """Seconds that went into anything else."""
        return self._stop.elapsed - self._seconds

    @property
    def due(self) -> bool:
        """Whether the walks lag behind by a turn."""
        limit = self._limit
        if limit is None or (self._tabu is not None and self._tabu.has_ended):
            return False
        elapsed = self._stop.elapsed
        alone = _ALONE * limit if self._is_alone else 0.0
        return elapsed > alone and self._seconds + _TURN * limit < self._share * elapsed

    def catch_up_while_preparing(self) -> bool:
        """Do so before there is a tree."""
        limit = self._limit
        self.unfinishable = limit is not None and self._stop.elapsed > _PREPARED * limit
        return self.catch_up()

    def catch_up(self) -> bool:
        """Walk until the share of the time is reached, if a turn is due; return whether states were
        found.
        """
        found = False
        if not self.due:
            return found
        if self._tabu is None:
            self._tabu = GoodStates(*self._arguments, whole=True)
        begin, before = self._stop.elapsed, self._seconds
        while not self._tabu.has_ended and self._seconds < self._share * self._stop.elapsed:
            if self._stop.should_stop():
                break
            found = self._tabu.walk() or found
            self._seconds = before + self._stop.elapsed - begin
        return found

    def states(self) -> NDArray[np.bool_]:
        """Return the states, (K', N), in any order; none before it has begun."""
        if self._tabu is None:
            return np.zeros((0, self._arguments[0].num_blocks), np.bool_)
        return self._tabu.states(in_order=False)

    @property
    def _share(self) -> float:
        return _LARGE_SHARE if self.unfinishable else _SHARE
