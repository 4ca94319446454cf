"""Rounding: matrices whose entries cancel, tie or lie many orders apart are still solved to the
last bit.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import InputError, Problem, Status, get_backend, solve
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import symmetric

EXACT = ["branch-and-bound", "enumeration"]

pytestmark = pytest.mark.parametrize("backend", EXACT)


def check(problem: Problem, backend: str, num_states: int) -> None:
    expected = brute_force(problem)
    spectrum = solve(problem, num_states=num_states, backend=backend)
    assert ranked(spectrum) == expected[:num_states]
    assert spectrum.status is Status.PROVEN
    rest = expected[num_states:]
    assert spectrum.lower_bound == (rest[0][0] if rest else np.inf)
    spectrum.check(problem)


@pytest.mark.parametrize("big", [1e17, 1e45, 1e200, 1e300])
@pytest.mark.parametrize("num_states", [1, 5, 300])
def test_forced_blocks_that_cancel(backend: str, big: float, num_states: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(10, 10))
    matrix += matrix.T
    matrix[0, 0], matrix[9, 9] = big, -big
    check(Problem(matrix, 5, force=[0, 9]), backend, num_states)


@pytest.mark.parametrize("ratio", [1e2, 1e5, 1e6, 1e9, 1e12])
def test_forced_blocks_that_cancel_and_tenths_that_tie(backend: str, ratio: float) -> None:
    for seed in range(25):
        tenths = np.random.default_rng(seed).integers(-1, 2, size=(6, 6)) * 0.1
        matrix = symmetric(tenths)
        matrix[0, 0], matrix[5, 5] = ratio, -ratio
        check(Problem(matrix, 4, force=[0, 5]), backend, 1 + seed % 4)


@pytest.mark.parametrize("size", [5, 10, 13])
def test_all_but_one_of_a_laplacian(backend: str, size: int) -> None:
    """Rows sum to zero, so the energies of the states are what is left after everything
    cancelled.
    """
    for seed in range(5):
        weights = np.random.default_rng(seed).integers(-3, 4, size=(size, size)).astype(float)
        weights = np.tril(weights, -1)
        weights[1, 0] -= weights.sum()
        weights = 0.1 * (weights + weights.T)
        laplacian = weights - np.diag(weights.sum(axis=1))
        for matrix in (laplacian, weights - 2 * np.diag(weights.sum(axis=1))):
            for num_states in (1, 2, size):
                check(Problem(matrix, size - 1), backend, num_states)


@pytest.mark.parametrize(
    ("diagonal", "force"),
    [
        ([1e45, 1.0, 2.0, 3.0], [0]),
        ([1e200, 1e-200, 2e-200, 3e-200], [0]),
        ([1e200, 3e-200, 2e-200, 1e-200], []),
        ([1e300, 1.0, 1e-300, 2.0], []),
        ([1e-308, 5e-324, 1e308 / 64, -1e308 / 64], []),
    ],
)
@pytest.mark.parametrize("num_states", [1, 2, 3])
def test_diagonals_of_all_orders(
    backend: str, diagonal: Any, force: list[int], num_states: int
) -> None:
    for remove in range(len(force), 5):
        check(Problem(np.diag(diagonal), remove, force=force), backend, num_states)


@pytest.mark.parametrize("scale", [1e-320, 5e-324, 1e-308])
def test_subnormal_numbers(backend: str, scale: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for matrix in (np.eye(3), np.array([[1, -2, 0], [-2, 3, 1], [0, 1, 2.0]])):
            for remove in range(4):
                check(Problem(matrix * scale, remove), backend, 2)


@pytest.mark.parametrize("scale", [1e-290, 1e-305, 1e-310, 1e-315, 1e-320, 5e-324])
def test_random_matrices_around_the_smallest_numbers(backend: str, scale: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(3, 9))
        matrix = (
            rng.integers(-3, 4, size=(size, size)) if seed % 2 else rng.normal(size=(size, size))
        )
        check(Problem(symmetric(matrix * scale), int(rng.integers(1, size))), backend, 1 + seed % 7)


@pytest.mark.parametrize("exponent", [-1074, -500, 0, 900])
@pytest.mark.parametrize("largest", [1, 2**20, 2**47, 2**52])
@pytest.mark.parametrize("odd", [0.0, 0.1])
def test_integers_that_are_exact_or_not_quite(
    backend: str, exponent: int, largest: Any, odd: Any
) -> None:
    """Energies that are multiples of one number have exact ties; one odd entry, even of a kept
    block, may end that.
    """
    rng = np.random.default_rng(largest % 1000 + abs(exponent))
    matrix = symmetric(rng.integers(-1, 2, size=(8, 8)) * float(largest))
    matrix += symmetric(rng.integers(-1, 2, size=(8, 8)) * 1.0)
    matrix[7, 6] = matrix[6, 7] = odd
    matrix = np.ldexp(matrix, exponent)
    for arguments in ({}, {"keep": [7]}, {"force": [7]}):
        for num_states in (2, 9):
            check(Problem(matrix, 4, **arguments), backend, num_states)


def test_linear_terms_that_cancel_the_diagonal(backend: str) -> None:
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(8, 8))
    matrix += matrix.T + np.diag(np.full(8, 1e15))
    gradient = -np.diagonal(matrix) / 2 + rng.integers(-1, 2, size=8) * 0.125
    for num_states in (1, 7, 100):
        check(Problem(matrix, 4, gradient=gradient, beta=1), backend, num_states)


@st.composite
def mixed_scales(draw: st.DrawFn) -> Problem:
    """Entries over 24 orders of magnitude in one matrix, some tied, with fixed blocks that may
    cancel.
    """
    n = draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = draw(
        st.sampled_from(
            [
                rng.normal(size=(n, n)),
                rng.integers(-1, 2, size=(n, n)) * 1.0,
                rng.integers(-3, 4, size=(n, n)) * 0.1,
            ]
        )
    )
    by_block = draw(st.booleans())
    exponents = rng.integers(-12, 13, size=n) if by_block else rng.integers(-12, 13, size=(n, n))
    if by_block:
        exponents = (exponents[:, None] + exponents[None, :]) // 2
    sparse = rng.random((n, n)) < draw(st.sampled_from([0.0, 0.5, 0.8]))
    matrix = symmetric(np.where(sparse, values, values * 10.0**exponents))
    force: list[int] = []
    if n >= 4 and draw(st.booleans()):
        first, second = (int(block) for block in rng.permutation(n)[:2])
        force = sorted([first, second])
        big = draw(st.sampled_from([1e6, 1e12, 1e20]))
        matrix[first, first], matrix[second, second] = big, -big
        if draw(st.booleans()):
            # What one adds to the linear term of every other block, the other takes away again.
            matrix[first] += big * 0.1
            matrix[second] -= big * 0.1
            matrix[:, first] = matrix[first]
            matrix[:, second] = matrix[second]
    remove = draw(st.integers(len(force), n))
    return Problem(matrix, remove, force=force, symmetrize=True)


@settings(max_examples=200)
@given(problem=mixed_scales(), num_states=st.sampled_from([1, 2, 3, 8, 30, 200]))
def test_scales_mixed_over_24_orders(backend: str, problem: Problem, num_states: int) -> None:
    check(problem, backend, num_states)


BAD_COUNTS = [0, -5, 1.5, "a", True, None]
COUNTS = [
    ("branch-and-bound", "threads"),
    ("branch-and-bound", "max_steps"),
    ("branch-and-bound", "anchor_interval"),
    ("enumeration", "threads"),
    ("enumeration", "task_states"),
    ("enumeration", "tile_size"),
]


@pytest.mark.parametrize("value", BAD_COUNTS)
@pytest.mark.parametrize("option", ["threads", "max_steps", "anchor_interval", "task_states"])
def test_counts_among_the_options_are_checked(backend: str, option: str, value: Any) -> None:
    if (backend, option) not in COUNTS:
        with pytest.raises(InputError, match="has no option"):
            get_backend(backend, **{option: value})
    elif option in {"threads", "task_states"} and value is None:
        assert getattr(get_backend(backend, **{option: None}), option) is None
    else:
        with pytest.raises(InputError, match=f"{option} must be (at least 1|an integer)"):
            get_backend(backend, **{option: value})


@pytest.mark.parametrize("value", [1, 7, -2, 2.0, "4", True])
def test_the_tile_size_is_checked(backend: str, value: Any) -> None:
    message = "tile_size" if backend == "enumeration" else "has no option 'tile_size'"
    with pytest.raises(InputError, match=message):
        get_backend(backend, tile_size=value)


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 1},
        {"threads": 7},
        {"max_steps": 1},
        {"max_steps": 1000},
        {"anchor_interval": 1},
        {"anchor_interval": 10**9},
        {"task_states": 1},
        {"task_states": 10**15},
        {"tile_size": 0},
        {"tile_size": 4},
        {"tile_size": 10},
        {"threads": np.int64(2)},
    ],
    ids=str,
)
def test_no_option_changes_the_answer(backend: str, options: dict[str, Any]) -> None:
    if not set(options) <= set(get_backend(backend).options()):
        pytest.skip("an option of another backend")
    matrix = np.random.default_rng(5).normal(size=(13, 13))
    problem = Problem(matrix + matrix.T, 6)
    expected = brute_force(problem)
    spectrum = solve(problem, num_states=50, backend=backend, options=options)
    assert ranked(spectrum) == expected[:50]
