"""Which runs are compared with which: tasks that all solvers were given, at one time limit each,
without those that lied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from qubo_prune.bench.results import Outcome, ReferenceKind, Results, Run
from qubo_prune.bench.statistics_intervals import TimeToSolution, time_to_solution
from qubo_prune.core.errors import InputError

__all__ = ["Comparison", "LeftOut", "Study", "Task"]

_HEADLINES = ("recall_100", "recall_20", "recall_1000")


class Task(NamedTuple):
    """What solvers are asked.

    Attributes
    ----------
    instance, problem : str
        Name of the Hessian, and a hash of the problem.
    num_blocks, remove, num_states : int
        N, M and K.
    """

    instance: str
    problem: str
    num_blocks: int
    remove: int
    num_states: int


class LeftOut(NamedTuple):
    """What is in no mean, and why.

    Attributes
    ----------
    what, why : str
        Plain text.
    """

    what: str
    why: str


def task_of(run: Run) -> Task:
    """Return what a run was asked."""
    return Task(run.instance, run.problem, run.num_blocks, run.remove, run.num_states)


@dataclass(frozen=True)
class Study:
    """The runs of some files, in the words of a page.

    Attributes
    ----------
    results : Results
        What the files hold.

    Raises
    ------
    InputError
        If there is no run.
    """

    results: Results

    def __post_init__(self) -> None:
        if not self.results.runs:
            raise InputError("there are 0 runs in the results; let bench run write some first.")

    @property
    def runs(self) -> tuple[Run, ...]:
        """All of them."""
        return self.results.runs

    @cached_property
    def solvers(self) -> tuple[str, ...]:
        """Names of all solvers; a backend with several sets of options is one for each."""
        return tuple(dict.fromkeys(map(self.solver_of, self.runs)))

    def solver_of(self, run: Run) -> str:
        """Return what a run's solver is called: its backend, with what tells it from others."""
        return self._names[_settings(run)]

    @cached_property
    def _names(self) -> dict[tuple[str, str, int | None], str]:
        settings = list(dict.fromkeys(map(_settings, self.runs)))
        options, threads = (
            Counter(backend for backend, _ in {(each[0], each[place]) for each in settings})
            for place in (1, 2)
        )
        names = {}
        for backend, text, count in settings:
            details = [text or "default"] if options[backend] > 1 else []
            if threads[backend] > 1:
                details.append("threads left to it" if count is None else f"threads: {count}")
            names[backend, text, count] = (
                f"{backend} ({', '.join(details)})" if details else backend
            )
        return names

    @cached_property
    def task_names(self) -> dict[Task, str]:
        """What tables call each task."""
        tasks = list(dict.fromkeys(map(task_of, self.runs)))
        several_counts = len({task.num_states for task in tasks}) > 1
        names = {
            task: f"{task.instance}, M = {task.remove}"
            + (f", K = {task.num_states}" if several_counts else "")
            for task in tasks
        }
        alike = Counter(names.values())
        return {
            task: f"{name} ({task.problem[:8]})" if alike[name] > 1 else name
            for task, name in names.items()
        }

    @cached_property
    def liars(self) -> tuple[str, ...]:
        """Solvers of which a run claimed what is not true."""
        return tuple(dict.fromkeys(self.solver_of(run) for run in self.runs if run.violations))

    @cached_property
    def headline(self) -> str:
        """The recall that solvers are ranked by."""
        return next(
            (
                name
                for name in _HEADLINES
                if any(run.measure(name) is not None for run in self.runs)
            ),
            _HEADLINES[0],
        )

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """One for each time limit, the longest first."""
        limits = {run.time_limit for run in self.runs}
        ordered = sorted(limits, key=lambda limit: -float("inf") if limit is None else -limit)
        return tuple(
            Comparison(self, limit, tuple(run for run in self.runs if run.time_limit == limit))
            for limit in ordered
        )


def _settings(run: Run) -> tuple[str, str, int | None]:
    options = ", ".join(f"{key} = {value}" for key, value in sorted(run.options.items()))
    return run.backend, options, run.threads


@dataclass(frozen=True)
class Comparison:
    """All runs of one time limit.

    Attributes
    ----------
    study : Study
        What they are of.
    limit : float or None
        Seconds.
    runs : tuple of Run
        Of all solvers, in no mean those of liars.
    """

    study: Study
    limit: float | None
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The limit in words."""
        return "no limit" if self.limit is None else f"{self.limit:g} s"

    @property
    def suffix(self) -> str:
        """What tells its files from those of other limits."""
        return "" if len(self.study.comparisons) == 1 else "-" + self.label.replace(" ", "-")

    @cached_property
    def counted_limit(self) -> float:
        """What a run that did not get there counts as; without a limit, the longest run's time."""
        if self.limit is not None:
            return self.limit
        return max((run.measure("wall_seconds") or 0.0 for run in self.runs), default=0.0)

    @cached_property
    def cells(self) -> dict[tuple[Task, str], tuple[Run, ...]]:
        """The runs by task and solver, a run for each seed."""
        found: dict[tuple[Task, str], tuple[Run, ...]] = {}
        for run in self.runs:
            cell = task_of(run), self.study.solver_of(run)
            found[cell] = (*found.get(cell, ()), run)
        return found

    @cached_property
    def all_tasks(self) -> tuple[Task, ...]:
        """Every task, by size."""
        tasks = {task for task, _ in self.cells}
        return tuple(sorted(tasks, key=lambda task: (task.num_blocks, task.remove, task)))

    @cached_property
    def _referenced(self) -> tuple[Task, ...]:
        known = {task_of(run) for run in self.runs if run.reference_kind is not ReferenceKind.NONE}
        return tuple(task for task in self.all_tasks if task in known)

    @cached_property
    def solvers(self) -> tuple[str, ...]:
        """Solvers that are compared: honest, able, and given at least half of the tasks."""
        return tuple(
            solver
            for solver in self.study.solvers
            if any(cell[1] == solver for cell in self.cells) and not self._reason(solver)
        )

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that all of these solvers were given, and of which the answer is known."""
        return tuple(
            task
            for task in self._referenced
            if all((task, solver) in self.cells for solver in self.solvers)
        )

    @cached_property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Solvers and tasks that are in no mean, and why."""
        found = [
            LeftOut(solver, reason)
            for solver in self.study.solvers
            if (reason := self._reason(solver))
        ]
        names = self.study.task_names
        for task in self.all_tasks:
            if task not in self._referenced:
                found.append(LeftOut(names[task], "nothing is known to hold its states against."))
            elif task not in self.tasks:
                missing = [each for each in self.solvers if (task, each) not in self.cells]
                found.append(LeftOut(names[task], f"there is no run of {', '.join(missing)}."))
        return tuple(found)

    def _reason(self, solver: str) -> str:
        """Return why a solver is not compared; nothing for one that is."""
        if solver in self.study.liars:
            return "it claimed what is not true, so no figure of it is averaged."
        runs = {task: self.cells.get((task, solver), ()) for task in self._referenced}
        given = [task for task in runs if runs[task]]
        if 2 * len(given) < len(runs):
            return f"there are runs of {len(given)} of {len(runs)} tasks only."
        refused = [
            task for task in given if all(run.outcome is Outcome.REFUSED for run in runs[task])
        ]
        if given and len(refused) == len(given):
            return f"it refused every task: {runs[given[0]][0].message}"
        return ""

    def values(self, solver: str, measure: str) -> dict[str, list[float | None]]:
        """Return a measure of each seed by the name of the task, over the tasks compared of which
        any solver's is known.
        """
        names = self.study.task_names
        return {
            names[task]: [run.measure(measure) for run in self.cells[task, solver]]
            for task in self.tasks_with(measure)
        }

    def tasks_with(self, measure: str) -> tuple[Task, ...]:
        """Return the tasks compared of which any solver has this measure."""
        return tuple(
            task
            for task in self.tasks
            if any(
                run.measure(measure) is not None
                for solver in self.solvers
                for run in self.cells[task, solver]
            )
        )

    def time_to_ground_state(self, task: Task, solver: str) -> TimeToSolution:
        """Return TTS99 of the ground state over all seeds; a run that did not get there spent its
        wall time.
        """
        runs = self.cells[task, solver]
        reached = [run.measure("seconds_to_ground_state") for run in runs]
        spent = [
            run.measure("wall_seconds") or self.counted_limit if time is None else time
            for run, time in zip(runs, reached, strict=True)
        ]
        return time_to_solution(spent, [time is not None for time in reached])

    def series(self, solver: str) -> int:
        """Return the number of the solver's colour."""
        return self.study.solvers.index(solver)


def is_wrong(runs: Iterable[Run]) -> bool:
    """Whether a run among these lied."""
    return any(run.violations or run.outcome is Outcome.WRONG for run in runs)


def task_mean(values: Iterable[Sequence[float | None]], missing: float = 0.0) -> float:
    """Return the mean over tasks of the mean over seeds; what is not known counts as `missing`."""
    means = [
        sum(missing if value is None else value for value in each) / len(each) for each in values
    ]
    return sum(means) / len(means)
