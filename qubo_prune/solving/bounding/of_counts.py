"""One relaxation for many counts.

Whether ``Q - diag(u) + c 11'`` is positive semidefinite does not depend on the count. So shifts
that are best for one count are right for every other, where a point of that count turns them into
a bound: some projected gradient steps instead of a semidefinite programme. A count that cannot
reach its budget with light blocks is bounded at a price of weight, which comes off the shifts as
well and so leaves that matrix as it is.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.encodings.relaxation.form import Form
from qubo_prune.encodings.relaxation.relaxed import relaxed_point
from qubo_prune.search.arrays import binding_budget
from qubo_prune.search.budget_price import price_of
from qubo_prune.solving.bounding.bound import Stages

_CLOSE = 1e-3
"""Part of the bound of the count that the shifts are made for which is not worth another stage."""
_FIRST_STEPS, _MORE_STEPS = 12, 100
"""Gradient steps: few where these are enough, from the point of the count before."""


class CountBounds:
    """Lower bounds for every count of a problem without one.

    Parameters
    ----------
    problem : Problem
        One whose `remove` is None.
    count : int
        The count that the shifts are made for, with free blocks removed and free ones kept.
    stop : Stop
        Ends their search; what there is by then is used.

    Examples
    --------
    >>> problem = Problem(np.full((9, 9), 1.0), weights=[1] * 9, at_least=3)
    >>> bounds = CountBounds(problem, 3, Stop())
    >>> bounds.bound(3) <= 9.0, 15.9 < bounds.bound(4) <= 16.0
    (True, True)
    """

    def __init__(self, problem: Problem, count: int, stop: Stop) -> None:
        self._problem = problem
        self._form = Form.of(problem.with_remove(count))
        stages = Stages(-math.inf, stop, math.inf, _CLOSE)
        stages.run(self._form)
        self._shifts = stages.shifts
        self._point = self._form.uniform if stages.point is None else stages.point

    def bound(self, count: int, enough: float = math.inf, stop: Stop | None = None) -> float:
        """Return a number that no state lies below that removes so many blocks and reaches the
        budget.

        Parameters
        ----------
        count : int
            One of those of the problem.
        enough : float
            A bound above it is as good as any.
        stop : Stop, optional
            Cuts the steps short, with a lower bound.
        """
        stop = stop or Stop()
        if self._shifts is None:
            return -math.inf
        each = self._problem.with_remove(count)
        if not each.groups:
            return float(each.energies(each.state(each.fixed_removed))[0])
        counts = [group.count for group in each.groups]
        form = replace(self._form, counts=counts)
        value = self._bound(form, self._shifts, enough, stop)
        reduced = each.reduced()
        budget = None if value > enough else binding_budget(reduced)
        if budget is None or float(self._point @ budget.weights) >= budget.at_least:
            return value
        price = price_of(reduced)
        form = Form.of(each, price)
        ratio = self._form.scale / form.scale  # a power of two, as are the penalties
        form = replace(form, penalty=self._form.penalty * ratio)
        shifts = form.certain_shifts(self._shifts * ratio - price / form.scale * budget.weights)
        return value if shifts is None else max(value, self._bound(form, shifts, enough, stop))

    def _bound(self, form: Form, shifts: NDArray[np.float64], enough: float, stop: Stop) -> float:
        """Return the bound of a form by shifts that are certain, and keep its point."""
        value = -math.inf
        for steps in (_FIRST_STEPS, _MORE_STEPS):
            self._point = relaxed_point(
                form.matrix,
                shifts,
                form.members,
                form.counts,
                form.sizes,
                self._point,
                steps,
                stop.should_stop,
            )
            value = max(value, form.bound(shifts, self._point))
            if value > enough or stop.should_stop():
                break
        return value
