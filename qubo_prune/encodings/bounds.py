"""Lower bounds on the energies of states with other counts, in closed form: what a penalty has to
make up for.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.energy import rounding_bound
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.problem.reduced import ReducedProblem

MAX_COUNTS = 100_000
"""Most vectors of counts, one count for each group, that are looked at one by one."""

_LARGEST_SPECTRUM = 2_000
"""Variables up to which eigenvalues are computed; above, they would take minutes."""

_CONDITION = 1e4
"""Condition number of the shifted matrix, so that rounding errors of its inverse stay far below
`_SLACK`.
"""

_SLACK = 1e-6
"""Part of the magnitude of a bound that is given away to rounding errors."""


def num_counts(reduced: ReducedProblem) -> int:
    """Return how many vectors of counts there are, the right one included."""
    total = 1
    for size in np.bincount(reduced.group_of).tolist():
        total *= size + 1
    return total


def other_counts(reduced: ReducedProblem) -> NDArray[np.int64]:
    """Return every vector of counts but the right one, shape (num, num_groups)."""
    sizes = np.bincount(reduced.group_of).tolist()
    wrong = [
        counts
        for counts in product(*(range(size + 1) for size in sizes))
        if counts != tuple(reduced.counts.tolist())
    ]
    return np.array(wrong, np.int64)


def lower_bounds(
    reduced: ReducedProblem, counts: NDArray[np.int64], sign: float = 1.0
) -> NDArray[np.float64]:
    """Return for each vector of counts (num, num_groups) a number that no ``sign * y'Qy`` with so
    many variables of each group lies below.

    The better of two bounds. *Rows*: variable i contributes at least Q_ii and the smallest Q_ij of
    as many others as there are. *Plane*: for any u with A = Q - diag u positive definite, ``y'Qy =
    y'Ay + u'y`` on binary y, and the minimum of the right-hand side over all real y with the right
    sums per group has a closed form.
    """
    matrix = sign * reduced.matrix
    return np.maximum(_rows(matrix, reduced, counts), _plane(matrix, reduced, counts))


def lowest_of_all(reduced: ReducedProblem) -> float:
    """Return a number that no y'Qy lies below, whatever y."""
    off = np.minimum(reduced.matrix, 0.0)
    np.einsum("ii->i", off)[:] = 0.0
    return float(np.minimum(np.diagonal(reduced.matrix) + off.sum(axis=1), 0.0).sum())


def rounding(problem: Problem) -> float:
    """Return a bound on the rounding errors of a few energies of the problem and of the sums of the
    bounds here.
    """
    return 8.0 * rounding_bound(problem.hessian, problem.linear)


def _rows(
    matrix: NDArray[np.float64], reduced: ReducedProblem, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    groups = [np.flatnonzero(reduced.group_of == g) for g in range(reduced.num_groups)]
    # Sums of the m smallest entries of a row within a group, for each m.
    sums = []
    for members in groups:
        part = matrix[:, members].copy()
        part[members, np.arange(len(members))] = np.inf
        part.sort(axis=1)
        part[np.isinf(part)] = 0.0  # the variable itself, last in its own group and never asked for
        sums.append(np.pad(np.cumsum(part, axis=1), ((0, 0), (1, 0))))
    bounds = np.zeros(len(counts))
    every = np.arange(len(matrix))
    for number, count in enumerate(counts):
        if not count.any():
            continue
        least = np.diagonal(matrix).copy()
        for group, members in enumerate(groups):
            others = np.full(len(matrix), count[group])
            others[members] = np.maximum(others[members] - 1, 0)
            least += sums[group][every, others]
        bounds[number] = sum(
            np.sort(least[members])[: count[group]].sum() for group, members in enumerate(groups)
        )
    return bounds


def _plane(
    matrix: NDArray[np.float64], reduced: ReducedProblem, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    if len(matrix) > _LARGEST_SPECTRUM:
        return np.full(len(counts), -np.inf)
    diagonal = np.diagonal(matrix)
    scale = diagonal if diagonal.min() > 0 else np.ones(len(matrix))
    roots = np.sqrt(scale)
    eigenvalues = np.linalg.eigvalsh(matrix / np.outer(roots, roots))
    room = np.abs(eigenvalues).max() / _CONDITION
    if room == 0.0:
        return np.zeros(len(counts))
    shift = (eigenvalues[0] - room) * scale
    membership = (reduced.group_of[:, None] == np.arange(reduced.num_groups)).astype(np.float64)
    solved = np.linalg.solve(matrix - np.diag(shift), np.column_stack([membership, shift]))
    gram = membership.T @ solved[:, :-1]
    centred = counts + 0.5 * (membership.T @ solved[:, -1])
    quadratic = np.einsum("kg,kg->k", centred, np.linalg.solve(gram, centred.T).T)
    constant = 0.25 * float(shift @ solved[:, -1])
    # min of y'Ay + u'y with the right sums: (k + b)'M^-1(k + b) - u'A^-1u / 4, with M = B A^-1 B'
    # and b = B A^-1 u / 2.
    return np.asarray(quadratic - constant - _SLACK * (quadratic + abs(constant)))
