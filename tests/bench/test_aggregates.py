"""Statistics over runs, each against SciPy, a hand-made figure or a property it must have."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qubo_prune.bench import (
    Steps,
    bootstrap_interval,
    median_time,
    paired_test,
    performance_profile,
    primal_gap,
    primal_integral,
    quantiles_over_time,
    shifted_geometric_mean,
    sign_test,
    target_distribution,
    time_to_solution,
    wilson_interval,
)
from qubo_prune.core.errors import InputError

TIMES = st.floats(0.0, 1e4)
OUTCOMES = st.lists(st.none() | TIMES, min_size=1, max_size=6)


# means


@given(st.lists(TIMES, min_size=1), st.floats(0.01, 100))
def test_a_shifted_geometric_mean_is_scipys_of_the_shifted(
    times: list[float], shift: float
) -> None:
    expected = stats.gmean(np.add(times, shift)) - shift
    assert shifted_geometric_mean(times, shift) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_failing_counts_as_the_limit_and_never_pays() -> None:
    assert shifted_geometric_mean([1.0, None], limit=10.0) == pytest.approx(22**0.5 - 1)
    assert shifted_geometric_mean([1.0, None], limit=10.0) > shifted_geometric_mean([1.0, 9.9])
    with pytest.raises(InputError, match=r"^1 of 2 runs have no time; give the limit"):
        shifted_geometric_mean([1.0, None])
    with pytest.raises(InputError, match=r"^the mean of 0 times is not defined"):
        shifted_geometric_mean([])


@given(OUTCOMES)
def test_a_median_over_seeds_takes_failures_for_endless(times: list[float | None]) -> None:
    expected = float(np.median([math.inf if t is None else t for t in times]))
    assert median_time(times) == (None if math.isinf(expected) else expected)


# profiles


def test_a_performance_profile_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(3)
    tasks = [f"task-{i}" for i in range(20)]
    table = rng.exponential(size=(3, 20)) + 0.01
    table[rng.random(table.shape) < 0.3] = np.inf
    table[:, 0] = np.inf  # nobody's
    given_times = {
        name: {task: None if np.isinf(t) else float(t) for task, t in zip(tasks, row, strict=True)}
        for name, row in zip("abc", table, strict=True)
    }
    profiles = performance_profile(given_times)
    best = table.min(axis=0)
    for name, row in zip("abc", table, strict=True):
        for ratio in (1.0, 1.5, 2.0, 10.0, 1e6):
            expected = np.mean(np.isfinite(row) & (row <= ratio * best))
            assert profiles[name].share(ratio) == pytest.approx(expected)
        assert profiles[name].level == pytest.approx(np.mean(np.isfinite(row)))
    assert profiles["a"].share(0.99) == 0.0


def test_times_below_the_resolution_are_alike() -> None:
    profiles = performance_profile({"a": {"x": 1e-7}, "b": {"x": 9e-4}, "c": {"x": 0.002}})
    assert profiles["a"] == profiles["b"] == Steps((1.0,), (1.0,))
    assert profiles["c"].at == (2.0,)


def test_solvers_are_compared_on_the_same_tasks() -> None:
    with pytest.raises(InputError, match=r"^b has times of 1 tasks, which are not the 2"):
        performance_profile({"a": {"x": 1.0, "y": 1.0}, "b": {"x": 1.0}})
    with pytest.raises(InputError, match=r"^a has times of 0 tasks"):
        performance_profile({"a": {}})


@given(st.lists(TIMES, min_size=1, max_size=30), st.lists(TIMES, max_size=5))
def test_a_distribution_of_one_seed_each_is_scipys(times: list[float], at: list[float]) -> None:
    steps = target_distribution({str(i): [time] for i, time in enumerate(times)})
    oracle = stats.ecdf(times).cdf
    for x in (*at, *times, 0.0):
        assert steps.share(x) == pytest.approx(float(oracle.evaluate(x)))
    assert steps.level == 1.0


@given(st.dictionaries(st.text(max_size=3), OUTCOMES, min_size=1, max_size=6))
def test_each_instance_weighs_the_same_whatever_its_seeds(
    times: dict[str, list[float | None]],
) -> None:
    steps = target_distribution(times)
    expected = np.mean([np.mean([t is not None for t in each]) for each in times.values()])
    assert steps.level == pytest.approx(expected)
    assert list(steps.at) == sorted(set(steps.at))
    assert all(a < b for a, b in zip(steps.shares, steps.shares[1:], strict=False))
    tripled = {name: each * 3 for name, each in times.items()}
    assert target_distribution(tripled) == steps


# pairs


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_sign_test_sums_the_binomial_distribution(wins: int, losses: int) -> None:
    test = sign_test(wins, losses, ties=7)
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1)) / 2**n
    assert test.p_value == pytest.approx(min(1.0, 2 * tail))
    assert test.ties == 7
    if n:
        low, high = test.interval
        assert low == pytest.approx(stats.beta.ppf(0.025, wins, losses + 1) if wins else 0.0)
        assert high == pytest.approx(stats.beta.ppf(0.975, wins + 1, losses) if losses else 1.0)
        assert low <= test.share <= high


def test_failing_loses_and_failing_both_is_a_tie() -> None:
    mine = {"a": 1.0, "b": None, "c": None, "d": 1.0, "e": 0.001, "only mine": 1.0}
    yours = {"a": 2.0, "b": 9.0, "c": None, "d": 1.04, "e": 0.009}
    assert paired_test(mine, yours)[:3] == (2, 2, 1)
    assert paired_test(yours, mine)[:3] == (1, 2, 2)
    assert paired_test(mine, yours, smallest=0.01)[:3] == (1, 3, 1)
    assert paired_test(mine, yours, same=0.0)[:3] == (3, 1, 1)
    with pytest.raises(InputError, match=r"^1 and 1 tasks have none in common"):
        paired_test({"a": 1.0}, {"b": 1.0})


def test_no_decided_task_tells_nothing() -> None:
    assert sign_test(0, 0, ties=4) == (0, 4, 0, 1.0, 0.5, (0.0, 1.0))


# intervals


@given(st.integers(1, 200), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_wilson_interval_is_scipys(trials: int, data: st.DataObject, confidence: float) -> None:
    successes = data.draw(st.integers(0, trials))
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, trials, confidence) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "trials must be at least 1, not 0"),
        ((3, 2), "successes must be between 0 and 2, not 3"),
        ((1, 2, 1.0), "confidence must be between 0 and 1, not 1.0"),
    ],
)
def test_intervals_need_trials_and_a_confidence(arguments: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        wilson_interval(*arguments)


def test_time_to_solution_is_that_of_repeated_runs() -> None:
    found = time_to_solution([1.0, 3.0, 1.0, 3.0], [True, False, False, False])
    assert found.share == 0.25
    assert found.seconds == pytest.approx(2.0 * math.log(0.01) / math.log(0.75))
    low, high = wilson_interval(1, 4)
    assert found.interval.low == pytest.approx(2.0 * math.log(0.01) / math.log(1 - high))
    assert found.interval.high == pytest.approx(2.0 * math.log(0.01) / math.log(1 - low))
    assert found.interval.low < found.seconds < found.interval.high


def test_time_to_solution_of_sure_and_of_hopeless_runs() -> None:
    sure = time_to_solution([1.0, 3.0], [True, True])
    assert (sure.seconds, sure.interval.low) == (2.0, 2.0)
    assert 2.0 < sure.interval.high < math.inf
    hopeless = time_to_solution([1.0, 3.0], [False, False])
    assert hopeless.seconds == hopeless.interval.high == math.inf
    assert 2.0 < hopeless.interval.low < math.inf
    assert time_to_solution([1.0] * 1000, [True] * 999 + [False]).seconds == 1.0
    with pytest.raises(InputError, match=r"^there are 1 times of 2 runs"):
        time_to_solution([1.0], [True, False])


def test_a_bootstrap_over_instances_is_scipys() -> None:
    values = np.random.default_rng(0).exponential(size=25)
    runs = {str(i): [float(v)] for i, v in enumerate(values)}
    found = bootstrap_interval(
        runs, lambda drawn: float(np.mean([seeds[0] for seeds in drawn])), resamples=4000
    )
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found == pytest.approx(expected, abs=0.03)


def test_a_bootstrap_draws_seeds_within_instances() -> None:
    def mean(drawn: object) -> float:
        return float(np.mean([np.mean(seeds) for seeds in drawn]))  # type: ignore[attr-defined]

    assert bootstrap_interval({"a": [2.0, 2.0], "b": [2.0]}, mean) == (2.0, 2.0)
    assert bootstrap_interval({"a": [0.0, 1.0]}, mean) == (0.0, 1.0)
    runs = {"a": [0.0, 1.0, 1.0], "b": [1.0, 1.0]}
    assert bootstrap_interval(runs, mean, seed=5) == bootstrap_interval(runs, mean, seed=5)
    wide, narrow = (bootstrap_interval(runs, mean, confidence=c) for c in (0.99, 0.5))
    assert wide.low <= narrow.low <= narrow.high <= wide.high
    assert bootstrap_interval({"a": [math.inf], "b": [1.0]}, mean).high == math.inf
    for runs in ({}, {"a": []}):
        with pytest.raises(InputError, match=r"^an instance without a run tells nothing"):
            bootstrap_interval(runs, mean)


# along time


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_primal_gap_is_between_nothing_and_all(energy: float, target: float) -> None:
    gap = primal_gap(energy, target)
    assert 0.0 <= gap <= 1.0
    assert (gap == 0.0) == (energy <= target)


def test_a_primal_integral_by_hand() -> None:
    integral = primal_integral([1.0, 3.0, 5.0], [10.0, 8.0, 5.0], target=5.0, limit=10.0)
    assert integral == pytest.approx((1 * 1 + 2 * 0.5 + 2 * 0.375) / 10)
    assert primal_integral([], [], target=5.0, limit=10.0) == 1.0
    assert primal_integral([20.0], [5.0], target=5.0, limit=10.0) == 1.0
    assert primal_integral([0.0], [5.0], target=5.0, limit=10.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(-5, 5)), max_size=8))
def test_a_primal_integral_is_a_mean_of_gaps(points: list[tuple[float, float]]) -> None:
    points.sort()
    seconds, energies = [s for s, _ in points], [e for _, e in points]
    integral = primal_integral(seconds, energies, target=-5.0, limit=10.0)
    grid = (np.arange(4000) + 0.5) / 400
    index = np.searchsorted(seconds, grid, side="right")
    gaps = np.array([1.0, *(primal_gap(e, -5.0) for e in energies)])
    assert integral == pytest.approx(float(gaps[index].mean()), abs=3e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [], 0.0, 1.0), "there are 1 times of 0 energies"),
        (([2.0, 1.0], [0.0, 0.0], 0.0, 1.0), "the times of a trace must ascend"),
        (([], [], 0.0, 0.0), "limit must be positive, not 0.0"),
    ],
)
def test_a_trace_has_to_be_one(
    arguments: tuple[list[float], list[float], float, float], message: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        primal_integral(*arguments)


def test_quartiles_over_runs_keep_the_last_value_of_each() -> None:
    traces = [[(0.0, 0.2), (5.0, 1.0)], [(1.0, 0.4)], [], [(2.0, 0.8)], [(9.0, 1.0)]]
    found = quantiles_over_time(traces, [0.0, 2.0, 10.0])
    columns = [[0.2, 0, 0, 0, 0], [0.2, 0.4, 0, 0.8, 0], [1.0, 0.4, 0, 0.8, 1.0]]
    for quantile, row in ((0.25, found.low), (0.5, found.median), (0.75, found.high)):
        assert row == pytest.approx([np.quantile(column, quantile) for column in columns])
    with pytest.raises(InputError, match=r"^quartiles of 0 runs"):
        quantiles_over_time([], [1.0])
