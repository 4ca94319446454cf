"""Entries that may be left out between free variables, because products are not negative.

No product ``x_i x_j`` is negative, so ``x'Qx >= x'(Q - S)x`` for every S >= 0. With the right S the
convex relaxation of the right-hand side, by diagonal shifts, has a far higher bound where Q has
many zeros or much noise. Any S >= 0 is valid, and what it does for a bound is proven by the shifts
that go with it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from qubo_prune.encodings.relaxation.form import Form
from qubo_prune.encodings.relaxation.products import Products

_STEPS = 150
_NEGLIGIBLE = 1e-7
"""Multipliers below so many times the largest entry are rounding, and left out."""


def product_multipliers(
    matrix: NDArray[np.float64],
    group_of: NDArray[np.int64],
    counts: NDArray[np.int64],
    shifts: NDArray[np.float64],
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
    shifts : ndarray of float64, shape (n,)
        Those of the relaxation of Q, to start from.
    should_stop : callable
        Asked between steps; what there is by then is returned.

    Examples
    --------
    >>> triangle = np.ones((3, 3)) - np.eye(3)
    >>> multipliers = product_multipliers(
    ...     triangle, np.zeros(3, int), np.array([1]), np.full(3, -1.0), lambda: False
    ... )
    >>> bool((multipliers >= 0.0).all()), bool((multipliers == multipliers.T).all())
    (True, True)
    """
    form = Form.of_matrix(matrix, group_of, counts)
    # On matrices of this size more BLAS threads cost more than they give.
    with threadpool_limits(1, user_api="blas"):
        products = Products(form, shifts / form.scale)
        products.run(_STEPS, should_stop)
    multipliers = products.multipliers
    multipliers[multipliers < _NEGLIGIBLE] = 0.0
    return multipliers * form.scale
