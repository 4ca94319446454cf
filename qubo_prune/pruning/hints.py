"""What pairs of blocks may do together, before any is measured: hints for the surrogate.

The sum of single removals says nothing of pairs. The residual stream does: blocks that add to it in
the same direction are missed more together than one by one, and a block that takes back what
another has added is missed less. That is one forward pass of the whole model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.validation import as_finite_float, as_real_array

__all__ = ["ALIGNED", "DISTANCES", "Hint", "hints_of_model"]

ALIGNED = 0.1
"""What a typical pair that is aligned is expected to add, in units of the surrogate. Between 0.06
and 0.15 fits removals of 6, 9 and 12 of SmolLM2's 30 blocks, on any samples; see benchmarks.md."""

DISTANCES = ((0,), (1,), (2,), (3,), (4, 5, 6))
"""How many layers pairs are apart that may have something in common; which sign that has differs
from model to model, so that nothing is expected of it."""

DEVIATION = 0.1
"""By how much either may be something else."""

_LARGEST = 6.0
"""Where entries are cut off, in their median: the first blocks of a model write things into the
residual stream that are thousands of times as large as those of others."""


@dataclass(frozen=True, eq=False)
class Hint:
    """A quadratic, of unknown size, that what pairs do together may resemble.

    Parameters
    ----------
    products : (N, N) array_like of float
        In proportion to what pairs may do; the diagonal counts for nothing.
    amount : float
        What a pair with an entry of median size is expected to add, in units: the value of a good
        removal, divided by the number of blocks that it removes.
    deviation : float
        How unsure that is.

    Raises
    ------
    InputError
        If the products are not finite or no square matrix, or a number is out of range.

    Examples
    --------
    >>> Hint([[9.0, 0.2, -0.4], [0.2, 9.0, 70.0], [-0.4, 70.0, 9.0]]).products
    array([[ 0. ,  0.5, -1. ],
           [ 0.5,  0. ,  6. ],
           [-1. ,  6. ,  0. ]])
    """

    products: NDArray[np.float64]
    amount: float = 0.0
    deviation: float = DEVIATION

    def __init__(
        self, products: ArrayLike, amount: float = 0.0, deviation: float = DEVIATION
    ) -> None:
        deviation = as_finite_float(deviation, "deviation of a hint")
        if deviation < 0:
            raise InputError(
                f"the deviation of a hint must be at least 0, not {deviation:g}; "
                "0 takes its amount for granted."
            )
        object.__setattr__(self, "products", _scaled(products))
        object.__setattr__(self, "amount", as_finite_float(amount, "amount of a hint"))
        object.__setattr__(self, "deviation", deviation)


def hints_of_model(alignment: ArrayLike, kinds: Sequence[str] | None = None) -> list[Hint]:
    """Return what is known of pairs in any language model.

    Parameters
    ----------
    alignment : (N, N) array_like of float
        Products of what blocks add to the residual stream, see
        `qubo_prune.pruning.statistics.BlockStatistics`.
    kinds : sequence of str, optional
        The kind of each block, where branches of one layer follow each other.

    Examples
    --------
    >>> hints = hints_of_model(np.ones((4, 4)))
    >>> [hint.amount for hint in hints]
    [0.1, 0.0, 0.0, 0.0]
    """
    hints = [Hint(alignment, ALIGNED)]
    size = len(hints[0].products)
    layers = np.arange(size) // len(set(kinds or ("block",)))
    apart = np.abs(np.subtract.outer(layers, layers))
    for distances in DISTANCES:
        hint = Hint(np.isin(apart, distances).astype(np.float64))
        if hint.products.any():
            hints.append(hint)
    return hints


def _scaled(products: ArrayLike) -> NDArray[np.float64]:
    """Return a symmetric matrix with a diagonal of zeros and entries whose median size is 1."""
    matrix = as_real_array(products, "a hint")
    if matrix.ndim != 2 or len(set(matrix.shape)) != 1:
        raise InputError(
            f"a hint must have one row and one column per block, not shape {matrix.shape}; "
            "give a square matrix."
        )
    if not np.isfinite(matrix).all():
        raise InputError("a hint must be finite; leave it out, or set what is not to 0.")
    scaled: NDArray[np.float64] = (matrix.astype(np.float64) + matrix.T) / 2
    np.fill_diagonal(scaled, 0.0)
    sizes = np.abs(scaled[scaled != 0])
    if len(sizes):
        scaled = np.clip(scaled / float(np.median(sizes)), -_LARGEST, _LARGEST)
    scaled.setflags(write=False)
    return scaled
