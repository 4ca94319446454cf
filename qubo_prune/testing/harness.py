"""What checks of the conformance kit are made of."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.core.errors import QuboPruneError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Standing, Stop
from qubo_prune.solving.solve import solve
from qubo_prune.testing.problems import Case, Ranked, hard_problem

SHORT_RUN = 0.3
"""Seconds after which runs on the hard problem are stopped."""

GRACE = 5.0
"""Seconds that a backend may take to stop: generous, since machines that run tests are busy."""


class ConformanceError(QuboPruneError):
    """A backend does not do what it says or what every backend must.

    Attributes
    ----------
    check : str
        Name of the check that failed.
    backend : str
        Name of the backend.
    """

    def __init__(self, check: str, backend: str, message: str) -> None:
        super().__init__(f"backend {backend!r} fails the check {check!r}: {message}")
        self.check = check
        self.backend = backend


class Mismatch(Exception):  # noqa: N818 - never leaves the kit
    """Raised inside checks; `Check` says which check of which backend it was."""


def expect(condition: bool, expected: str, received: object) -> None:
    """Raise `Mismatch` unless the condition holds."""
    if not condition:
        raise Mismatch(f"expected {expected}; received {received}.")


@dataclass(frozen=True)
class Check:
    """One check; call it with a backend.

    Attributes
    ----------
    name : str
        Short name; ``str(check)`` is the same, for test ids.
    requires : Capability
        A backend without one of these is not checked.
    since : str
        Version of qubo-prune that added it.
    """

    name: str
    requires: Capability
    function: Callable[[Backend, int], None]
    since: str = "0.1.0"

    @property
    def summary(self) -> str:
        """What a backend must do to pass."""
        return " ".join((self.function.__doc__ or "").split())

    def applies_to(self, backend: Backend) -> bool:
        """Tell whether the capabilities of `backend` ask for this check."""
        capabilities: object = getattr(type(backend), "capabilities", None)
        # Something else than a Capability is reported by the check of the declarations.
        return not self.requires or (
            isinstance(capabilities, Capability) and self.requires in capabilities
        )

    def __call__(self, backend: Backend, num_blocks: int = 100) -> None:
        """Run the check; return at once if it does not apply.

        Parameters
        ----------
        backend : Backend
            A configured backend.
        num_blocks : int
            Size of the problem on which limits and cancellation are tried; smaller for solvers that
            cannot take 100 blocks.

        Raises
        ------
        ConformanceError
            If the backend fails.
        """
        if not self.applies_to(backend):
            return
        name = str(getattr(type(backend), "name", type(backend).__name__))
        try:
            self.function(backend, num_blocks)
        except Mismatch as mismatch:
            raise ConformanceError(self.name, name, str(mismatch)) from None
        except Exception as error:
            received = f"{type(error).__name__}: {error}"
            raise ConformanceError(
                self.name, name, f"expected no error; received {received}"
            ) from error

    def __str__(self) -> str:
        return self.name


class Recorder(Stop):
    """A `Stop` that remembers every report as it was made and may stop after some questions.

    Parameters
    ----------
    questions : int, optional
        From so many calls of `should_stop` on, the run is cancelled. Small problems end before any
        clock would stop them.
    """

    def __init__(
        self,
        time_limit: float | None = None,
        max_evaluations: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        questions: int | None = None,
    ) -> None:
        super().__init__(time_limit, max_evaluations, progress)
        self.reports: list[tuple[int, float | None, str]] = []
        self._questions = questions

    def should_stop(self, num_evaluated: int = 0) -> bool:
        """Count the question, then answer as `Stop` does."""
        if self._questions is not None:
            self._questions -= 1
            if self._questions < 0:
                self.cancel()
        return super().should_stop(num_evaluated)

    def report(
        self,
        num_evaluated: int,
        fraction: float | None = None,
        message: str = "",
        *,
        standing: Callable[[], Standing] | None = None,
        unit: str = "",
    ) -> None:
        """Remember the report, then hand it on."""
        self.reports.append((num_evaluated, fraction, message))
        super().report(num_evaluated, fraction, message, standing=standing, unit=unit)


def run(backend: Backend, case: Case, num_states: int) -> RawResult:
    """Run the backend itself, as `solve` would."""
    wanted = min(num_states, case.problem.num_states)
    return backend.run(case.problem, wanted, Stop(), 0)


class Tap(Backend):
    """A backend that remembers what another one returned, so that the raw result and the spectrum
    made of it come from one run.
    """

    def __init__(self, backend: Backend) -> None:
        self.raw: RawResult | None = None
        self._backend = backend
        # Properties of a class to others, of this object here.
        self.__dict__.update(name=backend.name, capabilities=backend.capabilities)

    def prepare(self) -> None:
        """Prepare the other one."""
        self._backend.prepare()

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Run the other one."""
        self.raw = self._backend.run(problem, num_states, stop, seed, warm_start)
        return self.raw


@contextmanager
def standard_output() -> Iterator[list[str]]:
    """Collect what is written to stdout meanwhile, by Python and by libraries in other languages,
    in the returned list.
    """
    written: list[str] = []
    text = io.StringIO()
    sys.stdout.flush()
    descriptor = os.dup(1)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 1)
            try:
                with redirect_stdout(text):
                    yield written
            finally:
                os.dup2(descriptor, 1)
                file.seek(0)
                written += filter(None, [text.getvalue(), file.read().decode(errors="replace")])
    finally:
        os.close(descriptor)


def short_run(
    backend: Backend,
    num_blocks: int,
    stop: Stop | None = None,
    cancel_after: float | None = None,
) -> tuple[Problem, Spectrum, float]:
    """Solve the hard problem for `SHORT_RUN` seconds; return it, the spectrum and the seconds it
    took.

    `stop` replaces a time limit; without one, the run is cancelled from another thread, after
    `cancel_after` seconds or as many as it was to run.
    """
    problem = hard_problem(num_blocks)
    capabilities = type(backend).capabilities
    timer = None
    if stop is None:
        stop = Stop(SHORT_RUN if Capability.TIME_LIMIT in capabilities else None)
    if stop.time_limit is None and Capability.CANCEL in capabilities:
        timer = threading.Timer(cancel_after or SHORT_RUN, stop.cancel)
        timer.start()
    begin = time.perf_counter()
    try:
        spectrum = solve(problem, num_states=20, backend=backend, stop=stop)
    finally:
        if timer is not None:
            timer.cancel()
    return problem, spectrum, time.perf_counter() - begin


def warm_up(backend: Backend, num_blocks: int) -> None:
    """Run once, so that compilation and imports do not count as time."""
    short_run(backend, num_blocks)


def ranked(spectrum: Spectrum) -> Ranked:
    """Return the states of a spectrum as brute force does."""
    return [(state.energy, state.removed) for state in spectrum]
