"""The swap tabu search: exact spectra where branch and bound proves them, the same on any number of
threads, an end by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qubo_prune import InputError, Problem, Status, Stop, StopReason, get_backend, solve
from qubo_prune.backends.swaps.tabu import Tabu
from qubo_prune.bench import Instance
from qubo_prune.testing import CHECKS
from qubo_prune.testing.problems import swap_neighbours

BRANCH = Problem.load("bytelm-40-branch", remove=1)
BLOCK = Problem.load("bytelm-40-block", remove=1)


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Any) -> None:
    check(Tabu())


def assert_exact(problem: Problem, num_states: int, **arguments: Any) -> None:
    """Assert that tabu finds what branch and bound proves, to the last bit."""
    exact = solve(problem, num_states=num_states)
    assert exact.status is Status.PROVEN
    found = solve(problem, num_states=num_states, backend="tabu", **arguments)
    assert found.status is Status.HEURISTIC
    assert found.num_proven == 0
    np.testing.assert_array_equal(found.states, exact.states)
    np.testing.assert_array_equal(found.energies.view(np.int64), exact.energies.view(np.int64))


@pytest.mark.parametrize("num_states", [1, 100, 1000])
@pytest.mark.parametrize(
    "problem",
    [
        *(BLOCK.with_remove(m) for m in (1, 2, 8, 20, 39)),
        *(BRANCH.with_remove(m) for m in (3, 8, 25, 36, 40, 72)),
    ],
    ids=repr,
)
def test_every_state_of_bundled_hessians_is_found(problem: Problem, num_states: int) -> None:
    assert_exact(problem, num_states)


@pytest.mark.parametrize(
    ("name", "remove"),
    [
        ("wishart-half-40", 16),
        ("wishart-60", 20),
        ("heterogeneous-100", 25),
        ("autoregressive-60", 18),
        ("low-rank-64", 16),
        ("planted-80", 16),
    ],
)
def test_every_state_of_instances_is_found(name: str, remove: int) -> None:
    assert_exact(Instance.load(name).problem(remove), 100)


def test_ties_have_the_lowest_energies() -> None:
    """Which of many tied states are listed is left open; their energies are not."""
    problem = Instance.load("k-cluster-40").problem(12)
    exact = solve(problem, num_states=50)
    found = solve(problem, num_states=50, backend="tabu")
    np.testing.assert_array_equal(found.energies, exact.energies)


@pytest.mark.parametrize(
    "problem",
    [
        Problem.load("bytelm-40-branch", remove={"attention": 4, "mlp": 4}),
        Problem.load("bytelm-40-branch", remove={"attention": 30, "mlp": 6}, keep=[0, 1]),
        Problem.load("bytelm-40-branch", remove=20, only="mlp", force=[3]),
    ],
    ids=repr,
)
def test_every_state_of_constrained_problems_is_found(problem: Problem) -> None:
    assert_exact(problem, 100)


HARD = Instance.load("wishart-half-100").problem(40)


@pytest.mark.parametrize(
    "options", [{}, {"walks": 3}, {"completion": False}, {"steps": 50, "tenure": 1}], ids=str
)
@pytest.mark.parametrize("max_evaluations", [None, 200_000])
def test_threads_do_not_change_the_answer(
    options: dict[str, Any], max_evaluations: int | None
) -> None:
    backend = Tabu(rounds=4, **options)
    alone, *others = (
        solve(
            HARD,
            num_states=300,
            backend=replace(backend, threads=threads),
            seed=7,
            max_evaluations=max_evaluations,
        )
        for threads in (1, 2, 5)
    )
    for other in others:
        np.testing.assert_array_equal(other.states, alone.states)
        assert other.num_evaluated == alone.num_evaluated
        assert other.native_status == alone.native_status


def test_seeds_matter_where_a_search_is_short() -> None:
    found = [
        solve(HARD, num_states=50, backend=Tabu(rounds=1, walks=2), seed=seed).energies
        for seed in range(3)
    ]
    assert not np.array_equal(found[0], found[1]) or not np.array_equal(found[1], found[2])


@pytest.mark.parametrize("limit", [1, 1000, 100_000])
def test_evaluations_are_limited(limit: int) -> None:
    spectrum = solve(HARD, num_states=10, backend="tabu", max_evaluations=limit)
    assert spectrum.stop_reason is StopReason.EVALUATION_LIMIT
    # Every walk finishes its step, and a step evaluates the swaps of 100 blocks at most.
    assert limit <= spectrum.num_evaluated <= limit + 16 * 40 * 60
    spectrum.check(HARD)


def test_completion_closes_the_spectrum_under_swaps() -> None:
    """No swap of a state that is kept leads to a state that should have been kept."""
    backend = Tabu(rounds=1, walks=1, steps=30)
    raw = backend.run(HARD, 200, Stop(), 0)
    energies = HARD.energies(raw.states)
    worst = energies.max()
    kept = {row.tobytes() for row in raw.states}
    for state in raw.states[::9]:
        neighbours = swap_neighbours(HARD, state[None])
        better = neighbours[HARD.energies(neighbours) < worst - 1e-9]
        assert {row.tobytes() for row in better} <= kept
    bare = replace(backend, completion=False).run(HARD, 200, Stop(), 0)
    assert len(bare.states) == len(raw.states)
    assert HARD.energies(bare.states).sum() > energies.sum()


def test_the_search_ends_by_itself() -> None:
    spectrum = solve(BLOCK.with_remove(8), num_states=10, backend=Tabu(patience=2))
    assert spectrum.stop_reason is StopReason.COMPLETED
    assert "nothing new in the last 2" in spectrum.native_status
    every = solve(BLOCK.with_remove(1), num_states=100, backend="tabu")
    assert every.native_status == "1 round, all states found"
    assert every.status is Status.HEURISTIC
    capped = solve(HARD, num_states=100, backend=Tabu(rounds=2))
    assert capped.native_status == "2 rounds, no more allowed"


@pytest.mark.parametrize("value", [0.0, -0.3])
def test_a_search_without_a_slope_ends(value: float) -> None:
    spectrum = solve(Problem(np.full((30, 30), value), 15), num_states=200, backend="tabu")
    assert len(spectrum) == 200
    assert spectrum.stop_reason is StopReason.COMPLETED


def test_a_warm_start_is_walked_from() -> None:
    exact = solve(BRANCH.with_remove(36), num_states=1)
    found = solve(
        BRANCH.with_remove(36),
        num_states=1,
        backend=Tabu(rounds=1, walks=2, steps=1, completion=False),
        warm_start=exact.states,
    )
    np.testing.assert_array_equal(found.states, exact.states)


def test_progress_tells_the_rate_and_the_round() -> None:
    seen = []
    solve(
        Instance.load("wishart-half-200").problem(80),
        backend="tabu",
        time_limit=0.5,
        progress=seen.append,
    )
    assert seen
    assert all(each.message.startswith("round ") for each in seen)
    assert seen[-1].num_evaluated > 0
    assert seen[-1].rate > 0


@pytest.mark.parametrize("option", ["threads", "walks", "steps", "tenure", "rounds", "patience"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_bad_counts_are_input_errors(option: str, value: object) -> None:
    with pytest.raises(InputError, match=option):
        get_backend("tabu", **{option: value})


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_completion_is_a_flag(value: object) -> None:
    with pytest.raises(InputError, match="completion must be true or false, not"):
        get_backend("tabu", completion=value)
