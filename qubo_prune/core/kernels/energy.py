"""The one definition of an energy, to the last bit.

Every energy that leaves this package is computed here: by `Problem.energies` for results and by the
engines for candidates. The order of the additions is fixed, so that equal states have equal
energies whoever asks, and exact engines can be compared bit by bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.jit import kernel
from qubo_prune.core.validation import row_slices, sum_of_magnitudes


@kernel
def canonical_energy(
    hessian: NDArray[np.float64],
    linear: NDArray[np.float64],
    removed: NDArray[np.int64],
    count: int,
    scale: float,
) -> float:
    """Energy of the state that removes `removed[:count]` (ascending): sum_a [H_aa + linear_a + 2
    sum_{b<a} H_ab], rounded to whole numbers over `scale` if that is not 0.
    """
    total = 0.0
    for a in range(count):
        i = removed[a]
        coupling = 0.0
        for b in range(a):
            coupling += hessian[i, removed[b]]
        total += (hessian[i, i] + linear[i]) + 2.0 * coupling
    return total if scale == 0.0 else np.rint(total * scale) / scale


@kernel
def _energies(
    hessian: NDArray[np.float64],
    linear: NDArray[np.float64],
    states: NDArray[np.bool_],
    scale: float,
) -> NDArray[np.float64]:
    num_states, num_blocks = states.shape
    out = np.empty(num_states, np.float64)
    removed = np.empty(num_blocks, np.int64)
    for k in range(num_states):
        count = 0
        for i in range(num_blocks):
            if states[k, i]:
                removed[count] = i
                count += 1
        out[k] = canonical_energy(hessian, linear, removed, count, scale)
    return out


def energies(
    hessian: NDArray[np.float64],
    linear: NDArray[np.float64],
    states: NDArray[np.bool_],
    scale: float,
) -> NDArray[np.float64]:
    """Canonical energies of the rows of `states`, shape (K, N) -> (K,)."""
    out: NDArray[np.float64] = _energies(
        read_only(hessian), read_only(linear), read_only(np.ascontiguousarray(states)), scale
    )
    return out


def rounding_bound(
    hessian: NDArray[np.float64],
    linear: NDArray[np.float64],
    blocks: NDArray[np.int64] | None = None,
) -> float:
    """Bound the rounding error of any canonical energy over the given `blocks`, by default all.

    At most 2N + 2 additions lie on the way of a term into the sum, each off by one unit roundoff of
    the absolute sum of all terms. What the terms cancel to plays no role, so the matrix must be the
    one that energies are computed from, not a transformed one.
    """
    if blocks is None or np.array_equal(blocks, np.arange(len(hessian))):
        total, terms = sum_of_magnitudes(hessian), linear
    else:
        total, terms = 0.0, linear[blocks]
        for rows in row_slices(len(blocks)):
            total += float(np.abs(hessian[np.ix_(blocks[rows], blocks)]).sum())
    additions = 4 * len(terms) + 64
    return additions * 2.0**-53 * (2.0 * total + float(np.abs(terms).sum()))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view: kernels are compiled once, for read-only problem data."""
    view = array.view()
    view.flags.writeable = False
    return view
