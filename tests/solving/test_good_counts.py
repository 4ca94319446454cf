"""Any number of blocks: what a quick look finds, and what one relaxation says of every count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import Problem, Stop, lower_bound, solve
from qubo_prune.solving.bounding.of_counts import CountBounds
from qubo_prune.solving.good_counts import GoodCounts, good_states
from tests.exhaustive import Exhaustive, feasible_states, lowest_of_all_counts
from tests.strategies import FAMILIES, random_hessian

WEIGHTS = [3, 1, 4, 1, 5, 9, 2]


@settings(max_examples=12)
@given(
    st.sampled_from(FAMILIES),
    st.integers(0, 999),
    st.integers(0, 20),
    st.integers(1, 6),
    st.sampled_from([math.inf, 0.0]),
    st.sampled_from([{}, {"keep": [5]}, {"force": [1, 3]}]),
)
def test_no_state_of_any_count_lies_below_the_common_bound(
    family: str, seed: int, at_least: int, count: int, enough: float, fixed: dict[str, list[int]]
) -> None:
    matrix = random_hessian(family, 7, np.random.default_rng(seed))
    problem = Problem(matrix, weights=WEIGHTS, at_least=min(at_least, 16), **fixed)  # type: ignore[arg-type]
    inner = problem.counts[1:-1] or problem.counts[:1]
    bounds = CountBounds(problem, inner[count % len(inner)], Stop())
    for each in problem.counts:
        lowest = problem.energies(feasible_states(problem.with_remove(each))).min()
        assert bounds.bound(each, enough) <= lowest


def test_the_common_bound_counts_the_price_of_weight() -> None:
    problem = Problem(np.diag([1.0] * 6 + [5.0] * 3) + 0.01, weights=[1] * 6 + [9] * 3, at_least=18)
    bounds = CountBounds(problem, 6, Stop())
    lowest = solve(problem.with_remove(2), num_states=1).energies[0]
    assert 6.5 < bounds.bound(2) <= lowest == pytest.approx(10.04)
    assert lower_bound(problem.with_remove(2)).value == pytest.approx(lowest, rel=1e-4)
    light = Problem(problem.hessian, 2)
    assert lower_bound(light).value == pytest.approx(2.04, rel=1e-4)


def test_shifts_that_were_cut_short_still_bound() -> None:
    stop = Stop()
    stop.cancel()
    problem = Problem(np.eye(5), weights=[1] * 5, at_least=2)
    assert CountBounds(problem, 2, stop).bound(3) < 3.0


@pytest.mark.parametrize("seed", range(4))
def test_good_states_are_the_lowest_of_all_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.diag(rng.uniform(0.5, 2.0, 12))
    pairs = np.triu(rng.normal(size=(12, 12)), 1) * 0.4
    matrix += (pairs + pairs.T) / 2
    weights = [2, 5] * 6
    problem = Problem(matrix, weights=weights, at_least=16, keep=[0], force=[7])
    truth = lowest_of_all_counts(problem, 16, weights)[:10]
    states = good_states(problem, 10, stop=Stop())
    assert [tuple(np.flatnonzero(state).tolist()) for state in states] == [
        each for _, each in truth
    ]
    assert np.array_equal(good_states(problem, 10, stop=Stop(), known=states[3:]), states)
    look = GoodCounts(problem, 10, None, Stop())
    assert look.highest >= truth[-1][0]
    for count, lowest in look.by_count.items():
        of_count = [energy for energy, each in truth if len(each) == count]
        assert lowest >= min(of_count, default=truth[-1][0])
    few = good_states(problem, 4000, stop=Stop())
    assert len({state.tobytes() for state in few}) == len(few) <= problem.num_states


def test_known_states_of_many_blocks_are_looked_around() -> None:
    # Up to 8 blocks each costs, and all ten together are worth it.
    matrix = np.eye(10) * 3 - 0.8 * (np.ones((10, 10)) - np.eye(10))
    problem = Problem(matrix, weights=[1] * 10, at_least=1)
    known = np.array([[True] * 9 + [False]])
    states = good_states(problem, 1, stop=Stop(), known=known)
    assert states.all()
    exact = solve(problem, num_states=1, backend=Exhaustive())
    assert exact.removed(0) == list(range(10))
