"""Convex relaxations: diagonal shifts u that make the objective convex where it matters.

On binary points ``x_i^2 = x_i``, so ``x'Qx = x'(Q - diag u)x + u'x`` for every u. The right-hand
side is convex along all directions that keep the counts (the subspace orthogonal to each group's
ones) if ``P (Q - diag u) P >= 0``. The larger u, the closer to linear and the tighter the
relaxation, so u solves the diagonal semidefinite programme

    maximise sum_i u_i   subject to   P (Q - diag u) P >= 0

for the variables that are still free at a depth. With the fixed branching order these sets are
nested, one per depth, and the solution of one depth is strictly feasible for the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from qubo_prune.core.validation import row_slices

_PENALTY = 1e3
_BARRIER_STEP = 0.25
_RELATIVE_GAP = 2e-2
_MAX_NEWTON = 200
_MAX_SEMIDEFINITE = 1000
"""Largest number of variables for which the semidefinite programme is solved; above, cubic work
would break time limits.
"""


def diagonal_shifts(
    matrix: NDArray[np.float64],
    group_of: NDArray[np.int64],
    stride: int,
    should_stop: Callable[[], bool],
    root: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return valid shifts for every `stride`-th depth of the branching order.

    The shifts of a depth are valid below it as well, so a node whose first free position is p uses
    row ``p // stride``.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, n)
        Q, symmetric, in branching order.
    group_of : ndarray of int64, shape (n,)
        Group of each variable.
    stride : int
        Distance of the depths solved for; a smaller one gives tighter bounds for more preparation.
    should_stop : callable
        Asked between Newton steps; once it says so, whatever is feasible by then is returned.
    root : ndarray of float64, shape (n,), optional
        Valid shifts for depth 0 where they are known, as from another order: whether they are does
        not depend on the order.

    Returns
    -------
    ndarray of float64, shape (ceil(n / stride), n)
        Row s holds u for the variables ``s * stride`` and later (0 before).
    """
    n = len(matrix)
    if n > _MAX_SEMIDEFINITE:
        return np.tile(_dominance_shift(matrix), (-(-n // stride), 1))
    depths = range(0, n, stride)
    shifts = np.zeros((len(depths), n))
    scale = float(np.abs(matrix).max(initial=0.0)) or 1.0
    scaled = matrix / scale
    current: NDArray[np.float64] | None = None
    barrier = 1.0
    # On matrices of this size more BLAS threads cost more than they give, and stall on a busy
    # machine.
    with threadpool_limits(1, user_api="blas"):
        for row, depth in enumerate(depths):
            start = None if current is None else current[stride:]
            if depth == 0 and root is not None:
                current, barrier = root / scale, 0.0
            else:
                current, barrier = _solve(
                    scaled[depth:, depth:], group_of[depth:], start, max(barrier, 1e-3), should_stop
                )
            shifts[row, depth:] = current
    shifts *= scale
    if root is not None:
        shifts[0] = root
    return shifts


def _dominance_shift(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return shifts that leave a diagonally dominant, hence convex, matrix: cheap and weak."""
    diagonal = np.diagonal(matrix)
    sums = [np.abs(matrix[rows]).sum(axis=1) for rows in row_slices(len(matrix))]
    others = np.concatenate(sums) - np.abs(diagonal)
    shift: NDArray[np.float64] = diagonal - others * (1.0 + 4 * len(matrix) * 2.0**-53)
    return shift


def _solve(
    matrix: NDArray[np.float64],
    group_of: NDArray[np.int64],
    start: NDArray[np.float64] | None,
    barrier: float,
    should_stop: Callable[[], bool],
) -> tuple[NDArray[np.float64], float]:
    """Barrier method on ``sum u + mu logdet``; every iterate is feasible, so it can end
    anywhere.
    """
    n = len(matrix)
    ones, movable = _group_directions(group_of)
    u = np.zeros(n)
    size = int(movable.sum())
    if size == 0:
        return u, barrier
    penalised = matrix + _PENALTY * (ones @ ones.T)
    safety = 8 * n * np.finfo(float).eps * float(np.trace(np.abs(penalised)))
    if start is None:
        lowest = float(np.linalg.eigvalsh(penalised)[0])
        u[movable] = lowest - 0.1 - safety
    else:
        u[movable] = start[movable]
    for _ in range(_MAX_NEWTON):
        if should_stop():
            break
        step, decrement = _newton_step(penalised - np.diag(u), ones, movable, barrier)
        length = 1.0 if decrement < 0.3 else 1.0 / (1.0 + decrement)
        while length > 1e-6 and not _is_convex(penalised - np.diag(u + length * step), safety):
            length *= 0.5
        if length <= 1e-6:
            break
        u += length * step
        if decrement < 0.5:
            if size * barrier <= _RELATIVE_GAP * max(1e-3, float(np.abs(u).sum())):
                break
            barrier *= _BARRIER_STEP
    return u, barrier


def _newton_step(
    slack: NDArray[np.float64],
    ones: NDArray[np.float64],
    movable: NDArray[np.bool_],
    barrier: float,
) -> tuple[NDArray[np.float64], float]:
    """Newton step of the barrier function and its decrement."""
    weights = _projected_inverse(slack, ones)
    gradient = (1.0 - barrier * np.diagonal(weights)) * movable
    curvature = barrier * weights * weights
    n = len(slack)
    curvature[np.diag_indices(n)] += np.where(movable, 1e-12 * np.trace(curvature) / n, 1.0)
    step = np.linalg.solve(curvature, gradient)
    return step.astype(np.float64, copy=False), math.sqrt(
        max(0.0, float(gradient @ step)) / barrier
    )


def _group_directions(
    group_of: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return unit vectors along each group's ones, and which variables can move at all (not alone
    in their group).
    """
    labels, where, sizes = np.unique(group_of, return_inverse=True, return_counts=True)
    ones = np.zeros((len(group_of), len(labels)))
    ones[np.arange(len(group_of)), where] = 1.0 / np.sqrt(sizes[where])
    return ones, sizes[where] > 1


def _projected_inverse(
    matrix: NDArray[np.float64], ones: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pseudo-inverse of `matrix` restricted to the subspace orthogonal to `ones`."""
    inverse = np.linalg.inv(matrix)
    columns = inverse @ ones
    inverse -= columns @ np.linalg.solve(ones.T @ columns, columns.T)
    return 0.5 * (inverse + inverse.T)


def _is_convex(matrix: NDArray[np.float64], safety: float) -> bool:
    """Whether `matrix` is positive definite for certain: Cholesky succeeds with room for its own
    rounding.
    """
    try:
        np.linalg.cholesky(matrix - safety * np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        return False
    return True
