"""The descent of product states: angles on an annealing schedule, one start at a time.

Sums run along rows, one after the other, so that a start ends at the same spins on any number of
threads.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.jit import kernel

_QUARTER_TURN = 0.5 * math.pi
_DRIVER_LATE = 3.8
"""Power of the schedule of the energy; that of the driver is linear."""
_STEEPEST = 30.0
"""Largest exponent of the wall: what lies further below the level climbs no faster."""


@kernel
def descend_angles(
    fields: NDArray[np.float64],
    couplings: NDArray[np.float64],
    weights: NDArray[np.float64],
    steps: int,
    step_size: float,
    momentum: float,
    gamma: float,
    level: float,
    steepness: float,
    halt: NDArray[np.bool_],
) -> None:
    """Move the angles ``pi/2 tanh(weights)`` down the annealed cost.

    Parameters
    ----------
    fields : (n,) float64
        h.
    couplings : (n, n) float64
        J, symmetric with a zero diagonal: a product state with z = sin(angles) has the energy
        ``E = h'z + z'Jz / 2``.
    weights : (n,) float64
        Where it starts; where it ends is written back.
    steps : int
        Number of steps; fewer once `halt` is set.
    step_size, momentum : float
        Of the descent.
    gamma : float
        Weight of the energy in the cost.
    level, steepness : float
        An energy costs ``E + exp(-steepness (E - level)) / steepness``, which is least at `level`;
        -inf for E alone.
    halt : (1,) bool
        Set by another thread to end the descent.
    """
    n = len(fields)
    heights = np.empty(n)
    spins = np.empty(n)
    local = np.empty(n)
    velocity = np.zeros(n)
    for step in range(1, steps + 1):
        if halt[0]:
            break
        done = step / steps
        local[:] = fields
        for j in range(n):
            heights[j] = math.tanh(weights[j])
            spins[j] = math.sin(_QUARTER_TURN * heights[j])
            local += spins[j] * couplings[j]
        slope = gamma * done**_DRIVER_LATE
        if level > -np.inf:
            energy = 0.0
            for i in range(n):
                energy += 0.5 * (fields[i] + local[i]) * spins[i]
            slope *= 1.0 - math.exp(min(_STEEPEST, steepness * (level - energy)))
        for i in range(n):
            gradient = slope * local[i] * math.cos(_QUARTER_TURN * heights[i])
            gradient += (1.0 - done) * spins[i]
            gradient *= _QUARTER_TURN * (1.0 - heights[i] * heights[i])
            velocity[i] = momentum * velocity[i] - step_size * gradient
            weights[i] += velocity[i]
