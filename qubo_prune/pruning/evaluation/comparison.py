"""Whether two models differ: the same samples, item by item, and what could have been seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.pruning.evaluation.metrics import Kind, Metric, ratio_error

__all__ = ["LEVEL", "POWER", "Comparison", "compare"]

LEVEL = 0.05
"""Level of the tests; intervals hold with one minus that."""

POWER = 0.8
"""A difference is called detectable if so many of such comparisons would find it at `LEVEL`."""


@dataclass(frozen=True)
class Comparison:
    """How a number of one model differs from that of the original.

    Attributes
    ----------
    change : float
        The difference, or how many times the original's value it is (`is_ratio`): of perplexities,
        times and sizes.
    low, high : float, optional
        A 95 % confidence interval of the change; of a median of times the narrowest pair of order
        statistics that holds with at least that, or else the extremes.
    is_ratio : bool
        Whether the change is a factor.
    test : str
        ``paired t``; ``McNemar`` (exact, on the items that only one of the two gets right);
        ``sign`` (exact, on pairs of times); ``z`` where samples cannot be paired; empty where there
        is nothing to test.
    p_value : float, optional
        Two-sided.
    detectable : float, optional
        The smallest true difference that 80 % of such comparisons would find at the level 5 %, on
        the scale of the difference, for ratios of their logarithm, as a factor above one.

    Examples
    --------
    >>> worse = compare(Metric.mean("loss", [2.0, 3.1, 4.2]), Metric.mean("loss", [1.0, 2.0, 3.0]))
    >>> round(worse.change, 2), worse.test, worse.p_value < 0.01
    (1.1, 'paired t', True)
    """

    change: float
    low: float | None = None
    high: float | None = None
    is_ratio: bool = False
    test: str = ""
    p_value: float | None = None
    detectable: float | None = None

    @property
    def is_significant(self) -> bool:
        """Whether the test finds a difference at the level 5 %."""
        return self.p_value is not None and self.p_value < LEVEL


def compare(metric: Metric, original: Metric) -> Comparison | None:
    """Return how a number differs from that of the original; None if they cannot be compared.

    Parameters
    ----------
    metric, original : Metric
        The same number of two models.
    """
    if metric.kind is not original.kind or metric.name != original.name:
        return None
    if metric.kind is Kind.TIME:
        return _times(metric, original)
    if metric.kind is Kind.SIZE:
        change = metric.value / original.value if original.value else math.nan
        return Comparison(change, is_ratio=True) if math.isfinite(change) else None
    is_ratio = metric.kind is Kind.PERPLEXITY
    if not (math.isfinite(metric.value) and math.isfinite(original.value)):
        both = not (math.isfinite(metric.value) or math.isfinite(original.value))
        return None if both else Comparison(_unlike(metric, is_ratio), is_ratio=is_ratio)
    if not len(metric.samples) or metric.samples.shape != original.samples.shape:
        return _unpaired(metric, original, is_ratio)
    if is_ratio:
        return _perplexities(metric, original)
    differences = metric.samples - original.samples
    if metric.kind is Kind.PROPORTION:
        return _proportions(differences)
    return _tested(float(differences.mean()), _spread(differences), len(differences), False)


def _unlike(metric: Metric, is_ratio: bool) -> float:
    """Return the change where only one of two values is finite."""
    if not math.isfinite(metric.value):
        return math.inf
    return 0.0 if is_ratio else -math.inf


def _spread(differences: NDArray[np.float64]) -> float | None:
    return ratio_error(differences, np.ones(len(differences)))


def _perplexities(metric: Metric, original: Metric) -> Comparison | None:
    if not np.array_equal(metric.weights, original.weights):
        return _unpaired(metric, original, True)
    differences, weights = metric.samples - original.samples, metric.weights
    rate = float(differences.sum() / weights.sum())
    return _tested(rate, ratio_error(differences, weights), len(weights), True)


def _tested(change: float, error: float | None, count: int, is_ratio: bool) -> Comparison:
    """Return the paired t test of a mean difference; of logarithms if `is_ratio`."""
    from scipy import stats

    if error is None:
        return Comparison(_scaled(change, is_ratio), is_ratio=is_ratio)
    if not error:  # every sample differs by the same, in most cases by nothing
        shown = _scaled(change, is_ratio)
        p_value = 0.0 if change else 1.0
        return Comparison(shown, shown, shown, is_ratio, "paired t", p_value)
    p_value = float(2 * stats.t.sf(abs(change) / error, count - 1))
    return _with_interval(change, error, stats.t(count - 1), is_ratio, "paired t", p_value)


def _proportions(differences: NDArray[np.float64]) -> Comparison:
    from scipy import stats

    change = float(differences.mean())
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    if not gained + lost:
        return Comparison(0.0, test="McNemar", p_value=1.0)
    error = _spread(differences)
    p_value = float(stats.binomtest(gained, gained + lost).pvalue)
    if not error:
        return Comparison(change, test="McNemar", p_value=p_value)
    return _with_interval(change, error, stats.norm, False, "McNemar", p_value)


def _unpaired(metric: Metric, original: Metric, is_ratio: bool) -> Comparison:
    """Compare two values of which at best the errors are known."""
    from scipy import stats

    change = metric.value - original.value
    errors = [metric.standard_error, original.standard_error]
    if is_ratio:
        change = math.log(metric.value / original.value)
        values = (metric.value, original.value)
        errors = [None if e is None else e / v for e, v in zip(errors, values, strict=True)]
    if None in errors or not any(errors):
        return Comparison(_scaled(change, is_ratio), is_ratio=is_ratio)
    error = math.hypot(*(each or 0.0 for each in errors))
    p_value = float(2 * stats.norm.sf(abs(change) / error))
    return _with_interval(change, error, stats.norm, is_ratio, "z", p_value)


def _with_interval(
    change: float, error: float, errors: Any, is_ratio: bool, test: str, p_value: float
) -> Comparison:
    """Return a change whose error, in units of its standard error, follows a distribution of SciPy;
    of logarithms if `is_ratio`.
    """
    quantile = float(errors.ppf(1 - LEVEL / 2))
    return Comparison(
        change=_scaled(change, is_ratio),
        low=_scaled(change - quantile * error, is_ratio),
        high=_scaled(change + quantile * error, is_ratio),
        is_ratio=is_ratio,
        test=test,
        p_value=p_value,
        detectable=_scaled((quantile + float(errors.ppf(POWER))) * error, is_ratio),
    )


def _times(metric: Metric, original: Metric) -> Comparison:
    """Compare medians of times: pair by pair where the two were measured in turn."""
    from scipy import stats

    if not len(metric.reference) or len(metric.reference) != len(metric.samples):
        return Comparison(metric.value / original.value, is_ratio=True)
    ratios = metric.samples / metric.reference
    low, high = median_interval(ratios)
    slower, faster = int((ratios > 1).sum()), int((ratios < 1).sum())
    p_value = float(stats.binomtest(slower, slower + faster).pvalue) if slower + faster else 1.0
    return Comparison(float(np.median(ratios)), low, high, True, "sign", p_value)


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the narrowest two order statistics between which the median lies with at least 95 %
    confidence; the extremes of fewer than six values, which hold it with less.

    Examples
    --------
    >>> median_interval(np.arange(9.0))
    (1.0, 7.0)
    """
    from scipy import stats

    ordered, count = np.sort(values), len(values)
    trimmed = max(0, int(stats.binom.ppf(LEVEL / 2, count, 0.5)) - 1)
    return float(ordered[trimmed]), float(ordered[count - 1 - trimmed])


def _scaled(change: float, is_ratio: bool) -> float:
    if not is_ratio:
        return change
    try:
        return math.exp(change)
    except OverflowError:
        return math.inf
