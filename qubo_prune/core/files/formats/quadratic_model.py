"""What a file of a quadratic model holds, whatever its format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.memory import check_memory

MAX_VARIABLES = 16_384
"""Most variables of a file: a matrix of so many takes 2 GB, and a file of a few bytes could ask for
any number.
"""


@dataclass(frozen=True, eq=False)
class Counts:
    """Exactly `count` of the variables `indices` are 1.

    Attributes
    ----------
    label : str
        What the file calls this constraint.
    indices : (n,) int64
        Ascending positions of variables.
    count : int
        0 to n.
    """

    label: str
    indices: NDArray[np.int64]
    count: int


@dataclass(frozen=True, eq=False)
class AtLeast:
    """What the variables that are 1 weigh together is at least `amount`.

    Attributes
    ----------
    weights : (n,) float64
        What each variable weighs, 0 or more.
    amount : float
        What they have to reach.
    """

    weights: NDArray[np.float64]
    amount: float


@dataclass(frozen=True, eq=False)
class Model:
    """Minimise ``offset + x'Qx`` over binary x, with exact counts where the file states them, and
    a budget where it does.

    Attributes
    ----------
    matrix : (n, n) float64
        Q; linear terms are on the diagonal.
    offset : float
        The constant term; 0 where the format has none.
    labels : tuple of str or None
        What the file calls the variables; None where it only numbers them.
    counts : tuple of Counts
        Disjoint; together they hold every variable, or there are none.
    budget : AtLeast or None
        What the variables that are 1 have to weigh.
    """

    matrix: NDArray[np.float64]
    offset: float = 0.0
    labels: tuple[str, ...] | None = None
    counts: tuple[Counts, ...] = ()
    budget: AtLeast | None = None


def check_size(num_variables: int, where: str) -> None:
    """Refuse a model without variables or with too many; `where` names the file or its line."""
    if not 1 <= num_variables <= MAX_VARIABLES:
        raise InputError(
            f"{where} has {num_variables} variables, but 1 to {MAX_VARIABLES} are read; "
            "leave out or renumber some."
        )
    check_memory(2 * 8 * num_variables**2, f"{where}: a matrix of {num_variables:,} variables")


def exact_count(coefficients: Iterable[float], right: float, where: str) -> int:
    """Return the r of ``sum of n variables = r``, stated with any common factor."""
    factors = set(map(float, coefficients))
    factor = next(iter(factors), 0.0)
    count = float(right) / factor if factor else math.nan
    if len(factors) != 1 or not count.is_integer():
        raise InputError(
            f"{where} does not count variables; state exact counts, as x0 + x1 + x2 = 1."
        )
    return round(count)


def disjoint(counts: list[Counts], labels: list[str], where: str) -> tuple[Counts, ...]:
    """Return counts by their first variable; refuse variables in several of them, or in none
    although there are counts, and names that two of them share.
    """
    names = [each.label for each in counts]
    for name in names if len(set(names)) < len(names) else ():
        if names.count(name) > 1:
            raise InputError(f"{where}: two constraints are called {name!r}; rename one of them.")
    owner = np.full(len(labels), -1)
    for number, each in enumerate(counts):
        taken = each.indices[owner[each.indices] >= 0]
        if taken.size:
            raise InputError(
                f"{where}: variable {labels[taken[0]]!r} is in two constraints,"
                f" {counts[owner[taken[0]]].label!r} and {each.label!r}, but groups must be"
                " disjoint; leave one out."
            )
        owner[each.indices] = number
        if not 0 <= each.count <= len(each.indices):
            raise InputError(
                f"{where}: constraint {each.label!r} asks for {each.count} of {len(each.indices)}"
                " variables; correct it."
            )
    free = np.flatnonzero(owner < 0)
    if counts and free.size:
        raise InputError(
            f"{where}: variable {labels[free[0]]!r} is in no constraint, but each must be counted; "
            "add it to one, or leave out all constraints and give the number to remove."
        )
    return tuple(sorted(counts, key=lambda each: int(each.indices[0])))


def symmetric(
    linear: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return Q, (n, n), of ``sum_i linear_i x_i + sum_k values_k x_rows[k] x_columns[k]``, rows and
    columns different, each pair once.

    Halving is exact unless a value is below 1e-307.
    """
    matrix = np.zeros((len(linear), len(linear)))
    matrix[np.minimum(rows, columns), np.maximum(rows, columns)] = 0.5 * values
    matrix += matrix.T
    np.einsum("ii->i", matrix)[:] = linear
    return matrix


def from_spins(
    matrix: NDArray[np.float64], linear: NDArray[np.float64], offset: float
) -> tuple[NDArray[np.float64], float]:
    """Turn ``offset + linear's + s'Js`` over spins of -1 and 1, J = `matrix` with a zero diagonal,
    into Q and its offset over 0 and 1.

    With s = 2x - 1: ``Q_ij = 4 J_ij``, ``Q_ii = 2 linear_i - 4 sum_j J_ij`` and ``offset + sum J -
    sum linear``.
    """
    binary = 4.0 * matrix
    np.einsum("ii->i", binary)[:] = 2.0 * linear - 4.0 * matrix.sum(axis=1)
    return binary, float(offset + matrix.sum() - linear.sum())


def upper_terms(
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return rows, columns and values of the nonzero entries above the diagonal, row by row."""
    rows, columns = np.nonzero(np.triu(matrix, 1))
    return rows, columns, matrix[rows, columns]


def plain_labels(labels: Sequence[str]) -> tuple[str, ...] | None:
    """Return labels, or None if they only number the variables 0, 1, 2..."""
    return None if list(labels) == [str(i) for i in range(len(labels))] else tuple(labels)
