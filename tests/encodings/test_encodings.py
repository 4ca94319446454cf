"""Encodings: penalty forms agree with the definition, penalties are as small as they can be,
samples come back feasible.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import dimod
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import (
    Backend,
    BackendUnavailableError,
    Capability,
    InputError,
    Problem,
    RawResult,
    SpectrumError,
    Stop,
    solve,
    sweep,
)
from qubo_prune.encodings import (
    Harvest,
    decode,
    estimated_penalty,
    nearest_feasible,
    penalty_qubo,
    repair,
    safe_penalty,
    smallest_penalty,
    to_bqm,
    to_cqm,
    to_ising,
    to_quadratic_program,
)
from qubo_prune.encodings.bounds import lower_bounds, lowest_of_all, other_counts
from qubo_prune.testing.problems import swap_neighbours
from tests.strategies import problems_for_encodings


def every_state(n: int) -> NDArray[np.bool_]:
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)


def expected_energies(problem: Problem, penalties: np.ndarray) -> np.ndarray:
    """Energies of all y by the definition: that of the state, and P (sum y - r)^2 for each
    group.
    """
    reduced = problem.reduced()
    states = reduced.expand(every_state(len(reduced.variables)))
    energies = problem.energies(states)
    for group, penalty in zip(problem.groups, penalties, strict=True):
        energies += penalty * (states[:, group.indices].sum(axis=1) - group.count) ** 2
    return energies


@given(problem=problems_for_encodings(), data=st.data())
def test_every_encoding_has_the_energies_of_the_definition(
    problem: Problem, data: st.DataObject
) -> None:
    penalties = np.array([data.draw(st.sampled_from([0.0, 0.5, 7.0])) for _ in problem.groups])
    expected = expected_energies(problem, penalties)
    y = every_state(len(problem.reduced().variables))
    close = {"rtol": 0, "atol": 1e-9 * (1 + np.abs(expected).max())}
    qubo = penalty_qubo(problem, penalties)
    assert np.allclose(qubo.energies(y), expected, **close)
    ising = to_ising(problem, penalties)
    assert np.allclose(ising.energies(2.0 * y - 1), expected, **close)
    assert not np.tril(ising.couplings).any()
    order = problem.reduced().variables.tolist()
    for vartype in ("BINARY", "SPIN"):
        bqm = to_bqm(problem, penalties, vartype)
        assert bqm.vartype.name == vartype
        assert list(bqm.variables) == order
        samples = y.astype(np.int8) if vartype == "BINARY" else 2 * y.astype(np.int8) - 1
        if order:
            assert np.allclose(bqm.energies((samples, order)), expected, **close)
        assert np.array_equal(decode(problem, samples), problem.reduced().expand(y))


@given(problem=problems_for_encodings(min_blocks=2))
def test_a_cqm_allows_the_feasible_states_alone(problem: Problem) -> None:
    cqm = to_cqm(problem)
    variables = problem.reduced().variables.tolist()
    states = every_state(len(variables))
    feasible = problem.is_feasible(problem.reduced().expand(states))
    assert list(cqm.variables) == variables
    assert len(cqm.constraints) == len(problem.groups)
    if variables:
        found = [cqm.check_feasible((row.astype(int), variables)) for row in states]
        assert found == feasible.tolist()
        energies = cqm.objective.energies((states.astype(int), variables))
        assert np.allclose(
            energies, expected_energies(problem, np.zeros(len(problem.groups))), atol=1e-9
        )


def test_constraints_of_a_cqm_are_labelled_by_kind() -> None:
    problem = Problem(np.eye(4), {"mlp": 1, "attention": 1}, kinds=["mlp", "attention"] * 2)
    assert list(to_cqm(problem).constraints) == ["mlp", "attention"]
    assert list(to_cqm(Problem(np.eye(4), 2)).constraints) == ["remove"]


def test_a_quadratic_program_has_the_energies_and_the_constraint() -> None:
    pytest.importorskip("qiskit_optimization")
    half = np.random.default_rng(0).normal(size=(6, 6))
    problem = Problem(half + half.T, 3, keep=[0], force=[5])
    program = to_quadratic_program(problem)
    assert [variable.name for variable in program.variables] == ["x1", "x2", "x3", "x4"]
    states = every_state(4)
    energies = problem.energies(problem.reduced().expand(states))
    feasible = problem.is_feasible(problem.reduced().expand(states))
    for row, energy, allowed in zip(states, energies, feasible, strict=True):
        assert program.objective.evaluate(row.astype(float)) == pytest.approx(energy)
        assert program.is_feasible(row.astype(float)) == allowed


def test_without_qiskit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_optimization", None)
    with pytest.raises(BackendUnavailableError, match=r"qubo-prune\[qaoa\]"):
        to_quadratic_program(Problem(np.eye(3), 1))


TWO = Problem(np.eye(4), {"a": 1, "b": 1}, kinds=["a", "b", "a", "b"])


@pytest.mark.parametrize(
    ("penalties", "words"),
    [
        (-1.0, "at least 0"),
        (np.nan, "finite"),
        (np.inf, "finite"),
        ([1.0, -1.0], "at least 0"),
        ([1.0, 2.0, 3.0], "one number or 2"),
        ([[1.0, 2.0]], "one number or 2"),
        ("large", "real numbers"),
        (1j, "real numbers"),
    ],
)
def test_penalties_that_are_none(penalties: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        penalty_qubo(TWO, penalties)


def test_the_default_penalty_is_safe() -> None:
    qubo = penalty_qubo(TWO)
    states = every_state(4)
    feasible = TWO.is_feasible(states)
    energies = qubo.energies(states)
    assert energies[~feasible].min() > energies[feasible].max()
    assert to_bqm(TWO).num_variables == 4


def test_a_wrong_vartype() -> None:
    with pytest.raises(InputError, match="SPIN"):
        to_bqm(TWO, 1.0, "spin")


FORCED = Problem(np.eye(5), 3, keep=[1], force=[3])


def test_samples_of_dimod_go_by_label() -> None:
    bqm = to_bqm(FORCED, 5.0)
    samples = dimod.ExactSolver().sample(bqm)
    states = decode(FORCED, samples)
    assert states.shape == (8, 5)
    assert states[:, 3].all()
    assert not states[:, 1].any()
    assert np.allclose(FORCED.energies(states)[FORCED.is_feasible(states)], 3.0)
    spins = decode(FORCED, dimod.ExactSolver().sample(bqm.change_vartype("SPIN")))
    assert sorted(map(bytes, spins)) == sorted(map(bytes, states))
    assert decode(FORCED, {4: 1, 2: 0, 0: 1, 99: 1}).tolist() == [[True, False, False, True, True]]
    assert decode(FORCED, [-1, 1, 1]).tolist() == [[False, False, True, True, True]]
    assert decode(FORCED, np.zeros((0, 3))).shape == (0, 5)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([[0, 1]], "shape"),
        ([[0, 1, 2]], "not 2"),
        ([[0, 1, -1]], "not 0"),
        ([[0, 1, 0.5]], "0.5"),
        ([["a", "b", "c"]], "real"),
        (np.zeros((2, 2, 3)), "shape"),
        ({0: 1, 2: 1}, "lack variable 4"),
    ],
)
def test_samples_that_are_none(samples: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decode(FORCED, samples)


def keeps(problem: Problem, num_states: int, penalties: object) -> bool:
    """Whether the lowest states are below every infeasible one, tried on all states."""
    qubo = penalty_qubo(problem, penalties)
    y = every_state(len(qubo.variables))
    energies = qubo.energies(y)
    feasible = problem.is_feasible(problem.reduced().expand(y))
    last = np.sort(energies[feasible])[min(num_states, feasible.sum()) - 1]
    return bool(energies[~feasible].min() > last)


@settings(max_examples=60)
@given(problem=problems_for_encodings(integers=True, min_blocks=2), num_states=st.integers(1, 12))
def test_slightly_less_fails_and_slightly_more_works(problem: Problem, num_states: int) -> None:
    assume(problem.groups)
    for per_group in (True, False):
        smallest = smallest_penalty(problem, num_states, solve=solve, per_group=per_group)
        assert (smallest >= 0).all()
        assert keeps(problem, num_states, smallest * (1 + 2**-20) + 2**-20)
        assert keeps(problem, num_states, 2 * smallest + 1)
        if not per_group:
            assert len(set(smallest)) == 1
            assert not smallest.any() or not keeps(problem, num_states, smallest * (1 - 2**-20))
            continue
        for group in np.flatnonzero(smallest):
            less = smallest.copy()
            less[group] *= 1 - 2**-20
            assert not keeps(problem, num_states, less)


@settings(max_examples=60)
@given(problem=problems_for_encodings(min_blocks=2), num_states=st.integers(1, 12))
def test_a_safe_penalty_is_safe(problem: Problem, num_states: int) -> None:
    assume(problem.groups)
    safe = safe_penalty(problem, num_states)
    assert keeps(problem, num_states, safe)
    spectrum = solve(problem, num_states=num_states)
    tighter = safe_penalty(problem, num_states, spectrum=spectrum)
    assert keeps(problem, num_states, tighter)
    assert tighter <= safe * (1 + 1e-9)
    smallest = smallest_penalty(problem, num_states, per_group=False, solve=solve)[0]
    assert safe >= smallest * (1 - 1e-9)
    assert 0.0 <= estimated_penalty(problem, num_states) <= max(safe, 1.02 * smallest)


@settings(max_examples=60)
@given(problem=problems_for_encodings(min_blocks=2))
def test_bounds_bound(problem: Problem) -> None:
    reduced = problem.reduced()
    y = every_state(len(reduced.variables))
    energies = np.einsum("ki,ij,kj->k", y, reduced.matrix, y)
    assume(problem.groups)
    counts = np.stack(
        [y[:, reduced.group_of == g].sum(axis=1) for g in range(reduced.num_groups)], axis=1
    )
    slack = 1e-9 * (1 + np.abs(energies).max())
    for sign in (1.0, -1.0):
        for vector in (*other_counts(reduced), reduced.counts):
            members = (counts == vector).all(axis=1)
            assert (
                lower_bounds(reduced, vector[None], sign)[0]
                <= (sign * energies[members]).min() + slack
            )
    assert lowest_of_all(reduced) <= energies.min() + slack
    assert len(other_counts(reduced)) == len(np.unique(counts, axis=0)) - 1


def test_the_formula_for_one_group_and_the_sweep_that_feeds_it() -> None:
    problem = Problem.load("bytelm-40-block", remove=8)
    spectra = sweep(problem, range(41), num_states=20)
    last = spectra[8].energies[-1]
    formula = max((last - spectra[k].energies[0]) / (8 - k) ** 2 for k in range(41) if k != 8)
    refuse = {"backend": "no such backend"}  # would be asked only if anything were missing
    given = smallest_penalty(problem, 20, spectra=spectra.values(), solve=solve, **refuse)
    assert given.tolist() == [formula]
    assert smallest_penalty(problem, 20, solve=solve).tolist() == [formula]
    assert smallest_penalty(problem, 20, spectra=[spectra[8]], solve=solve).tolist() == [formula]
    assert formula < estimated_penalty(problem, 20) < 1.1 * formula
    assert formula < safe_penalty(problem, 20) < 20 * formula
    assert (
        smallest_penalty(problem, 1, solve=solve)[0]
        < formula
        < smallest_penalty(problem, 100, solve=solve)[0]
    )


def test_groups_get_penalties_of_their_own() -> None:
    kinds = ["a", "b"] * 20
    problem = Problem.load("bytelm-40-block", {"a": 2, "b": 4}, kinds=kinds, keep=range(10, 40))
    common = smallest_penalty(problem, 10, per_group=False, solve=solve)
    own = smallest_penalty(problem, 10, solve=solve)
    assert common[0] == common[1] == own.max()
    assert own.min() < 0.999 * common[0]
    assert keeps(problem, 10, own * 1.0001)
    assert not keeps(problem, 10, own * 0.9999)
    assert 0.5 * own.max() < estimated_penalty(problem, 10) < 2 * own.max()


def test_no_penalty_is_needed_where_the_unconstrained_minimum_is_feasible() -> None:
    problem = Problem(np.diag([-1.0, -2.0, 3.0, 4.0]), 2)
    assert smallest_penalty(problem, 1, solve=solve).tolist() == [0.0]
    assert keeps(problem, 1, 0.0)
    assert smallest_penalty(problem, 2, solve=solve)[0] > 0


def test_a_problem_of_zeros_needs_any_penalty_at_all() -> None:
    problem = Problem(np.zeros((4, 4)), 2)
    assert smallest_penalty(problem, solve=solve).tolist() == [0.0]
    assert not keeps(problem, 6, 0.0)
    assert keeps(problem, 6, safe_penalty(problem))


def test_a_problem_without_a_choice_needs_none() -> None:
    problem = Problem(np.eye(3), 3)
    assert smallest_penalty(problem, solve=solve).shape == (0,)
    assert safe_penalty(problem) == estimated_penalty(problem) == 0.0


def test_many_groups_still_get_a_safe_penalty() -> None:
    kinds = [f"kind {i % 9}" for i in range(27)]
    half = np.random.default_rng(0).normal(size=(27, 27))
    problem = Problem(half @ half.T, dict.fromkeys(kinds, 1), kinds=kinds)
    with pytest.raises(InputError, match="use safe_penalty"):
        smallest_penalty(problem, solve=solve)
    safe = safe_penalty(problem, 5)
    last = solve(problem, num_states=5).energies[-1]
    y = np.random.default_rng(1).random((20_000, 27)) < 0.3
    infeasible = y[~problem.is_feasible(y)]
    assert (penalty_qubo(problem, safe).energies(infeasible) > last).all()


def test_partly_proven_spectra_give_valid_penalties_that_may_be_larger() -> None:
    problem = Problem.load("bytelm-40-block", remove=10)
    exact = smallest_penalty(problem, 5, solve=solve)
    partial = smallest_penalty(problem, 5, max_evaluations=1, solve=solve)
    assert exact[0] * (1 - 1e-12) <= partial[0] < 10 * exact[0]


@dataclass(frozen=True)
class Guess(Backend):
    """Proves nothing."""

    name = "guess"
    summary = "repairs no blocks at all"
    capabilities = Capability.NONE

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        return RawResult(repair(problem, problem.state([]), num_states))


PROBLEM = Problem.load("bytelm-40-block", remove=3, keep=range(8, 40))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_states": 0}, "at least 1"),
        ({"num_states": 1.5}, "integer"),
        ({"backend": Guess(), "num_states": 1}, "nothing is proven"),
        ({"spectra": [solve(Problem(np.eye(8), 3), num_states=1)]}, "another Hessian"),
        (
            {"spectra": [solve(Problem.load("bytelm-40-block", {"layer": 3}), num_states=1)]},
            "kinds",
        ),
    ],
)
def test_what_smallest_penalty_refuses(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        smallest_penalty(PROBLEM, solve=solve, **arguments)


def test_what_safe_penalty_refuses() -> None:
    with pytest.raises(InputError, match="has 2 states, but 5"):
        safe_penalty(PROBLEM, 5, spectrum=solve(PROBLEM, num_states=2))
    with pytest.raises(SpectrumError):
        safe_penalty(PROBLEM, 2, spectrum=solve(PROBLEM.with_remove(4), num_states=2))


def test_repair_is_asked_for_one_state_or_more() -> None:
    with pytest.raises(InputError, match="num_states must be at least 1, not 0; ask for one"):
        repair(PROBLEM, PROBLEM.state([]), num_states=0)


@settings(max_examples=60)
@given(problem=problems_for_encodings(), seed=st.integers(0, 1000))
def test_repaired_states_are_feasible_distinct_and_in_order(problem: Problem, seed: int) -> None:
    states = np.random.default_rng(seed).random((6, problem.num_blocks)) < 0.5
    near = nearest_feasible(problem, states)
    assert problem.is_feasible(near).all()
    assert len(np.unique(near, axis=0)) == len(near)
    best = repair(problem, states, num_states=8)
    assert problem.is_feasible(best).all()
    assert len(np.unique(best, axis=0)) == len(best) <= 8
    energies = problem.energies(best)
    assert (np.diff(energies) >= 0).all()
    assert energies[0] <= problem.energies(near).min()
    lower = problem.energies(swap_neighbours(problem, best[:1])).min()
    assert energies[0] <= lower + 1e-9 * (1 + abs(lower))


@settings(max_examples=60)
@given(problem=problems_for_encodings())
def test_nearest_is_nearest(problem: Problem) -> None:
    """No feasible state is closer than the one returned."""
    everything = every_state(problem.num_blocks)
    feasible = everything[problem.is_feasible(everything)]
    for state in everything[:: max(1, len(everything) // 16)]:
        found = nearest_feasible(problem, state[None])
        distances = np.count_nonzero(feasible != state, axis=1)
        assert np.count_nonzero(found != state) == distances.min()


def test_all_neighbours_met_are_harvested() -> None:
    problem = Problem.load("bytelm-40-block", remove=6)
    exact = solve(problem, num_states=60)
    best = repair(problem, exact.states[:1], num_states=60)
    expected = swap_neighbours(problem, exact.states[:1])
    assert len(expected) == 1 + 6 * 34
    order = np.argsort(problem.energies(expected))[:60]
    assert {row.tobytes() for row in best} == {row.tobytes() for row in expected[order]}


def test_samples_are_counted_as_they_came() -> None:
    problem = Problem(np.diag([4.0, 1.0, 2.0, 3.0, 0.5]), 2)
    samples = np.array(
        [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 0]], bool
    )
    harvest = Harvest(problem, 3)
    harvest.add(samples[:2], Stop())
    harvest.add(samples[2:], Stop())
    assert [np.flatnonzero(row).tolist() for row in harvest.states()] == [[1, 4], [2, 4], [1, 2]]
    assert harvest.statistics(3) == {
        "samples": 5,
        "feasible_samples": 3,
        "feasible_fraction": 0.6,
        "distinct_fraction": 0.8,
        "bare_states": 2,
        "bare_listed": 1,
        "bare_lowest_energy": 3.0,
    }
    bare = Harvest(problem, 3, repaired=False)
    bare.add(samples, Stop())
    assert [np.flatnonzero(row).tolist() for row in bare.states()] == [[1, 2], [0, 1]]
    assert bare.statistics(1)["bare_states"] == bare.statistics(1)["bare_listed"] == 1
    nothing = Harvest(problem, 3, repaired=False)
    nothing.add(samples[3:4], Stop())
    assert nothing.states().shape == (0, 5)
    assert "bare_lowest_energy" not in nothing.statistics(3)


def test_a_run_out_of_time_still_makes_samples_feasible() -> None:
    problem = Problem.load("bytelm-40-branch", remove=30)
    stop = Stop()
    stop.cancel()
    harvest = Harvest(problem, 10)
    samples = np.random.default_rng(0).random((5, 80)) < 0.5
    harvest.add(samples, stop)
    assert {row.tobytes() for row in harvest.states()} == {
        row.tobytes() for row in nearest_feasible(problem, samples)
    }
