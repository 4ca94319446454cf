"""A budget: blocks of different sizes, and how much of them a state has to remove."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.constraint import Constraint
from qubo_prune.core.text import format_value, plural
from qubo_prune.core.validation import as_finite_float, as_percentage, as_remove, frozen

_MOST = 2**53
"""Above the sum of all weights, so that a sum of them is exact in float64 as well."""


@dataclass(frozen=True, eq=False)
class Budget:
    """What the removed blocks weigh is at least so much: ``w'x >= at_least``.

    Weights are whole numbers of a unit, so that a state is inside or outside whoever adds them up,
    in any order.

    Attributes
    ----------
    weights : (N,) int64
        What each block weighs, at least 0.
    at_least : int
        What a state has to remove.
    unit : float
        One of them in the unit of the weights as given: 1, or a power of ten.
    """

    weights: NDArray[np.int64]
    at_least: int
    unit: float

    def removed(self, states: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return what each row of `states` (K, N) removes, as (K,) int64."""
        return np.asarray(states.astype(np.int64) @ self.weights, np.int64)

    def allows(self, states: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell for each row of `states` (K, N) whether it removes enough."""
        return np.asarray(self.removed(states) >= self.at_least, np.bool_)

    @property
    def total(self) -> int:
        """What all blocks weigh."""
        return int(self.weights.sum())

    def of_free(self, variables: NDArray[np.int64], fixed_removed: NDArray[np.int64]) -> Budget:
        """Return what is left for `variables` where `fixed_removed` are removed in any case."""
        left = self.at_least - int(self.weights[fixed_removed].sum())
        return replace(self, weights=frozen(self.weights[variables]), at_least=left)

    def amount(self, units: int) -> float:
        """Return so many units in the unit of the weights as given.

        Examples
        --------
        >>> Budget(np.array([1, 2]), at_least=3, unit=0.1).amount(3)
        0.3
        """
        # Not a product: 3 times 0.1 is not 0.3 in floats.
        return units * round(self.unit) if self.unit >= 1 else units / round(1 / self.unit)

    def at_fewest(self, constraint: Constraint) -> Constraint:
        """Return a constraint of any count from the fewest blocks on that can reach this; one at
        least.
        """
        fixed = constraint.fixed_removed
        reached = int(self.weights[fixed].sum())
        groups = []
        for group in constraint.groups:
            count = 0 if len(fixed) else 1
            sums = reached + np.cumsum(np.sort(self.weights[group.indices])[::-1])
            if reached < self.at_least:
                count = min(int(np.searchsorted(sums, self.at_least)) + 1, len(sums))
            groups.append(replace(group, count=count))
        return replace(constraint, groups=tuple(groups))

    def require_reachable(self, constraint: Constraint) -> None:
        """Refuse a budget that no state with these counts reaches."""
        most = int(self.weights[constraint.fixed_removed].sum())
        for group in constraint.groups:
            most += int(np.sort(self.weights[group.indices])[::-1][: group.count].sum())
        if most < self.at_least:
            raise InputError(
                f"at_least is {self.amount(self.at_least):g}, but the heaviest"
                f" {plural(constraint.num_removed, 'block')} that may be removed weigh"
                f" {self.amount(most):g}; remove more blocks or ask for less."
            )


def make_budget(
    at_least: float | str | None, weights: Sequence[float] | None, num_blocks: int
) -> Budget | None:
    """Return the budget of checked inputs.

    Weights that are no whole numbers count as the decimals that they are written with, so that 0.1
    and 0.2 reach 0.3. Where the sum takes more than 53 bits, the last decimals of weights are
    rounded down and those of `at_least` up: whatever is allowed reaches it in truth.

    Parameters
    ----------
    at_least : float or str, optional
        In the unit of `weights`, or a share of their sum, ``"20%"``; no budget without.
    weights : sequence of float, optional
        What each block weighs, at least 0.
    num_blocks : int
        N.

    Raises
    ------
    InputError
        If a number is negative, infinite or none, or the weights are missing or not one per block.

    Examples
    --------
    >>> budget = make_budget("50%", [0.1, 0.2, 0.3], 3)
    >>> budget.weights.tolist(), budget.at_least, budget.unit
    ([1, 2, 3], 3, 0.1)
    """
    if at_least is None:
        return None
    if weights is None:
        raise InputError(
            f"at_least={at_least!r} needs to know what each block weighs; pass weights=[...], one"
            " per block, or a file whose sidecar has parameter_counts."
        )
    given = [_as_weight(weight) for weight in weights]
    if len(given) != num_blocks:
        raise InputError(
            f"weights must have one entry per block, {num_blocks}, not {len(given)};"
            " give one for each."
        )
    total = sum(given, Fraction(0))
    wanted = _as_amount(at_least, total)
    digits = max((_decimals(weight) for weight in given), default=0)
    while total * Fraction(10) ** digits >= _MOST:
        digits -= 1
    scale = Fraction(10) ** digits
    return Budget(
        weights=frozen(np.array([math.floor(weight * scale) for weight in given], np.int64)),
        at_least=math.ceil(wanted * scale),
        unit=float(1 / scale),
    )


def as_asked(
    remove: int | Mapping[str, int] | None, budget: Budget | None
) -> int | dict[str, int] | None:
    """Return the requested counts; None, for any number of blocks, only where there is a budget."""
    if remove is not None:
        return as_remove(remove)
    if budget is None:
        raise InputError(
            "remove must be an integer, not None, where there is no budget; give how many blocks"
            " go, or what they weigh as at_least, or both."
        )
    return None


def _as_weight(value: object) -> Fraction:
    number = as_finite_float(value, "an entry of weights")
    if number < 0:
        raise InputError(
            f"an entry of weights must be at least 0, not {number:g}; a block that is removed frees"
            " something or nothing."
        )
    return _exactly(value, number)


def _as_amount(at_least: object, total: Fraction) -> Fraction:
    if isinstance(at_least, str):
        return as_percentage(at_least, "at_least") / 100 * total
    number = as_finite_float(at_least, "at_least")
    if number < 0:
        raise InputError(
            f"at_least must be at least 0, not {format_value(at_least)}; leave it out for no"
            " budget."
        )
    return _exactly(at_least, number)


def _exactly(value: object, number: float) -> Fraction:
    """Return whole numbers as they are, others as the shortest decimals that are read as them."""
    if isinstance(value, int | np.integer):
        return Fraction(int(value))
    return Fraction(Decimal(repr(number)))


def _decimals(number: Fraction) -> int:
    """Return how many decimals a number takes that came from some."""
    digits = 0
    while number.denominator != 1:
        number *= 10
        digits += 1
    return digits
