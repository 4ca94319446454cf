"""A run in a process of its own, watched: its limit is enforced, its crash is measured, and it ends
when this process does.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import IO, Any, cast

from qubo_prune.bench.machine import describe_machine
from qubo_prune.bench.measures import Measures
from qubo_prune.bench.results import Outcome, Run, TracePoint
from qubo_prune.core.errors import InputError

_START = "import sys; sys.path[:] = sys.argv[1:]; from qubo_prune.bench.trial import main; main()"
SETUP_SECONDS = 600.0
"""Time for imports, compiling and what `Backend.prepare` does."""
_GRACE_SECONDS = 5.0
_GRACE = 0.5
"""What a run may take more than its limit before it is killed."""
_AFTERWARDS_SECONDS = 120.0
"""Time for the checks of what was returned."""
_POLL_SECONDS = 0.1
_TAIL = 2000
"""Bytes of stderr that are kept of a run that failed."""

_THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)


@dataclass(frozen=True)
class Job:
    """A run to be done.

    Attributes
    ----------
    run : Run
        What is asked, without measures.
    backend : str
        The name by which the solver is found.
    """

    run: Run
    backend: str

    def to_line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps({"run": self.run.to_line(), "backend": self.backend})

    @classmethod
    def from_line(cls, line: str) -> Job:
        """Return what `to_line` wrote."""
        document = json.loads(line)
        return cls(Run.from_line(document["run"].encode(), "a job"), document["backend"])


@lru_cache(maxsize=1)
def _machine() -> dict[str, Any]:
    return describe_machine()


def execute(job: Job, cancelled: Callable[[], bool] = lambda: False) -> Run | None:
    """Do a run in a process of its own.

    Parameters
    ----------
    job : Job
        What to do.
    cancelled : callable
        Asked now and then; the process is killed when it says so.

    Returns
    -------
    Run or None
        With its measures; None if it was cancelled.
    """
    if sys.platform == "win32":
        raise InputError("bench run measures processes as Linux and macOS do; run it there.")
    with tempfile.TemporaryFile() as stderr:
        watched = _Watched(job, stderr)
        try:
            run = watched.watch(cancelled)
        finally:
            watched.kill()
        if run is None:
            return None
        if run.outcome in (Outcome.CRASHED, Outcome.MEMORY):
            run = replace(run, details={**run.details, "stderr": _tail(stderr)})
    return replace(_as_tables_call_it(run, job), machine=_machine())


def _as_tables_call_it(run: Run, job: Job) -> Run:
    """Name the solver in messages as the line does, without folders."""
    lies = tuple(
        lie._replace(message=lie.message.replace(job.backend, run.backend))
        for lie in run.violations
    )
    message = run.message.replace(job.backend, run.backend)
    return replace(run, message=message, violations=lies)


def _tail(stderr: IO[bytes]) -> str:
    stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, stderr.tell() - _TAIL))
    return stderr.read().decode("utf-8", "replace")


class _Watched:
    """The process of a run."""

    def __init__(self, job: Job, stderr: IO[bytes]) -> None:
        self._run = job.run
        limits = os.environ | dict.fromkeys(_THREADS, str(job.run.threads or ""))
        # A session of its own keeps a terminal's Ctrl-C away.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=dict(os.environ) if job.run.threads is None else limits,
            start_new_session=True,
        )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._points: list[TracePoint] = []
        self._usage: Any = None
        with contextlib.suppress(OSError):  # it may have died already
            self._stdin.write(job.to_line().encode() + b"\n")
            self._stdin.flush()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError):  # closed, as nobody waits any more
            for line in self._stdout:
                with contextlib.suppress(ValueError):
                    kind, value = json.loads(line)
                    self._messages.put((kind, value))
        self._messages.put(("end", None))

    def watch(self, cancelled: Callable[[], bool]) -> Run | None:
        """Return the run with what became of it."""
        deadline = time.monotonic() + SETUP_SECONDS
        began: float | None = None
        while not cancelled():
            try:
                kind, value = self._messages.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if time.monotonic() > deadline:
                    self.kill()
                    return self._too_long(began)
                continue
            if kind == "ready":
                began, limit = time.monotonic(), self._run.time_limit
                deadline = float("inf")
                if limit is not None:
                    deadline = began + limit + max(_GRACE_SECONDS, _GRACE * limit)
            elif kind == "point":
                self._points.append(TracePoint(*value))
            elif kind == "returned":
                deadline = time.monotonic() + _AFTERWARDS_SECONDS
            elif kind == "run":
                return Run.from_line(value.encode(), "a run")
            else:
                self.kill()
                return self._crashed(began)
        return None

    def kill(self) -> None:
        """End the process and its children, and keep what they used."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _, status, self._usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _used(self, began: float | None) -> Measures:
        kilo = 1 if sys.platform == "darwin" else 1024
        return {
            "wall_seconds": None if began is None else time.monotonic() - began,
            "cpu_seconds": self._usage.ru_utime + self._usage.ru_stime,
            "peak_bytes": float(self._usage.ru_maxrss * kilo),
        }

    def _too_long(self, began: float | None) -> Run:
        from qubo_prune.bench.trial import nothing_found, truth_of

        run, used = self._run, self._used(began)
        if began is None:
            message = f"it was not ready after {SETUP_SECONDS:g} s, and was killed."
            return replace(run, outcome=Outcome.CRASHED, message=message, measures=used)
        from qubo_prune.bench.tasks import Task

        truth = truth_of(run, Task.from_dict(run.task).problem)
        return replace(
            run,
            outcome=Outcome.LIMIT,
            message="it did not stop at its limit and was killed; what it had offered by then"
            " counts.",
            measures={**used, **nothing_found(truth, self._points, run.time_limit)},
            trace=tuple(self._points),
        )

    def _crashed(self, began: float | None) -> Run:
        code = self._process.returncode
        if code == -signal.SIGKILL:
            outcome = Outcome.MEMORY
            message = "it was killed by signal 9, as systems do when memory runs out."
        else:
            outcome = Outcome.CRASHED
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            message = f"its process ended {how}."
        used = self._used(began)
        return replace(self._run, outcome=outcome, message=message, measures=used)
