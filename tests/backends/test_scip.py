"""SCIP behind the interface: one search collects the K lowest states; what it proves, and its
manners.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import InputError, Problem, Progress, Status, Stop, StopReason, get_backend, solve
from qubo_prune.testing import brute_force, hard_problem
from qubo_prune.testing.harness import ranked
from tests.interrupts import send_while_it_solves
from tests.strategies import near_ties

pytest.importorskip("pyscipopt", reason="pyscipopt is not installed")

from qubo_prune.backends.scip.collector import LowestStates


@pytest.mark.parametrize("spread", [1e-10, 1e-8, 1e-6])
def test_states_nearer_than_the_tolerances_are_told_apart_all_the_same(spread: float) -> None:
    problem = Problem(near_ties(12, spread, 1), 5, symmetrize=True)
    truth = brute_force(problem)
    for num_states in (3, 57):
        spectrum = solve(problem, num_states=num_states, backend="scip")
        assert spectrum.status is Status.PROVEN
        assert ranked(spectrum) == truth[:num_states]
        assert truth[num_states - 1][0] <= spectrum.lower_bound <= truth[num_states][0]


INSTANCES = {
    "real blocks": lambda: Problem.load("bytelm-40-block", remove=4),
    "real blocks, most removed": lambda: Problem.load("bytelm-40-block", remove=38),
    "real branches, per kind": lambda: Problem.load(
        "bytelm-40-branch", remove={"attention": 2, "mlp": 1}, keep=range(30)
    ),
    "ties": lambda: Problem(near_ties(16, 0.0, 3), 5),
    "negative definite": lambda: Problem(-np.eye(12) + near_ties(12, 0.0, 4), 4),
}


@pytest.mark.parametrize("name", INSTANCES)
def test_agrees_with_enumeration(name: str) -> None:
    problem = INSTANCES[name]()
    expected = solve(problem, num_states=30, backend="enumeration")
    spectrum = solve(problem, num_states=30, backend="scip", time_limit=120)
    assert spectrum.status is Status.PROVEN
    assert ranked(spectrum) == ranked(expected)
    assert spectrum.ties_truncated == expected.ties_truncated
    assert spectrum.lower_bound <= expected.lower_bound


def test_ties_beyond_the_limit_stay_unproven() -> None:
    problem = Problem(np.diag([0.0] * 12 + [1.0] * 8), 6)  # 924 states of energy 0
    spectrum = solve(problem, num_states=5, backend="scip", options={"max_ties": 40})
    spectrum.check(problem)
    assert (spectrum.status, spectrum.num_proven) == (Status.PARTIAL, 0)
    assert spectrum.stop_reason is StopReason.COMPLETED
    assert spectrum.energies.tolist() == [0.0] * 5
    assert spectrum.ties_truncated
    assert -1e-3 < spectrum.lower_bound < 0
    assert "max_ties" in spectrum.native_status
    spectrum = solve(problem, num_states=5, backend="scip")
    assert ranked(spectrum) == ranked(solve(problem, num_states=5))


def test_what_is_left_open_is_bounded() -> None:
    problem = Problem.load("bytelm-40-block", remove=12)
    spectrum = solve(problem, num_states=20, backend="scip", time_limit=2.0)
    spectrum.check(problem)
    assert spectrum.status is Status.PARTIAL
    assert spectrum.stop_reason is StopReason.TIME_LIMIT
    assert -np.inf < spectrum.lower_bound <= solve(problem, num_states=1).energies[0]


def test_it_starts_from_what_is_known() -> None:
    problem = hard_problem(60)
    known = solve(problem, num_states=3, time_limit=0.5)
    for stop in (Stop(max_evaluations=1), Stop()):
        if stop.max_evaluations is None:
            stop.cancel()
        spectrum = solve(problem, num_states=3, backend="scip", warm_start=known.states, stop=stop)
        assert ranked(spectrum) == ranked(known)


def test_more_blocks_than_products_fit_are_refused() -> None:
    problem = Problem(np.diag(np.arange(600.0)), 300)
    with pytest.raises(InputError, match=r"at most 500 blocks to choose from, not 600.*; keep"):
        solve(problem, num_states=1, backend="scip")


def test_nothing_is_imported_to_say_whether_it_is_there() -> None:
    code = (
        "import sys; from qubo_prune.backends import backend_class;"
        " print(backend_class('scip').availability().installed, 'pyscipopt' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    solve(Problem(near_ties(12, 0.1, 0), 5, symmetrize=True), backend="scip", num_states=30)
    solve(hard_problem(40), backend="scip", time_limit=0.5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_the_search(capfd: pytest.CaptureFixture[str]) -> None:
    sent = send_while_it_solves(signal.SIGINT, after=1.0)
    spectrum = solve(hard_problem(), num_states=3, backend="scip", time_limit=60)
    sent.join()
    assert spectrum.stop_reason is StopReason.INTERRUPTED
    assert capfd.readouterr() == ("", "")


def test_an_error_in_a_progress_callback_ends_the_search() -> None:
    def complain(_: Progress) -> None:
        raise RuntimeError("no terminal")

    with pytest.raises(Exception, match="no terminal"):
        solve(hard_problem(60), num_states=3, backend="scip", progress=complain, time_limit=60)


def test_an_error_while_solutions_are_taken_down_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def complain(*_: Any) -> None:
        raise ArithmeticError("cannot add")

    monkeypatch.setattr(LowestStates, "add", complain)
    with pytest.raises(Exception, match="cannot add"):
        solve(Problem(near_ties(8, 0.1, 0), 3, symmetrize=True), backend="scip")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"threads": 2}, {"max_ties": 0}, {"max_ties": None}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        get_backend("scip", **options)


@settings(max_examples=60)
@given(
    order=st.permutations(range(20)),
    num_states=st.integers(1, 8),
    max_ties=st.integers(1, 12),
    energies=st.lists(st.integers(-3, 3), min_size=6, max_size=6),
)
def test_the_lowest_states_are_kept_in_whatever_order_they_come(
    order: list[int], num_states: int, max_ties: int, energies: list[int]
) -> None:
    """All within the limit are there, unless there are too many; then the K lowest are."""
    problem = Problem(np.diag(energies).astype(float), 3)
    reduced = problem.reduced()
    every = [problem.state(chosen) for chosen in combinations(range(6), 3)]
    lowest = LowestStates(reduced, 1.0, num_states, max_ties, 0.25)
    limits = []
    for number in order:
        lowest.add(every[number])
        lowest.add(every[number])
        lowest.add(~every[number] | every[0])  # not feasible, most often
        limits.append(lowest.limit)
    assert limits == sorted(limits, reverse=True)
    kept = problem.energies(lowest.states()) if len(lowest.states()) else np.zeros(0)
    assert len(kept) == len(np.unique(lowest.states(), axis=0))
    truth = np.sort(problem.energies(np.array(every)))
    assert np.sort(kept)[:num_states].tolist() == truth[:num_states].tolist()
    within = int(np.count_nonzero(truth <= lowest.limit))
    assert np.count_nonzero(kept <= lowest.limit) == within
    assert lowest.tied or lowest.limit > truth[num_states - 1]
