"""Enumeration == branch and bound == itertools, bit for bit, on anything that is a problem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune import Problem, Status, solve
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import problems

EXACT = ["branch-and-bound", "enumeration"]


@pytest.mark.parametrize("backend", EXACT)
@given(problem=problems(), num_states=st.integers(1, 300), threads=st.integers(1, 3))
def test_equals_brute_force_to_the_last_bit(
    backend: str, problem: Problem, num_states: int, threads: int
) -> None:
    expected = brute_force(problem)
    spectrum = solve(problem, num_states=num_states, backend=backend, options={"threads": threads})
    assert ranked(spectrum) == expected[:num_states]
    assert spectrum.status is Status.PROVEN
    assert spectrum.num_proven == min(num_states, len(expected)) == len(spectrum)
    cut = num_states < len(expected) and expected[num_states][0] == expected[num_states - 1][0]
    assert spectrum.ties_truncated == cut
    assert spectrum.lower_bound == (
        expected[num_states][0] if num_states < len(expected) else np.inf
    )
    spectrum.check(problem)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_tied_cut_that_only_the_heuristic_start_holds_is_not_lost(threads: int) -> None:
    """Integer energies: the smallest list that a node can still produce may be the cut itself,
    which no pool holds yet.
    """
    rows = [
        [97, 11, -31, 25, -31, 50, -13, -6],
        [11, 66, 13, 30, -10, 39, -44, -48],
        [-31, 13, 37, -6, -18, -7, 10, -22],
        [25, 30, -6, 105, 5, 51, 24, -4],
        [-31, -10, -18, 5, 61, -33, 0, 15],
        [50, 39, -7, 51, -33, 72, -19, -21],
        [-13, -44, 10, 24, 0, -19, 94, 3],
        [-6, -48, -22, -4, 15, -21, 3, 91],
    ]
    problem = Problem(rows, {"a": 2, "b": 2}, kinds=["b", "a"] * 4)
    expected = brute_force(problem)
    for num_states in range(1, len(expected) + 1):
        spectrum = solve(problem, num_states=num_states, options={"threads": threads})
        assert ranked(spectrum) == expected[:num_states]
        assert spectrum.status is Status.PROVEN


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(5, 9), num_states=st.integers(1, 4))
def test_small_groups_of_integers_equal_brute_force(seed: int, n: int, num_states: int) -> None:
    rng = np.random.default_rng(seed)
    factors = rng.integers(-5, 6, size=(n, n)).astype(float)
    kinds = ["b" if i % 2 else "a" for i in range(n)]
    remove = {"a": int(rng.integers(1, n // 2 + 1)), "b": int(rng.integers(0, n // 2 + 1))}
    problem = Problem(factors.T @ factors, remove, kinds=kinds)
    spectrum = solve(problem, num_states=num_states)
    assert ranked(spectrum) == brute_force(problem)[:num_states]
