"""Distributions of times over tasks: performance profiles, and how many targets are reached by
when.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from qubo_prune.bench.statistics import require_runs
from qubo_prune.core.errors import InputError

__all__ = ["Steps", "median_time", "performance_profile", "target_distribution"]

RESOLUTION = 0.001
"""Seconds below which times are alike in a profile: smaller ones measure the clock."""


class Steps(NamedTuple):
    """A share that grows by steps.

    Attributes
    ----------
    at : tuple of float
        Where it grows, ascending.
    shares : tuple of float
        What it is from there on.
    """

    at: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def level(self) -> float:
        """The share in the end; what is missing to 1 never came: the failure level."""
        return self.shares[-1] if self.shares else 0.0

    def share(self, x: float) -> float:
        """Return the share at x.

        Examples
        --------
        >>> Steps((1.0, 2.0), (0.25, 0.5)).share(1.5)
        0.25
        """
        index = bisect_right(self.at, x)
        return self.shares[index - 1] if index else 0.0


def median_time(seconds: Sequence[float | None]) -> float | None:
    """Return the median over seeds, None where half of the runs or more did not get there.

    Examples
    --------
    >>> median_time([3.0, 1.0, None]), median_time([1.0, None])
    (3.0, None)
    """
    if not seconds:
        raise InputError("the median of 0 times is not defined; give at least one.")
    ordered = sorted(math.inf if s is None else s for s in seconds)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return middle if math.isfinite(middle) else None


def performance_profile(
    seconds: Mapping[str, Mapping[str, float | None]], resolution: float = RESOLUTION
) -> dict[str, Steps]:
    """Return the performance profiles of Dolan and More.

    At a ratio r, a solver's share of the tasks that it solved within r times the time of the
    fastest solver on each. A task that nobody solved counts as one of all.

    Parameters
    ----------
    seconds : mapping of str to mapping of str to (float or None)
        By solver and task; None where the solver did not get there.
    resolution : float
        Shorter times count as this long.

    Returns
    -------
    dict of str to Steps
        By solver, over ratios from 1 on.

    Raises
    ------
    InputError
        If the solvers do not have the same tasks, or none.

    Examples
    --------
    >>> profiles = performance_profile({"a": {"x": 1.0, "y": None}, "b": {"x": 2.0, "y": 5.0}})
    >>> profiles["a"], profiles["b"]
    (Steps(at=(1.0,), shares=(0.5,)), Steps(at=(1.0, 2.0), shares=(0.5, 1.0)))
    >>> profiles["a"].level
    0.5
    """
    tasks = list(next(iter(seconds.values()), {}))
    for solver, times in seconds.items():
        if times.keys() != set(tasks) or not times:
            raise InputError(
                f"{solver} has times of {len(times)} tasks, which are not the {len(tasks)} of the"
                " others; compare on the tasks that all have."
            )
    best = {
        task: min(_counted(times[task], resolution) for times in seconds.values()) for task in tasks
    }
    share = Fraction(1, len(tasks))
    return {
        solver: _steps(
            (_counted(times[task], resolution) / best[task], share)
            for task in tasks
            if times[task] is not None
        )
        for solver, times in seconds.items()
    }


def _counted(seconds: float | None, resolution: float) -> float:
    return math.inf if seconds is None else max(seconds, resolution)


def target_distribution(seconds: Mapping[str, Sequence[float | None]]) -> Steps:
    """Return the empirical distribution of the time to a target over instances and seeds.

    Each instance weighs the same, however many seeds it has.

    Parameters
    ----------
    seconds : mapping of str to sequence of (float or None)
        The time of each seed by instance; None where the target was not reached.

    Raises
    ------
    InputError
        If there is no instance, or one without a run.

    Examples
    --------
    >>> target_distribution({"x": [1.0, 3.0], "y": [2.0]})
    Steps(at=(1.0, 2.0, 3.0), shares=(0.25, 0.75, 1.0))
    """
    require_runs(seconds)
    return _steps(
        (time, Fraction(1, len(seconds) * len(times)))
        for times in seconds.values()
        for time in times
        if time is not None
    )


def _steps(weighted: Iterable[tuple[float, Fraction]]) -> Steps:
    """Return the distribution of weighted values; the sums are exact, so that all is 1."""
    steps: dict[float, Fraction] = {}
    total = Fraction(0)
    for value, weight in sorted(weighted):
        total += weight
        steps[value] = total
    return Steps(tuple(steps), tuple(map(float, steps.values())))
