"""QAOA on the penalty form with qiskit-optimization."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from qubo_prune import (
    Availability,
    BackendUnavailableError,
    InputError,
    Problem,
    Status,
    Stop,
    StopReason,
    get_backend,
    solve,
)
from qubo_prune.backends.base import Capability
from qubo_prune.backends.qaoa import backend as qaoa
from qubo_prune.encodings import estimated_penalty, penalty_qubo
from qubo_prune.testing import Check, select_checks
from qubo_prune.testing.problems import Case, cases
from tests.strategies import random_problem

needs_qiskit = pytest.mark.skipif(
    not all(map(find_spec, ("qiskit", "qiskit_aer", "qiskit_optimization"))),
    reason="needs the extra qaoa",
)
SMALL = {"variant": "penalty", "p": 1, "shots": 200, "iterations": 5}

SLOW_CHECKS = {
    "result",
    "feasible",
    "distinct",
    "spectrum",
    "seeds",
    "stopped early",
    "known states",
}
"""They solve every case of the kit several times, which takes Qiskit minutes."""


@needs_qiskit
def test_repair_finds_the_ground_state_and_says_what_it_did() -> None:
    problem = random_problem(6, {"a": 1, "b": 2}, kinds=[*"ababbb"])
    spectrum = solve(problem, num_states=5, backend="qaoa", options=SMALL)
    spectrum.check(problem)
    assert spectrum.status is Status.HEURISTIC
    assert (spectrum.energies == solve(problem, num_states=5).energies).all()
    facts = spectrum.statistics
    assert facts["variant"] == "penalty"
    assert facts["amplitudes"] == 64
    assert facts["samples"] == 200
    assert facts["circuit_evaluations"] == spectrum.num_evaluated == 5
    assert 0 < float(facts["feasible_fraction"]) < 1
    assert facts["penalty"] == estimated_penalty(problem, 5)
    assert float(facts["bare_lowest_energy"]) >= spectrum.energies[0]


@needs_qiskit
def test_without_repair_only_what_was_measured_is_listed() -> None:
    problem = random_problem(6, 3)
    bare, repaired = (
        solve(problem, backend="qaoa", options={**SMALL, "shots": 8, "repair": repair})
        for repair in (False, True)
    )
    assert len(bare) == bare.statistics["bare_states"] <= bare.statistics["feasible_samples"] < 8
    assert {state.removed for state in bare} < {state.removed for state in repaired}
    assert bare.statistics["feasible_fraction"] == repaired.statistics["feasible_fraction"]


@needs_qiskit
def test_the_optimiser_improves_the_expectation() -> None:
    problem = random_problem(6, 3)
    first, last = (
        float(
            solve(
                problem, backend="qaoa", options={**SMALL, "shots": 4000, "iterations": limit}
            ).statistics["expected_penalty_energy"]
        )
        for limit in (1, 30)
    )
    every = (np.arange(64)[:, None] >> np.arange(6)) & 1
    assert last < first < penalty_qubo(problem).energies(every).mean()


@needs_qiskit
def test_a_larger_penalty_makes_more_samples_feasible() -> None:
    problem = random_problem(6, 3)
    fractions = [
        float(
            solve(problem, backend="qaoa", options={**SMALL, "penalty": penalty}).statistics[
                "feasible_fraction"
            ]
        )
        for penalty in (0.0, 30.0)
    ]
    assert fractions[0] < fractions[1]


@needs_qiskit
@pytest.mark.parametrize(
    "problem",
    [Problem(np.zeros((3, 3)), 1), random_problem(2, 1), random_problem(4, 3, force=[0], keep=[1])],
    ids=str,
)
@pytest.mark.parametrize("penalty", [None, 0.0])
def test_small_and_flat_problems(problem: Problem, penalty: float | None) -> None:
    spectrum = solve(problem, backend="qaoa", options={**SMALL, "penalty": penalty})
    spectrum.check(problem)
    assert len(spectrum) == problem.num_states


@needs_qiskit
@pytest.mark.parametrize(
    "check",
    select_checks(exclude=SLOW_CHECKS),
    ids=str,
)
def test_conformance(check: Check) -> None:
    check(get_backend("qaoa", **SMALL), num_blocks=8)


@needs_qiskit
@pytest.mark.parametrize("case", cases()[::3], ids=lambda case: case.name)
def test_conformance_where_the_kit_would_take_minutes(case: Case) -> None:
    known = np.array([case.problem.state(case.spectrum[-1][1])])
    one, other, limited = (
        solve(
            case.problem,
            num_states=10,
            backend="qaoa",
            seed=2**40,
            warm_start=known,
            max_evaluations=limit,
            options=SMALL,
        )
        for limit in (None, None, 1)
    )
    for spectrum in (one, limited):
        spectrum.check(case.problem)
    assert (one.states == other.states).all()
    assert one.status is Status.HEURISTIC


@needs_qiskit
@pytest.mark.parametrize("penalty", ["high", np.inf, -1.0, [1.0, 2.0]])
def test_a_bad_penalty_is_an_input_error(penalty: object) -> None:
    with pytest.raises(InputError, match="penalties"):
        solve(random_problem(4, 2), backend="qaoa", options={**SMALL, "penalty": penalty})


@needs_qiskit
@pytest.mark.parametrize("limit", [1, 3])
def test_an_evaluation_limit_is_kept(limit: int) -> None:
    spectrum = solve(random_problem(4, 2), backend="qaoa", options=SMALL, max_evaluations=limit)
    assert spectrum.num_evaluated == limit
    assert spectrum.stop_reason is StopReason.EVALUATION_LIMIT


def test_too_many_qubits_are_refused_before_the_launch() -> None:
    backend = get_backend("qaoa", **SMALL)
    message = (
        r"2\^40 = 1\.10e12 subsets of the free blocks, which takes 35,184\.4 GB, but max_amplitudes"
        r" is 8\.39e6; .*'xy'"
    )
    problem = Problem.load("bytelm-40-block", remove=2)
    with pytest.raises(InputError, match=message):
        backend.run(problem, 1, Stop(), 0)


def test_it_says_what_it_can_do() -> None:
    assert Capability.NATIVE_CONSTRAINT not in get_backend("qaoa", **SMALL).capabilities
    assert Capability.NATIVE_CONSTRAINT in get_backend("qaoa").capabilities


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = qaoa.library_availability

    def without_aer(module: str, *names: str) -> Availability:
        return real("no_such_module" if module == "qiskit_aer" else module, *names)

    monkeypatch.setattr(qaoa, "library_availability", without_aer)
    availability = get_backend("qaoa").availability()
    assert availability.usable
    assert availability.detail.startswith("qiskit-aer is not installed, which")
    assert availability.install == "pip install 'qubo-prune[qaoa]'"
    assert len(solve(random_problem(4, 2), backend="qaoa")) > 0  # the other variant runs
    with pytest.raises(BackendUnavailableError, match=r"qiskit-aer.*qubo-prune\[qaoa\].*'xy'"):
        solve(random_problem(4, 2), backend="qaoa", options=SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "penalty", "p": 0}, "p must be at least 1"),
        ({"variant": "penalty", "repair": 1}, "repair"),
        ({"variant": "penalty", "iterations": 0}, "iterations"),
        ({"penalty": 1.0}, "variant='penalty'"),
    ],
)
def test_a_bad_option_is_an_input_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_backend("qaoa", **options)
