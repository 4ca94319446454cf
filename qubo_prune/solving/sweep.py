"""One Hessian solved for many numbers of blocks to remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from numpy.typing import ArrayLike

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.core.validation import as_states
from qubo_prune.solving.any_count import starting_states
from qubo_prune.solving.arguments import as_stop, require_problem
from qubo_prune.solving.solve import solve
from qubo_prune.solving.sweeps import Sweep

Remove = int | Mapping[str, int]


def sweep(
    problem: Problem,
    removes: Iterable[Remove] | None = None,
    *,
    on_result: Callable[[Spectrum], None] | None = None,
    stop: Stop | None = None,
    time_limit: float | None = None,
    max_evaluations: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    warm_start: ArrayLike | None = None,
    **arguments: Any,
) -> Sweep:
    """Solve one Hessian for many M: the Hessian is computed once (paper, end of section 3).

    Each solve starts from the states of the one before it, with blocks added or dropped. Ctrl-C or
    SIGTERM ends the sweep after the spectrum that it interrupted.

    Parameters
    ----------
    problem : Problem
        Gives everything but the number of blocks to remove.
    removes : iterable of int or mapping, optional
        The values of `remove`; by default every number from 1 to N - 1 that the problem allows
        and that can reach its budget, if it has one.
    on_result : callable, optional
        Called with each spectrum as soon as it is there.
    stop, time_limit, max_evaluations, progress : as for solve
        For each M on its own; a cancelled `stop` ends the sweep.
    warm_start : (W, N) bool, optional
        States known to be good, for any M: blocks are added or dropped to fit.
    **arguments
        As for `solve`.

    Returns
    -------
    Sweep
        A dict of the spectra by M, or by a tuple of sorted (kind, count) pairs where `remove`
        is a mapping.

    Examples
    --------
    >>> from qubo_prune import Problem, sweep
    >>> spectra = sweep(Problem.load("bytelm-40-block", remove=1), range(4, 7), num_states=1)
    >>> {m: spectrum.removed(0) for m, spectrum in spectra.items()}[4]
    [1, 5, 18, 23]
    """
    require_problem(problem)
    if removes is not None and not _is_listing(removes):
        raise InputError(
            f"removes must be a sequence of counts, not {removes!r}; for a single one use solve."
        )
    problems = list(_all_counts(problem) if removes is None else map(problem.with_remove, removes))
    stop = as_stop(stop, time_limit, max_evaluations, progress)
    spectra = Sweep()
    known = None
    if warm_start is not None:
        known = as_states(warm_start, problem.num_blocks, "warm_start")
    with stop.interruptible():  # between two solves as well
        for each in problems:
            start = starting_states(each, known)
            spectrum = solve(each, stop=stop, warm_start=start, **arguments)
            known = spectrum.states
            remove = spectrum.remove
            key = tuple(sorted(remove.items())) if isinstance(remove, dict) else remove
            spectra[key] = spectrum
            if on_result is not None:
                on_result(spectrum)
            # A spectrum may have been complete before it noticed.
            if StopReason.INTERRUPTED in (spectrum.stop_reason, stop.reason):
                break
    return spectra


def _all_counts(problem: Problem) -> Iterator[Problem]:
    for count in range(1, problem.num_blocks):
        with suppress(InputError):
            yield problem.with_remove(count)


def _is_listing(removes: object) -> bool:
    return isinstance(removes, Iterable) and not isinstance(removes, str | Mapping)
