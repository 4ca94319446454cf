"""The controls do what they say: chance is uniform, and greedy is greedy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import InputError, Problem, Status, solve


def symmetric(n: int, seed: int) -> NDArray[np.float64]:
    a = np.random.default_rng(seed).normal(size=(n, n))
    return a + a.T


@given(n=st.integers(2, 10), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_greedy_adds_the_cheapest_block_each_time(n: int, seed: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, n - 1))
    problem = Problem(symmetric(n, seed), count)
    removed: list[int] = []
    for _ in range(count):
        energies = {
            block: problem.energies(problem.state([*removed, block]))[0]
            for block in range(n)
            if block not in removed
        }
        removed.append(min(energies, key=energies.__getitem__))
    spectrum = solve(problem, num_states=5, backend="greedy", options={"polish": False})
    assert spectrum.removed(0) == sorted(removed)
    assert len(spectrum) == 1
    assert spectrum.status is Status.HEURISTIC


@given(n=st.integers(3, 10), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_no_swap_improves_what_greedy_returns(n: int, seed: int, data: st.DataObject) -> None:
    kinds = [data.draw(st.sampled_from("ab")) for _ in range(n - 2)] + ["a", "b"]
    remove = {kind: data.draw(st.integers(0, kinds.count(kind))) for kind in "ab"}
    problem = Problem(symmetric(n, seed), remove, kinds=kinds)
    spectrum = solve(problem, num_states=1, backend="greedy")
    lowest = spectrum.states[0]
    for i, j in itertools.product(np.flatnonzero(lowest), np.flatnonzero(~lowest)):
        if kinds[i] == kinds[j]:
            swapped = lowest.copy()
            swapped[[i, j]] = swapped[[j, i]]
            assert problem.energies(swapped)[0] >= spectrum.energies[0] - 1e-9


def test_random_states_are_uniform_and_their_lowest_are_kept() -> None:
    """Of the 10 states, n draws miss none but with probability 10 (9/10)^n; the list holds the
    lowest of those drawn.
    """
    problem = Problem(symmetric(5, 0), 2)
    exact = solve(problem, num_states=10)
    drawn = solve(problem, num_states=10, backend="random", options={"num_samples": 400})
    assert (drawn.states == exact.states).all()
    fewer = solve(problem, num_states=4, backend="random", options={"num_samples": 400})
    assert (fewer.states == exact.states[:4]).all()


def test_random_draws_no_more_than_it_may() -> None:
    problem = Problem(symmetric(40, 0), 12)
    spectrum = solve(problem, num_states=5, backend="random", max_evaluations=12_345)
    assert spectrum.num_evaluated == 12_345
    assert spectrum.stop_reason.value == "evaluation limit"
    more = solve(problem, num_states=5, backend="random")
    assert more.num_evaluated == 100_000
    assert more.energies[0] <= spectrum.energies[0]


def test_no_samples_are_refused() -> None:
    with pytest.raises(InputError, match="num_samples must be at least 1, not 0"):
        solve(Problem(np.eye(4), 2), backend="random", options={"num_samples": 0})
