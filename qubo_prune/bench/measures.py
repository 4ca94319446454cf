"""The measures of a run, as docs/reference/measures.md defines them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.bench.results import ReferenceKind, TracePoint
from qubo_prune.bench.statistics import recall_of
from qubo_prune.bench.statistics_anytime import primal_integral

RECALLED = (20, 100, 1000)

PUBLISHED_DIGITS = 1e-9
"""Published values are rounded; an energy that is larger by no more than this, relative to it, is
taken for the same.
"""

_SHORTEST = 1e-9

Measures = dict[str, float | None]


class Truth(NamedTuple):
    """What states are held against.

    Attributes
    ----------
    kind : ReferenceKind
        What is known of it.
    energies : ndarray of float
        The lowest, ascending; a published value is one.
    wanted : int
        How many states were asked for, and exist.
    total : int
        How many exist.
    """

    kind: ReferenceKind
    energies: NDArray[np.float64]
    wanted: int
    total: int

    @property
    def lowest(self) -> float | None:
        """The energy at which the ground state counts as found; None if nobody knows."""
        if not len(self.energies):
            return None
        lowest = float(self.energies[0])
        digits = PUBLISHED_DIGITS if self.kind is ReferenceKind.PUBLISHED else 0.0
        return lowest + digits * abs(lowest)

    def recall(self, energies: NDArray[np.float64], count: int) -> float | None:
        """Return which part of the `count` lowest states is there, by the energies of distinct
        states; None where fewer were asked for or are known.
        """
        count = min(count, self.total)
        is_list = self.kind in (ReferenceKind.CERTIFIED, ReferenceKind.BEST_KNOWN)
        if not is_list or count > min(self.wanted, len(self.energies)):
            return None
        return recall_of(energies, self.energies, count)


def of_states(truth: Truth, energies: ArrayLike, suffix: str = "") -> Measures:
    """Return the measures of a list of distinct feasible states.

    Parameters
    ----------
    truth : Truth
        What they are held against.
    energies : array_like of float
        Of the states, ascending.
    suffix : str
        Of the names of the measures.

    Examples
    --------
    >>> truth = Truth(ReferenceKind.CERTIFIED, np.arange(20.0), 20, 190)
    >>> of_states(truth, np.arange(0.0, 40.0, 2.0))["recall_20"]
    0.5
    """
    found = np.asarray(energies, np.float64)
    measures: Measures = {f"ground_state{suffix}": None}
    if truth.lowest is not None:
        measures[f"ground_state{suffix}"] = float(len(found) > 0 and found[0] <= truth.lowest)
    for count in RECALLED:
        measures[f"recall_{count}{suffix}"] = truth.recall(found, count)
    last = truth.wanted - 1
    if truth.recall(found, truth.wanted) is not None and len(found) > last:
        measures[f"energy_error{suffix}"] = float(found[last] - truth.energies[last])
    return measures


def of_trace(truth: Truth, trace: Sequence[TracePoint], limit: float | None) -> Measures:
    """Return the measures of what was found when; the last point is the end of the run.

    Examples
    --------
    >>> truth = Truth(ReferenceKind.CERTIFIED, np.array([1.0]), 1, 190)
    >>> points = [TracePoint(0.5, best=2.0), TracePoint(1.0, best=1.0)]
    >>> of_trace(truth, points, 10.0)["seconds_to_ground_state"]
    1.0
    """
    lowest = truth.lowest
    if lowest is None or not trace:
        return {}
    end = max(trace[-1].seconds, _SHORTEST) if limit is None else limit
    return {
        "seconds_to_ground_state": next(
            (each.seconds for each in trace if each.best is not None and each.best <= lowest), None
        ),
        "seconds_to_recall_100": next(
            (each.seconds for each in trace if each.recall_100 == 1.0), None
        ),
        "primal_integral": primal_integral(
            [each.seconds for each in trace], [each.best for each in trace], lowest, end
        ),
    }


def of_proof(
    num_proven: int, lower_bound: float, best: float | None, seconds: float, wanted: int
) -> Measures:
    """Return the measures of a proof.

    Parameters
    ----------
    num_proven : int
        How many of the states found are the lowest.
    lower_bound : float
        No state outside the list lies below it.
    best : float or None
        The lowest energy found.
    seconds : float
        When the run ended.
    wanted : int
        How many states were asked for, and exist.

    Examples
    --------
    >>> of_proof(0, 1.5, 2.0, 10.0, 100)["gap"]
    0.5
    """
    measures: Measures = {"num_proven": float(num_proven), "seconds_to_proof": None}
    if best is not None and lower_bound > -math.inf:
        # No state outside the list lies below the bound, and none in it below the best.
        bound = best if num_proven else min(best, lower_bound)
        measures |= {"lower_bound": bound, "gap": best - bound}
    if num_proven >= wanted:
        measures["seconds_to_proof"] = seconds
    return measures


def of_sampling(
    statistics: Mapping[str, object], own: NDArray[np.bool_], listed: int, shares: Measures
) -> Measures:
    """Return shares of what was returned, and how far the solver's own states are apart.

    Parameters
    ----------
    statistics : mapping
        Of a sampler, what it drew before repair; empty for other solvers.
    own : ndarray of bool, shape (K, N)
        Its own states, distinct and feasible.
    listed : int
        How many states the repaired list has.
    shares : mapping
        ``feasible_share`` and ``distinct_share`` of a solver that nobody repairs.
    """
    measures: Measures = {**shares, "unrepaired_share": 1.0, "diversity": diversity(own)}
    if "feasible_fraction" in statistics:
        measures["feasible_share"] = _number(statistics, "feasible_fraction")
        measures["distinct_share"] = _number(statistics, "distinct_fraction")
        kept = _number(statistics, "bare_listed") or 0.0
        measures["unrepaired_share"] = kept / listed if listed else 0.0
    return measures


def _number(statistics: Mapping[str, object], name: str) -> float | None:
    value = statistics.get(name)
    return float(value) if isinstance(value, int | float) else None


def diversity(states: NDArray[np.bool_]) -> float | None:
    """Return the mean Hamming distance of two different states among these; None for fewer.

    Examples
    --------
    >>> diversity(np.array([[True, False], [False, True]]))
    2.0
    """
    count = len(states)
    if count < 2:
        return None
    ones = states.sum(axis=0, dtype=np.int64)
    return float(2.0 * (ones * (count - ones)).sum() / (count * (count - 1)))
