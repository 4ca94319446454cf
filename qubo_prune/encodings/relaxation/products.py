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

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.encodings.relaxation.form import Form
from qubo_prune.encodings.relaxation.relaxed import relaxed_point

_SINGLE = 300
"""Variables above which steps are in single precision: half the time, and as good for as many steps
as there is time for.
"""
_WEIGHT = 0.3
"""Of the first step, over what would make the primal and the dual equally large: less, as it is the
dual that bounds.
"""
_MOST = 2.0
"""The first step at most, over the largest entry of the scaled matrix."""
_START_STEPS = 100
_INSIDE = 0.2
"""Part of the first point that is the uniform one."""
_BALANCE = 5.0
"""Ratio of the residuals beyond which the step is changed."""
_CHANGE = 1.3
"""By how much, at most."""
_EVERY = 10
_LONGER = 1.6
"""Of the step, what the dual moves by: more than all of it is faster."""
_CONVERGED = 1e-5
_NEARLY_NONE = 1e-9
"""Part of a size that a shift is lowered by at least, for an eigenvalue is rounded."""


class Products:
    """Alternating directions (Boyd and others 2011) on matrices that keep the counts: Y = P Y P,
    where P takes away what is along the (-r_g, 1_g).

    Rows and columns are scaled, so that the terms of all variables are about equally large: where
    blocks differ by orders of magnitude, that takes a tenth of the steps. They start from shifts
    that are known, or from those that the smallest eigenvalue allows.

    Parameters
    ----------
    form : Form
        The problem.
    shifts : (n,) float64, optional
        Of the relaxation without X >= 0.

    Attributes
    ----------
    point : (n,) float64
        x by now.
    converged : bool
        Whether more steps would change little.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> form = Form.of(Problem([[0.0, 2.0], [2.0, 1.0]], 1))
    >>> products = Products(form)
    >>> products.run(50, lambda: False)
    >>> bool((products.multipliers >= 0).all())
    True
    """

    def __init__(self, form: Form, shifts: NDArray[np.float64] | None = None) -> None:
        n = form.size
        self._form = form
        self._kind: Any = np.float32 if n > _SINGLE else np.float64
        self._scales = np.ones(n + 1)
        roots = np.sqrt(form.sizes)
        self._scales[1:] = roots / np.exp(np.log(roots).mean())
        cost = np.zeros((n + 1, n + 1))
        cost[1:, 1:] = form.matrix
        cost /= np.outer(self._scales, self._scales)
        self._unit = float(np.linalg.norm(cost)) or 1.0
        self._cost = (cost / self._unit).astype(self._kind)
        normals = np.zeros((n + 1, len(form.counts)))
        for group, (where, count) in enumerate(zip(form.members, form.counts, strict=True)):
            normals[0, group] = -count
            normals[1 + where, group] = 1.0
        self._normals = np.linalg.qr(normals / self._scales[:, None])[0].astype(self._kind)
        if shifts is None:
            shifts = _lowered(form, np.zeros(n), self._scales[1:] ** 2)
        self._start(shifts)
        self._count = 0
        self.converged = False

    def _start(self, shifts: NDArray[np.float64]) -> None:
        """Start from shifts and about their point."""
        form, scales = self._form, self._scales
        point = relaxed_point(
            form.matrix,
            shifts,
            form.members,
            form.counts,
            form.sizes,
            form.uniform,
            _START_STEPS,
            lambda: False,
        )
        point = self.point = (1.0 - _INSIDE) * point + _INSIDE * form.uniform
        least = float(point @ form.matrix @ point + shifts @ (point - point**2))
        first = np.concatenate([[1.0], point])
        both = np.outer(scales, scales)
        primal = np.outer(first, first)
        np.fill_diagonal(primal, first)
        self._primal = (primal * both).astype(self._kind)
        prices = np.zeros_like(primal)
        prices[0, 1:] = prices[1:, 0] = -0.5 * shifts
        np.einsum("ii->i", prices)[1:] = shifts
        prices[0, 0] = least
        self._dual = (prices / both / self._unit).astype(self._kind) - self._cost
        sizes = np.linalg.norm(self._kept(self._dual)) / np.linalg.norm(self._primal)
        self._step = min(_WEIGHT * float(sizes), _MOST * float(np.abs(self._cost).max())) or 1.0

    def run(self, steps: int, should_stop: Callable[[], bool]) -> None:
        """Take so many steps more, each an eigendecomposition."""
        for _ in range(steps):
            if should_stop() or self.converged:
                return
            self._step_once()

    @property
    def multipliers(self) -> NDArray[np.float64]:
        """S by now."""
        found = np.maximum(self._prices()[1:, 1:], 0.0)
        np.fill_diagonal(found, 0.0)
        return np.asarray(np.maximum(found, found.T))

    def shifts(self, form: Form) -> NDArray[np.float64]:
        """Return the shifts that go with the multipliers, of which `form` is without: about those
        for which its matrix is positive semidefinite.
        """
        return _lowered(form, np.diagonal(self._prices())[1:].copy(), self._scales[1:])

    def _prices(self) -> NDArray[np.float64]:
        """Return what the entries of Y cost beyond what is positive semidefinite."""
        prices = self._cost.astype(np.float64) + self._dual
        return np.asarray(prices * (self._unit * np.outer(self._scales, self._scales)))

    def _kept(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return P M P."""
        normals = self._normals
        across = matrix @ normals
        half = across - normals @ (normals.T @ across) / 2
        return np.asarray(matrix - half @ normals.T - normals @ half.T)

    def _step_once(self) -> None:
        from scipy.linalg import LinAlgError, eigh

        step = self._kind(self._step)
        kept = self._kept(self._primal + self._dual / step)
        try:
            values, vectors = eigh(kept, check_finite=False, driver="evd")
        except LinAlgError:  # rare, in single precision: what there is by now is as right as ever
            self.converged = True
            return
        above = int(np.searchsorted(values, 0.0))
        # Whichever side has fewer eigenvalues; the other one is what is left.
        if 2 * above >= len(values):
            half = vectors[:, above:] * np.sqrt(values[above:])
            semidefinite = half @ half.T
        else:
            half = vectors[:, :above] * np.sqrt(-values[:above])
            semidefinite = kept + half @ half.T
        primal = self._nonnegative(semidefinite - (self._cost + self._dual) / step)
        difference = primal - semidefinite
        self._dual += self._kind(_LONGER * self._step) * difference
        self._count += 1
        if self._count % _EVERY == 0:
            missed = float(np.linalg.norm(difference) / (1.0 + np.linalg.norm(primal)))
            moved = self._step * float(np.linalg.norm(primal - self._primal))
            self.converged = max(missed, moved) < _CONVERGED
            self._balance(missed, moved)
        self._primal = primal

    def _balance(self, missed: float, moved: float) -> None:
        """Change the step where one residual is far behind the other."""
        if missed > _BALANCE * moved:
            self._step *= min(_CHANGE, np.sqrt(missed / (_BALANCE * moved or 1.0)))
        elif moved > _BALANCE * missed:
            self._step /= min(_CHANGE, np.sqrt(moved / (_BALANCE * missed or 1.0)))

    def _nonnegative(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return the nearest matrix with entries >= 0, 1 in the corner, and the first row on the
        diagonal, all scaled.
        """
        scales = self._scales[1:].astype(self._kind)
        squares = scales**2
        nearest = np.maximum(matrix, 0)
        edge = scales * (matrix[0, 1:] + matrix[1:, 0])
        point = (squares * np.diagonal(matrix)[1:] + edge) / (squares**2 + 2.0 * squares)
        point = np.clip(point, 0.0, 1.0)
        nearest[0, 1:] = nearest[1:, 0] = scales * point
        np.fill_diagonal(nearest, np.concatenate([[1.0], squares * point]))
        self.point = point.astype(np.float64)
        return np.asarray(nearest)


def _lowered(
    form: Form, shifts: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return shifts lowered, or raised, in proportion to sizes until the matrix of a form is just
    semidefinite, but for rounding.
    """
    from scipy.linalg import eigh

    roots = np.sqrt(sizes)
    matrix = form.penalised()
    np.einsum("ii->i", matrix)[:] -= shifts
    matrix /= np.outer(roots, roots)
    [lowest] = eigh(
        matrix, eigvals_only=True, subset_by_index=[0, 0], check_finite=False, overwrite_a=True
    )
    room = _NEARLY_NONE * max(1.0, abs(float(lowest)))
    return np.asarray(shifts + (float(lowest) - room) * sizes)
