"""Whether two models differ: against SciPy, and against what the words promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qubo_prune.pruning.evaluation.comparison import compare, median_interval
from qubo_prune.pruning.evaluation.metrics import Kind, Metric, ratio_error


def test_means_are_compared_by_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(3, 1, 40), rng.normal(2.8, 1, 40)
    found = compare(Metric.mean("loss", one), Metric.mean("loss", other))
    expected = stats.ttest_rel(one, other)
    interval = expected.confidence_interval(0.95)
    assert found is not None
    assert (found.test, found.is_ratio) == ("paired t", False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.change == pytest.approx((one - other).mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_shares_are_compared_by_the_exact_mcnemar_test() -> None:
    one = np.array([1] * 30 + [0] * 12 + [1] * 3 + [0] * 15, np.float64)
    other = np.array([1] * 30 + [1] * 12 + [0] * 3 + [0] * 15, np.float64)
    metrics = [Metric.mean("acc", each, kind=Kind.PROPORTION) for each in (one, other)]
    found = compare(*metrics)
    assert found is not None
    assert found.test == "McNemar"
    assert found.change == pytest.approx(-9 / 60)
    # Of 15 items on which they differ, three or fewer to one side: 2 * P(X <= 3).
    assert found.p_value == pytest.approx(2 * sum(math.comb(15, k) for k in range(4)) / 2**15)
    assert found.is_significant


def test_the_same_answers_are_no_difference() -> None:
    same = Metric.mean("acc", [1.0, 0.0, 1.0], kind=Kind.PROPORTION)
    found = compare(same, same)
    assert found is not None
    assert (found.change, found.p_value, found.detectable) == (0.0, 1.0, None)
    loss = Metric.mean("loss", [1.0, 2.0])
    found = compare(loss, loss)
    assert found is not None
    assert (found.change, found.p_value) == (0.0, 1.0)


def test_perplexities_are_compared_as_ratios() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(20, 60, 30)
    one, other = rng.normal(3, 0.3, 30) * weights, rng.normal(2.5, 0.3, 30) * weights
    metrics = [Metric.perplexity("perplexity", each, weights) for each in (one, other)]
    found = compare(*metrics)
    assert found is not None
    assert found.is_ratio
    assert found.change == pytest.approx(metrics[0].value / metrics[1].value)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.change < found.high


def test_the_error_of_a_ratio_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(2)
    weights = rng.integers(10, 100, 400).astype(np.float64)
    nats = rng.normal(3, 0.5, 400) * weights
    chosen = rng.integers(400, size=(4000, 400))
    drawn = nats[chosen].sum(1) / weights[chosen].sum(1)
    assert ratio_error(nats, weights) == pytest.approx(drawn.std(), rel=0.05)
    metric = Metric.perplexity("perplexity", nats, weights)
    assert metric.standard_error == pytest.approx(np.exp(drawn).std(), rel=0.05)


def test_times_are_compared_in_pairs() -> None:
    original = np.array([1.0, 2.0, 1.5, 3.0, 1.2, 1.1, 5.0])
    found = compare(
        Metric.time("prefill", 0.8 * original, original), Metric.time("prefill", original[::-1])
    )
    assert found is not None
    assert found.change == pytest.approx(0.8)
    assert (found.low, found.high) == pytest.approx((0.8, 0.8))
    assert found.p_value == pytest.approx(2 / 2**7)  # all seven faster


@pytest.mark.parametrize("count", [6, 9, 20, 31])
def test_the_interval_of_a_median_holds_and_is_narrow(count: int) -> None:
    low, high = median_interval(np.arange(count, dtype=np.float64))
    assert low == count - 1 - high
    outside = 2 * stats.binom.cdf(int(low), count, 0.5)
    assert outside <= 0.05
    assert 2 * stats.binom.cdf(int(low) + 1, count, 0.5) > 0.05 or low + 1 >= high - 1


def test_what_is_called_detectable_is_found_four_times_of_five() -> None:
    rng = np.random.default_rng(3)
    original = np.zeros(50)
    pilot = compare(Metric.mean("m", rng.normal(0, 1, 2000)), Metric.mean("m", np.zeros(2000)))
    assert pilot is not None
    assert pilot.detectable is not None
    true = pilot.detectable * math.sqrt(2000 / 50)
    found = [
        compare(Metric.mean("m", rng.normal(true, 1, 50)), Metric.mean("m", original))
        for _ in range(1500)
    ]
    share = np.mean([each is not None and each.is_significant for each in found])
    assert share == pytest.approx(0.8, abs=0.04)


def test_what_cannot_be_paired_is_compared_by_its_errors() -> None:
    one, other = Metric("f1", Kind.MEAN, 0.5, 0.03), Metric("f1", Kind.MEAN, 0.4, 0.04)
    found = compare(one, other)
    assert found is not None
    assert found.test == "z"
    assert found.p_value == pytest.approx(2 * stats.norm.sf(0.1 / 0.05))
    found = compare(Metric("f1", Kind.MEAN, 0.5), other)  # nothing is known of one error
    assert found is not None
    assert (found.test, found.p_value, found.low) == ("", None, None)


def test_what_diverged_is_infinitely_worse() -> None:
    broken = Metric.mean("loss", [1.0, math.nan])
    fine = Metric.mean("loss", [1.0, 2.0])
    assert (broken.value, broken.standard_error) == (math.inf, None)
    found = compare(broken, fine)
    assert found is not None
    assert (found.change, found.p_value) == (math.inf, None)
    assert compare(broken, broken) is None
    huge = Metric.perplexity("perplexity", [1e6], [1])
    assert huge.value == math.inf


def test_different_numbers_are_not_compared() -> None:
    assert compare(Metric.size("weights", 1), Metric.size("parameters", 2)) is None
    assert compare(Metric.mean("loss", [1.0]), Metric.size("loss", 2)) is None
