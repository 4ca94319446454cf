"""What encodings of the counts alone cannot hold."""

from __future__ import annotations

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem


def refuse_budget(problem: Problem, what: str) -> None:
    """Refuse a problem with a budget where only counts can be told.

    Parameters
    ----------
    problem : Problem
        With a budget or without.
    what : str
        What holds counts only, such as ``a penalty form``.

    Raises
    ------
    InputError
        If there is a budget.
    """
    if problem.budget is not None:
        raise InputError(
            f"{what} cannot hold a budget, but the problem has at_least={problem.at_least!r}; leave"
            " the budget out, or solve the problem by a backend that takes one (qubo-prune"
            " backends)."
        )
