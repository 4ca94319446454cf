"""What the proof of a solver is worth that calculates with tolerances.

Such a solver says: no solution that I do not list has an objective below b. Read literally, that
would be wrong now and then in the last digits: its variables may be off by its feasibility
tolerance, its reduced costs by its optimality tolerance, and states that differ by less are equal
to it. A bound is therefore lowered by a margin that covers these, and only states strictly below
what is left count as proven.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import RawResult
from qubo_prune.core.kernels.energy import rounding_bound
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.problem.reduced import ReducedProblem
from qubo_prune.search.arrays import binding_budget

TIED = "more states lie up to the last one, or tie with it, than max_ties allows to collect"


def scale_of(matrix: NDArray[np.float64]) -> float:
    """Return what to divide an objective by: tolerances of solvers are absolute, for entries of
    order 1.
    """
    return float(np.abs(matrix).max()) or 1.0


def energy_margin(
    problem: Problem,
    reduced: ReducedProblem,
    matrix: NDArray[np.float64],
    tolerance: float,
    columns: int,
) -> float:
    """Return by how much a solver's bound on an energy may be too high.

    Parameters
    ----------
    problem, reduced : Problem, ReducedProblem
        What is solved.
    matrix : (n, n) float64
        The objective, unscaled: that of `reduced`, or with penalties in it.
    tolerance : float
        The larger of the feasibility and optimality tolerances of the solver, whose objective is
        ``matrix / scale_of(matrix)``.
    columns : int
        Number of variables of the solver, each between 0 and 1.

    Returns
    -------
    float
        ``tolerance * (2 sum |Q_ij| + columns * scale)`` for variables and reduced costs that are
        off by `tolerance`, plus the rounding errors of the energies themselves.
    """
    magnitude = 2.0 * float(np.abs(matrix).sum()) + columns * scale_of(matrix)
    active = np.concatenate([problem.fixed_removed, reduced.variables])
    rounding = rounding_bound(problem.hessian[np.ix_(active, active)], problem.linear[active])
    return tolerance * magnitude + 4.0 * rounding


class Row(NamedTuple):
    """The inequality ``coefficients'y >= at_least``."""

    coefficients: NDArray[np.float64]
    at_least: float


def budget_row(reduced: ReducedProblem, tolerance: float) -> Row | None:
    """Return a budget as a solver takes it, so loose that tolerances cut off no state that reaches
    it; None if every state with the right counts does.

    Coefficients are at most 1. A solver may be off by `tolerance` in each variable, drop what is
    smaller than that, and round, so the right-hand side is lowered by twice as much for each
    variable; but by half a unit at least, since weights are whole numbers. Between that and the
    budget lie no states where weights are small. Where they are large there may be some, which
    solvers then return as solutions and `Problem.is_feasible` sorts out: a bound on all others is
    one on those that reach the budget as well.
    """
    budget = binding_budget(reduced)
    if budget is None:
        return None
    largest = float(budget.weights.max())
    slack = max(0.5, 2.0 * tolerance * len(budget.weights) * largest)
    return Row(budget.weights / largest, (budget.at_least - slack) / largest)


def proven_result(
    problem: Problem, states: NDArray[np.bool_], bound: float, margin: float, **fields: Any
) -> RawResult:
    """Return a result that claims no more than the solver's bound less the margin.

    Parameters
    ----------
    problem : Problem
        What was solved.
    states : (K, N) bool
        Distinct and feasible.
    bound : float
        No other feasible state has an energy below it, says the solver.
    margin : float
        What `energy_margin` gives.
    **fields
        The other fields of the result.
    """
    if len(states) == problem.num_states:
        return RawResult(states, len(states), np.inf, **fields)
    outside = bound - margin
    complete = int(np.count_nonzero(problem.energies(states) < outside))
    return RawResult(states, complete, outside, **fields)
