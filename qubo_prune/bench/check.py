"""Results held against what they are of: problems made again, energies recomputed, references and
proofs looked at, measures taken once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.bench.bits import from_bits
from qubo_prune.bench.judge import refute
from qubo_prune.bench.measures import Truth, of_states
from qubo_prune.bench.references import Reference
from qubo_prune.bench.results import ReferenceKind, Run
from qubo_prune.bench.tasks import Task
from qubo_prune.bench.trial import truth_of
from qubo_prune.core.errors import BackendError, InputError
from qubo_prune.core.problem.problem import Problem

ReferenceOf = Callable[[Task], Reference | None]


class Checked(NamedTuple):
    """What became of a run.

    Attributes
    ----------
    run : Run
        The run.
    wrong : tuple of str
        What is wrong with its line.
    unchecked : str
        What could not be looked at, and why; empty for nothing.
    """

    run: Run
    wrong: tuple[str, ...]
    unchecked: str


def check_runs(runs: Iterable[Run], reference_of: ReferenceOf) -> Iterator[Checked]:
    """Yield what becomes of each run.

    Parameters
    ----------
    runs : iterable of Run
        The runs.
    reference_of : callable
        Returns what is known of a task, by a proof that does not come from the results; None for
        nothing.
    """
    tasks: dict[str, Task | str] = {}
    references: dict[tuple[str, int], Reference | None] = {}
    for run in runs:
        if run.problem not in tasks:
            tasks[run.problem] = _task_of(run)
        task = tasks[run.problem]
        if isinstance(task, str):
            yield Checked(run, (), task)
            continue
        asked = run.problem, run.num_states
        if asked not in references:
            references[asked] = reference_of(Task.from_dict({**run.task}))
        wrong = tuple(_wrong_with(run, task.problem, references[asked]))
        proven = references[asked] is not None
        claims = run.reference_kind is ReferenceKind.CERTIFIED and not proven
        unchecked = ["its reference has no certificate here"] if claims else []
        if _lacks_repaired(run):
            unchecked.append("its repaired states were not kept, as they are today")
        yield Checked(run, wrong, "; ".join(unchecked))


def _task_of(run: Run) -> Task | str:
    """Return the task of a run, or why it cannot be made again."""
    if not run.task:
        return "its line does not say what it is made of"
    task = Task.from_dict(run.task)
    try:
        digest = task.digest
    except InputError as error:
        return str(error)
    return task if digest == run.problem else f"{run.instance} is another one here"


def _lacks_repaired(run: Run) -> bool:
    """Tell whether a repaired solver's line is from before repaired states were kept."""
    is_repaired = "bare_listed" in (run.details.get("statistics") or {})
    claims = any(value for name, value in run.measures.items() if name.endswith("_repaired"))
    return is_repaired and claims and not run.repaired_states


def _wrong_with(run: Run, problem: Problem, reference: Reference | None) -> Iterator[str]:
    energies = np.array(run.energies)
    bare = list(_wrong_states(run.states, energies, problem))
    yield from bare
    repaired = np.array(run.repaired_energies)
    for each in _wrong_states(run.repaired_states, repaired, problem):
        yield f"after repair, {each}"
    if bare:
        return
    if reference is not None and reference.kind is ReferenceKind.CERTIFIED:
        yield from _against_proof(run, energies, reference)
    truth = truth_of(run, problem)
    if run.violations or not (run.energies or run.repaired_energies):
        return
    measures = of_states(truth, energies)
    if not _lacks_repaired(run):
        after = repaired if run.repaired_states else energies
        measures |= of_states(truth, after, "_repaired")
    for name, value in measures.items():
        if run.measure(name) != value:
            yield f"{name} is {value}, not {run.measure(name)}"


def _wrong_states(
    texts: tuple[str, ...], energies: NDArray[np.float64], problem: Problem
) -> Iterator[str]:
    """Yield what is wrong with states and their energies."""
    try:
        states = from_bits(texts, problem.num_blocks)
    except InputError as error:
        yield str(error)
        return
    if len(states) != len(energies):
        yield f"it has {len(states)} states and {len(energies)} energies"
        return
    if not problem.is_feasible(states).all():
        yield "a state violates the constraint"
    differs = np.flatnonzero(problem.energies(states) != energies)
    if differs.size:
        yield f"{differs.size} of {len(energies)} energies are not those of their states"
    if len(np.unique(states, axis=0)) < len(states):
        yield "a state is there twice"
    if (energies[1:] < energies[:-1]).any():
        yield "its energies do not ascend"


def _against_proof(run: Run, energies: NDArray[np.float64], reference: Reference) -> Iterator[str]:
    if run.reference_kind is ReferenceKind.CERTIFIED and run.reference_energies != tuple(
        reference.energies[: len(run.reference_energies)]
    ):
        yield "its reference is not the certified spectrum"
    proven = int(run.measure("num_proven") or 0)
    truth = Truth(reference.kind, np.array(reference.energies), run.num_states, 0)
    try:
        refute(truth, energies, proven, -math.inf)
    except BackendError as error:
        yield str(error)
