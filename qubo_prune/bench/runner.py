"""A benchmark: which runs there are, which are done already, and doing the others."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Protocol

from qubo_prune.backends.base import Backend, Capability
from qubo_prune.backends.common.by_name import split_name
from qubo_prune.backends.registry import backend_class, distribution_of
from qubo_prune.bench.processes import Job, execute
from qubo_prune.bench.references import Reference, known_reference
from qubo_prune.bench.results import Outcome, ReferenceKind, Run, append_run, read_results
from qubo_prune.bench.suites import Solver
from qubo_prune.bench.tasks import Task
from qubo_prune.core.errors import InputError
from qubo_prune.core.progress import ProgressLog
from qubo_prune.core.stopping import Progress, Stop
from qubo_prune.core.text import format_duration

_LOG = logging.getLogger("qubo_prune")

_STARTUP_SECONDS = 2.0
"""What a run takes besides its limit, roughly: a process is started and loads libraries."""

_KNOWLEDGE = (
    ReferenceKind.NONE,
    ReferenceKind.BEST_KNOWN,
    ReferenceKind.PUBLISHED,
    ReferenceKind.CERTIFIED,
)
"""From nothing to a proof."""

_FAILED = (Outcome.REFUSED, Outcome.CRASHED, Outcome.MEMORY)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes
    ----------
    tasks : tuple of Task
        What solvers are asked.
    solvers : tuple of Solver
        Who is asked.
    time_limits : tuple of float or None
        Seconds.
    seeds : int
        How many runs of each solver, one if it is exact.
    threads : int or None
        Of each run; None leaves it to the solvers.
    """

    tasks: tuple[Task, ...]
    solvers: tuple[Solver, ...]
    time_limits: tuple[float | None, ...]
    seeds: int
    threads: int | None = 1

    def jobs(self, references: Callable[[Task], Reference]) -> Iterator[Job]:
        """Yield all runs, task by task, so that what there is of a benchmark compares everybody.

        Parameters
        ----------
        references : callable
            Returns what solvers are held against.

        Raises
        ------
        InputError
            If there is no such backend, or two of one name.
        """
        found = self._classes()
        for task in self.tasks:
            reference = references(task)
            for limit in self.time_limits:
                for seed in range(self.seeds):
                    for solver, backend in zip(self.solvers, found, strict=True):
                        if solver.backend in task.without:
                            continue
                        exact = Capability.EXACT in backend.capabilities
                        if seed and exact:
                            continue
                        run = _asked(task, reference, solver, limit, None if exact else seed)
                        yield Job(self._with_threads(run, backend), _anywhere(solver.backend))

    def _classes(self) -> list[type[Backend]]:
        by_label: dict[str, str] = {}
        for solver in self.solvers:
            other = by_label.setdefault(label_of(solver.backend), solver.backend)
            if other != solver.backend:
                raise InputError(
                    f"{other} and {solver.backend} would have one name in tables; rename a file."
                )
        return [backend_class(solver.backend) for solver in self.solvers]

    def _with_threads(self, run: Run, backend: type[Backend]) -> Run:
        """Give a backend that has such an option its number of threads."""
        if self.threads is None:
            return run
        options = dict(run.options)
        if "threads" in backend.options():
            options.setdefault("threads", self.threads)
        return replace(run, options=options, threads=self.threads)


def _asked(
    task: Task, reference: Reference, solver: Solver, limit: float | None, seed: int | None
) -> Run:
    return Run(
        instance=task.name,
        family=task.family,
        problem=task.digest,
        num_blocks=task.problem.num_blocks,
        remove=task.problem.num_removed,
        num_states=task.wanted,
        backend=label_of(solver.backend),
        options=dict(solver.options),
        seed=seed,
        time_limit=limit,
        reference_kind=reference.kind,
        reference_energies=reference.energies,
        task=task.to_dict(),
        version=version_of(solver.backend),
        details={"reference": reference.source} if reference.source else {},
    )


def label_of(backend: str) -> str:
    """Return what tables call a backend: a file without its folder.

    Examples
    --------
    >>> label_of("tabu"), label_of("/home/me/mine.py:Solver")
    ('tabu', 'mine.py:Solver')
    """
    where, name = split_name(backend)
    return f"{Path(where).name}:{name}" if where.endswith(".py") else backend


def version_of(backend: str) -> str:
    """Return a hash of the file of a solver that is named by it, or the package and version of
    another one from outside; nothing for a built-in one.
    """
    origin = distribution_of(backend) or ""
    _, mark, digest = origin.partition(" sha256:")
    return f"sha256:{digest[:16]}" if mark else origin


def _anywhere(backend: str) -> str:
    """Return the name of a backend for processes that run in another folder."""
    where, name = split_name(backend)
    if not where.endswith(".py"):
        return backend
    return f"{Path(where).expanduser().absolute()}:{name}"


def missing(jobs: Iterable[Job], out: Path, *, retry: bool = False) -> list[Job]:
    """Return the runs that a file of results lacks.

    Parameters
    ----------
    jobs : iterable of Job
        All runs.
    out : Path
        The file; it need not be there. A run of another version of a user's solver does not count,
        nor does one that was held against less than is known now.
    retry : bool
        Whether runs that were refused, crashed or ran out of memory are to be done again.
    """
    done: dict[str, Run] = {}
    if out.is_file() and out.stat().st_size:
        done = {run.key: run for run in read_results([out]).runs}

    def is_done(job: Job) -> bool:
        run = done.get(job.run.key)
        return (
            run is not None
            and run.version == job.run.version
            and _KNOWLEDGE.index(run.reference_kind) >= _KNOWLEDGE.index(job.run.reference_kind)
            and not (retry and run.outcome in _FAILED)
        )

    return [job for job in jobs if not is_done(job)]


def longest_seconds(jobs: Iterable[Job]) -> float:
    """Return how long runs take at most, one after the other, if solvers obey their limits; inf if
    one has none.
    """
    limits = (job.run.time_limit for job in jobs)
    return sum(_STARTUP_SECONDS + (float("inf") if each is None else each) for each in limits)


class Executor(Protocol):
    """Who does runs."""

    def results(self, jobs: Sequence[Job], cancelled: Callable[[], bool]) -> Iterator[Run]:
        """Yield the runs as they are done, until all are or it is cancelled."""

    def num_workers(self) -> int:
        """Return how many are done at a time."""


class Here:
    """One run after the other on this machine, so that they do not disturb each other."""

    def num_workers(self) -> int:
        """See `Executor`."""
        return 1

    def results(self, jobs: Sequence[Job], cancelled: Callable[[], bool]) -> Iterator[Run]:
        """See `Executor`."""
        for job in jobs:
            run = None if cancelled() else execute(job, cancelled)
            if run is None:
                return
            yield run


def run_jobs(
    jobs: Sequence[Job],
    out: Path,
    stop: Stop,
    executor: Executor | None = None,
    done: Callable[[Run], object] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> int:
    """Do runs and append each to a file as soon as it is done; return how many were.

    Parameters
    ----------
    jobs : sequence of Job
        What is missing.
    out : Path
        The file of results.
    stop : Stop
        Cancelled by Ctrl-C: the run under way is dropped, the others are kept.
    executor : Executor, optional
        Who does them; this machine by default, one after the other.
    done : callable, optional
        Called with each run that is done.
    progress : callable, optional
        Called with a `Progress` again and again.
    """
    executor = executor or Here()
    clock, log = _Clock(jobs, executor), ProgressLog()
    count = 0

    def cancelled() -> bool:
        if stop.is_logged:
            log.add(clock.progress())
        if progress is not None:
            progress(clock.progress())
        return stop.reason is not None

    with _only_writer(out):
        for run in executor.results(jobs, cancelled):
            append_run(out, run)
            count += 1
            clock.add(run)
            if stop.is_logged:
                _log_run(run, count, len(jobs))
            if done is not None:
                done(run)
    return count


def _log_run(run: Run, number: int, total: int) -> None:
    """Log what came of a run."""
    seconds = run.measure("wall_seconds")
    _LOG.info(
        "run %d of %d: %s on %s%s: %s%s",
        number,
        total,
        run.backend,
        run.instance,
        "" if run.seed is None else f", seed {run.seed}",
        run.outcome.value,
        "" if seconds is None else f" after {format_duration(seconds)}",
    )


@contextmanager
def _only_writer(out: Path) -> Iterator[None]:
    """Keep others from writing to a file within the context."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with out.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another bench run is writing to {out}; wait for it, or name another file."
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


class _Clock:
    """How long the rest takes: as long as runs of the same solver and limit took so far, or else
    their limit.
    """

    def __init__(self, jobs: Sequence[Job], executor: Executor) -> None:
        self._left = {job.run.key: job.run for job in jobs}
        self._total = len(jobs)
        self._took: dict[tuple[str, float | None], list[float]] = {}
        self._executor = executor
        self._began = self._last = time.monotonic()

    def add(self, run: Run) -> None:
        """Take note of a run."""
        self._left.pop(run.key, None)
        before, self._last = self._last, time.monotonic()
        took = _STARTUP_SECONDS + (run.measure("wall_seconds") or 0.0)
        if self._executor.num_workers() == 1:
            took = self._last - before  # with the start of the process
        self._took.setdefault((run.backend, run.time_limit), []).append(took)

    def progress(self) -> Progress:
        """Return how far it is."""
        now = time.monotonic()
        left = 0.0
        for run in self._left.values():
            took = self._took.get((run.backend, run.time_limit))
            left += fmean(took) if took else _STARTUP_SECONDS + (run.time_limit or 0.0)
        finished = self._total - len(self._left)
        current = next(iter(self._left.values()), None)
        what = "" if current is None else f": {current.backend} on {current.instance}"
        return Progress(
            fraction=finished / max(1, self._total),
            num_evaluated=0,  # the message counts the runs
            rate=0.0,
            eta=max(0.0, left / max(1, self._executor.num_workers()) - (now - self._last)),
            message=f"run {min(finished + 1, self._total)} of {self._total}{what}",
            elapsed=now - self._began,
        )


def without_reference(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks of which nothing is known yet."""
    return [task for task in tasks if known_reference(task) is None]
