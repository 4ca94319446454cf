"""Matrices of decimals, such as multiples of 0.1: their energies are decimals as well.

A sum of floats that stand for decimals is off by rounding, differently for states whose energies
are equal. Where the error is below half a unit of the last decimal, rounding to that gives the
float next to the true energy, the same for all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.validation import row_slices

_MOST_DECIMALS = 9


def decimal_scale(hessian: NDArray[np.float64], linear: NDArray[np.float64]) -> float:
    """Return the power of ten that makes all entries whole; 0 where there is none, where none is
    needed, or where rounding is no smaller than half a unit.

    Parameters
    ----------
    hessian : (N, N) float64
        Symmetric.
    linear : (N,) float64
        First-order terms.

    Examples
    --------
    >>> decimal_scale(np.array([[0.25, 0.3], [0.3, 7.0]]), np.zeros(2))
    100.0
    >>> decimal_scale(np.array([[2.0, 1.0], [1.0, 2.0]]), np.zeros(2))
    0.0
    """
    from qubo_prune.core.kernels.energy import rounding_bound

    scale = 1.0
    for rows in [*row_slices(len(hessian)), None]:
        values = linear if rows is None else hessian[rows]
        while not _are_decimals(values, scale):
            scale *= 10.0
            if scale > 10.0**_MOST_DECIMALS:
                return 0.0
    if scale == 1.0:
        return 0.0
    # A quarter: the product with the scale is rounded too, by less than the sum was.
    return scale if rounding_bound(hessian, linear) * scale < 0.25 else 0.0


def _are_decimals(values: NDArray[np.float64], scale: float) -> bool:
    """Whether each value is the float next to a whole number over the scale."""
    with np.errstate(over="ignore"):
        return bool((np.rint(values * scale) / scale == values).all())
