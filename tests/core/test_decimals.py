"""Matrices of decimals: energies are the floats next to the exact ones, whoever adds them up."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.solving.solve import solve


def decimals(seed: int, n: int, places: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return a symmetric matrix of whole numbers, and it over a power of ten."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(-30, 31, (n, n))
    whole = whole + whole.T
    return whole, whole / 10.0**places


@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 6))
def test_energies_of_decimals_are_the_floats_next_to_the_exact_ones(
    seed: int, n: int, places: int
) -> None:
    whole, matrix = decimals(seed, n, places)
    problem = Problem(matrix, n // 2)
    states = np.array(list(itertools.product([0, 1], repeat=n)))
    exact = np.einsum("ki,ij,kj->k", states, whole, states)
    expected = [float(Fraction(int(energy), 10**places)) for energy in exact]
    assert problem.energies(states).tolist() == expected


@pytest.mark.parametrize("backend", ["branch-and-bound", "enumeration", "gurobi"])
def test_ties_of_decimals_are_ties(backend: str) -> None:
    """Tenths of 0 and 1 added up in floats spread the lowest energies over several."""
    rng = np.random.default_rng(3)
    upper = np.triu(rng.integers(0, 2, (14, 14)), 1)
    whole = solve(Problem(-(upper + upper.T).astype(float), 6), num_states=40, backend=backend)
    tenths = solve(Problem(-(upper + upper.T) / 10.0, 6), num_states=40, backend=backend)
    assert (tenths.states == whole.states).all()
    assert tenths.energies.tolist() == [energy / 10.0 for energy in whole.energies]
    assert len(set(tenths.energies.tolist())) == len(set(whole.energies.tolist())) < 10
    assert tenths.num_proven == whole.num_proven


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.full((3, 3), 0.1), 10.0),
        (np.array([[0.25, 0.1], [0.1, 3.0]]), 100.0),
        (np.eye(3), 0.0),
        (np.array([[0.1, 1e-10], [1e-10, 0.0]]), 0.0),
        (np.array([[1e15, 0.1], [0.1, 0.0]]), 0.0),  # a tenth is lost in the sum
        (np.random.default_rng(0).random((4, 4)), 0.0),
    ],
)
def test_decimals_are_told_from_other_numbers(matrix: NDArray[np.float64], expected: float) -> None:
    problem = Problem(matrix, 1, symmetrize=True)
    assert problem.decimals == expected
    assert problem.with_remove(2).decimals == expected


def test_a_first_order_term_that_is_no_decimal_leaves_none() -> None:
    rows = [[0.1, 0.2], [0.2, 0.3]]
    assert Problem(rows, 1, gradient=[0.1, 0.2], beta=1.0).decimals == 10.0
    assert Problem(rows, 1, gradient=[np.pi, 0.2], beta=1.0).decimals == 0.0
