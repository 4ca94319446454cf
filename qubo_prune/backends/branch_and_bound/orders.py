"""The orders in which branch and bound decides the variables.

The shifts are prepared for a fixed order, so an order is chosen once, for the whole tree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.reduced import ReducedProblem

DIAGONAL, DECISIVE = "diagonal", "decisive"
"""What `by_diagonal` and `by_decisiveness` are called where a run is described."""
_FLAT = 1e-9
"""Part of the largest entry by which numbers of a diagonal that says nothing may differ."""
_LARGEST = 1000
"""Variables above which there are no shifts to tell what is decisive."""


def first_order(matrix: NDArray[np.float64], group_of: NDArray[np.int64]) -> str:
    """Return the name of the order that a search begins with: by the diagonal, unless that is the
    same for all members of every group, as in a graph. Then it would be the order of the file.

    Examples
    --------
    >>> first_order(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 0]))
    'decisive'
    >>> first_order(np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([0, 0]))
    'diagonal'
    """
    if len(matrix) > _LARGEST:
        return DIAGONAL
    diagonal = np.diagonal(matrix)
    tolerance = _FLAT * float(np.abs(matrix).max(initial=0.0))
    flat = all(
        float(np.ptp(diagonal[group_of == group])) <= tolerance
        for group in range(int(group_of.max()) + 1)
    )
    return DECISIVE if flat else DIAGONAL


def by_diagonal(reduced: ReducedProblem) -> NDArray[np.int64]:
    """Return the variables by descending diagonal: the natural order of a Hessian, whose diagonal
    outweighs the rest.
    """
    return np.argsort(-np.diagonal(reduced.matrix), kind="stable")


def by_decisiveness(reduced: ReducedProblem, shift: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the variables by how much the bound rises, by estimate, where one is decided.

    From the point that spreads every group evenly, raising variable j changes the energy at the
    rate ``g_j = Q_jj + 2 sum_{i != j} Q_ij x_i``; its distance from the cut between the r smallest
    rates of its group and the others is the price of the wrong side. Beyond that, deciding j takes
    its part of the relaxation's slack away, ``(P Q P)_jj - u_j`` with the shift u of the root and
    the projection P onto directions that keep the counts, once for each direction.

    A group of which one variable is removed, or kept, is decided as a whole, where its first member
    has its place: like one variable with several values.

    Parameters
    ----------
    reduced : ReducedProblem
        The problem over its free variables.
    shift : ndarray of float64, shape (n,)
        u, in the order of the problem.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> reduced = Problem([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 9.0]], 1).reduced()
    >>> by_decisiveness(reduced, np.zeros(3))
    array([2, 0, 1])
    """
    matrix, group_of = reduced.matrix, reduced.group_of
    diagonal = np.diagonal(matrix)
    sizes = np.bincount(group_of, minlength=reduced.num_groups)
    even = (reduced.counts / sizes)[group_of]
    rates = 2.0 * (matrix @ even) + diagonal * (1.0 - 2.0 * even)
    score = 2.0 * (_projected_diagonal(matrix, group_of) - shift)
    for group, count in enumerate(reduced.counts):
        members = np.flatnonzero(group_of == group)
        ranked = np.sort(rates[members])
        score[members] += np.abs(rates[members] - 0.5 * (ranked[count - 1] + ranked[count]))
    place = np.arange(len(score)) + reduced.num_groups
    lead = score.copy()
    for whole in np.flatnonzero((reduced.counts == 1) | (reduced.counts == sizes - 1)):
        members = np.flatnonzero(group_of == whole)
        place[members] = whole
        lead[members] = score[members].max()
    return np.lexsort((-score, place, -lead))


def _projected_diagonal(
    matrix: NDArray[np.float64], group_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the diagonal of P Q P, where P takes the mean of each group away."""
    indicator = (group_of[:, None] == np.arange(group_of.max() + 1)).astype(float)
    sizes = indicator.sum(axis=0)
    means = (matrix @ indicator) / sizes  # of each row over each group
    own = means[np.arange(len(group_of)), group_of]
    whole = (indicator.T @ means)[group_of, group_of] / sizes[group_of]
    projected: NDArray[np.float64] = np.diagonal(matrix) - 2.0 * own + whole
    return projected
