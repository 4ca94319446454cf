"""Multipliers of products, which cannot be negative: what a relaxation gains where X >= 0 as well.

On states ``x_i x_j >= 0``, so ``y'Qy >= y'(Q - S)y`` for any symmetric S >= 0 with a zero diagonal:
a bound for Q - S is one for Q. The best S is a part of the dual solution of the doubly non-negative
relaxation

    minimise <Q, X>   subject to   Y = (1 x'; x X) psd,  Y >= 0,  diag X = x,
                                   X 1_g = r_g x and 1_g'x = r_g for each group g,

which alternating directions approach. Where they are stopped changes how good S is, and nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_BALANCE = 5.0
"""Ratio of the residuals beyond which the step is changed."""
_CHANGE = 1.5
_EVERY = 20
_LONGER = 1.6
"""Of the step, what the dual moves by: more than all of it is faster."""
_CONVERGED = 1e-5


class Products:
    """Alternating directions (Boyd and others 2011) on the face of matrices that keep the counts:
    Y = V R V' with R psd, where V spans what is orthogonal to all (-r_g, 1_g).

    Parameters
    ----------
    matrix : (n, n) float64
        Q.
    members, counts : sequences
        Variables of each group, and how many of them are 1.

    Attributes
    ----------
    converged : bool
        Whether more steps would change little.

    Examples
    --------
    >>> products = Products(np.array([[0.0, 2.0], [2.0, 1.0]]), [np.arange(2)], [1])
    >>> products.run(50, lambda: False)
    >>> bool((products.multipliers >= 0).all())
    True
    """

    def __init__(
        self,
        matrix: NDArray[np.float64],
        members: Sequence[NDArray[np.int64]],
        counts: Sequence[int],
    ) -> None:
        n = len(matrix)
        self._unit = float(np.linalg.norm(matrix)) or 1.0
        self._cost = np.zeros((n + 1, n + 1))
        self._cost[1:, 1:] = matrix / self._unit
        normals = np.zeros((n + 1, len(counts)))
        first = np.zeros(n + 1)
        first[0] = 1.0
        for group, (where, count) in enumerate(zip(members, counts, strict=True)):
            normals[0, group] = -count
            normals[1 + where, group] = 1.0
            first[1 + where] = count / len(where)
        self._face = np.linalg.qr(normals, mode="complete")[0][:, len(counts) :]
        self._step = n / sum(counts) ** 2
        self._primal = np.outer(first, first)
        np.fill_diagonal(self._primal, first)
        self._dual = np.zeros_like(self._primal)
        self._count = 0
        self.converged = False

    def run(self, steps: int, should_stop: Callable[[], bool]) -> None:
        """Take so many steps more, each an eigendecomposition."""
        for _ in range(steps):
            if should_stop():
                return
            self._step_once()

    @property
    def multipliers(self) -> NDArray[np.float64]:
        """S by now."""
        found = np.maximum(self._cost + self._dual, 0.0)[1:, 1:] * self._unit
        np.fill_diagonal(found, 0.0)
        return np.asarray(np.maximum(found, found.T))

    def _step_once(self) -> None:
        from scipy.linalg import eigh

        step, face = self._step, self._face
        reduced = face.T @ (self._primal + self._dual / step) @ face
        values, vectors = eigh(reduced, check_finite=False, overwrite_a=True, driver="evd")
        kept = values > 0.0
        half = face @ (vectors[:, kept] * np.sqrt(values[kept]))
        semidefinite = half @ half.T
        primal = _nonnegative(semidefinite - (self._cost + self._dual) / step)
        self._dual += _LONGER * step * (primal - semidefinite)
        self._count += 1
        if self._count % _EVERY == 0:
            missed = np.linalg.norm(primal - semidefinite) / (1.0 + np.linalg.norm(primal))
            moved = step * np.linalg.norm(primal - self._primal)
            self.converged = bool(max(missed, moved) < _CONVERGED)
            if missed > _BALANCE * moved:
                self._step *= _CHANGE
            elif moved > _BALANCE * missed:
                self._step /= _CHANGE
        self._primal = primal


def _nonnegative(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest matrix with entries >= 0, 1 in the corner, and the first row on the
    diagonal.
    """
    nearest = np.maximum(matrix, 0.0)
    point = np.clip((np.diagonal(matrix) + matrix[0] + matrix[:, 0]) / 3.0, 0.0, 1.0)
    point[0] = 1.0
    nearest[0] = nearest[:, 0] = point
    np.fill_diagonal(nearest, point)
    return nearest
