"""Enumeration == branch and bound == itertools, bit for bit, on anything that is a problem."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem, Spectrum, Status, solve

EXACT = ["branch-and-bound", "enumeration"]


def brute_force(problem: Problem) -> list[tuple[float, tuple[int, ...]]]:
    """All states as (energy, removed), in spectrum order, by itertools and plain Python sums."""
    hessian = problem.hessian.tolist()
    linear = problem.linear.tolist()
    choices = [combinations(group.indices.tolist(), group.count) for group in problem.groups]
    spectrum = []
    for picks in product(*choices):
        removed = tuple(sorted([*problem.fixed_removed.tolist(), *sum(picks, ())]))
        energy = 0.0
        for a, i in enumerate(removed):
            coupling = 0.0
            for j in removed[:a]:
                coupling += hessian[i][j]
            energy += (hessian[i][i] + linear[i]) + 2.0 * coupling
        spectrum.append((energy, removed))
    return sorted(spectrum)


def as_list(spectrum: Spectrum) -> list[tuple[float, tuple[int, ...]]]:
    return [(state.energy, state.removed) for state in spectrum]


def random_hessian(family: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if family == "wishart":
        a = rng.normal(size=(2 * n, n))
        return a.T @ a / (2 * n)
    if family == "low-rank":
        a = rng.normal(size=(max(1, n // 3), n))
        return a.T @ a
    if family == "indefinite":
        a = rng.normal(size=(n, n))
        return a + a.T
    if family == "ties":
        a = rng.integers(-1, 2, size=(n, n)).astype(float)
        return np.tril(a) + np.tril(a, -1).T
    if family == "non-dyadic ties":
        return 0.1 * random_hessian("ties", n, rng)
    if family == "negative":
        return -random_hessian("wishart", n, rng)
    if family == "duplicate blocks":
        half = random_hessian("wishart", (n + 1) // 2, rng)
        return np.tile(half, (2, 2))[:n, :n].copy()
    if family == "constant":
        return np.full((n, n), rng.choice([0.0, 1.0, -0.3]))
    raise AssertionError(family)


FAMILIES = [
    "wishart",
    "low-rank",
    "indefinite",
    "ties",
    "non-dyadic ties",
    "negative",
    "duplicate blocks",
    "constant",
]


@st.composite
def problems(draw: st.DrawFn, max_blocks: int = 11) -> Problem:
    n = draw(st.integers(1, max_blocks))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1.0, 1.0, 1e-12, 1e12, 3.7e-150]))
    hessian = random_hessian(draw(st.sampled_from(FAMILIES)), n, rng) * scale
    hessian = (hessian + hessian.T) / 2
    arguments: dict[str, object] = {}
    if draw(st.booleans()):
        arguments |= {
            "gradient": rng.normal(size=n) * scale,
            "beta": draw(st.sampled_from([1, -1, 0.25])),
        }
    marks = rng.permutation(n)
    num_force, num_keep = draw(st.integers(0, n // 4)), draw(st.integers(0, n // 4))
    force = sorted(marks[:num_force].tolist())
    keep = sorted(marks[num_force : num_force + num_keep].tolist())
    remove: int | dict[str, int]
    if draw(st.booleans()):
        remove = draw(st.integers(num_force, n - num_keep))
    else:
        kinds = [draw(st.sampled_from(["attention", "mlp", "moe"])) for _ in range(n)]
        arguments["kinds"] = kinds
        remove = {}
        for kind in sorted(set(kinds)):
            members = [i for i, k in enumerate(kinds) if k == kind]
            low = len(set(members) & set(force))
            high = len(members) - len(set(members) & set(keep))
            if low or draw(st.booleans()):
                remove[kind] = draw(st.integers(low, high))
        if not remove:
            remove = {
                kinds[0]: len([k for i, k in enumerate(kinds) if k == kinds[0] and i in force])
            }
    return Problem(hessian, remove, keep=keep, force=force, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", EXACT)
@given(problem=problems(), num_states=st.integers(1, 300), threads=st.integers(1, 3))
def test_equals_brute_force_to_the_last_bit(
    backend: str, problem: Problem, num_states: int, threads: int
) -> None:
    expected = brute_force(problem)
    spectrum = solve(problem, num_states=num_states, backend=backend, options={"threads": threads})
    assert as_list(spectrum) == expected[:num_states]
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
        assert as_list(spectrum) == expected[:num_states]
        assert spectrum.status is Status.PROVEN


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(5, 9), num_states=st.integers(1, 4))
def test_small_groups_of_integers_equal_brute_force(seed: int, n: int, num_states: int) -> None:
    rng = np.random.default_rng(seed)
    factors = rng.integers(-5, 6, size=(n, n)).astype(float)
    kinds = ["b" if i % 2 else "a" for i in range(n)]
    remove = {"a": int(rng.integers(1, n // 2 + 1)), "b": int(rng.integers(0, n // 2 + 1))}
    problem = Problem(factors.T @ factors, remove, kinds=kinds)
    spectrum = solve(problem, num_states=num_states)
    assert as_list(spectrum) == brute_force(problem)[:num_states]
