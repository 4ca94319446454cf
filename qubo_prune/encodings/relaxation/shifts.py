"""The shifts that make a relaxation tightest: a barrier method, whose every iterate is usable.

A number t is a lower bound of all energies if, for some u,

    L = [ c sum_g r_g^2 - t        u'/2 - c sum_g r_g 1_g' ]
        [ ...            Q - diag(u) + c sum_g 1_g 1_g'    ]   is positive semidefinite,

for then ``y'Qy - t = (1, y') L (1, y')' >= 0`` for every y of zeros and ones with the counts. The
largest such t is a semidefinite programme in n + 1 unknowns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_START = 0.1
"""Distance of the first shifts from what leaves the matrix semidefinite, in sizes."""
_NEAR = 0.5
"""Newton decrement at which an iterate counts as central."""
_MOST_STEPS = 200
_SHORTEST = 1e-6
_ENOUGH = 0.1
"""Part of the first-order gain that a step has to bring."""


class Barrier:
    """Maximises ``t + mu logdet L``.

    Parameters
    ----------
    lifted : (n + 1, n + 1) float64
        L at t = 0 and u = 0; not written to.
    sizes : (n,) float64
        How large shifts of each variable are, about: where variables differ by orders of magnitude,
        one distance for all would be far from central.
    typical : float
        Energy of a typical state.

    Attributes
    ----------
    unknowns : (n + 1,) float64
        t and u; L is positive definite.
    mu : float
        Weight of the barrier; t is within ``(n + 1) mu`` of the largest one once it is central.
    """

    def __init__(
        self, lifted: NDArray[np.float64], sizes: NDArray[np.float64], typical: float
    ) -> None:
        from scipy.linalg import eigh

        self._lifted = lifted
        roots = np.sqrt(sizes)
        block = lifted[1:, 1:] / np.outer(roots, roots)
        lowest = float(
            eigh(block, eigvals_only=True, subset_by_index=[0, 0], check_finite=False)[0]
        )
        self.unknowns = np.zeros(len(lifted))
        self.unknowns[1:] = sizes * (lowest - _START)
        matrix = self._matrix(self.unknowns)
        edge = matrix[0, 1:]
        least = matrix[0, 0] - float(edge @ np.linalg.solve(matrix[1:, 1:], edge))
        room = _START * max(typical - least, float(sizes.mean()))
        self.unknowns[0] = least - room
        self.mu = room / len(lifted)

    @property
    def shifts(self) -> NDArray[np.float64]:
        """The shifts u."""
        return self.unknowns[1:]

    def centre(self, should_stop: Callable[[], bool]) -> NDArray[np.float64] | None:
        """Take Newton steps until t and u are about best for this mu; return the point x that goes
        with them, or None if it was stopped before.
        """
        point = None
        for _ in range(_MOST_STEPS):  # where mu is so small that rounding hides what steps gain
            if should_stop():
                return None
            inverse, logdet = self._inverse(self.unknowns)
            if inverse is None:
                return None
            edge = inverse[0].copy()
            point = edge[1:] / edge[0]
            gradient = self.mu * (edge - np.diagonal(inverse))
            gradient[0] = 1.0 - self.mu * edge[0]
            step = self._newton_step(inverse, gradient)
            if step is None:
                break
            gain = float(gradient @ step)
            if not self._move(step, gain, logdet) or gain <= _NEAR**2 * self.mu:
                break
        return point

    def _newton_step(
        self, inverse: NDArray[np.float64], gradient: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Return the Newton step; the curvature is ``tr(W A_i W A_j)`` with W the inverse of L and
        A_i its derivative, which is -1 at (i, i) and 1/2 at (0, i), and -1 at (0, 0) for t.
        """
        from scipy.linalg import lapack

        edge = inverse[0].copy()
        corner = float(edge[0])
        curvature = inverse * inverse
        curvature -= inverse * (edge[:, None] + edge[None, :])
        curvature += 0.5 * (np.outer(edge, edge) + corner * inverse)
        curvature[0] = curvature[:, 0] = edge * edge - corner * edge
        curvature[0, 0] = corner * corner
        curvature *= self.mu
        _, step, failed = lapack.dposv(curvature, gradient, lower=1, overwrite_a=1)
        return None if failed else step.ravel()

    def _move(self, step: NDArray[np.float64], gain: float, logdet: float) -> bool:
        """Go as far along a step as L stays positive definite and it pays; say whether it did.

        Far from central a Newton step only doubles the distance to the boundary, so longer ones
        are tried.
        """
        length, best = 1.0, self._risen(step, 1.0, logdet)
        while best < _ENOUGH * length * gain:
            length *= 0.5
            if length < _SHORTEST:
                return False
            best = self._risen(step, length, logdet)
        while length >= 1.0:
            longer = self._risen(step, 2.0 * length, logdet)
            if longer <= best:
                break
            length, best = 2.0 * length, longer
        self.unknowns = self.unknowns + length * step
        return True

    def _risen(self, step: NDArray[np.float64], length: float, logdet: float) -> float:
        """Return by how much the objective rises along a step; -inf where L is not definite."""
        from scipy.linalg import lapack

        tried = self._matrix(self.unknowns + length * step)
        factor, failed = lapack.dpotrf(tried, lower=1, overwrite_a=1, clean=0)
        if failed:
            return -math.inf
        now = 2.0 * float(np.log(np.diagonal(factor)).sum())
        return float(length * step[0] + self.mu * (now - logdet))

    def _matrix(self, unknowns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return L."""
        matrix = self._lifted.copy()
        np.einsum("ii->i", matrix)[:] -= unknowns
        matrix[0, 1:] += 0.5 * unknowns[1:]
        matrix[1:, 0] += 0.5 * unknowns[1:]
        return matrix

    def _inverse(self, unknowns: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, float]:
        """Return the inverse of L and the logarithm of its determinant."""
        from scipy.linalg import lapack

        factor, failed = lapack.dpotrf(self._matrix(unknowns), lower=1, overwrite_a=1, clean=0)
        if failed:
            return None, -math.inf
        logdet = 2.0 * float(np.log(np.diagonal(factor)).sum())
        lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
        lower = np.tril(lower)
        return lower + np.tril(lower, -1).T, logdet
