"""A budget as a price on weight: an objective for searches that only know counts.

A state that reaches the budget, ``w'y >= W``, pays for every ``price >= 0``

    E(y) >= E(y) - price (w'y - W),

so that bounds and screens may look at the right-hand side over all states with the right counts. It
is the objective with ``price * w`` taken off the diagonal and ``price * W`` put on the offset. As a
function of the price its minimum is concave; the best price makes light states dear enough that the
lowest one about reaches the budget.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.energy import read_only
from qubo_prune.core.problem.budget import Budget
from qubo_prune.core.problem.reduced import ReducedProblem
from qubo_prune.core.validation import sum_of_magnitudes
from qubo_prune.search.arrays import (
    binding_budget,
    group_order,
    make_landscape,
    make_pool,
    make_walker,
)
from qubo_prune.search.kernels.swap_descent import descend

_ROUNDS = 20
_OPERATIONS = 1e7
"""Of one descent, roughly."""
_RANDOM_STARTS, _LARGEST_CHEAP = 8, 400
"""States to start from besides, and the most variables with which they are."""
_LARGEST = 1e4
"""Terms of the price have to stay below so many times those of the objective, which they would
drown in rounding.
"""


def with_price(reduced: ReducedProblem, price: float) -> ReducedProblem:
    """Return the objective with a price on weight; as it is if that is 0.

    Every number is rounded so that the new objective lies below the formula: the diagonal twice
    downwards, the offset as well. So no state that reaches the budget has a higher energy than
    before, in exact arithmetic.

    >>> from qubo_prune import Problem
    >>> problem = Problem([[1.0, 0.0], [0.0, 2.0]], 1, weights=[1, 5], at_least=4)
    >>> priced = with_price(problem.reduced(), 0.5)
    >>> priced.energy([[1, 0], [0, 1]]).round(9).tolist()
    [1.5, 2.0]
    """
    budget = binding_budget(reduced)
    if budget is None or price == 0.0:
        return reduced
    matrix = reduced.matrix.copy()
    diagonal = np.einsum("ii->i", matrix)
    diagonal[:] = np.nextafter(diagonal - np.nextafter(price * budget.weights, np.inf), -np.inf)
    allowed = np.nextafter(price * budget.at_least, -np.inf)
    return replace(
        reduced,
        matrix=read_only(matrix),
        offset=float(np.nextafter(reduced.offset + allowed, -np.inf)),
    )


def magnitude_of(reduced: ReducedProblem, price: float) -> float:
    """Return the sum of the magnitudes of the terms that a price adds."""
    budget = binding_budget(reduced)
    return 0.0 if budget is None else price * float(budget.weights.sum() + budget.at_least)


def price_of(reduced: ReducedProblem) -> float:
    """Return about the best price of the budget; 0 where it does not bind. It depends on nothing
    but the problem.

    Between a state that misses the budget and one that reaches it, the price at which both cost the
    same is tried: swap descents look for a state that costs less, which takes the place of the one
    on its side, until there is none.

    >>> from qubo_prune import Problem
    >>> price_of(Problem(np.diag([1.0, 2.0, 8.0]), 1, weights=[0, 1, 4], at_least=3).reduced())
    2.0
    """
    budget = binding_budget(reduced)
    if budget is None:
        return 0.0
    descent = _Descent(reduced, budget)
    light = descent.best(0.0, descent.starts())
    heavy = descent.heaviest()
    price = 0.0
    for _ in range(_ROUNDS):
        gain = descent.weight(heavy) - descent.weight(light)
        if descent.weight(light) >= budget.at_least or gain <= 0:
            break
        price = max(0.0, (descent.energy(heavy) - descent.energy(light)) / gain)
        found = descent.best(price, [light, heavy, *descent.starts()])
        if not descent.cost(found, price) < descent.cost(light, price) - descent.tolerance:
            break
        if descent.weight(found) >= budget.at_least:
            heavy = found
        else:
            light = found
    largest = _LARGEST * sum_of_magnitudes(reduced.matrix)
    return min(price, largest / magnitude_of(reduced, 1.0))


class _Descent:
    """Swap descents at any price; states are in the order of the problem."""

    def __init__(self, reduced: ReducedProblem, budget: Budget) -> None:
        self._reduced = reduced
        self._order = group_order(reduced)
        self._weights = budget.weights
        self._landscape = make_landscape(replace(reduced, budget=None), seed=0)
        self.tolerance = self._landscape.tolerance
        n = len(self._order)
        self._walker = make_walker(n)
        self._moves = int(min(n, max(1.0, _OPERATIONS / n)))

    def lowest(self, price: float, start: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return where a descent from a state ends."""
        landscape = self._landscape
        diagonal = landscape.diagonal - price * self._weights[self._order]
        n = len(self._order)
        self._walker.y[:] = start[self._order]
        descend(landscape._replace(diagonal=diagonal), make_pool(1, n), self._walker, self._moves)
        end = np.empty(n, np.bool_)
        end[self._order] = self._walker.y
        return end

    def best(self, price: float, starts: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return the lowest end of the descents from some states."""
        ends = (self.lowest(price, start) for start in starts)
        return min(ends, key=lambda y: self.cost(y, price))

    def starts(self) -> list[NDArray[np.bool_]]:
        """Return states to start from, always the same: that of the smallest diagonal entries, and
        random ones where descents are cheap.
        """
        n = len(self._order)
        rng = np.random.default_rng(0)
        keys = rng.random((_RANDOM_STARTS if n <= _LARGEST_CHEAP else 0, n))
        return [self._first(each) for each in (np.diagonal(self._reduced.matrix), *keys)]

    def heaviest(self) -> NDArray[np.bool_]:
        """Return a state that weighs most."""
        return self._first(-self._weights)

    def weight(self, y: NDArray[np.bool_]) -> int:
        """Return what a state weighs."""
        return int(self._weights[y].sum())

    def energy(self, y: NDArray[np.bool_]) -> float:
        """Return the energy of a state."""
        return float(self._reduced.energy(y)[0])

    def cost(self, y: NDArray[np.bool_], price: float) -> float:
        """Return the energy of a state less the price of its weight."""
        return self.energy(y) - price * self.weight(y)

    def _first(self, keys: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the state of the smallest keys in each group."""
        y = np.zeros(len(keys), np.bool_)
        for group, count in enumerate(self._reduced.counts):
            members = np.flatnonzero(self._reduced.group_of == group)
            y[members[np.argsort(keys[members], kind="stable")[:count]]] = True
        return y
