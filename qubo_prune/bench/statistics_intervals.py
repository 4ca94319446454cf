"""How sure the figures of few runs are: intervals of shares, of times to solution, and of any
statistic over instances and seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from qubo_prune.bench.statistics import require_runs
from qubo_prune.core.errors import InputError
from qubo_prune.core.validation import as_count

__all__ = [
    "CONFIDENCE",
    "Interval",
    "TimeToSolution",
    "bootstrap_interval",
    "time_to_solution",
    "wilson_interval",
]

CONFIDENCE = 0.95
"""Of every interval, unless another is asked for."""

_Value = TypeVar("_Value")


class Interval(NamedTuple):
    """From where to where a value may be.

    Attributes
    ----------
    low, high : float
        Its ends, which belong to it.
    """

    low: float
    high: float


def _normal_quantile(confidence: float) -> float:
    from statistics import NormalDist

    if not 0 < confidence < 1:
        raise InputError(
            f"confidence must be between 0 and 1, not {confidence}; take 0.95, for example."
        )
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson_interval(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval of the probability of a success.

    Parameters
    ----------
    successes, trials : int
        How many of how many.
    confidence : float
        Of the interval.

    Raises
    ------
    InputError
        If there is no trial, or more successes than trials.

    Examples
    --------
    >>> low, high = wilson_interval(10, 10)
    >>> round(low, 3), high
    (0.722, 1.0)
    """
    trials = as_count(trials, "trials", least=1, remedy="an interval needs at least one")
    successes = as_count(
        successes, "successes", least=0, most=trials, remedy="count each trial once"
    )
    z = _normal_quantile(confidence)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    width = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # The ends of 0 and of all are exact, whatever the roots round to.
    low = 0.0 if successes == 0 else (centre - width) / scale
    high = 1.0 if successes == trials else (centre + width) / scale
    return Interval(low, high)


class TimeToSolution(NamedTuple):
    """How long runs have to be repeated until one succeeds with high probability.

    Attributes
    ----------
    seconds : float
        Of all repetitions; infinite where no run succeeded.
    interval : Interval
        From the Wilson interval of the share of successes; the time of one run is taken as it is.
    share : float
        Of the runs that succeeded.
    """

    seconds: float
    interval: Interval
    share: float


def time_to_solution(
    seconds: Sequence[float],
    succeeded: Sequence[bool],
    probability: float = 0.99,
    confidence: float = CONFIDENCE,
) -> TimeToSolution:
    """Return the time to solution, TTS99 by default.

    ``t * max(1, ln(1 - probability) / ln(1 - share))``, where t is the mean time of a run: until
    it succeeded, or until it ended without.

    Parameters
    ----------
    seconds : sequence of float
        Of each run, up to its success or to its end.
    succeeded : sequence of bool
        Whether each run did.
    probability : float
        That at least one repetition succeeds.
    confidence : float
        Of the interval.

    Raises
    ------
    InputError
        If there is no run, or the two do not have the same length.

    Examples
    --------
    >>> found = time_to_solution([2.0, 2.0, 2.0, 2.0], [True, False, True, False])
    >>> round(found.seconds, 2)
    13.29
    >>> time_to_solution([2.0, 2.0], [True, True]).seconds
    2.0
    """
    if len(seconds) != len(succeeded):
        raise InputError(
            f"there are {len(seconds)} times of {len(succeeded)} runs; give one of each run."
        )
    successes = sum(map(bool, succeeded))
    low, high = wilson_interval(successes, len(seconds), confidence)
    mean = math.fsum(seconds) / len(seconds)
    share = successes / len(seconds)

    def repeated(chance: float) -> float:
        if chance <= 0:
            return math.inf
        if chance >= 1:
            return mean
        return mean * max(1.0, math.log1p(-probability) / math.log1p(-chance))

    return TimeToSolution(repeated(share), Interval(repeated(high), repeated(low)), share)


def bootstrap_interval(
    runs: Mapping[str, Sequence[_Value]],
    statistic: Callable[[Sequence[Sequence[_Value]]], float],
    *,
    resamples: int = 1000,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Return the percentile interval of a statistic, over instances and over the seeds of each.

    Instances are drawn with replacement, then as many seeds of each drawn one as it has, with
    replacement too: seeds of one instance are no independent instances.

    Parameters
    ----------
    runs : mapping of str to sequence
        The value of each seed, by instance.
    statistic : callable
        From the values of some instances, each a sequence over its seeds, to a number.
    resamples : int
        How many draws.
    confidence : float
        Of the interval.
    seed : int
        Of the draws.

    Raises
    ------
    InputError
        If there is no instance, or one without a run.

    Examples
    --------
    >>> runs = {"easy": [1.0, 1.0], "hard": [0.0, 1.0]}
    >>> bootstrap_interval(runs, lambda drawn: sum(map(sum, drawn)) / sum(map(len, drawn)))
    Interval(low=0.25, high=1.0)
    """
    resamples = as_count(resamples, "resamples", least=1)
    require_runs(runs)
    values = list(runs.values())
    rng = np.random.default_rng(seed)
    most = max(map(len, values))
    found = np.empty(resamples)
    for index in range(resamples):
        # Numbers below 1 that many at a time, each rounded down to a place in its list.
        instances, *seeds = rng.random((most + 1, len(values))).tolist()
        drawn = [values[int(part * len(values))] for part in instances]
        found[index] = statistic(
            [
                [each[int(part * len(each))] for part in parts[: len(each)]]
                for each, parts in zip(drawn, zip(*seeds, strict=True), strict=True)
            ]
        )
    # No interpolation: the ends are values that occurred, infinite ones too.
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, (tail, 1 - tail), method="inverted_cdf")
    return Interval(float(low), float(high))
