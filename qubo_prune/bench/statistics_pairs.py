"""Whether one solver is better than another on the same tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from qubo_prune.bench.statistics_intervals import CONFIDENCE, Interval
from qubo_prune.core.errors import InputError
from qubo_prune.core.validation import as_count

__all__ = ["PairedTest", "paired_test", "sign_test"]

SAME = 0.05
"""Times closer than this share of the longer one are a tie."""


class PairedTest(NamedTuple):
    """What a sign test says.

    Attributes
    ----------
    wins, ties, losses : int
        Of the first, task by task.
    p_value : float
        Two-sided, that wins and losses are alike likely; ties do not enter.
    share : float
        Of wins among the tasks that are no ties; 0.5 where all are.
    interval : Interval
        Of that share, exact (Clopper-Pearson); 0 to 1 where all are ties.
    """

    wins: int
    ties: int
    losses: int
    p_value: float
    share: float
    interval: Interval


def sign_test(
    wins: int, losses: int, *, ties: int = 0, confidence: float = CONFIDENCE
) -> PairedTest:
    """Test whether wins are as likely as losses.

    Parameters
    ----------
    wins, losses, ties : int
        Of the tasks.
    confidence : float
        Of the interval.

    Examples
    --------
    >>> sign_test(5, 0).p_value
    0.0625
    >>> [round(end, 3) for end in sign_test(5, 0).interval]
    [0.478, 1.0]
    """
    from scipy.stats import binomtest

    wins, losses, ties = (
        as_count(count, what, least=0, remedy="count the tasks again")
        for count, what in ((wins, "wins"), (losses, "losses"), (ties, "ties"))
    )
    decided = wins + losses
    if not decided:
        return PairedTest(0, ties, 0, 1.0, 0.5, Interval(0.0, 1.0))
    test = binomtest(wins, decided)
    low, high = test.proportion_ci(confidence, method="exact")
    return PairedTest(
        wins,
        ties,
        losses,
        min(1.0, float(test.pvalue)),
        wins / decided,
        Interval(float(low), float(high)),
    )


def paired_test(
    first: Mapping[str, float | None],
    second: Mapping[str, float | None],
    *,
    same: float = SAME,
    smallest: float = 0.0,
    confidence: float = CONFIDENCE,
) -> PairedTest:
    """Compare the times of two solvers on the tasks that both were given.

    Parameters
    ----------
    first, second : mapping of str to (float or None)
        Seconds by task; None where it was not solved, which loses against any time.
    same : float
        Times closer than this share of the longer one are a tie, as is failing both.
    smallest : float
        Seconds below which all times are alike.
    confidence : float
        Of the interval.

    Raises
    ------
    InputError
        If they have no task in common.

    Examples
    --------
    >>> paired_test({"a": 1.0, "b": 2.0, "c": None}, {"a": 3.0, "b": None, "c": None})[:3]
    (2, 1, 0)
    """
    common = [task for task in first if task in second]
    if not common:
        raise InputError(
            f"{len(first)} and {len(second)} tasks have none in common; run both on the same ones."
        )
    outcomes = [_outcome(first[task], second[task], same, smallest) for task in common]
    return sign_test(
        outcomes.count(1), outcomes.count(-1), ties=outcomes.count(0), confidence=confidence
    )


def _outcome(first: float | None, second: float | None, same: float, smallest: float) -> int:
    """Return 1 where the first wins, -1 where it loses, 0 for a tie."""
    a, b = (math.inf if each is None else max(each, smallest) for each in (first, second))
    if a == b or abs(a - b) <= same * max(a, b) < math.inf:
        return 0
    return 1 if a < b else -1
