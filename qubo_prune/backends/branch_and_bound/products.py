"""Entries that may be left out between free variables, because products are not negative.

No product ``x_i x_j`` is negative, so ``x'Qx >= x'(Q - S)x`` for every S >= 0. With the right S the
convex relaxation of the right-hand side, by diagonal shifts, has a far higher bound where Q has
many zeros or much noise. The best S is the multiplier of ``X >= 0`` in the doubly non-negative
relaxation over Y = (1, x)(1, x)':

    minimise <Q, X>  subject to  Y >= 0 semidefinite, X >= 0, diag X = x, the counts.

It is solved about, by alternating directions (Oliveira, Wolkowicz and Xu 2018): any S >= 0 that
comes of it is valid, and what it does for a bound is proven by the shifts that go with it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_STEPS = 150
_RELAXATION = 1.6
_BALANCE_EVERY, _BALANCE, _UNBALANCED = 10, 1.3, 5.0
"""The weight of the penalty is adapted where one of the residuals is so many times the other."""
_SMALLEST = 1e-4
"""Size of a row, over that of the largest one, below which it does not matter."""
_NEGLIGIBLE = 1e-7
"""Multipliers below so many times the largest entry are rounding, and left out."""


def product_multipliers(
    matrix: NDArray[np.float64],
    group_of: NDArray[np.int64],
    counts: NDArray[np.int64],
    should_stop: Callable[[], bool],
) -> NDArray[np.float64]:
    """Return S, symmetric and nowhere negative, with which the relaxation of ``Q - S`` has about
    the highest bound.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, n)
        Q, symmetric.
    group_of : ndarray of int64, shape (n,)
        Group of each variable.
    counts : ndarray of int64, shape (g,)
        How many variables of each group are 1.
    should_stop : callable
        Asked between steps; what there is by then is returned.

    Examples
    --------
    >>> triangle = np.ones((3, 3)) - np.eye(3)
    >>> multipliers = product_multipliers(triangle, np.zeros(3, int), np.array([1]), lambda: False)
    >>> bool((multipliers >= 0.0).all()), bool((multipliers == multipliers.T).all())
    (True, True)
    """
    largest = float(np.abs(matrix).max(initial=0.0))
    if largest == 0.0:
        return np.zeros_like(matrix)
    # Rows of very different sizes are brought to one: Y~ = D Y D with D = diag(1, sizes).
    scaled = matrix / largest
    sizes = np.sqrt(np.abs(np.diagonal(scaled)) + np.linalg.norm(scaled, axis=1))
    sizes = np.maximum(sizes / sizes.max(), _SMALLEST)
    outer = np.outer(sizes, sizes)
    scaled /= outer
    unit = float(np.abs(scaled).max())
    with threadpool_limits(1, user_api="blas"):
        dual = _dual(scaled / unit, sizes, _count_directions(group_of, counts, sizes), should_stop)
    multipliers = np.maximum(dual + dual.T, 0.0) * (0.5 * unit * outer)
    np.fill_diagonal(multipliers, 0.0)
    multipliers[multipliers < _NEGLIGIBLE] = 0.0
    return multipliers * largest


def _count_directions(
    group_of: NDArray[np.int64], counts: NDArray[np.int64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return an orthonormal basis of what a scaled Y has to be orthogonal to: (-r_g, 1_g) for each
    group.
    """
    rows = np.zeros((len(sizes) + 1, len(counts)))
    rows[0] = -counts
    rows[1 + np.arange(len(sizes)), group_of] = 1.0 / sizes
    basis, _ = np.linalg.qr(rows)
    return np.asarray(basis)


def _dual(
    matrix: NDArray[np.float64],
    sizes: NDArray[np.float64],
    counts: NDArray[np.float64],
    should_stop: Callable[[], bool],
) -> NDArray[np.float64]:
    """Return the multipliers of the bounds on the entries of X, some of them negative, by
    alternating between the semidefinite Y and those in the bounds.
    """
    n = len(matrix)
    costs = np.zeros((n + 1, n + 1))
    costs[1:, 1:] = matrix
    most = np.outer(np.append(1.0, sizes), np.append(1.0, sizes))
    inside = np.zeros_like(costs)
    dual = np.zeros_like(costs)
    weight = 1.0
    for step in range(_STEPS):
        if should_stop():
            break
        definite = _semidefinite_part(_orthogonal(inside + dual / weight, counts))
        before = inside
        inside = _in_bounds(definite - (costs + dual) / weight, sizes, most)
        dual = dual + _RELAXATION * weight * (inside - definite)
        if step % _BALANCE_EVERY == _BALANCE_EVERY - 1:
            primal = float(np.linalg.norm(inside - definite))
            change = weight * float(np.linalg.norm(inside - before))
            if primal > _UNBALANCED * change:
                weight *= _BALANCE
            elif change > _UNBALANCED * primal:
                weight /= _BALANCE
    return np.asarray((costs + dual)[1:, 1:])


def _orthogonal(matrix: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P M P for the projection P onto what is orthogonal to a basis."""
    half = matrix - (matrix @ basis) @ basis.T
    return np.asarray(half - basis @ (basis.T @ half))


def _semidefinite_part(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest positive semidefinite matrix."""
    from scipy.linalg import eigh

    values, vectors = eigh(0.5 * (matrix + matrix.T), driver="evd", check_finite=False)
    kept = vectors[:, values > 0.0] * np.sqrt(values[values > 0.0])
    return np.asarray(kept @ kept.T)


def _in_bounds(
    matrix: NDArray[np.float64], sizes: NDArray[np.float64], most: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the nearest scaled Y with entries from 0 to `most`, a corner of 1 and diag X = x."""
    near = np.clip(0.5 * (matrix + matrix.T), 0.0, most)
    sides = 0.5 * (matrix[0, 1:] + matrix[1:, 0])
    diagonal = np.diagonal(matrix)[1:]
    x = np.clip((2.0 * sides + sizes * diagonal) / (2.0 * sizes + sizes**3), 0.0, 1.0)
    near[0, 0] = 1.0
    near[0, 1:] = near[1:, 0] = sizes * x
    np.einsum("ii->i", near)[1:] = sizes**2 * x
    return near
