"""The checks, and `check_backend` to run them all."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

from qubo_prune.backends.base import Backend, Capability
from qubo_prune.core.errors import InputError
from qubo_prune.testing.checks_interface import (
    check_availability,
    check_declarations,
    check_distinct,
    check_feasible,
    check_options,
    check_output,
    check_result,
    check_spectrum,
)
from qubo_prune.testing.checks_promises import (
    check_bound_under_limit,
    check_budget,
    check_cancelled_before,
    check_cancelled_from_thread,
    check_exact,
    check_progress,
    check_proof,
    check_seeds,
    check_stopped_early,
    check_threads,
    check_time_limit,
    check_warm_start,
    check_warm_start_accepted,
)
from qubo_prune.testing.harness import Check

CHECKS: tuple[Check, ...] = (
    Check("declarations", Capability.NONE, check_declarations),
    Check("availability", Capability.NONE, check_availability),
    Check("options", Capability.NONE, check_options),
    Check("result", Capability.NONE, check_result),
    Check("feasible", Capability.NONE, check_feasible),
    Check("distinct", Capability.NONE, check_distinct),
    Check("spectrum", Capability.NONE, check_spectrum),
    Check("output", Capability.NONE, check_output),
    Check("known states", Capability.NONE, check_warm_start_accepted),
    Check("exact", Capability.EXACT, check_exact),
    Check("proof", Capability.PROVES, check_proof),
    Check("bound under a limit", Capability.PROVES, check_bound_under_limit),
    Check("budget", Capability.BUDGET, check_budget),
    Check("seeds", Capability.SEEDED, check_seeds),
    Check("threads", Capability.SEEDED, check_threads),
    Check("time limit", Capability.TIME_LIMIT, check_time_limit),
    Check("stopped early", Capability.CANCEL, check_stopped_early),
    Check("cancelled before", Capability.CANCEL, check_cancelled_before),
    Check("cancelled from a thread", Capability.CANCEL, check_cancelled_from_thread),
    Check("progress", Capability.PROGRESS, check_progress),
    Check("warm start", Capability.WARM_START, check_warm_start),
)
"""All checks, in the order in which failures are easiest to understand."""


def select_checks(*, exclude: Collection[str] = (), until: str | None = None) -> tuple[Check, ...]:
    """Return the checks without some of them, for test suites that make each a test of its own.

    Parameters
    ----------
    exclude : collection of str
        Names of checks to leave out, or patterns of names as of files: ``"cancelled*"``.
    until : str, optional
        A version such as ``"0.1"``; checks that a later one added are left out, so that a new
        release of this package makes no test suite fail that passed.

    Raises
    ------
    InputError
        If no check has an excluded name, or `until` is no version.

    Examples
    --------
    >>> len(CHECKS) - len(select_checks(exclude=["time limit", "cancelled*"]))
    3
    >>> select_checks(until="0.1") == CHECKS
    True
    """
    if isinstance(exclude, str):
        raise InputError(f"exclude must be a list of names, not {exclude!r}; write [{exclude!r}].")
    for pattern in exclude:
        if not any(fnmatchcase(check.name, pattern) for check in CHECKS):
            names = ", ".join(map(str, CHECKS))
            raise InputError(f"exclude names no check with {pattern!r}; the checks are {names}.")
    last = None if until is None else _version(until)
    return tuple(
        check
        for check in CHECKS
        if not any(fnmatchcase(check.name, pattern) for pattern in exclude)
        # "0.1" stands for all of 0.1.
        and (last is None or _version(check.since)[: len(last)] <= last)
    )


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"a version is numbers with dots, not {text!r}; write one as '0.1'.")
    return tuple(map(int, parts))


def check_backend(
    backend: Backend,
    *,
    num_blocks: int = 100,
    exclude: Collection[str] = (),
    until: str | None = None,
) -> None:
    """Run every check that applies to a backend; it takes some seconds.

    Parameters
    ----------
    backend : Backend
        A configured backend that can run here.
    num_blocks : int
        Size of the problem on which limits and cancellation are tried; smaller for solvers that
        cannot take 100 blocks.
    exclude, until
        Which checks to leave out; see `select_checks`.

    Raises
    ------
    ConformanceError
        At the first failure; names the check, what was expected and what was received.
    InputError
        If no check has an excluded name, or `until` is no version.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from qubo_prune import Backend, Capability, RawResult
    >>> @dataclass(frozen=True)
    ... class First(Backend):
    ...     "Removes the first blocks of each group, whatever they cost."
    ...     name = "first"
    ...     summary = "removes the first blocks of each group"
    ...     capabilities = Capability.SEEDED
    ...     def run(self, problem, num_states, stop, seed, warm_start=None):
    ...         state = problem.state(problem.fixed_removed)
    ...         for group in problem.groups:
    ...             state[group.indices[: group.count]] = True
    ...         return RawResult(state[None])
    >>> check_backend(First())

    One that claims more than it does:

    >>> class Boaster(First):
    ...     capabilities = Capability.EXACT
    >>> check_backend(Boaster())
    Traceback (most recent call last):
    ...
    qubo_prune.testing.harness.ConformanceError: backend 'first' fails the check 'exact': expected
    ...
    """
    for check in select_checks(exclude=exclude, until=until):
        check(backend, num_blocks)
