"""Nothing but the problem decides the answer: not threads, chunks, steps, anchors, seeds or warm
starts; and energies do not drift.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from unittest import mock

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import Problem, Spectrum, Status, solve
from qubo_prune.backends.branch_and_bound.arrays import refine_tables, rounding_allowance
from qubo_prune.backends.branch_and_bound.kernels.points import move
from qubo_prune.search.arrays import make_landscape, make_pool, make_walker
from qubo_prune.search.kernels.landscape import random_state
from qubo_prune.search.kernels.pool import unpack
from qubo_prune.search.kernels.tabu import tabu_walk
from qubo_prune.search.swap_search import TENURE

UNIT_ROUNDOFF = 2.0**-53


def tall(n: int, seed: int) -> NDArray[np.float64]:
    a = np.random.default_rng(seed).normal(size=(2 * n, n))
    return a.T @ a / (2 * n)


def ill_conditioned(n: int, seed: int) -> NDArray[np.float64]:
    """Blocks of a common factor, on scales six orders of magnitude apart: entries span twelve and
    more.
    """
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, n)) + 3.0 * rng.normal(size=(n, 1))
    a *= 10.0 ** np.linspace(0.0, -6.0, n)[rng.permutation(n)]
    return a.T @ a


def indefinite(n: int, seed: int) -> NDArray[np.float64]:
    a = np.random.default_rng(seed).normal(size=(n, n))
    return a + a.T


def graph(n: int, seed: int) -> NDArray[np.float64]:
    """Integers: ties everywhere, at the cut as well."""
    edges = np.tril(np.random.default_rng(seed).random((n, n)) < 0.4, -1).astype(float)
    return -(edges + edges.T)


def tenths(n: int, seed: int) -> NDArray[np.float64]:
    """Ties up to rounding, which the order of additions decides."""
    a = 0.1 * np.tril(np.random.default_rng(seed).integers(-2, 3, (n, n)))
    return a + np.tril(a, -1).T


def kinds(n: int) -> list[str]:
    return ["abc"[i % 3] for i in range(n)]


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "real": lambda: Problem.load("bytelm-40-block", 5, keep=[0], force=[18]),
    "Wishart": lambda: Problem(tall(24, 0), 9),
    "ill-conditioned": lambda: Problem(ill_conditioned(24, 1), 10),
    "ill-conditioned, per kind": lambda: Problem(
        ill_conditioned(24, 2), {"a": 3, "b": 6, "c": 2}, kinds=kinds(24)
    ),
    "indefinite, M high": lambda: Problem(indefinite(26, 3), 21),
    "graph": lambda: Problem(graph(20, 4), 8),
    "tenths": lambda: Problem(tenths(20, 5), 7),
}

NUM_STATES = 60


@cache
def problem_and_answer(name: str) -> tuple[Problem, Spectrum]:
    problem = PROBLEMS[name]()
    spectrum = solve(problem, num_states=NUM_STATES, options={"threads": 1})
    assert spectrum.status is Status.PROVEN
    spectrum.check(problem)
    return problem, spectrum


def check_same(name: str, **arguments: Any) -> None:
    problem, expected = problem_and_answer(name)
    spectrum = solve(problem, num_states=NUM_STATES, **arguments)
    np.testing.assert_array_equal(spectrum.states, expected.states)
    np.testing.assert_array_equal(
        spectrum.energies.view(np.int64), expected.energies.view(np.int64), "to the last bit"
    )
    for what in ("status", "num_proven", "lower_bound", "ties_truncated", "num_states_total"):
        assert getattr(spectrum, what) == getattr(expected, what), what


every_problem = pytest.mark.parametrize("name", PROBLEMS)


@every_problem
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("backend", ["branch-and-bound", "enumeration"])
def test_threads(name: str, backend: str, threads: int) -> None:
    check_same(name, backend=backend, options={"threads": threads})


@every_problem
@pytest.mark.parametrize("tile_size", [None, 0, 6, 12])
@pytest.mark.parametrize("task_states", [97, 10_000, 1 << 40])
def test_chunks_of_enumeration(name: str, tile_size: int | None, task_states: int) -> None:
    problem, _ = problem_and_answer(name)
    # A task has a cost, so not more than about a thousand of them.
    task_states = max(task_states, problem.num_states // 1000)
    options = {"tile_size": tile_size, "task_states": task_states}
    check_same(name, backend="enumeration", options=options)


@every_problem
@pytest.mark.parametrize("anchor_interval", [1, 7, 512, 10**6])
@pytest.mark.parametrize("max_steps", [1, 7, 512, 10**6])
def test_steps_and_anchors_of_branch_and_bound(
    name: str, max_steps: int, anchor_interval: int
) -> None:
    options = {"max_steps": max_steps, "anchor_interval": anchor_interval}
    check_same(name, options=options)


@every_problem
@pytest.mark.parametrize("threads", [1, 3])
def test_finer_tables_of_branch_and_bound(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that takes long goes on with shifts of more depths; here that is any search of two
    turns.
    """
    problem_and_answer(name)
    refine = mock.Mock(wraps=refine_tables)
    monkeypatch.setattr("qubo_prune.backends.branch_and_bound.refining.refine_tables", refine)
    monkeypatch.setattr("qubo_prune.backends.branch_and_bound.search.REFINE_AFTER", 0)
    monkeypatch.setattr("qubo_prune.backends.branch_and_bound.search._FIRST_BUDGET", 3)
    monkeypatch.setattr("qubo_prune.backends.branch_and_bound.search._LOWEST_FIRST_AFTER", 0)
    check_same(name, options={"threads": threads})
    assert refine.call_count == 1


@every_problem
@pytest.mark.parametrize("seed", [1, 12345, 2**63 - 1, 2**64, 10**30])
@pytest.mark.parametrize("backend", ["branch-and-bound", "enumeration"])
def test_seeds(name: str, backend: str, seed: int) -> None:
    check_same(name, backend=backend, seed=seed)


@every_problem
@pytest.mark.parametrize("start", ["answer", "ground state twice", "random", "worst"])
@pytest.mark.parametrize("backend", ["branch-and-bound", "enumeration"])
def test_warm_starts(name: str, backend: str, start: str) -> None:
    problem, expected = problem_and_answer(name)
    if start == "answer":
        states = expected.states[::-1]
    elif start == "ground state twice":
        states = expected.states[[0, 0]]
    elif start == "random":
        states = random_states(problem, 500)
    else:
        opposite = Problem(
            -problem.hessian,
            problem.remove,
            kinds=problem.kinds,
            keep=problem.keep,
            force=problem.force,
        )
        states = solve(opposite, num_states=20).states
    check_same(name, backend=backend, warm_start=states)


@every_problem
def test_fewer_states_are_the_first_of_more(name: str) -> None:
    problem, expected = problem_and_answer(name)
    for num_states in (1, 2, NUM_STATES - 1):
        spectrum = solve(problem, num_states=num_states)
        np.testing.assert_array_equal(spectrum.states, expected.states[:num_states])
        assert spectrum.lower_bound == expected.energies[num_states]


def test_relabelled_blocks_have_the_same_energies() -> None:
    """Additions in another order: energies agree up to rounding, states exactly."""
    problem, expected = problem_and_answer("Wishart")
    order = np.random.default_rng(6).permutation(problem.num_blocks)
    relabelled = Problem(problem.hessian[np.ix_(order, order)], problem.remove)
    spectrum = solve(relabelled, num_states=NUM_STATES)
    np.testing.assert_allclose(spectrum.energies, expected.energies, rtol=1e-13)
    np.testing.assert_array_equal(spectrum.states, expected.states[:, order])


def random_states(problem: Problem, count: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(7)
    states = np.zeros((count, problem.num_blocks), np.bool_)
    states[:, problem.fixed_removed] = True
    for state in states:
        for group in problem.groups:
            state[rng.permutation(group.indices)[: group.count]] = True
    return states


def wide_integers(n: int, seed: int) -> NDArray[np.float64]:
    """Integers from 1 to 1e12 by magnitude: every sum of them is exact."""
    rng = np.random.default_rng(seed)
    a = np.tril(np.rint(rng.choice([-1.0, 1.0], (n, n)) * 10.0 ** rng.uniform(0.0, 12.0, (n, n))))
    return a + np.tril(a, -1).T


def wide_reals(n: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    a = np.tril(rng.choice([-1.0, 1.0], (n, n)) * 10.0 ** rng.uniform(-12.0, 0.0, (n, n)))
    return a + np.tril(a, -1).T


STEPS = 120_000


def tabu_energies(
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Walk STEPS swaps in two groups; return the walk's energies of the best states met and the
    recomputed ones.
    """
    n = len(matrix)
    half = n // 2
    problem = Problem(
        matrix, {"0": half // 2, "1": half // 3}, kinds=["0"] * half + ["1"] * (n - half)
    )
    landscape = make_landscape(problem.reduced(), 8)
    pool, walker = make_pool(STEPS, n), make_walker(n)
    random = np.array([9], np.uint64)
    random_state(landscape, random, walker.y)
    evaluated, halt = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    tabu_walk(landscape, pool, pool.table, walker, STEPS, TENURE, 1 << 62, random, evaluated, halt)
    assert pool.size[0] == STEPS
    states = unpack(pool.words[:, :-2], n)
    assert problem.is_feasible(states).all()
    assert problem.is_feasible(walker.y).all()
    return pool.energies, problem.energies(states)


def test_exact_energies_stay_exact_over_very_many_swaps() -> None:
    """Where nothing is rounded, 120,000 swaps end at the recomputed energies to the last bit: no
    term is lost or counted twice.
    """
    found, expected = tabu_energies(wide_integers(100, 10))
    np.testing.assert_array_equal(found, expected)


def test_rounded_energies_drift_within_the_bound() -> None:
    """Bound the drift of T swaps, with u the unit roundoff and F the largest of ``|Q_ii| + 2 sum_{j
    != i} |Q_ij|``, the most a field can be.

    A step adds ``2 (Q_into,i - Q_out,i)`` to a field, at most 2F, and, for the two swapped, twice a
    diagonal entry, at most 2F: at most three rounded operations on values of at most 3F, so a field
    is off by at most ``9uF`` per step and ``e = 9uF (T + n)`` after all (less, since the walk
    computes them afresh now and then). A step changes the energy by ``f_j - f_i - 2 Q_ij``, off by
    2e and by three roundings of at most 4F; the energy, at most nF, is rounded once. Together that
    is at most ``T (2e + (12 + n) u F)``, which grows with the square of T. As the signs of
    roundings alternate, much less than ``T u F`` is what is found, and that is asserted as well.
    """
    n = 100
    matrix = wide_reals(n, 11)
    found, expected = tabu_energies(matrix)
    fields = 2.0 * np.abs(matrix).sum(axis=1) - np.abs(np.diagonal(matrix))
    unit = UNIT_ROUNDOFF * float(fields.max())
    drift = float(np.abs(found - expected).max())
    assert drift > 0.0
    assert drift <= STEPS * (2 * 9 * (STEPS + n) + 12 + n) * unit
    assert drift <= STEPS * unit


@numba.njit
def move_often(
    matrix: NDArray[np.float64],
    x: NDArray[np.float64],
    fields: NDArray[np.float64],
    positions: NDArray[np.int64],
    targets: NDArray[np.float64],
) -> float:
    energy = 0.0
    for t in range(len(positions)):
        j = positions[t]
        energy += move(fields, matrix[j], j, targets[t] - x[j], np.int64(0))
        x[j] = targets[t]
    return energy


@pytest.mark.parametrize("family", [wide_reals, wide_integers, ill_conditioned, indefinite])
@pytest.mark.parametrize("n", [8, 40])
def test_moves_of_branch_and_bound_drift_within_the_allowance(
    family: Callable[[int, int], NDArray[np.float64]], n: int
) -> None:
    """A million updates without an anchor stay within what the search would allow for that many."""
    updates = 1_000_000
    matrix = family(n, 12)
    rng = np.random.default_rng(13)
    x, fields = np.zeros(n), np.zeros(n)
    targets = rng.random(updates)
    targets[rng.random(updates) < 0.5] = 0.0  # as a search does: up, down, and often to an end
    energy = move_often(matrix, x, fields, rng.integers(0, n, updates), targets)
    fresh = np.zeros(n)
    fresh_energy = move_often(matrix, np.zeros(n), fresh, np.arange(n), x)
    problem = Problem(matrix, n // 2)
    allowance = rounding_allowance(problem, problem.reduced(), 0.0, updates)
    assert abs(energy - fresh_energy) <= allowance
    assert 1.5 * np.abs(fields - fresh).sum() <= allowance
    np.testing.assert_allclose(fresh_energy, x @ matrix @ x, rtol=0.0, atol=allowance)


def test_moves_of_exact_numbers_do_not_drift() -> None:
    """Sixteenths of integers: a million updates are exact, so any difference is a wrong formula."""
    n = 24
    matrix = np.rint(indefinite(n, 14) * 1000.0)
    rng = np.random.default_rng(15)
    x, fields = np.zeros(n), np.zeros(n)
    targets = rng.integers(0, 17, 1_000_000) / 16.0
    energy = move_often(matrix, x, fields, rng.integers(0, n, len(targets)), targets)
    np.testing.assert_array_equal(fields, 2.0 * matrix @ x)
    assert energy == x @ matrix @ x
