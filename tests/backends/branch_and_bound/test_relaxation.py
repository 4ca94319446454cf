"""What the proof rests on: shifts that leave a convex objective, and the quantum of the
energies.
"""

from __future__ import annotations

import math
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem, solve
from qubo_prune.backends.branch_and_bound import relaxation
from qubo_prune.backends.branch_and_bound.arrays import (
    energy_quantum,
    rounding_allowance,
    smallest_terms_bound,
)
from qubo_prune.backends.branch_and_bound.relaxation import diagonal_shifts
from tests.strategies import all_states, problems


def never() -> bool:
    return False


def symmetric(family: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    a = rng.normal(size=(n, n))
    if family == "wishart":
        return a.T @ a / n
    if family == "low rank":
        return a[: max(1, n // 4)].T @ a[: max(1, n // 4)]
    if family == "negative":
        return -a.T @ a
    if family == "constant":
        return np.full((n, n), a[0, 0])
    if family == "diagonal":
        return np.diag(a[0])
    if family == "graph":
        edges = np.tril(a > 0.0, -1).astype(float)
        return -(edges + edges.T)
    if family == "wide":
        a *= 10.0 ** rng.uniform(-12, 0, size=(n, n))
    return a + a.T


FAMILIES = [
    "wishart",
    "low rank",
    "negative",
    "constant",
    "diagonal",
    "graph",
    "wide",
    "indefinite",
]


@st.composite
def relaxed(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Draw a matrix, groups (also with a single member) and a stride."""
    n = draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1.0, 1e-12, 1e12, 1e-200, 1e200]))
    matrix = symmetric(draw(st.sampled_from(FAMILIES)), n, rng) * scale
    group_of = rng.integers(0, draw(st.integers(1, 4)), n)
    return (matrix + matrix.T) / 2, group_of, draw(st.integers(1, n))


def movable(group_of: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which variables share their group with another one."""
    _, where, sizes = np.unique(group_of, return_inverse=True, return_counts=True)
    return np.asarray(sizes[where] > 1)


def on_subspace(matrix: NDArray[np.float64], group_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return `matrix` in an orthonormal basis of the directions that keep every group's sum."""
    ones = (group_of[:, None] == np.unique(group_of)).astype(float)
    basis = np.linalg.svd(ones, full_matrices=True)[0][:, ones.shape[1] :]
    return np.asarray(basis.T @ matrix @ basis)


def check_convex(
    matrix: NDArray[np.float64],
    group_of: NDArray[np.int64],
    stride: int,
    shifts: NDArray[np.float64],
) -> None:
    """A row has to hold at its own depth and at all below, where nodes use it too."""
    n = len(matrix)
    assert shifts.shape == (-(-n // stride), n)
    scale = float(np.abs(matrix).max()) or 1.0  # or norms overflow
    matrix, shifts = matrix / scale, shifts / scale
    for depth in range(n):
        u = shifts[depth // stride, depth:]
        assert np.isfinite(u).all()
        shifted = matrix[depth:, depth:] - np.diag(u)
        reduced = on_subspace(shifted, group_of[depth:])
        if len(reduced):
            rounding = 64 * n * np.finfo(float).eps * np.linalg.norm(shifted)
            assert np.linalg.eigvalsh(reduced)[0] >= -rounding


@given(drawn=relaxed())
def test_the_shifted_objective_is_convex_at_every_depth(
    drawn: tuple[NDArray[np.float64], NDArray[np.int64], int],
) -> None:
    matrix, group_of, stride = drawn
    shifts = diagonal_shifts(matrix, group_of, stride, never)
    check_convex(matrix, group_of, stride, shifts)
    for row in range(len(shifts)):
        assert not shifts[row, : row * stride].any()


def check_tight(
    matrix: NDArray[np.float64],
    group_of: NDArray[np.int64],
    depth: int,
    shift: NDArray[np.float64],
) -> None:
    """The semidefinite programme, of which a uniform shift is a feasible point, is solved to 2 %
    and to 1e-3 of the largest entry; more is allowed.
    """
    scale = float(np.abs(matrix).max()) or 1.0
    free = movable(group_of[depth:])
    if free.any():
        reduced = on_subspace(matrix[depth:, depth:] / scale, group_of[depth:])
        uniform = float(np.linalg.eigvalsh(reduced)[0]) * free.sum()
        found = shift[depth:][free] / scale
        assert found.sum() >= uniform - 0.05 * float(np.abs(found).sum()) - 2e-3


@given(drawn=relaxed())
def test_shifts_are_not_worse_than_the_smallest_eigenvalue(
    drawn: tuple[NDArray[np.float64], NDArray[np.int64], int],
) -> None:
    matrix, group_of, stride = drawn
    check_tight(matrix, group_of, 0, diagonal_shifts(matrix, group_of, stride, never)[0])


@pytest.mark.parametrize(
    "family",
    [
        "wishart",
        "negative",
        "graph",
        "indefinite",
        "low rank",
    ],
)
def test_shifts_of_every_depth_are_not_worse_than_the_smallest_eigenvalue(family: str) -> None:
    for seed in range(5):
        matrix = symmetric(family, 40, np.random.default_rng(seed))
        for group_of in (np.zeros(40, np.int64), np.arange(40) % 3):
            for row, shift in enumerate(diagonal_shifts(matrix, group_of, 4, never)):
                check_tight(matrix, group_of, 4 * row, shift)


@settings(max_examples=40)
@given(drawn=relaxed(), questions=st.integers(0, 12))
def test_shifts_are_valid_whenever_the_search_for_them_stops(
    drawn: tuple[NDArray[np.float64], NDArray[np.int64], int], questions: int
) -> None:
    matrix, group_of, stride = drawn
    answers = iter([False] * questions)
    shifts = diagonal_shifts(matrix, group_of, stride, lambda: next(answers, True))
    check_convex(matrix, group_of, stride, shifts)


@settings(max_examples=40)
@given(drawn=relaxed())
def test_shifts_of_a_large_matrix_are_valid(
    drawn: tuple[NDArray[np.float64], NDArray[np.int64], int],
) -> None:
    with mock.patch.object(relaxation, "_MAX_SEMIDEFINITE", 0):
        shifts = diagonal_shifts(*drawn, never)
    check_convex(*drawn, shifts)
    # Diagonal dominance needs no subspace.
    scale = float(np.abs(drawn[0]).max()) or 1.0
    shifted = (drawn[0] - np.diag(shifts[0])) / scale
    rounding = 64 * len(shifted) * np.finfo(float).eps * np.linalg.norm(shifted)
    assert np.linalg.eigvalsh(shifted)[0] >= -rounding


@given(
    n=st.integers(1, 12),
    largest=st.sampled_from([1, 3, 2**20, 2**44, 2**50, 2**53]),
    factor=st.integers(1, 1000),
    exponent=st.integers(-300, 300),
    with_gradient=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_energies_are_exact_multiples_of_the_quantum(
    n: int, largest: int, factor: int, exponent: int, with_gradient: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    entries = np.tril(rng.integers(-largest, largest + 1, (n, n)))
    unit = math.ldexp(factor, exponent)
    hessian = (entries + np.tril(entries, -1).T) * unit
    gradient = rng.integers(-largest, largest + 1, n) * unit if with_gradient else None
    problem = Problem(hessian, 0, gradient=gradient, beta=1.0 if with_gradient else 0.0)
    quantum = energy_quantum(problem)
    assert quantum >= 0.0
    assume(quantum > 0.0)
    states = rng.random((20, n)) < 0.5
    for state, energy in zip(states, problem.energies(states), strict=True):
        blocks = np.flatnonzero(state).tolist()
        # A diagonal term and a linear one are added first, by definition; that sum is the term.
        terms = problem.hessian + np.diag(problem.linear)
        exact = sum(Fraction(float(terms[i, j])) for i in blocks for j in blocks)
        assert Fraction(float(energy)) == exact
        assert (exact / Fraction(quantum)).denominator == 1


@given(
    n=st.integers(1, 12),
    factor=st.integers(1, 1000),
    exponent=st.integers(-300, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_quantum_is_the_largest(n: int, factor: int, exponent: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries = np.tril(rng.integers(-50, 51, (n, n)))
    problem = Problem((entries + np.tril(entries, -1).T) * math.ldexp(factor, exponent), 0)
    terms = [*np.diagonal(entries), *(2 * entries[np.tril_indices(n, -1)])]
    divisor = math.gcd(*map(int, terms))
    expected = math.ldexp(divisor * factor, exponent) if divisor else 1.0
    assert energy_quantum(problem) == expected


@pytest.mark.parametrize(
    "hessian",
    [
        [[2.0**53, 1.0], [1.0, 0.0]],  # the sum of the terms is rounded
        [[2.0**51, 2.0**50], [2.0**50, 1.0]],
        np.full((12, 12), 2.0**50 - 1),  # 9 of these have 54 bits
        [[0.1, 1e-10], [1e-10, 0.3]],  # multiples of something, but too fine for exact sums
        [[1.0, 1e-30], [1e-30, 1.0]],
        [[1e-320, 0.0], [0.0, 3e-320]],  # below the normal numbers
    ],
)
def test_no_quantum_where_sums_would_be_rounded(
    hessian: list[list[float]] | NDArray[np.float64],
) -> None:
    assert energy_quantum(Problem(hessian, 1)) == 0.0


def test_random_matrices_have_no_quantum() -> None:
    a = np.random.default_rng(0).normal(size=(20, 20))
    assert energy_quantum(Problem(a + a.T, 5)) == 0.0


@pytest.mark.parametrize(
    ("remove", "is_deep"),
    [(1, False), (3, False), (21, False), (4, True), (20, True), ({"a": 1, "b": 1}, True)],
)
def test_no_shifts_are_sought_where_few_blocks_are_removed_or_kept(
    remove: int | dict[str, int], is_deep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = symmetric("wishart", 24, np.random.default_rng(0))
    problem = Problem(matrix, remove, kinds=["a", "b"] * 12)
    shifts = mock.Mock(wraps=diagonal_shifts)
    monkeypatch.setattr("qubo_prune.backends.branch_and_bound.arrays.diagonal_shifts", shifts)
    spectrum = solve(problem, num_states=9)
    should_stop = shifts.call_args.args[3]
    assert should_stop() != is_deep
    expected = solve(problem, num_states=9, backend="enumeration")
    assert (spectrum.states == expected.states).all()


@given(problem=problems())
def test_the_smallest_terms_bound_every_energy(problem: Problem) -> None:
    """Against exact sums of every state."""
    if not problem.groups:
        return
    reduced = problem.reduced()
    allowance = rounding_allowance(problem, reduced, 0.0, 1)
    bound = Fraction(smallest_terms_bound(reduced) - allowance)
    terms = problem.hessian + np.diag(problem.linear)
    for state in all_states(problem):
        blocks = np.flatnonzero(state).tolist()
        assert bound <= sum(Fraction(float(terms[i, j])) for i in blocks for j in blocks)


def test_the_smallest_terms_bound_a_colouring() -> None:
    """One of each three: the convex relaxation of weights that are not negative is negative."""
    weights = np.tril(np.random.default_rng(0).integers(0, 40, (30, 30)), -1).astype(float)
    hessian = np.kron(weights + weights.T, np.eye(3))
    kinds = [f"g{node}" for node in range(30) for _ in range(3)]
    problem = Problem(hessian, dict.fromkeys(kinds, 1), kinds=kinds)
    spectrum = solve(problem, num_states=1, max_evaluations=1)
    assert spectrum.lower_bound is not None
    assert spectrum.lower_bound >= 0.0


def test_relaxations_of_many_variables_are_solved_far_enough() -> None:
    """A hundred free variables take more than forty steps, and a bound not reached costs a
    subtree.
    """
    problem = Problem.load("llama-80-branch", remove=48)
    few, enough = (
        solve(problem, num_states=1, options={"threads": 1, **options}).num_evaluated
        for options in ({"max_steps": 40}, {})
    )
    assert enough < 0.8 * few
