"""Searches that have to reach a budget, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qubo_prune import Problem, Stop, solve
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.search.arrays import (
    binding_budget,
    make_chains,
    make_landscape,
    priced,
    states_of,
)
from qubo_prune.search.kernels.annealing import metropolis, start_chain
from qubo_prune.search.kernels.lifting import lift_at_random
from qubo_prune.search.repair import Harvest, nearest_feasible, repair
from qubo_prune.search.sampling import random_states, swap_neighbours
from qubo_prune.search.starting_states import starting_states
from qubo_prune.search.swap_search import SwapSearch
from tests.strategies import SEEDS, all_states, problems_with_budgets


@settings(max_examples=60)
@given(problems_with_budgets(), SEEDS)
def test_starting_states_are_all_states_where_few_reach_the_budget(
    problem: Problem, seed: int
) -> None:
    every = all_states(problem)
    assume(len(every) <= 40)
    found = starting_states(problem, 40, seed, Stop())
    exact = every[lexicographic_order(every, problem.energies(every))]
    assert np.array_equal(found, exact)


@settings(max_examples=60)
@given(problems_with_budgets(), SEEDS, st.sampled_from([0.0, 1e-3, 1.0, 1e3]))
def test_whatever_the_price_pools_hold_energies_of_states_that_reach_the_budget(
    problem: Problem, seed: int, price: float
) -> None:
    search = SwapSearch(problem, 20, 1, seed, Stop(), lane_states=20)
    if not search.weighed:
        return
    lane, n = search.lanes[0], search.num_variables
    scale = np.abs(search.landscape.matrix).sum() / search.landscape.weights.sum()
    landscape = priced(search.landscape, price * scale)
    chains = make_chains(1, n, weighed=True)
    chains.y[0] = search.greedy_state
    start_chain(landscape, chains, 0)
    none = np.zeros(256, np.uint64)
    halt = np.zeros(1, np.bool_)
    metropolis(
        *(landscape, lane.pool, none, chains, 0, 0.0, 20 * n, lane.random, lane.evaluated, halt)
    )
    reduced = problem.reduced()
    states = states_of(lane.pool, problem, reduced, in_order=False)
    assert problem.is_feasible(states).all()
    energies = problem.energies(states) - reduced.offset
    size = lane.pool.size[0]
    assert np.abs(energies - lane.pool.energies[:size]).max(initial=0) <= landscape.tolerance


@settings(max_examples=60)
@given(problems_with_budgets(), SEEDS)
def test_samples_neighbours_and_repaired_states_reach_the_budget(
    problem: Problem, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    drawn = np.concatenate(list(random_states(problem, 30, rng)))
    assert drawn.shape == (30, problem.num_blocks)
    assert problem.is_feasible(drawn).all()
    around = list(swap_neighbours(problem, drawn[:3], 50, rng))
    assert all(problem.is_feasible(rows).all() for rows in around)
    anything = rng.random((20, problem.num_blocks)) < 0.5
    nearest = nearest_feasible(problem, anything)
    assert problem.is_feasible(nearest).all()
    assert {row.tobytes() for row in nearest_feasible(problem, nearest)} == {
        row.tobytes() for row in nearest
    }
    assert problem.is_feasible(repair(problem, anything, 10)).all()


def test_every_state_of_a_wide_budget_is_drawn_equally_often() -> None:
    problem = Problem(np.eye(5), 2, weights=[1, 2, 3, 4, 5], at_least=6)
    (drawn,) = random_states(problem, 6000, np.random.default_rng(0))
    _, times = np.unique(drawn, axis=0, return_counts=True)
    assert len(times) == 6
    assert times.min() > 900  # of 1,000 on average, with a deviation of 29


def test_a_budget_that_one_state_in_many_thousands_reaches_is_still_drawn() -> None:
    problem = Problem(np.eye(40), 20, weights=range(40), at_least=sum(range(20, 40)) - 1)
    (drawn,) = random_states(problem, 200, np.random.default_rng(0))
    assert problem.is_feasible(drawn).all()
    assert len(np.unique(drawn, axis=0)) == 2


def test_a_random_lift_ends_at_the_heaviest_where_nothing_else_reaches() -> None:
    problem = Problem(np.eye(6), 3, weights=[5, 1, 4, 1, 3, 1], at_least=12)
    landscape = make_landscape(problem.reduced(), 0)
    y = np.array([0, 1, 0, 1, 0, 1], np.bool_)
    lift_at_random(landscape, np.array([7], np.uint64), y)
    assert np.flatnonzero(y).tolist() == [0, 2, 4]


@pytest.mark.parametrize("backend", ["tabu", "annealing"])
@pytest.mark.parametrize("tightness", [0.5, 0.8, 0.95])
def test_the_lowest_hundred_are_found(backend: str, tightness: float) -> None:
    rng = np.random.default_rng(int(100 * tightness))
    rows = rng.normal(size=(10, 18))
    weights = np.rint(10.0 ** rng.uniform(2.0, 6.0, 18)).astype(int)
    plain = Problem(rows.T @ rows, 7)
    sums = np.sort(all_states(plain) @ weights)
    at_least = int(sums[int(tightness * len(sums))])
    problem = Problem(rows.T @ rows, 7, weights=weights.tolist(), at_least=at_least)
    every = all_states(problem)
    exact = every[lexicographic_order(every, problem.energies(every))][:100]
    found = solve(problem, num_states=100, backend=backend, seed=1)
    assert np.array_equal(found.states, exact)


def test_a_budget_that_every_state_reaches_changes_nothing() -> None:
    hessian = np.random.default_rng(3).normal(size=(16, 16))
    hessian = hessian + hessian.T
    plain = Problem(hessian, 6)
    loose = Problem(hessian, 6, weights=[3] * 16, at_least=18)
    assert binding_budget(loose.reduced()) is None
    for backend in ("tabu", "annealing"):
        without, with_budget = (
            solve(each, num_states=20, backend=backend, seed=5, max_evaluations=4000)
            for each in (plain, loose)
        )
        assert np.array_equal(without.states, with_budget.states)
        assert without.num_evaluated == with_budget.num_evaluated


def test_a_harvest_keeps_only_samples_that_reach_the_budget() -> None:
    problem = Problem(np.diag([1.0, 2.0, 3.0]), 1, weights=[1, 2, 3], at_least=2)
    harvest = Harvest(problem, 3)
    harvest.add(np.eye(3, dtype=np.bool_)[:1], Stop())
    assert [np.flatnonzero(row).tolist() for row in harvest.states()] == [[1], [2]]
    assert not len(harvest.bare())
