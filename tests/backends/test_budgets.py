"""Solvers that take a budget as a constraint of their own, and those that take none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import InputError, Problem, Status, get_backend, solve
from qubo_prune.backends import backend_names
from qubo_prune.backends.base import Capability
from qubo_prune.backends.common.tolerances import budget_row
from qubo_prune.backends.qaoa import Angles, to_circuit
from qubo_prune.backends.qaoa.subspace import Subspace
from qubo_prune.encodings import (
    estimated_penalty,
    penalty_qubo,
    safe_penalty,
    smallest_penalty,
    to_bqm,
    to_ising,
    to_quadratic_program,
)
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import all_states, problems_with_budgets

OUTSIDE = ("gurobi", "scip")


def require(backend: str) -> None:
    if not get_backend(backend).availability().usable:
        pytest.skip(f"{backend} is not there")


@pytest.mark.parametrize("backend", OUTSIDE)
@settings(max_examples=15)
@given(problem=problems_with_budgets(9), num_states=st.sampled_from([1, 3, 200]))
def test_outside_solvers_list_and_prove_what_brute_force_lists(
    backend: str, problem: Problem, num_states: int
) -> None:
    require(backend)
    truth = brute_force(problem)
    spectrum = solve(problem, num_states=num_states, backend=backend)
    if spectrum.status is Status.PROVEN:  # ties at scales that drown in its tolerances stay open
        assert ranked(spectrum) == truth[:num_states]
    proven = spectrum.num_proven
    assert ranked(spectrum)[:proven] == truth[:proven]
    if len(truth) > len(spectrum):
        assert spectrum.lower_bound <= truth[len(spectrum)][0]


@pytest.mark.parametrize("backend", OUTSIDE)
@pytest.mark.parametrize("unit", [100, 10**9, 2**40])
def test_no_state_gets_through_that_misses_by_one_unit(backend: str, unit: int) -> None:
    """The lowest state misses the budget by 1, which no solver sees among such weights."""
    require(backend)
    energies = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    weights = [9 * unit, 8 * unit + 1, 5 * unit, 3 * unit, 2 * unit, unit, 0]
    problem = Problem(np.diag(energies), 2, weights=weights, at_least=17 * unit + 2 - unit)
    spectrum = solve(problem, num_states=5, backend=backend)
    truth = brute_force(problem)
    assert len(truth) < 5
    assert spectrum.status is Status.PROVEN
    assert ranked(spectrum) == truth
    assert spectrum.lower_bound == np.inf
    tight = Problem(np.diag(energies[::-1]), 2, weights=weights, at_least=14 * unit)
    assert solve(tight, backend=backend).removed(0) == [0, 2]
    missed = Problem(np.diag(energies[::-1]), 2, weights=weights, at_least=14 * unit + 1)
    assert solve(missed, backend=backend).removed(0) == [0, 1]


@settings(max_examples=100)
@given(problems_with_budgets(), st.sampled_from([1e-9, 1e-7]))
def test_the_row_of_a_budget_has_room_for_tolerances(problem: Problem, tolerance: float) -> None:
    reduced = problem.reduced()
    row = budget_row(reduced, tolerance)
    if row is None:
        return
    states = all_states(problem, of_any_weight=True)
    room = states[:, reduced.variables].astype(float) @ row.coefficients - row.at_least
    allowed = problem.is_feasible(states)
    assert (room[allowed] >= tolerance * len(row.coefficients)).all()
    if problem.budget is not None and problem.budget.weights.max() < 5:
        assert (room[~allowed] < -tolerance).all()


@pytest.mark.parametrize("backend", backend_names())
def test_a_backend_takes_budgets_or_says_that_it_does_not(backend: str) -> None:
    solver = get_backend(backend)
    if Capability.BUDGET in solver.capabilities:
        return
    problem = Problem(np.eye(4), 2, weights=[1, 2, 3, 4], at_least=5)
    with pytest.raises(InputError, match=rf"backend '{backend}' takes no budget.*choose one"):
        solve(problem, backend=backend)


@pytest.mark.parametrize(
    "encode",
    [
        penalty_qubo,
        to_ising,
        to_bqm,
        to_quadratic_program,
        safe_penalty,
        estimated_penalty,
        lambda problem: smallest_penalty(problem, solve=solve),
        Subspace,
        lambda problem: to_circuit(problem, Angles()),
    ],
)
def test_encodings_that_hold_counts_only_refuse_a_budget(encode: Callable[[Problem], Any]) -> None:
    problem = Problem(np.eye(4), 2, weights=[1, 2, 3, 4], at_least=5)
    with pytest.raises(InputError, match=r"cannot hold a budget, but .* at_least=5; leave the"):
        encode(problem)


def test_the_penalty_form_of_gurobi_takes_no_budget() -> None:
    problem = Problem(np.eye(4), 2, weights=[1, 2, 3, 4], at_least=5)
    with pytest.raises(InputError, match="backend 'gurobi' takes no budget"):
        solve(problem, backend="gurobi", options={"formulation": "qubo"})


@pytest.mark.parametrize("backend", ["random", "greedy"])
def test_controls_reach_a_budget(backend: str) -> None:
    rng = np.random.default_rng(0)
    hessian = rng.normal(size=(20, 20))
    problem = Problem(hessian @ hessian.T, 8, weights=range(20), at_least=120)
    spectrum = solve(problem, num_states=5, backend=backend)
    assert len(spectrum) == 5
    assert problem.is_feasible(spectrum.states).all()
