"""The fractional point at which a convex relaxation is least, by accelerated projected gradients.

The point need not be exact: any one gives a valid bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_POWER_STEPS = 30
_SETTLED = 1e-7


def relaxed_point(
    matrix: NDArray[np.float64],
    shifts: NDArray[np.float64],
    members: Sequence[NDArray[np.int64]],
    counts: Sequence[int],
    sizes: NDArray[np.float64],
    start: NDArray[np.float64],
    max_steps: int,
    should_stop: Callable[[], bool],
) -> NDArray[np.float64]:
    """Return about the x that minimises ``x'(Q - diag u)x + u'x`` over ``0 <= x <= 1`` with the
    counts as sums (Beck and Teboulle 2009, with restarts), each variable in steps of its own
    length: where they differ by orders of magnitude, one length for all would be far too short.

    Parameters
    ----------
    matrix, shifts : (n, n) and (n,) float64
        Q and u.
    members, counts : sequences
        Variables of each group, and their sums.
    sizes : (n,) float64
        About the size of a variable's own terms, above 0: the larger, the shorter its steps.
    start : (n,) float64
        Where to start.
    max_steps : int
        Most steps.
    should_stop : callable
        Asked between steps.
    """

    def slope(point: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(2.0 * (matrix @ point - shifts * point) + shifts)

    lengths = _steepest(matrix, shifts, members, sizes) * sizes
    point = ahead = start
    momentum = 1.0
    for _ in range(max_steps):
        if should_stop():
            break
        following = _project(ahead - slope(ahead) / lengths, members, counts, sizes)
        step = following - point
        # Where the momentum leads uphill, it starts again.
        momentum = 1.0 if (sizes * (ahead - following)) @ step > 0 else momentum
        grown = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
        ahead = following + (momentum - 1.0) / grown * step
        point, momentum = following, grown
        if np.abs(step).max() < _SETTLED:
            break
    return point


def _steepest(
    matrix: NDArray[np.float64],
    shifts: NDArray[np.float64],
    members: Sequence[NDArray[np.int64]],
    sizes: NDArray[np.float64],
) -> float:
    """Return a little more than the largest curvature along the plane of the counts, where lengths
    are measured in sizes.
    """
    units = 1.0 / np.sqrt(sizes)
    direction = np.random.default_rng(0).normal(size=len(matrix))
    largest = 0.0
    for _ in range(_POWER_STEPS):
        for group in members:
            normal = units[group] / np.linalg.norm(units[group])
            direction[group] -= (direction[group] @ normal) * normal
        length = float(np.linalg.norm(direction))
        if length == 0.0:
            break
        moved = units * direction / length
        direction = units * (matrix @ moved - shifts * moved)
        largest = float(np.linalg.norm(direction))
    return 2.2 * largest or 1.0


def _project(
    point: NDArray[np.float64],
    members: Sequence[NDArray[np.int64]],
    counts: Sequence[int],
    sizes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the nearest point of the box with the right sums, where squares are weighed by sizes:
    x - t / size clipped, where the sum falls with t by 1 / size of those that are inside.
    """
    near = np.empty_like(point)
    for group, count in zip(members, counts, strict=True):
        part, size = point[group], sizes[group]
        edges = np.concatenate([part * size, (part - 1.0) * size])
        order = np.argsort(-edges, kind="stable")
        edges = edges[order]
        falls = np.concatenate([1.0 / size, -1.0 / size])[order]
        sums = np.concatenate([[0.0], np.cumsum(np.cumsum(falls)[:-1] * -np.diff(edges))])
        near[group] = np.clip(part - np.interp(count, sums, edges) / size, 0.0, 1.0)
    return near
