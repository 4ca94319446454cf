"""What runs had found by when: primal integrals, and quantiles over runs along time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from qubo_prune.core.errors import InputError

__all__ = ["Quantiles", "primal_gap", "primal_integral", "quantiles_over_time"]


def primal_gap(energy: float | None, target: float) -> float:
    """Return how far an energy is from the target: 0 for reached, 1 for nothing found or of
    opposite sign, else the distance relative to the larger of the two.

    Examples
    --------
    >>> primal_gap(4.0, 3.0), primal_gap(3.0, 3.0), primal_gap(None, 3.0), primal_gap(1.0, -1.0)
    (0.25, 0.0, 1.0, 1.0)
    """
    if energy is None:
        return 1.0
    if energy <= target:
        return 0.0
    if energy * target < 0:
        return 1.0
    return (energy - target) / max(abs(energy), abs(target))


def primal_integral(
    seconds: Sequence[float], energies: Sequence[float | None], target: float, limit: float
) -> float:
    """Return the mean of the primal gap from 0 to the limit: between 0 and 1, lower is better.

    Parameters
    ----------
    seconds : sequence of float
        When the best energy was known to improve, ascending.
    energies : sequence of (float or None)
        What it was from then on; before the first, nothing was found.
    target : float
        The energy of the ground state.
    limit : float
        Up to when; what comes later does not count.

    Raises
    ------
    InputError
        If the two do not have the same length, times descend, or the limit is not positive.

    Examples
    --------
    >>> primal_integral([1.0, 2.0], [4.0, 3.0], target=3.0, limit=10.0)
    0.125
    """
    if len(seconds) != len(energies):
        raise InputError(
            f"there are {len(seconds)} times of {len(energies)} energies; give one of each."
        )
    if any(a > b for a, b in pairwise(seconds)):
        raise InputError("the times of a trace must ascend, and these do not; sort them.")
    if not limit > 0:
        raise InputError(f"limit must be positive, not {limit}; give the seconds of the run.")
    ends = [min(max(s, 0.0), limit) for s in (*seconds, limit)]
    lengths = (after - before for before, after in pairwise([0.0, *ends]))
    gaps = (primal_gap(energy, target) for energy in (None, *energies))
    return math.fsum(gap * length for gap, length in zip(gaps, lengths, strict=True)) / limit


class Quantiles(NamedTuple):
    """Quartiles over runs at each time.

    Attributes
    ----------
    at : tuple of float
        Seconds.
    low, median, high : tuple of float
        The quartiles there.
    """

    at: tuple[float, ...]
    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]


def quantiles_over_time(
    traces: Sequence[Sequence[tuple[float, float]]], at: Sequence[float], *, before: float = 0.0
) -> Quantiles:
    """Return median and quartiles over runs of what each had reached by given times.

    Parameters
    ----------
    traces : sequence of sequences of (float, float)
        Of each run, seconds ascending and the value from then on; a run that ended keeps its last.
    at : sequence of float
        The times to tell of.
    before : float
        The value before the first.

    Raises
    ------
    InputError
        If there is no run.

    Examples
    --------
    >>> quantiles_over_time([[(1.0, 0.5)], [(2.0, 1.0)]], [0.5, 1.5, 2.5]).median
    (0.0, 0.25, 0.75)
    """
    import numpy as np

    if not traces:
        raise InputError("quartiles of 0 runs are not defined; give at least one run.")
    values = np.full((len(traces), len(at)), before)
    for row, trace in zip(values, traces, strict=True):
        when = [seconds for seconds, _ in trace]
        for column, seconds in enumerate(at):
            index = bisect_right(when, seconds)
            if index:
                row[column] = trace[index - 1][1]
    low, median, high = (
        tuple(map(float, quartile)) for quartile in np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    )
    return Quantiles(tuple(map(float, at)), low, median, high)
