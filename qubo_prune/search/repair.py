"""From the samples of a solver that ignores the constraint to feasible states: nearest feasible
ones, swap descent, and all neighbours met.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.stopping import Stop
from qubo_prune.core.validation import as_count, as_states
from qubo_prune.search.arrays import group_order, make_landscape, make_pool, make_walker, states_of
from qubo_prune.search.kernels.lifting import lift
from qubo_prune.search.kernels.swap_descent import descend

_MOVES_PER_CALL = 50


def repair(problem: Problem, states: ArrayLike, num_states: int = 100) -> NDArray[np.bool_]:
    """Return the lowest feasible states met on the way from any states to local minima.

    Each state is swapped to the nearest feasible one (`nearest_feasible`), then moved by the best
    swap until none helps; all neighbours evaluated on the way compete for the list.

    Parameters
    ----------
    problem : Problem
        What the states should satisfy.
    states : (K, N) or (N,) array_like of bool or 0/1
        Such as `decode` returns.
    num_states : int
        How many to return; fewer if fewer were met.

    Returns
    -------
    (K', N) bool
        Distinct and feasible, lowest first.

    Examples
    --------
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -2.0], [0.0, -2.0, 4.0]], remove=2)
    >>> repair(problem, [[1, 1, 1]], num_states=1)
    array([[False,  True,  True]])
    """
    num_states = as_count(num_states, "num_states", least=1, remedy="ask for one state or more")
    harvest = Harvest(problem, num_states)
    harvest.add(as_states(states, problem.num_blocks), Stop())
    return harvest.states()


class Harvest:
    """Collects samples of a solver, repairs them, and keeps count of what they were before.

    Parameters
    ----------
    problem : Problem
        What the samples should satisfy.
    num_states : int
        K: how many states are kept.
    repaired : bool
        Whether to repair; if not, feasible samples are kept and others dropped.
    """

    def __init__(self, problem: Problem, num_states: int, *, repaired: bool = True) -> None:
        self._problem = problem
        self._num_states = num_states
        self._repaired = repaired
        self._reduced = problem.reduced()
        self._order = group_order(self._reduced)
        self._landscape = make_landscape(self._reduced, seed=0)
        weighed = len(self._landscape.weights) > 0
        self._pool = make_pool(num_states, len(self._order), weighed=weighed)
        self._walker = make_walker(len(self._order), weighed=weighed)
        self._bare = np.zeros((0, problem.num_blocks), np.bool_)
        self._seen: set[bytes] = set()
        self._distinct: set[int] = set()
        self.num_samples = 0
        self.num_feasible = 0

    def add(
        self, states: NDArray[np.bool_], stop: Stop, times: NDArray[np.int64] | None = None
    ) -> None:
        """Take samples (K, N), each so many `times`, once by default; what `stop` leaves no time
        for is repaired but not improved.
        """
        feasible = self._problem.is_feasible(states)
        times = np.ones(len(states), np.int64) if times is None else times
        self.num_samples += int(times.sum())
        self.num_feasible += int(times[feasible].sum())
        self._distinct.update(hash(row.tobytes()) for row in states)
        bare = np.unique(np.concatenate([self._bare, states[feasible]]), axis=0)
        order = lexicographic_order(bare, self._problem.energies(bare))
        self._bare = bare[order][: self._num_states]
        if not self._repaired:
            return
        starts = []
        for row in nearest_feasible(self._problem, states):
            if row.tobytes() not in self._seen:
                self._seen.add(row.tobytes())
                starts.append(row[self._reduced.variables][self._order])
                self._walker.y[:] = starts[-1]
                descend(self._landscape, self._pool, self._walker, 0)
        for y in starts:
            self._walker.y[:] = y
            while not stop.should_stop(self.num_samples):
                moves = descend(self._landscape, self._pool, self._walker, _MOVES_PER_CALL)
                if moves < _MOVES_PER_CALL:
                    break

    def bare(self) -> NDArray[np.bool_]:
        """Return the lowest feasible samples as they were, distinct, lowest first."""
        return self._bare

    def states(self) -> NDArray[np.bool_]:
        """Return the states kept, distinct, lowest first, shape (K', N)."""
        if not self._repaired:
            return self._bare
        return states_of(self._pool, self._problem, self._reduced)

    def statistics(self, num_states: int) -> dict[str, float | int | str]:
        """Return what the samples were before repair.

        ``samples``, ``feasible_samples`` and ``feasible_fraction``; ``distinct_fraction``, which
        part of them differs from all others; ``bare_states``, how many are feasible and distinct,
        at most `num_states`; ``bare_listed``, how many of those are among the `num_states` lowest
        after repair; and ``bare_lowest_energy``, if there is one.
        """
        bare, kept = (
            {row.tobytes() for row in rows[:num_states]} for rows in (self._bare, self.states())
        )
        facts: dict[str, float | int | str] = {
            "samples": self.num_samples,
            "feasible_samples": self.num_feasible,
            "feasible_fraction": self.num_feasible / max(1, self.num_samples),
            "distinct_fraction": len(self._distinct) / max(1, self.num_samples),
            "bare_states": len(bare),
            "bare_listed": len(bare & kept),
        }
        if len(self._bare):
            facts["bare_lowest_energy"] = float(self._problem.energies(self._bare[0])[0])
        return facts


def nearest_feasible(problem: Problem, states: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Turn any states into feasible ones by greedily adding and dropping the cheapest blocks; with
    a budget, then by the cheapest swaps that raise the weight.

    Parameters
    ----------
    problem : Problem
        What the states should satisfy.
    states : (K, N) bool
        1 where a block is removed.

    Returns
    -------
    (K', N) bool
        Distinct, in no order that matters; feasible ones are unchanged.
    """
    repaired = _with_counts(problem, states)
    if problem.budget is not None:
        _reach(problem, repaired)
    return np.unique(repaired, axis=0)


def _reach(problem: Problem, states: NDArray[np.bool_]) -> None:
    """Lift those states with the right counts that miss the budget."""
    missing = np.flatnonzero(~problem.is_feasible(states))
    if not len(missing):
        return
    reduced = problem.reduced()
    columns = reduced.variables[group_order(reduced)]
    landscape = make_landscape(reduced, seed=0)
    walker = make_walker(len(columns), weighed=True)
    for row in missing:
        walker.y[:] = states[row, columns]
        lift(landscape, walker)
        states[row, columns] = walker.y


def _with_counts(problem: Problem, states: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the states with blocks added and dropped until the counts are right."""
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
    return repaired
