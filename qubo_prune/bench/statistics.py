"""What the figures of many runs say in one number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qubo_prune.core.spectrum.spectrum import Spectrum

SHIFT = 1.0
"""Seconds added before geometric means, so that tiny times do not dominate them."""


def shifted_geometric_mean(seconds: Sequence[float], shift: float = SHIFT) -> float:
    """Return exp(mean(log(s + shift))) - shift.

    Examples
    --------
    >>> round(shifted_geometric_mean([0.0, 3.0]), 6)
    1.0
    """
    return math.exp(sum(math.log(s + shift) for s in seconds) / len(seconds)) - shift


def recall(spectrum: Spectrum, reference: Spectrum, num_states: int) -> float:
    """Return which part of the reference's lowest states is in the spectrum.

    A state that ties with the last one counts as well as that one does.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> reference = solve(Problem.load("bytelm-40-block", remove=4), num_states=20)
    >>> recall(reference[:5], reference, 20)
    0.25
    """
    wanted = min(num_states, len(reference))
    last = reference.energies[wanted - 1]
    return min(1.0, float((spectrum.energies <= last).sum()) / wanted)
