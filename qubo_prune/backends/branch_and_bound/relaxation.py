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
_LEAST_BARRIER = 1e-3
"""The first barrier of a depth is that which the one before ended with, or this."""
_LONG = 4.0
"""Newton steps are so many times as long as those that are sure to help, as long as they do."""
_ROOM = 1.25
"""So many times a step leads to a feasible point as well: near the boundary the next are short."""
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
        Asked between Newton steps; once it says so, whatever is feasible by then is returned. Where
        it does from the start, not even an eigenvalue is sought.
    root : ndarray of float64, shape (n,), optional
        Valid shifts for depth 0 where they are known, as from another order: whether they are does
        not depend on the order.

    Returns
    -------
    ndarray of float64, shape (ceil(n / stride), n)
        Row s holds u for the variables ``s * stride`` and later (0 before).
    """
    n = len(matrix)
    if n > _MAX_SEMIDEFINITE or (root is None and should_stop()):
        return np.tile(_dominance_shift(matrix), (-(-n // stride), 1))
    depths = range(0, n, stride)
    shifts = np.zeros((len(depths), n))
    scale = float(np.abs(matrix).max(initial=0.0)) or 1.0
    scaled = matrix / scale
    current: NDArray[np.float64] | None = None
    barrier = 0.0
    # On matrices of this size more BLAS threads cost more than they give, and stall on a busy
    # machine.
    with threadpool_limits(1, user_api="blas"):
        for row, depth in enumerate(depths):
            start = None if current is None else current[stride:]
            if depth == 0 and root is not None:
                current = root / scale
                barrier = _last_barrier(current, n)
            else:
                current, barrier = _solve(
                    scaled[depth:, depth:], group_of[depth:], start, barrier, should_stop
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
        barrier = _nearest_barrier(_less(penalised, u), movable)
    else:
        u[movable] = start[movable]
        barrier = max(barrier, _LEAST_BARRIER)
    before, long = math.inf, _LONG
    slack = _less(penalised, u)
    for _ in range(_MAX_NEWTON):
        if should_stop():
            break
        step, decrement = _newton_step(slack, movable, barrier)
        if decrement >= before:
            long = 1.0
        before = decrement
        length, room = 1.0, 1.0
        if decrement >= 0.3:
            length, room = min(1.0, long / (1.0 + decrement)), _ROOM
        # Convex for certain: Cholesky succeeds with room for its own rounding at that point, and so
        # between it and u.
        while length > 1e-6 and not _is_convex(_less(penalised, u + room * length * step + safety)):
            length *= 0.5
        if length <= 1e-6:
            break
        u += length * step
        slack = _less(penalised, u)
        if decrement < 1.0:
            if barrier <= _last_barrier(u, size):
                break
            barrier, before, long = barrier * _BARRIER_STEP, math.inf, _LONG
    return u, barrier


def _last_barrier(u: NDArray[np.float64], size: int) -> float:
    """Return the mu from which on shifts of so many variables are near enough to the best."""
    return _RELATIVE_GAP * max(1e-3, float(np.abs(u).sum())) / size


def _less(matrix: NDArray[np.float64], diagonal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix less a diagonal one."""
    result = matrix.copy()
    result[np.diag_indices(len(matrix))] -= diagonal
    return result


def _nearest_barrier(slack: NDArray[np.float64], movable: NDArray[np.bool_]) -> float:
    """Return the mu whose centre is nearest, where mu times each of the diagonal of the inverse is
    1.
    """
    diagonal = np.diagonal(np.linalg.inv(slack))[movable]
    return float(diagonal.sum() / (diagonal @ diagonal))


def _newton_step(
    slack: NDArray[np.float64], movable: NDArray[np.bool_], barrier: float
) -> tuple[NDArray[np.float64], float]:
    """Newton step of the barrier function and its decrement."""
    inverse = np.linalg.inv(slack)
    gradient = (1.0 - barrier * np.diagonal(inverse)) * movable
    curvature = barrier * inverse * inverse
    n = len(inverse)
    curvature[np.diag_indices(n)] += np.where(movable, 1e-12 * np.trace(curvature) / n, 1.0)
    step = np.linalg.solve(curvature, gradient).astype(np.float64, copy=False)
    return step, math.sqrt(max(0.0, float(gradient @ step)) / barrier)


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


def _is_convex(matrix: NDArray[np.float64]) -> bool:
    """Whether `matrix` has a Cholesky factorisation."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
