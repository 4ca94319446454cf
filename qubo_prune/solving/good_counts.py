"""Good states where any number of blocks may go: a quick look at each count, from the fewest on,
and swap tabu walks in those that hold the best.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.stopping import Stop
from qubo_prune.search.repair import Harvest
from qubo_prune.search.starting_states import starting_states

_PATIENCE = 4
"""The look ends after so many counts in a row that hold nothing new."""
_MOST_STATES = 1000
"""States that are kept of a count, at most."""
_SOURCES = 3
"""States of a count from which those of the next are sought."""


def good_states(
    problem: Problem,
    num_states: int,
    *,
    known: NDArray[np.bool_] | None = None,
    seed: int = 0,
    stop: Stop,
) -> NDArray[np.bool_]:
    """Return about the lowest states of a problem without a count, lowest first, where no proof is
    worth the time; deterministic in `seed`.

    Parameters
    ----------
    problem : Problem
        One whose `remove` is None.
    num_states : int
        How many.
    known : (W, N) bool, optional
        Feasible states to start from.
    seed : int
        Of the walks.
    stop : Stop
        Ends them early, with worse states.

    Examples
    --------
    >>> problem = Problem(np.diag([1.0, 2.0, 4.0, 8.0]), weights=[1, 1, 1, 9], at_least=2)
    >>> good_states(problem, 2, stop=Stop()).astype(int)
    array([[1, 1, 0, 0],
           [1, 0, 1, 0]])
    """
    good = GoodCounts(problem, min(num_states, problem.num_states), known, stop)
    good.walk(seed, stop)
    return good.states


class GoodCounts:
    """Good states of a problem without a count, and which counts they are of.

    Each count is descended into from the best states of the count before, with the cheapest block
    added, and from states that are known. The states are no proof of anything, but the energy of
    the K-th of them is one that the K-th lowest of all does not exceed.

    Parameters
    ----------
    problem : Problem
        One whose `remove` is None.
    num_states : int
        K.
    known : (W, N) bool, optional
        Feasible states to start from.
    stop : Stop
        Ends the look.

    Attributes
    ----------
    states : (K', N) bool
        The best, lowest first.
    highest : float
        Energy of the K-th; inf where there are fewer.
    by_count : dict of int to float
        Lowest energy found of each count that was looked at.

    Examples
    --------
    >>> problem = Problem(np.diag([1.0, 2.0, 4.0, 8.0]), weights=[1, 1, 1, 9], at_least=2)
    >>> good = GoodCounts(problem, 2, None, Stop())
    >>> good.highest, good.by_count[1], good.by_count[2]
    (5.0, 8.0, 3.0)
    """

    def __init__(
        self, problem: Problem, num_states: int, known: NDArray[np.bool_] | None, stop: Stop
    ) -> None:
        self._problem = problem
        self._num_states = num_states
        self.states = np.zeros((0, problem.num_blocks), np.bool_)
        self._energies = np.zeros(0)
        self.by_count: dict[int, float] = {}
        if known is not None:
            self._take(known)
        known = self.states[:_SOURCES]
        before = np.zeros((1, problem.num_blocks), np.bool_)
        idle = 0
        for count in problem.counts:
            if stop.should_stop() or (idle >= _PATIENCE and count > self._most_known()):
                break
            found = self._of_count(count, np.concatenate([before, known]), stop)
            before = found[:_SOURCES] if len(found) else before
            idle = 0 if self._take(found) else idle + 1

    @property
    def highest(self) -> float:
        """Energy of the K-th state; inf where there are fewer."""
        return float(self._energies[-1]) if len(self.states) == self._num_states else math.inf

    @property
    def best_count(self) -> int | None:
        """The count of the lowest state; None where there is none."""
        return int(self.states[0].sum()) if len(self.states) else None

    def walk(self, seed: int, stop: Stop) -> None:
        """Walk in every count that holds one of the states, and in those next to the best, until
        no other count does.
        """
        walked: set[int] = set()
        while not stop.should_stop():
            counts = set(self.states.sum(axis=1).tolist())
            best = self.best_count
            if best is not None:
                counts |= {best - 1, best + 1} & set(self._problem.counts)
            if not counts - walked:
                break
            for count in sorted(counts - walked):
                walked.add(count)
                each = self._problem.with_remove(count)
                if not each.groups:
                    self._take(_only_state(each))
                    continue
                wanted = min(self._num_states, each.num_states)
                own = self.states[self.states.sum(axis=1) == count]
                self._take(starting_states(each, wanted, seed, stop, own if len(own) else None))

    def _most_known(self) -> int:
        return max((int(state.sum()) for state in self.states), default=0)

    def _of_count(self, count: int, starts: NDArray[np.bool_], stop: Stop) -> NDArray[np.bool_]:
        """Return states of a count, lowest first; there may be none."""
        each = self._problem.with_remove(count)
        if not each.groups:
            return _only_state(each)
        harvest = Harvest(each, min(self._num_states, _MOST_STATES))
        harvest.add(starts, stop)
        states = harvest.states()
        return states[each.is_feasible(states)]

    def _take(self, states: NDArray[np.bool_]) -> bool:
        """Keep what is good of some states; return whether anything new is."""
        if not len(states):
            return False
        energies = self._problem.energies(states)
        for count in np.unique(states.sum(axis=1)).tolist():
            lowest = float(energies[states.sum(axis=1) == count].min())
            self.by_count[count] = min(lowest, self.by_count.get(count, math.inf))
        before = self.highest
        states = np.concatenate([self.states, states])
        energies = np.concatenate([self._energies, energies])
        states, first = np.unique(states, axis=0, return_index=True)
        order = lexicographic_order(states, energies[first])[: self._num_states]
        self.states, self._energies = states[order], energies[first][order]
        return self.highest < before or not math.isfinite(before)


def _only_state(problem: Problem) -> NDArray[np.bool_]:
    """Return the state of a problem that leaves no choice, (1, N)."""
    return problem.state(problem.fixed_removed)[None]
