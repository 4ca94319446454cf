"""The form that a bound takes, and what is certain about it in spite of rounding.

On states y with the counts r_g, for any diagonal u and any penalty c of the counts,

    y'Qy = y'Sy + u'y - c sum_g r_g^2,    S = Q - diag(u) + c sum_g 1_g 1_g'

and where S is positive semidefinite, ``y'Sy >= 2 x'Sy - x'Sx`` for any point x at all. What is left
is linear in y: its least value takes the r_g smallest coefficients of each group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.validation import row_slices
from qubo_prune.encodings.bounds import rounding
from qubo_prune.search.budget_price import with_price

UNIT = 2.0**-53
"""Unit roundoff of a float."""
_PENALTY = 16.0
"""c, over the spread of the eigenvalues of Q: the more, the nearer to a constraint, and the more
rounding.
"""
_ROOM = 1.001
"""Covers the rounding of the error bounds themselves."""


@dataclass(frozen=True, eq=False)
class Form:
    """A problem as bounds take it: scaled by a power of two, which rounds nothing.

    Attributes
    ----------
    matrix : (n, n) float64
        Q, with entries up to 1 in magnitude.
    scale : float
        What it was divided by.
    members : list of (n_g,) int64
        Variables of each group.
    counts : list of int
        r_g.
    penalty : float
        c, a power of two.
    offset, rounding : float
        Energy of what is removed in any case, and what energies may be off by in floats; both in
        the unit of the problem.
    """

    matrix: NDArray[np.float64]
    scale: float
    members: list[NDArray[np.int64]]
    counts: list[int]
    penalty: float
    offset: float
    rounding: float

    @classmethod
    def of(cls, problem: Problem, price: float = 0.0) -> Form:
        """Return the form of a problem with free blocks, its budget at a price of weight."""
        reduced = with_price(problem.reduced(), price)
        form = cls.of_matrix(reduced.matrix, reduced.group_of, reduced.counts)
        return replace(form, offset=reduced.offset, rounding=rounding(problem))

    @classmethod
    def of_matrix(
        cls, matrix: NDArray[np.float64], group_of: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> Form:
        """Return the form of a matrix alone, (n, n), with the group of each variable, (n,), and the
        count of each group, (g,).
        """
        scale = 2.0 ** min(1000, math.frexp(float(np.abs(matrix).max()))[1])
        scaled = matrix / scale
        return cls(
            scaled,
            scale,
            [np.flatnonzero(group_of == g) for g in range(len(counts))],
            counts.tolist(),
            2.0 ** math.frexp(_PENALTY * _spread(scaled))[1],
            offset=0.0,
            rounding=0.0,
        )

    @property
    def size(self) -> int:
        """Number of variables."""
        return len(self.matrix)

    @property
    def uniform(self) -> NDArray[np.float64]:
        """The point that is r_g / n_g everywhere."""
        point = np.empty(self.size)
        for members, count in zip(self.members, self.counts, strict=True):
            point[members] = count / len(members)
        return point

    @property
    def typical(self) -> float:
        """About the mean energy of all states, in the unit of the matrix."""
        point = self.uniform
        return float(point @ self.matrix @ point + np.diagonal(self.matrix) @ (point - point**2))

    @property
    def sizes(self) -> NDArray[np.float64]:
        """About the size of a variable's own terms: root mean square entries of its row, diagonal
        included; above 0.
        """
        sizes = np.abs(np.diagonal(self.matrix)) + np.linalg.norm(self.matrix, axis=1)
        return np.asarray(np.maximum(sizes, 1e-6 * float(sizes.max()) or 1.0))

    def lifted(self) -> NDArray[np.float64]:
        """Return the matrix of which (1, y')' takes the energy of y and the penalty of its counts,
        rounded.
        """
        matrix = np.zeros((self.size + 1, self.size + 1))
        matrix[1:, 1:] = self.penalised()
        for members, count in zip(self.members, self.counts, strict=True):
            matrix[0, 0] += self.penalty * count**2
            matrix[0, 1 + members] = matrix[1 + members, 0] = -self.penalty * count
        return matrix

    def penalised(self) -> NDArray[np.float64]:
        """Return ``Q + c sum_g 1_g 1_g'``, rounded."""
        matrix = self.matrix.copy()
        for members in self.members:
            matrix[np.ix_(members, members)] += self.penalty
        return matrix

    def without(self, multipliers: NDArray[np.float64]) -> Form:
        """Return the form of ``Q - S``, whose bounds hold for this one: S >= 0 is the given matrix,
        or less of it where an entry would fall below -1. No rounding makes an entry of Q larger.
        """
        lowered = np.maximum(self.matrix - multipliers, -1.0)
        lowered = np.minimum(self.matrix, np.minimum(lowered, lowered.T))
        return replace(
            self, matrix=lowered, penalty=2.0 ** math.frexp(_PENALTY * _spread(lowered))[1]
        )

    def certain_shifts(self, shifts: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return shifts u, a little below those given, for which S is positive semidefinite for
        certain; None if those given are not near any.

        A Cholesky factorisation in floats that succeeds is the exact one of a matrix that differs
        by at most ``g / (1 - g) trace``, where g is n + 1 unit roundoffs and a little (Rump, 2006);
        a few more are for divisions that are products with reciprocals. Entries of S are rounded
        too, by a few roundoffs of theirs.
        """
        from scipy.linalg import lapack

        penalised = self.penalised()
        n = self.size
        roundoffs = (n + 8) * UNIT / (1.0 - (n + 8) * UNIT)
        diagonal = np.diagonal(penalised) - shifts
        trace = float(np.abs(diagonal).sum()) + n
        entries = 4.0 * UNIT * (n * (1.0 + self.penalty) + float(np.abs(shifts).max()) + 1.0)
        margin = 2.0 * _ROOM * (roundoffs / (1.0 - roundoffs) * trace + entries)
        for factor in (1.0, 2.0**4, 2.0**8, 2.0**12):
            lowered = shifts - factor * margin
            # What is factorised has half the margin less on its diagonal than S.
            np.fill_diagonal(
                penalised,
                np.diagonal(self.matrix) + self.penalty - lowered - 0.5 * factor * margin,
            )
            if lapack.dpotrf(penalised, lower=1, overwrite_a=0, clean=0)[1] == 0:
                return np.asarray(lowered)
        return None

    def bound(self, shifts: NDArray[np.float64], point: NDArray[np.float64]) -> float:
        """Return a number that no energy lies below, for shifts that are certain and any point.

        With ``d_g = sum_g x - r_g`` the penalty adds ``-c d_g^2``, and what is left of it cancels.
        Products and sums are rounded by at most n + 8 unit roundoffs of their magnitudes.
        """
        slope, magnitude = self._slope(shifts, point)
        error = (self.size + 8) * UNIT * _ROOM * magnitude
        parts = [-float(value) for value in point * slope]
        errors = float((np.abs(point) * (error + 4.0 * UNIT * magnitude)).sum())
        # 2 x'S is a doubling, which is exact; u is added.
        linear = 2.0 * slope + shifts
        linear -= 2.0 * error + 4.0 * UNIT * (np.abs(linear) + np.abs(shifts))
        for members, count in zip(self.members, self.counts, strict=True):
            parts += np.partition(linear[members], count - 1)[:count].tolist()
            distance = abs(math.fsum([*point[members].tolist(), -count]))
            parts.append(-self.penalty * (distance * (1.0 + 8.0 * UNIT)) ** 2 * (1.0 + 8.0 * UNIT))
        value = math.fsum(parts)
        value -= errors * _ROOM + 4.0 * UNIT * abs(value)
        energy = self.scale * value + self.offset
        return energy - self.rounding - 4.0 * UNIT * (abs(self.scale * value) + abs(energy))

    def _slope(
        self, shifts: NDArray[np.float64], point: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``(Q - diag u) x`` and the sums of the magnitudes of its terms."""
        slope = self.matrix @ point - shifts * point
        sizes = np.abs(point)
        magnitude = np.abs(shifts) * sizes
        for rows in row_slices(self.size):
            magnitude[rows] += np.abs(self.matrix[rows]) @ sizes
        return slope, magnitude


def _spread(matrix: NDArray[np.float64]) -> float:
    """Return the root mean square of the eigenvalues."""
    return float(np.linalg.norm(matrix)) / math.sqrt(len(matrix)) or 1.0
