"""Swap kernels: neighbourhoods, the best swap, pools and starting states, against brute force."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem
from qubo_prune.search.arrays import make_landscape, make_pool, make_walker
from qubo_prune.search.kernels.landscape import (
    Landscape,
    crossed_state,
    greedy_state,
    random_state,
    shake,
    start_fields,
    start_word,
    swap,
)
from qubo_prune.search.kernels.pool import unpack
from qubo_prune.search.kernels.swap_descent import descend
from qubo_prune.search.kernels.swap_pool import SwapPool, Walker, clear, expand, merge, put
from qubo_prune.search.kernels.tabu import tabu_walk
from qubo_prune.testing.problems import swap_neighbours
from tests.strategies import problems_in_group_order

NO_BUDGET = 1 << 62
HALT = np.zeros(1, np.bool_)


seeds = st.integers(0, 2**64 - 1)


def setting(
    problem: Problem, seed: int, capacity: int = 0
) -> tuple[Landscape, SwapPool, Walker, NDArray[np.uint64]]:
    landscape = make_landscape(problem.reduced(), seed)
    random = np.array([seed], np.uint64)
    walker = make_walker(problem.num_blocks)
    random_state(landscape, random, walker.y)
    return landscape, make_pool(capacity or problem.num_states, problem.num_blocks), walker, random


def states_in(pool: SwapPool, n: int) -> NDArray[np.bool_]:
    return unpack(pool.words[: pool.size[0], :-2], n)


def row_set(states: NDArray[np.bool_]) -> set[bytes]:
    return {row.tobytes() for row in states}


@given(problems_in_group_order(), seeds)
def test_random_states_are_feasible_and_crosses_keep_what_is_common(
    problem: Problem, seed: int
) -> None:
    landscape, _, walker, random = setting(problem, seed)
    first, second, child = walker.y.copy(), walker.y.copy(), walker.y.copy()
    random_state(landscape, random, second)
    crossed_state(landscape, random, first, second, child)
    assert problem.is_feasible(np.array([first, second, child])).all()
    assert child[first & second].all()
    assert not child[~first & ~second].any()
    shake(landscape, random, child, 5)
    assert problem.is_feasible(child).all()
    greedy_state(landscape, child)
    assert problem.is_feasible(child).all()


def test_random_states_are_uniform() -> None:
    """15 states, 15,000 draws: a chi-square of 14 degrees of freedom exceeds 36.1 once in a
    thousand times.
    """
    problem = Problem(np.eye(6), 2)
    landscape, _, walker, random = setting(problem, 3)
    counts: dict[bytes, int] = {}
    for _ in range(15_000):
        random_state(landscape, random, walker.y)
        counts[walker.y.tobytes()] = counts.get(walker.y.tobytes(), 0) + 1
    assert len(counts) == 15
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 36.1


@given(problems_in_group_order(), seeds)
def test_swaps_keep_fields_words_and_energies(problem: Problem, seed: int) -> None:
    landscape, _, walker, _ = setting(problem, seed)
    rng = np.random.default_rng(seed)
    start_word(landscape, walker.y, walker.word)
    start_fields(landscape, walker.y, walker.fields)
    for _ in range(5):
        group = problem.groups[rng.integers(len(problem.groups))].indices
        out = rng.choice(group[walker.y[group]])
        into = rng.choice(group[~walker.y[group]])
        swap(landscape, walker.y, walker.word, walker.fields, out, into)
    fresh = make_walker(problem.num_blocks)
    energy = start_fields(landscape, walker.y, fresh.fields)
    start_word(landscape, walker.y, fresh.word)
    np.testing.assert_array_equal(walker.word, fresh.word)
    largest = np.abs(problem.hessian).sum()
    np.testing.assert_allclose(walker.fields, fresh.fields, rtol=0, atol=1e-13 * largest)
    np.testing.assert_allclose(energy, problem.energies(walker.y)[0], rtol=0, atol=1e-13 * largest)


@given(problems_in_group_order(), seeds)
def test_expansion_finds_the_whole_neighbourhood(problem: Problem, seed: int) -> None:
    landscape, pool, walker, _ = setting(problem, seed)
    source = walker.y.copy()
    start_word(landscape, source, walker.word)
    words, energies = walker.word[None].copy(), problem.energies(source)
    evaluated = np.zeros(1, np.int64)
    entered = expand(landscape, pool, pool.table, walker, words, energies, evaluated, HALT)
    expected = swap_neighbours(problem, source[None])
    found = states_in(pool, problem.num_blocks)
    assert entered == len(found) == evaluated[0]
    assert row_set(found) == row_set(expected) - {source.tobytes()}
    np.testing.assert_allclose(
        pool.energies[: len(found)],
        problem.energies(found),
        rtol=0,
        atol=1e-13 * np.abs(problem.hessian).sum(),
    )


@given(problems_in_group_order(), seeds, st.integers(1, 30))
def test_expansion_keeps_the_best_neighbours(problem: Problem, seed: int, capacity: int) -> None:
    """Whatever the bounds rule out, the pool holds neighbours that are as good as the best, up to
    rounding.
    """
    landscape, pool, walker, _ = setting(problem, seed, capacity)
    source = walker.y.copy()
    start_word(landscape, source, walker.word)
    words, energies = walker.word[None].copy(), problem.energies(source)
    expand(landscape, pool, pool.table, walker, words, energies, np.zeros(1, np.int64), HALT)
    neighbours = swap_neighbours(problem, source[None])
    neighbours = neighbours[(neighbours != source).any(axis=1)]
    best = np.sort(problem.energies(neighbours))[:capacity]
    found = np.sort(problem.energies(states_in(pool, problem.num_blocks)))
    np.testing.assert_allclose(found, best, rtol=0, atol=4 * landscape.tolerance)


@given(problems_in_group_order(), seeds)
def test_a_walk_takes_the_best_swap(problem: Problem, seed: int) -> None:
    landscape, pool, walker, random = setting(problem, seed)
    source = walker.y.copy()
    tabu_walk(
        landscape, pool, pool.table, walker, 1, 4, NO_BUDGET, random, np.zeros(1, np.int64), HALT
    )
    neighbours = swap_neighbours(problem, source[None])
    neighbours = neighbours[(neighbours != source).any(axis=1)]
    assert walker.y.tobytes() in row_set(neighbours)
    np.testing.assert_allclose(
        problem.energies(walker.y)[0],
        problem.energies(neighbours).min(),
        rtol=0,
        atol=4 * landscape.tolerance,
    )


def test_a_walk_offers_the_neighbours_of_the_states_it_meets() -> None:
    """All of them once it has left the first local minimum."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(12, 12))
    problem = Problem(matrix + matrix.T, 5)
    found = []
    for steps in (1, 2):
        landscape, pool, walker, random = setting(problem, 1)
        evaluated = np.zeros(1, np.int64)
        descend(landscape, make_pool(1, 12), walker, 100)
        tabu_walk(landscape, pool, pool.table, walker, steps, 4, NO_BUDGET, random, evaluated, HALT)
        found.append((walker.y.copy(), row_set(states_in(pool, 12))))
    second = found[0][0]
    assert row_set(swap_neighbours(problem, second[None])) <= found[1][1]


@settings(max_examples=20)
@given(seeds)
def test_what_left_stays_out_unless_that_leads_lower_than_ever(seed: int) -> None:
    tenure = 3
    a = np.random.default_rng(seed).normal(size=(30, 30))
    problem = Problem(a.T @ a, 15)
    path = [setting(problem, seed, 100)[2].y.copy()]
    for steps in range(1, 40):
        landscape, pool, walker, random = setting(problem, seed, 100)
        evaluated = np.zeros(1, np.int64)
        tabu_walk(
            landscape,
            pool,
            pool.table,
            walker,
            steps,
            tenure,
            NO_BUDGET,
            random,
            evaluated,
            HALT,
        )
        path.append(walker.y.copy())
    energies = problem.energies(np.array(path))
    for before, after in itertools.pairwise(range(len(path))):
        left = path[before] & ~path[after]
        for later in range(after + 1, min(after + tenure, len(path) - 1) + 1):
            assert not (path[later] & left).any() or energies[later] < energies[:later].min()
            left &= ~path[later]


@given(problems_in_group_order(), seeds)
def test_descent_ends_at_a_local_minimum(problem: Problem, seed: int) -> None:
    landscape, pool, walker, _ = setting(problem, seed)
    start = problem.energies(walker.y)[0]
    assert descend(landscape, pool, walker, 10_000) < 10_000
    lowest = problem.energies(swap_neighbours(problem, walker.y[None])).min()
    end = problem.energies(walker.y)[0]
    assert end <= start + 2 * landscape.tolerance
    assert end <= lowest + 2 * landscape.tolerance


@settings(max_examples=60)
@given(st.lists(st.integers(0, 40), max_size=80), st.integers(1, 12), st.integers(1, 12))
def test_pools_keep_the_best_distinct_states(
    picks: list[int], capacity: int, other_capacity: int
) -> None:
    problem = Problem(np.diag(2.0 ** np.arange(10)), 2)
    landscape = make_landscape(problem.reduced(), 0)
    states = np.zeros((45, 10), np.bool_)
    for row, pair in zip(states, itertools.combinations(range(10), 2), strict=True):
        row[list(pair)] = True
    energies = problem.energies(states)
    pool, other = make_pool(capacity, 10), make_pool(other_capacity, 10)
    word = np.zeros(3, np.uint64)
    for index, pick in enumerate(picks):
        start_word(landscape, states[pick], word)
        put(pool if index % 2 else other, energies[pick], word, landscape.tolerance)
    order = np.argsort(other.energies[: other.size[0]], kind="stable")
    before = set(picks[1::2])
    merge(pool, other, order, landscape.tolerance)
    kept = sorted(energies[list(set(picks[::2]))].tolist())[:other_capacity]
    expected = sorted({*energies[list(before)].tolist(), *kept})[:capacity]
    found = sorted(pool.energies[: pool.size[0]].tolist())
    assert found == sorted(problem.energies(states_in(pool, 10)).tolist())
    assert found == expected
    clear(pool, 1.0)
    assert pool.size[0] == 0
    assert not put(pool, 1.0, word, landscape.tolerance)
