"""Least squares over rows that come in batches and are not kept, with a ridge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["RIDGES", "Fit", "NormalEquations", "choose_ridge"]

RIDGES = (*(10.0**power for power in range(-6, 3)), math.inf)
"""What cross-validation chooses from, in units of the mean square of an input; infinity maps
everything to nothing.
"""


class Fit(NamedTuple):
    """A map ``y = x @ matrix + offset``."""

    matrix: Tensor
    offset: Tensor


@dataclass
class NormalEquations:
    """Weighted sums of products of rows, in float64.

    Attributes
    ----------
    weight : float
        Sum of the weights of the rows.
    num_rows : int
        How many there were.
    x, y : Tensor
        Weighted sums of inputs (p,) and outputs (q,).
    xx, xy, yy : Tensor
        Weighted sums of their products: (p, p), (p, q), and that of the squares of outputs, ().
    intercept : bool
        Whether a map has an offset.

    Examples
    --------
    >>> rows = torch.eye(3, dtype=torch.float64)[:, :2]
    >>> equations = NormalEquations.empty(2, 2)
    >>> equations.add(rows, 2 * rows, torch.ones(3))
    >>> equations.solve(0.0).matrix.tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    weight: float
    num_rows: int
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor
    intercept: bool = False

    @classmethod
    def empty(
        cls, inputs: int, outputs: int, *, intercept: bool = False, device: str = "cpu"
    ) -> NormalEquations:
        """Return the sums over no rows."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        return cls(
            weight=0.0,
            num_rows=0,
            x=zeros(inputs),
            y=zeros(outputs),
            xx=zeros(inputs, inputs),
            xy=zeros(inputs, outputs),
            yy=zeros(),
            intercept=intercept,
        )

    def add(self, x: Tensor, y: Tensor, weights: Tensor) -> None:
        """Add rows: inputs (n, p), outputs (n, q) and weights (n,)."""
        place = self.xx.device
        x, y, weights = (each.to(place, torch.float64) for each in (x, y, weights))
        weighted = x * weights[:, None]
        self.weight += float(weights.sum())
        self.num_rows += len(x)
        self.x += weighted.sum(0)
        self.y += weights @ y
        self.xx += weighted.T @ x
        self.xy += weighted.T @ y
        self.yy += weights @ (y * y).sum(1)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        """Return the sums over the rows of both."""
        return NormalEquations(
            weight=self.weight + other.weight,
            num_rows=self.num_rows + other.num_rows,
            x=self.x + other.x,
            y=self.y + other.y,
            xx=self.xx + other.xx,
            xy=self.xy + other.xy,
            yy=self.yy + other.yy,
            intercept=self.intercept,
        )

    def solve(self, ridge: float) -> Fit:
        """Return the map of least ``sum w |y - f(x)|^2 + ridge * scale * |matrix|^2``, where the
        scale is the weighted sum of the squares of an input, averaged over the p of them.

        Of several the smallest is taken, so that inputs that are always zero do no harm.
        """
        return self._solutions((ridge,))[0]

    def _solutions(self, ridges: tuple[float, ...]) -> list[Fit]:
        xx, xy = self.xx, self.xy
        if self.intercept and self.weight:
            xx = xx - torch.outer(self.x, self.x) / self.weight
            xy = xy - torch.outer(self.x, self.y) / self.weight
        values, vectors = torch.linalg.eigh(xx)
        scale = float(values.clamp(min=0).mean())
        least = float(values.abs().max()) * len(values) * torch.finfo(torch.float64).eps
        rotated = vectors.T @ xy
        fits = []
        for ridge in ridges:
            damped = values + ridge * scale if scale else values
            usable = (values > least) & torch.isfinite(damped)
            inverse = torch.where(usable, 1 / damped, torch.zeros_like(values))
            matrix = vectors @ (inverse[:, None] * rotated)
            offset = torch.zeros_like(self.y)
            if self.intercept and self.weight and math.isfinite(ridge):
                offset = (self.y - self.x @ matrix) / self.weight
            fits.append(Fit(matrix, offset))
        return fits

    def error(self, fit: Fit) -> float:
        """Return the weighted sum of squares that a map leaves of the outputs."""
        matrix, offset = fit
        error = self.yy - 2 * (matrix * self.xy).sum() + (matrix * (self.xx @ matrix)).sum()
        error += self.weight * (offset @ offset) - 2 * offset @ (self.y - self.x @ matrix)
        return max(0.0, float(error))


def choose_ridge(folds: list[NormalEquations]) -> tuple[float, float]:
    """Return the ridge of `RIDGES` that leaves least of folds that it was not fitted to, and what
    share of their outputs it explains.

    Parameters
    ----------
    folds
        Two or more, each over rows of its own.

    Examples
    --------
    >>> rows = torch.eye(2, dtype=torch.float64)
    >>> folds = []
    >>> for fold in range(2):
    ...     folds.append(NormalEquations.empty(2, 2))
    ...     folds[-1].add(rows, rows * (1 if fold else -1), torch.ones(2))
    >>> choose_ridge(folds)  # what holds of one fold does not of the other
    (inf, 0.0)
    """
    errors = [0.0] * len(RIDGES)
    for fold in folds:
        others = [other for other in folds if other is not fold]
        rest = others[0]
        for other in others[1:]:
            rest = rest + other
        for i, fit in enumerate(rest._solutions(RIDGES)):
            errors[i] += fold.error(fit)
    total = sum(float(fold.yy) for fold in folds)
    best = min(range(len(RIDGES)), key=lambda i: (errors[i], -RIDGES[i]))
    return RIDGES[best], 1 - errors[best] / total if total else 0.0
