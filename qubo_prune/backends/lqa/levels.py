"""Which energies runs aim at, and the bisection that makes them end there."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_STEEPNESS = 3.0
"""Steepness of a wall, times the distance of the lowest energy below those that are lifted."""
_SMALLEST = 1e-3
"""Least such distance, in the unit of the model: where all that was found has one energy."""

NOTHING_LIFTED = (-math.inf, 0.0)


class Levels:
    """Aims in turn at the lowest energy, and above ever more of the states found so far.

    At level 0 nothing is lifted. Level l of `count` lifts the lowest ``ceil(l K / count)`` feasible
    states found, by the cost ``E + exp(-s (E - L)) / s`` of an energy E, which is least at L. How
    high L has to be is bisected, one step at each of its turns, so that half of the runs end above
    what is lifted.

    Parameters
    ----------
    count : int
        Number of levels.
    num_states : int
        K.

    Examples
    --------
    >>> levels = Levels(count=2, num_states=2)
    >>> levels.aim()
    (-inf, 0.0)
    >>> states = np.array([[True, False], [False, True]])
    >>> levels.learn(np.array([1.0, 3.0]), states, np.array([True, True]))
    >>> levels.aim()
    (1.001, 3000.0)
    """

    def __init__(self, count: int, num_states: int) -> None:
        self._lifted = [math.ceil(level * num_states / count) for level in range(count)]
        self._walls = [_Wall() for _ in range(count)]
        self._num_states = num_states
        self._found: dict[bytes, float] = {}
        self._lowest: list[float] = []
        self._turn = 0

    def aim(self) -> tuple[float, float]:
        """Return L and s for the next runs; L is -inf where nothing is lifted."""
        if self._turn == 0 or not self._lowest:
            return NOTHING_LIFTED
        distance = max(self._floor() - self._lowest[0], _SMALLEST)
        height = self._walls[self._turn].height(self._floor(), distance)
        return self._lowest[0] + height, _STEEPNESS / distance

    def learn(
        self,
        energies: NDArray[np.float64],
        states: NDArray[np.bool_],
        feasible: NDArray[np.bool_],
    ) -> None:
        """Take what the runs ended at: energies (B,), states (B, n) and whether they count (B,)."""
        if self._turn and self._lowest and len(energies):
            self._walls[self._turn].learn(float(np.median(energies)) > self._floor())
        self._turn = (self._turn + 1) % len(self._walls)
        for energy, state in zip(energies[feasible], states[feasible], strict=True):
            self._found[state.tobytes()] = float(energy)
        kept = sorted(self._found.items(), key=lambda item: (item[1], item[0]))[: self._num_states]
        self._found = dict(kept)
        self._lowest = [energy for _, energy in kept]

    def _floor(self) -> float:
        """Return the highest energy that is lifted at this turn."""
        return self._lowest[min(self._lifted[self._turn], len(self._lowest)) - 1]


class _Wall:
    """The height of L above the lowest energy, by bisection: doubled until it is enough; from the
    start again, at the last height, where what is lifted changes.
    """

    def __init__(self) -> None:
        self._floor = math.nan
        self._height = math.nan
        self._low, self._high = 0.0, math.inf

    def height(self, floor: float, distance: float) -> float:
        """Return the height to try where energies up to `floor` are lifted, `distance` above the
        lowest.
        """
        if floor != self._floor:
            self._floor = floor
            self._low, self._high = 0.0, math.inf
            if math.isnan(self._height):
                self._height = distance
        return self._height

    def learn(self, enough: bool) -> None:
        """Take whether the height was enough."""
        if enough:
            self._high = self._height
        else:
            self._low = self._height
        middle = 0.5 * (self._low + self._high)
        self._height = middle if math.isfinite(middle) else 2.0 * self._height
