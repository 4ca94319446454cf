"""One run of a solver in a process of its own: told by a line on stdin, it tells on stdout that it
is ready, what was found so far, and in the end the whole run; it ends at once when stdin is closed.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.registry import get_backend
from qubo_prune.bench.bits import to_bits
from qubo_prune.bench.judge import Verdict, judge
from qubo_prune.bench.machine import peak_memory
from qubo_prune.bench.measures import Measures, Truth, of_proof, of_sampling, of_states, of_trace
from qubo_prune.bench.results import Outcome, ReferenceKind, Run, TracePoint
from qubo_prune.bench.tasks import Task
from qubo_prune.core.errors import BackendError, InputError, QuboPruneError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Standing, Stop, StopReason
from qubo_prune.solving.checking import require_budget_kept

_SPACING = 1.05
_FIRST_SPACING = 0.005
_COST = 20.0
"""A point of a trace is recorded when a twentieth of the time has passed since the last one, and
twenty times what that one cost.
"""

_LATE = 0.1
_LATE_SECONDS = 0.5
"""A result may come so much after the limit, in parts of it and in seconds."""


class Recorder(Stop):
    """A `Stop` that keeps what a backend offers.

    Parameters
    ----------
    limit : float or None
        Seconds.
    problem : Problem
        What is solved.
    truth : Truth
        What states are held against.
    tell : callable
        Takes each point as it comes.
    """

    def __init__(
        self,
        limit: float | None,
        problem: Problem,
        truth: Truth,
        tell: Callable[[TracePoint], object],
    ) -> None:
        self._problem, self._truth, self._tell = problem, truth, tell
        self.points: list[TracePoint] = []
        self._next = 0.0
        super().__init__(limit)

    def start(self) -> None:
        """Begin anew."""
        super().start()
        self.points.clear()
        self._next = 0.0

    def offer(self, num_evaluated: int, states: Callable[[], NDArray[np.bool_]]) -> None:
        """Record what was found so far, if it is time to."""
        now = self.elapsed
        if now < self._next:
            return
        rows = np.unique(states(), axis=0)
        energies = self._problem.energies(rows[self._problem.is_feasible(rows)])
        self.record(now, num_evaluated, np.sort(energies))
        self._next = now * _SPACING + _FIRST_SPACING + _COST * (self.elapsed - now)

    def report(
        self,
        num_evaluated: int,
        fraction: float | None = None,
        message: str = "",
        *,
        standing: Callable[[], Standing] | None = None,
        unit: str = "",
    ) -> None:
        """Record what a search for a proof knows so far, if it is time to."""
        super().report(num_evaluated, fraction, message, standing=standing, unit=unit)
        now = self.elapsed
        if standing is None or now < self._next:
            return
        last = self.points[-1] if self.points else TracePoint(now)
        known = standing()
        best = min(known.best, math.inf if last.best is None else last.best)
        # What held once holds.
        bound = max(known.bound, -math.inf if last.bound is None else last.bound)
        proven = max(known.num_proven or 0, last.proven or 0.0)
        point = last._replace(
            seconds=now,
            evaluations=float(num_evaluated),
            best=best if math.isfinite(best) else None,
            proven=None if known.num_proven is None else float(proven),
            bound=bound if math.isfinite(bound) else None,
        )
        if point[1:] != last[1:]:
            self._add(point)
            self._next = now * _SPACING + _FIRST_SPACING + _COST * (self.elapsed - now)

    def _add(self, point: TracePoint) -> None:
        self.points.append(point)
        self._tell(point)

    def record(
        self,
        seconds: float,
        num_evaluated: int,
        energies: NDArray[np.float64],
        proven: float | None = None,
        bound: float | None = None,
    ) -> None:
        """Record the energies of states that are known, ascending."""
        best = [float(energies[0])] if len(energies) else []
        best += [point.best for point in self.points[-1:] if point.best is not None]
        point = TracePoint(
            seconds=seconds,
            evaluations=float(num_evaluated),
            best=min(best, default=None),
            recall_20=self._truth.recall(energies, 20),
            recall_100=self._truth.recall(energies, 100),
            recall_1000=self._truth.recall(energies, 1000),
            proven=proven,
            bound=bound,
        )
        self._add(point)


def run_trial(run: Run, backend: str, tell: Callable[[str, Any], object]) -> Run:
    """Run a solver as a line without measures asks for, and return the line with them.

    Parameters
    ----------
    run : Run
        What is asked.
    backend : str
        The name to find the solver by, of which the line may have the end only.
    tell : callable
        Takes the kind of a message, and what it says: ``ready`` when the clock is about to start,
        ``point`` for each point of the trace, and ``returned``.
    """
    setup = time.perf_counter()
    task = Task.from_dict(run.task)
    problem = task.problem
    if task.digest != run.problem:
        raise InputError(f"{run.instance} is another one here; use the same files everywhere.")
    truth = truth_of(run, problem)
    solver = get_backend(backend, **run.options)
    require_budget_kept(problem, solver)
    solver.prepare()
    problem.energies(problem.state(()))  # loads the kernel
    stop = Recorder(run.time_limit, problem, truth, lambda point: tell("point", point))
    _forget_peak()
    ready = time.perf_counter() - setup
    tell("ready", ready)
    seed = 0 if run.seed is None else run.seed
    cpu = _cpu_seconds()
    stop.start()
    raw = solver.run(problem, run.num_states, stop, seed)
    seconds = stop.elapsed
    measures: Measures = {
        "wall_seconds": seconds,
        "cpu_seconds": _cpu_seconds() - cpu,
        "peak_bytes": float(_peak_bytes()),
    }
    tell("returned", seconds)
    run = replace(
        run,
        details={
            **run.details,
            "setup_seconds": ready,
            "native_status": getattr(raw, "native_status", ""),
        },
    )
    if run.time_limit is not None and seconds > run.time_limit * (1 + _LATE) + _LATE_SECONDS:
        return replace(
            run,
            outcome=Outcome.LIMIT,
            message=f"it returned {seconds - run.time_limit:.1f} s after the limit, and what it"
            " returned does not count.",
            measures={**measures, **nothing_found(truth, stop.points, run.time_limit)},
            trace=tuple(stop.points),
        )
    verdict = judge(problem, solver, raw, truth, stop, seed)
    is_repaired = raw.bare is not None
    run = replace(
        run,
        energies=tuple(verdict.bare_energies.tolist()),
        states=to_bits(verdict.bare),
        repaired_energies=tuple(verdict.energies.tolist()) if is_repaired else (),
        repaired_states=to_bits(verdict.states) if is_repaired else (),
        details={
            **run.details,
            "timings": dict(raw.timings),
            "statistics": dict(raw.statistics),
        },
    )
    if verdict.violations:
        return replace(
            run,
            outcome=Outcome.WRONG,
            message=verdict.violations[0].message,
            violations=tuple(verdict.violations),
            measures=measures,
        )
    bound = verdict.lower_bound if np.isfinite(verdict.lower_bound) else None
    stop.record(seconds, raw.num_evaluated, verdict.bare_energies, float(verdict.num_proven), bound)
    in_time = stop.reason is not StopReason.TIME_LIMIT
    return replace(
        run,
        outcome=Outcome.DONE if in_time else Outcome.LIMIT,
        measures=measures
        | {"num_evaluated": float(raw.num_evaluated)}
        | _measures(truth, verdict, raw.statistics, stop.points, run.time_limit),
        trace=tuple(stop.points),
    )


def truth_of(run: Run, problem: Problem) -> Truth:
    """Return what the states of a run are held against."""
    energies = np.array(run.reference_energies, np.float64)
    total = problem.num_states
    if run.reference_kind is ReferenceKind.CERTIFIED and len(energies) < run.num_states:
        total = len(energies)  # no more reach the budget
    return Truth(run.reference_kind, energies, min(run.num_states, total), total)


def nothing_found(truth: Truth, points: list[TracePoint], limit: float | None) -> Measures:
    """Return the measures of a run that returned nothing in time, but may have offered some."""
    in_time = [point for point in points if limit is None or point.seconds <= limit]
    end = in_time[-1] if in_time else TracePoint(0.0)
    best = np.array([] if end.best is None else [end.best])
    measures = of_states(truth, best) | of_trace(truth, in_time or [end], limit)
    for name in ("recall_20", "recall_100", "recall_1000"):
        if measures[name] is not None:
            measures[name] = getattr(end, name) or 0.0
    return measures


def _measures(
    truth: Truth,
    verdict: Verdict,
    statistics: dict[str, Any],
    points: list[TracePoint],
    limit: float | None,
) -> Measures:
    lowest = float(verdict.energies[0]) if len(verdict.energies) else None
    measures = of_states(truth, verdict.bare_energies)
    measures |= of_states(truth, verdict.energies, "_repaired")
    measures |= of_trace(truth, points, limit)
    measures |= of_sampling(statistics, verdict.bare, len(verdict.energies), verdict.shares)
    if verdict.num_proven or verdict.lower_bound > -np.inf:
        seconds = points[-1].seconds
        bound = verdict.lower_bound
        measures |= of_proof(verdict.num_proven, bound, lowest, seconds, truth.wanted)
    return measures


def _cpu_seconds() -> float:
    """Return what this process and the processes that it waited for have used."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_bytes() -> int:
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(peak_memory(), children if sys.platform == "darwin" else children * 1024)


def _forget_peak() -> None:
    """Let the peak begin here, where the system can: compiling takes more than most runs."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Do what a line on stdin says."""
    line = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    # Whatever a solver prints, also from C, goes to stderr.
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def tell(kind: str, value: Any) -> None:
        with lock:
            messages.write(json.dumps([kind, value]) + "\n")
            messages.flush()

    job = json.loads(line)
    run = Run.from_line(job["run"].encode(), "a job")
    try:
        run = run_trial(run, job["backend"], tell)
    except BaseException as error:  # noqa: BLE001 - told to who started this
        outcome, message = _failure(error)
        if outcome is Outcome.CRASHED:
            import traceback

            traceback.print_exc()
        run = replace(run, outcome=outcome, message=message)
    tell("run", run.to_line())
    sys.stderr.flush()
    os._exit(0)  # threads of a solver that still run are not waited for


def _failure(error: BaseException) -> tuple[Outcome, str]:
    if isinstance(error, MemoryError):
        return Outcome.MEMORY, f"there was not enough memory ({error})."
    if isinstance(error, QuboPruneError) and not isinstance(error, BackendError):
        memory = "not enough memory" in str(error)
        return Outcome.MEMORY if memory else Outcome.REFUSED, str(error)
    if isinstance(error, BackendError):
        return Outcome.CRASHED, str(error)
    text = " ".join(str(error).split())
    return Outcome.CRASHED, f"{type(error).__name__}: {text}"


def _end_with_stdin() -> None:
    """End this process and its children when who started it is gone."""
    with suppress(OSError, ValueError):
        sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
