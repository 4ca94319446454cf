"""What an exact engine may claim once nothing is left to be searched."""

from __future__ import annotations

import numpy as np

from qubo_prune.core.problem.problem import Problem


def claims_when_done(problem: Problem, wanted: int, found: int) -> tuple[int, float]:
    """Return how many of the states found are proven to be the lowest, and the bound on all others:
    `num_complete` and `lower_bound` of a `RawResult`.

    Parameters
    ----------
    problem : Problem
        What was searched.
    wanted : int
        How many states were sought.
    found : int
        How many were found. Where that is less, a budget leaves no more; without one, somebody
        dropped some, and `solve` will say so.

    Examples
    --------
    >>> problem = Problem(np.eye(4), 2, weights=[1, 2, 3, 4], at_least=7)
    >>> claims_when_done(problem, 6, 1)
    (1, inf)
    """
    if problem.budget is None or found >= wanted:
        return wanted, -np.inf
    return found, np.inf
