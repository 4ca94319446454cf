"""The checks, and `check_backend` to run them all."""

from __future__ import annotations

from qubo_prune.backends.base import Backend, Capability
from qubo_prune.testing.checks_interface import (
    check_availability,
    check_declarations,
    check_distinct,
    check_feasible,
    check_one_state,
    check_options,
    check_output,
    check_result,
    check_spectrum,
)
from qubo_prune.testing.checks_promises import (
    check_bound_under_limit,
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
    Check("one state", Capability.NONE, check_one_state),
    Check("spectrum", Capability.NONE, check_spectrum),
    Check("output", Capability.NONE, check_output),
    Check("known states", Capability.NONE, check_warm_start_accepted),
    Check("exact", Capability.EXACT, check_exact),
    Check("proof", Capability.PROVES, check_proof),
    Check("bound under a limit", Capability.PROVES, check_bound_under_limit),
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


def check_backend(backend: Backend, *, num_blocks: int = 100) -> None:
    """Run every check that applies to a backend; it takes some seconds.

    Parameters
    ----------
    backend : Backend
        A configured backend that can run here.
    num_blocks : int
        Size of the problem on which limits and cancellation are tried; smaller for solvers that
        cannot take 100 blocks.

    Raises
    ------
    ConformanceError
        At the first failure; names the check, what was expected and what was received.

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
    for check in CHECKS:
        check(backend, num_blocks)
