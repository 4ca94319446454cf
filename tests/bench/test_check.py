"""Results that were changed after the run are found out, each by what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from qubo_prune.bench.check import Checked, check_runs
from qubo_prune.bench.references import Reference
from qubo_prune.bench.results import ReferenceKind, Run
from qubo_prune.bench.runner import Plan
from qubo_prune.bench.suites import Solver
from qubo_prune.bench.tasks import Task
from qubo_prune.bench.trial import run_trial
from qubo_prune.solving.solve import solve

TASK = Task("wishart-12", 4, 5)


@cache
def proven() -> Reference:
    spectrum = solve(TASK.problem, num_states=5, options={"threads": 1})
    return Reference(ReferenceKind.CERTIFIED, tuple(spectrum.energies.tolist()))


@cache
def honest() -> Run:
    [job] = Plan((TASK,), (Solver("tabu"),), (None,), 1).jobs(lambda _: proven())
    return run_trial(job.run, job.backend, lambda *_: None)


def checked(run: Run) -> Checked:
    [found] = check_runs([run], lambda _: proven())
    return found


def test_nothing_is_wrong_with_what_was_run() -> None:
    found = checked(honest())
    assert (found.wrong, found.unchecked) == ((), "")


def swapped(run: Run) -> Run:
    return replace(run, energies=run.energies[::-1], states=run.states[::-1])


def with_states(run: Run, *states: str) -> Run:
    return replace(run, states=(*states, *run.states[len(states) :]))


def claiming(run: Run) -> Run:
    """All but the lowest state, the first of them said to be proven."""
    return replace(
        run,
        energies=run.energies[1:],
        states=run.states[1:],
        measures={**run.measures, "num_proven": 1.0},
    )


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (swapped, "its energies do not ascend"),
        (lambda run: replace(run, energies=run.energies[:-1]), "it has 5 states and 4 energies"),
        (lambda run: with_states(run, "fff0"), "a state violates the constraint"),
        (
            lambda run: with_states(run, "zz"),
            "are texts of 4 hexadecimal digits, and these are not",
        ),
        (lambda run: with_states(run, run.states[1]), "a state is there twice"),
        (
            lambda run: replace(run, energies=(run.energies[0] - 1e-12, *run.energies[1:])),
            "1 of 5 energies are not those of their states",
        ),
        (claiming, "state 0 is claimed to be proven"),
        (
            lambda run: replace(run, measures={**run.measures, "recall_20": 0.2}),
            "recall_20 is None, not 0.2",
        ),
        (
            lambda run: replace(
                run, reference_energies=tuple(np.array(run.reference_energies) - 1.0)
            ),
            "its reference is not the certified spectrum",
        ),
    ],
)
def test_each_change_is_named(forge: Callable[[Run], Run], words: str) -> None:
    assert any(words in each for each in checked(forge(honest())).wrong), checked(forge(honest()))


def test_a_run_of_another_problem_is_not_judged() -> None:
    found = checked(replace(honest(), problem="of another"))
    assert (found.wrong, found.unchecked) == ((), "wishart-12 is another one here")


def test_a_reference_without_a_proof_is_not_taken_on_trust() -> None:
    [found] = check_runs([honest()], lambda _: None)
    assert found.unchecked == "its reference has no certificate here"
