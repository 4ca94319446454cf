"""From a problem to a checked spectrum: run a backend, recompute its energies, believe nothing.

This is the paper's section 4.1 with any solver: equation 5, solved for the K lowest states instead
of one.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import Backend, RawResult
from qubo_prune.backends.registry import DEFAULT_BACKEND
from qubo_prune.core.errors import BackendError, InputError, QuboPruneError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Stop
from qubo_prune.core.text import format_bytes, format_count, format_duration, plural
from qubo_prune.core.validation import as_count
from qubo_prune.solving.any_count import solve_all_counts
from qubo_prune.solving.arguments import (
    as_backend,
    as_stop,
    checked_warm_start,
    require_problem,
)
from qubo_prune.solving.checking import (
    certified,
    check_against_known,
    check_untouched,
    check_word,
    fingerprint,
    finishing_seconds,
    require_budget_kept,
)

_LOG = logging.getLogger("qubo_prune")

_MOST_RESERVED = 0.75
"""Part of a time limit that is kept for checks and sorting, at most."""


def solve(
    problem: Problem,
    *,
    num_states: int = 100,
    backend: str | Backend = DEFAULT_BACKEND,
    time_limit: float | None = None,
    max_evaluations: int | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
    warm_start: ArrayLike | None = None,
    options: Mapping[str, Any] | None = None,
) -> Spectrum:
    """Find the `num_states` lowest states of a problem and say what is proven about them.

    Ctrl-C or SIGTERM ends the search and returns what was found; a second one raises
    KeyboardInterrupt.

    Parameters
    ----------
    problem : Problem
        What to solve. One that has a budget but no count is solved for every count that can reach
        it, and the lowest of all are returned; limits hold for all of them together.
    num_states : int
        K, at least 1. If the problem has fewer states, all are returned.
    backend : str or Backend
        A name (see `backend_names`) or a configured backend.
    time_limit : float, optional
        Seconds, from preparation to the sorted spectrum; loading kernels and files comes before.
        With many states, part of them is kept for checking and sorting these.
    max_evaluations : int, optional
        Limit on the states (or nodes) that the backend looks at.
    seed : int
        Seed of every random choice, at least 0.
    progress : callable, optional
        Called with a `Progress` now and then. An exception that it raises ends the run, once a
        checkpoint is written, and is raised here. To keep what was found, cancel a `Stop` instead.
    stop : Stop, optional
        In place of `time_limit`, `max_evaluations` and `progress`; lets another thread cancel the
        run. Its clock is started afresh.
    warm_start : (W, N) bool, optional
        Feasible states known to be good; only used by backends with `Capability.WARM_START`.
    options : mapping, optional
        Options of a backend given by name.

    Returns
    -------
    Spectrum
        At most `num_states` states; `Spectrum.status` says what is proven.

    Raises
    ------
    InputError
        If an argument is out of range, or the backend cannot keep the problem's budget.
    BackendUnavailableError
        If the backend cannot run here.
    BackendError
        If the backend failed or returned something that is not a spectrum of the problem.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> problem = Problem.load("bytelm-40-branch", remove=8)
    >>> spectrum = solve(problem, num_states=3)
    >>> spectrum.status.value, spectrum.num_proven
    ('proven', 3)
    >>> spectrum.removed(0)
    [3, 10, 23, 33, 37, 46, 47, 61]
    """
    require_problem(problem)
    num_states = as_count(num_states, "num_states", least=1, remedy="ask for one state or more")
    seed = as_count(seed, "seed", least=0, remedy="choose another one")
    stop = as_stop(stop, time_limit, max_evaluations, progress)
    known = None
    if warm_start is not None:
        known = checked_warm_start(problem, warm_start)
    solver = as_backend(backend, options)
    require_budget_kept(problem, solver)
    if problem.remove is None:
        return solve_all_counts(
            problem,
            partial(_solve, num_states=num_states, solver=solver, seed=seed),
            solver=solver,
            num_states=num_states,
            seed=seed,
            stop=stop,
            known=known,
        )
    return _solve(problem, num_states=num_states, solver=solver, seed=seed, stop=stop, known=known)


def _solve(
    problem: Problem,
    *,
    num_states: int,
    solver: Backend,
    seed: int,
    stop: Stop,
    known: NDArray[np.bool_] | None,
) -> Spectrum:
    """Solve a problem with a count; all arguments are checked."""
    wanted = min(num_states, problem.num_states)
    with _crashes_reported(problem, solver, wanted):
        solver.prepare()
    problem.energies(problem.state(()))  # loads the kernel
    stop.start()
    begin = time.perf_counter()
    if stop.time_limit is not None:
        stop.reserve(
            min(_MOST_RESERVED * stop.time_limit, finishing_seconds(problem, wanted, solver))
        )
    before = fingerprint(problem, problem.hessian_sha256)
    if stop.is_logged:
        _log_task(problem, wanted, solver.name, seed)
    with stop.interruptible(), _crashes_reported(problem, solver, wanted):
        raw = (
            solver.run(problem, wanted, stop, seed, known)
            if problem.groups
            else _the_only_state(problem)
        )
    stop.raise_failure()
    check_untouched(problem, solver.name, before)
    seconds = time.perf_counter() - begin
    spectrum = certified(problem, solver, raw, wanted, stop, seed, seconds)
    if known is not None:
        check_against_known(problem, spectrum, known)
    check_word(problem, spectrum, seed, stop.remaining)
    if stop.is_logged:
        _log_outcome(spectrum)
    return spectrum


def _log_task(problem: Problem, num_states: int, name: str, seed: int) -> None:
    _LOG.info(
        "%s lowest of %s states of %s, by %s, seed %d",
        format_count(num_states),
        format_count(problem.num_states),
        plural(problem.num_blocks, "block"),
        name,
        seed,
    )


def _log_outcome(spectrum: Spectrum) -> None:
    _LOG.info(
        "%s after %s: %d of %d states proven, %s",
        spectrum.stop_reason.value,
        format_duration(spectrum.timings["total"]),
        spectrum.num_proven,
        len(spectrum),
        plural(spectrum.num_evaluated, "evaluation"),
    )


def _the_only_state(problem: Problem) -> RawResult:
    """Return the one state of a problem that leaves no choice."""
    states = problem.state(problem.fixed_removed)[None]
    return RawResult(states, num_complete=1, lower_bound=np.inf, num_evaluated=1)


@contextmanager
def _crashes_reported(problem: Problem, solver: Backend, num_states: int) -> Iterator[None]:
    """Turn whatever a backend raises, but Ctrl-C and what this package raises on purpose, into a
    BackendError.
    """
    try:
        yield
    except QuboPruneError:
        raise
    except MemoryError as error:
        raise InputError(
            f"there is not enough memory for num_states={num_states} of {problem.num_blocks}"
            f" blocks, whose matrix takes {format_bytes(problem.hessian.nbytes)}, by backend"
            f" {solver.name!r}; ask for fewer states, keep some blocks, or take a machine with"
            " more memory."
        ) from error
    except (Exception, SystemExit) as error:
        raise BackendError(
            f"backend {solver.name!r} failed: {type(error).__name__}: {error}"
            f"{_place(error, solver.name)}"
        ) from error


def _place(error: BaseException, name: str) -> str:
    """Return the line that an error comes from, of the file by which a backend is named."""
    file, colon, _ = name.rpartition(":")
    if not colon or not file.endswith(".py"):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [each.lineno for each in frames if Path(each.filename).name == Path(file).name]
    return f" (line {lines[-1]} of {Path(file).name})" if lines else ""
