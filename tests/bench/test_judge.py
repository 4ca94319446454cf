"""Lies of solvers are found, each by its kind, and honest ones are not accused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qubo_prune import Problem, solve
from qubo_prune.backends import get_backend
from qubo_prune.backends.base import Backend, RawResult
from qubo_prune.backends.named import named_backend
from qubo_prune.bench.judge import Verdict, judge
from qubo_prune.bench.measures import Truth
from qubo_prune.bench.references import Reference
from qubo_prune.bench.results import ReferenceKind
from qubo_prune.bench.runner import Plan
from qubo_prune.bench.suites import Solver
from qubo_prune.bench.tasks import Task
from qubo_prune.bench.trial import run_trial, truth_of
from qubo_prune.core.errors import BackendError, InputError
from qubo_prune.core.stopping import Stop
from tests.bench import solvers
from tests.strategies import random_problem


def a_problem() -> Problem:
    return random_problem(12, 4)


def the_truth(problem: Problem, wanted: int = 5) -> Truth:
    spectrum = solve(problem, num_states=wanted, options={"threads": 1})
    return Truth(ReferenceKind.CERTIFIED, spectrum.energies, wanted, problem.num_states)


def judged(solver: Backend, problem: Problem, truth: Truth) -> Verdict:
    stop = Stop()
    return judge(problem, solver, solver.run(problem, truth.wanted, stop, 1), truth, stop, 1)


@pytest.mark.parametrize(
    ("solver", "kind", "words"),
    [
        (solvers.WrongEnergies(), "energy", "says that the energy of a state is"),
        (solvers.Infeasible(), "infeasible", "returned 1 states that violate the constraint"),
        (solvers.FalseProof(), "proof", "state 0 is claimed to be proven"),
        (solvers.FalseBound(), "proof", "of the reference do that are not in it"),
        (solvers.Meddler(), "problem", "changed the problem"),
        (named_backend("tests.bench.solvers:boast").configured(), "energy", "wrong by up to 10"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_each_lie_is_named(solver: Backend, kind: str, words: str) -> None:
    problem = a_problem()
    verdict = judged(solver, problem, the_truth(problem))
    assert [each.kind for each in verdict.violations] == [kind]
    assert words in verdict.violations[0].message


@pytest.mark.parametrize("name", ["branch-and-bound", "enumeration", "tabu", "ocean-exact"])
def test_the_honest_are_not_accused(name: str) -> None:
    problem = a_problem()
    truth = the_truth(problem)
    verdict = judged(get_backend(name), problem, truth)
    assert verdict.violations == []
    assert verdict.energies.tolist() == truth.energies.tolist()
    assert verdict.num_proven == (0 if name == "tabu" else 5)


def test_a_state_that_misses_the_budget_is_infeasible() -> None:
    problem = Problem(np.diag([1.0, 2.0, 3.0, 4.0]), 1, weights=[1, 1, 2, 2], at_least=2)
    truth = Truth(ReferenceKind.CERTIFIED, np.array([3.0, 4.0]), 2, 2)
    blind = RawResult(np.eye(4, dtype=np.bool_)[:3])
    verdict = judge(problem, get_backend("random"), blind, truth, Stop(), 0)
    assert [each.kind for each in verdict.violations] == ["infeasible"]
    assert verdict.energies.tolist() == [3.0]
    assert verdict.shares["feasible_share"] == 1 / 3
    assert judged(get_backend("tabu"), problem, truth).energies.tolist() == [3.0, 4.0]


def test_where_few_states_reach_a_budget_those_are_all_that_is_wanted() -> None:
    task = Task("wishart-4", 2, 100, at_least=7, weights=(1.0, 2.0, 3.0, 4.0))
    reference = Reference(ReferenceKind.CERTIFIED, (0.5,), "brute force")
    [job] = Plan((task,), (Solver("tabu"),), (None,), 1).jobs(lambda _: reference)
    truth = truth_of(job.run, task.problem)
    assert (job.run.num_states, truth.wanted, truth.total) == (6, 1, 1)
    assert truth.recall(np.array([0.5]), 20) == 1.0


def test_a_solver_that_takes_no_budget_refuses_the_task() -> None:
    task = Task("wishart-4", 2, 5, at_least=5, weights=(1.0, 2.0, 3.0, 4.0))
    [job] = Plan((task,), (Solver("lqa"),), (None,), 1).jobs(
        lambda _: Reference(ReferenceKind.NONE)
    )
    with pytest.raises(InputError, match="backend 'lqa' takes no budget"):
        run_trial(job.run, job.backend, lambda *_: None)


def test_a_false_proof_is_found_without_a_reference() -> None:
    problem = a_problem()
    nothing = Truth(ReferenceKind.NONE, np.zeros(0), 5, problem.num_states)
    verdict = judged(solvers.FalseProof(), problem, nothing)
    assert [each.kind for each in verdict.violations] == ["proof"]


def test_a_published_value_refutes_a_proof_but_for_its_digits() -> None:
    problem = a_problem()
    exact = the_truth(problem)
    lowest = exact.energies[:1]
    published = exact._replace(kind=ReferenceKind.PUBLISHED, energies=np.round(lowest, 9) - 1e-10)
    assert judged(get_backend("enumeration"), problem, published).violations == []
    lower = published._replace(energies=lowest - 0.1)
    [lie] = judged(get_backend("enumeration"), problem, lower).violations
    assert lie.kind == "proof"


def test_rounding_is_no_lie_and_states_are_counted_once() -> None:
    problem, solver = a_problem(), solvers.Naive()
    truth = the_truth(problem)
    raw = solver.run(problem, 5, Stop(), 0)
    single = problem.energies(raw.states).astype(np.float32)
    told = replace(raw, energies=single)
    assert judge(problem, solver, told, truth, Stop(), 0).violations == []
    twice = replace(raw, states=np.concatenate([raw.states, raw.states]))
    verdict = judge(problem, solver, twice, truth, Stop(), 0)
    assert verdict.violations == []
    assert verdict.shares["distinct_share"] == 0.5
    assert len(verdict.states) == len(raw.states)


def test_what_is_no_result_is_refused() -> None:
    problem = a_problem()
    for raw in (None, RawResult(np.zeros((1, 3), bool)), RawResult("x")):  # type: ignore[arg-type]
        with pytest.raises(BackendError):
            judge(problem, solvers.Naive(), raw, the_truth(problem), Stop(), 0)  # type: ignore[arg-type]
