"""From a problem to a checked spectrum: run a backend, recompute its energies, believe nothing.

This is the paper's section 4.1 with any solver: equation 5, solved for the K lowest states instead of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends import DEFAULT_BACKEND, get_backend
from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.encodings.repair import nearest_feasible
from qubo_prune.errors import BackendError, InputError, QuboPruneError
from qubo_prune.problem import Problem
from qubo_prune.spectrum import Spectrum, lexicographic_order
from qubo_prune.status import Status
from qubo_prune.stopping import Progress, Stop, StopReason
from qubo_prune.strict_json import is_fact
from qubo_prune.validation import as_count, as_states

Remove = int | Mapping[str, int]


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

    Ctrl-C ends the search and returns what was found; a second Ctrl-C raises KeyboardInterrupt.

    Parameters
    ----------
    problem : Problem
        What to solve.
    num_states : int
        K, at least 1. If the problem has fewer states, all are returned.
    backend : str or Backend
        A name (see `backend_names`) or a configured backend.
    time_limit : float, optional
        Seconds.
    max_evaluations : int, optional
        Limit on the states (or nodes) that the backend looks at.
    seed : int
        Seed of every random choice, at least 0.
    progress : callable, optional
        Called with a `Progress` now and then. An exception that it raises ends the run, once a checkpoint is written, and is raised here. To
        keep what was found, cancel a `Stop` instead.
    stop : Stop, optional
        In place of `time_limit`, `max_evaluations` and `progress`; lets another thread cancel the run. Its clock is started afresh.
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
        If an argument is out of range.
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
    _require_problem(problem)
    num_states = as_count(num_states, "num_states")
    if num_states < 1:
        raise InputError(
            f"num_states must be at least 1, not {num_states}; ask for one state or more."
        )
    seed = as_count(seed, "seed")
    if seed < 0:
        raise InputError(f"seed must be at least 0, not {seed}; choose another one.")
    stop = _as_stop(stop, time_limit, max_evaluations, progress)
    known = None
    if warm_start is not None:
        known = _checked_warm_start(problem, warm_start)
    solver = _as_backend(backend, options)
    wanted = min(num_states, problem.num_states)
    with _crashes_reported(problem, solver, wanted):
        solver.prepare()
    stop.start()
    begin = time.perf_counter()
    with stop.interruptible(), _crashes_reported(problem, solver, wanted):
        raw = solver.run(problem, wanted, stop, seed, known)
    stop.raise_failure()
    seconds = time.perf_counter() - begin
    spectrum = _certified(problem, solver, raw, wanted, stop, seed, seconds)
    if known is not None:
        _check_against_known(problem, spectrum, known)
    return spectrum


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
) -> dict[Any, Spectrum]:
    """Solve one Hessian for many M: the Hessian is computed once (paper, end of section 3).

    Each solve starts from the states of the one before it, with blocks added or dropped. Ctrl-C ends the sweep after the spectrum that it
    interrupted.

    Parameters
    ----------
    problem : Problem
        Gives everything but the number of blocks to remove.
    removes : iterable of int or mapping, optional
        The values of `remove`; by default every number from 1 to N - 1 that the problem allows.
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
    dict
        The spectra by M, or by a tuple of sorted (kind, count) pairs where `remove` is a mapping.

    Examples
    --------
    >>> from qubo_prune import Problem, sweep
    >>> spectra = sweep(Problem.load("bytelm-40-block", remove=1), range(4, 7), num_states=1)
    >>> {m: spectrum.removed(0) for m, spectrum in spectra.items()}[4]
    [1, 5, 18, 23]
    """
    _require_problem(problem)
    if removes is not None and not _is_listing(removes):
        raise InputError(
            f"removes must be a sequence of counts, not {removes!r}; for a single one use solve."
        )
    problems = list(_all_counts(problem) if removes is None else map(problem.with_remove, removes))
    stop = _as_stop(stop, time_limit, max_evaluations, progress)
    spectra: dict[Any, Spectrum] = {}
    known = None
    if warm_start is not None:
        known = as_states(warm_start, problem.num_blocks, "warm_start")
    for each in problems:
        start = None if known is None else nearest_feasible(each, known)
        spectrum = solve(each, stop=stop, warm_start=start, **arguments)
        known = spectrum.states
        remove = spectrum.remove
        spectra[remove if isinstance(remove, int) else tuple(sorted(remove.items()))] = spectrum
        if on_result is not None:
            on_result(spectrum)
        if spectrum.stop_reason is StopReason.INTERRUPTED:
            break
    return spectra


def _all_counts(problem: Problem) -> Iterator[Problem]:
    for count in range(1, problem.num_blocks):
        with suppress(InputError):
            yield problem.with_remove(count)


def _is_listing(removes: object) -> bool:
    return isinstance(removes, Iterable) and not isinstance(removes, str | Mapping)


def _require_problem(problem: object) -> None:
    if not isinstance(problem, Problem):
        raise InputError(
            f"problem must be a Problem, not {type(problem).__name__}; make one with Problem(H, M)."
        )


def _as_stop(
    stop: Stop | None,
    time_limit: float | None,
    max_evaluations: int | None,
    progress: Callable[[Progress], None] | None,
) -> Stop:
    if stop is None:
        return Stop(time_limit, max_evaluations, progress)
    if not isinstance(stop, Stop):
        raise InputError(
            f"stop must be a Stop, not {type(stop).__name__}; make one with Stop(time_limit)."
        )
    if not (time_limit is None and max_evaluations is None and progress is None):
        raise InputError(
            "stop was given together with time_limit, max_evaluations or progress; set them on the Stop."
        )
    return stop


def _as_backend(backend: str | Backend, options: Mapping[str, Any] | None) -> Backend:
    if not isinstance(options, Mapping | None):
        raise InputError(
            f"options must be a mapping of names to values, not {type(options).__name__}."
        )
    for name in options or {}:
        if not isinstance(name, str):
            raise InputError(
                f"backend {backend!r} has no option {name!r}; options are named by strings."
            )
    if isinstance(backend, str):
        return get_backend(backend, **(options or {}))
    if not isinstance(backend, Backend):
        raise InputError(
            f"backend must be a name or a Backend, not {type(backend).__name__}; see backend_names()."
        )
    if options:
        raise InputError("options go with a backend given by name; configure the Backend instead.")
    for what, kind in (("name", str), ("capabilities", Capability)):
        declared: object = getattr(backend, what, None)
        if not isinstance(declared, kind):
            raise BackendError(
                f"backend {type(backend).__name__} declares {declared!r} as its {what}, not a {kind.__name__}."
            )
    return backend


@contextmanager
def _crashes_reported(problem: Problem, solver: Backend, num_states: int) -> Iterator[None]:
    """Turn whatever a backend raises, but Ctrl-C and what this package raises on purpose, into a BackendError."""
    try:
        yield
    except QuboPruneError:
        raise
    except MemoryError as error:
        raise InputError(
            f"there is not enough memory for num_states={num_states} of {problem.num_blocks} blocks; ask for fewer."
        ) from error
    except (Exception, SystemExit) as error:
        raise BackendError(
            f"backend {solver.name!r} failed: {type(error).__name__}: {error}"
        ) from error


def _checked_warm_start(problem: Problem, warm_start: ArrayLike) -> NDArray[np.bool_]:
    states = as_states(warm_start, problem.num_blocks, "warm_start")
    infeasible = np.flatnonzero(~problem.is_feasible(states))
    if infeasible.size:
        raise InputError(
            f"warm_start must satisfy the constraint, but state {infeasible[0]} does not; "
            "leave such states out."
        )
    states = states.view()  # the array may be the caller's own
    states.flags.writeable = False
    return states


def _check_against_known(problem: Problem, spectrum: Spectrum, known: NDArray[np.bool_]) -> None:
    """Refuse a proof that a state the backend started from contradicts."""
    listed = {state.tobytes() for state in spectrum.states}
    missing = np.array([state for state in known if state.tobytes() not in listed], np.bool_)
    lowest = problem.energies(missing).min() if len(missing) else np.inf
    if lowest < spectrum.lower_bound:
        raise BackendError(
            f"backend {spectrum.backend!r} says that no state outside its list lies below {spectrum.lower_bound!r}, but one that it "
            f"started from has the energy {float(lowest)!r}."
        )


def _certified(
    problem: Problem,
    solver: Backend,
    raw: RawResult,
    num_states: int,
    stop: Stop,
    seed: int,
    seconds: float,
) -> Spectrum:
    """Turn what a backend returned into a spectrum, or say what is wrong with it."""
    states = _checked_states(problem, solver, raw)
    energies = problem.energies(states)
    order = lexicographic_order(states, energies)
    states, energies = states[order], energies[order]
    proves = Capability.PROVES in solver.capabilities
    known = raw.num_complete if proves else 0
    outside = raw.lower_bound if proves else -np.inf
    # Whatever the backend left out comes after the states that it is sure of.
    if known == problem.num_states:
        outside = np.inf
    elif known:
        outside = max(outside, float(energies[known - 1]))
    outside = min([outside, *energies[num_states : num_states + 1].tolist()])
    ties = len(states) > num_states and energies[num_states] == energies[num_states - 1]
    proof = dict(raw.proof)
    if known > num_states:
        proof["next_energy"] = float(energies[num_states])
    states, energies = states[:num_states], energies[:num_states]
    proven = max(min(known, num_states), int(np.searchsorted(energies, outside)))
    complete = proven >= num_states
    unproven = Status.PARTIAL if proves else Status.HEURISTIC
    return Spectrum(
        states=states,
        energies=energies,
        num_proven=proven,
        lower_bound=outside,
        status=Status.PROVEN if complete else unproven,
        stop_reason=StopReason.COMPLETED if complete else stop.reason or StopReason.COMPLETED,
        ties_truncated=bool(ties),
        backend=solver.name,
        num_states_total=problem.num_states,
        hessian_sha256=problem.hessian_sha256,
        names=problem.block_names(),
        remove=problem.remove,
        seed=seed if Capability.SEEDED in solver.capabilities else None,
        timings={**raw.timings, "total": seconds},
        num_evaluated=raw.num_evaluated,
        native_status=raw.native_status,
        proof=proof,
        statistics=dict(raw.statistics),
    )


def _checked_states(problem: Problem, solver: Backend, raw: RawResult) -> NDArray[np.bool_]:
    """Return the backend's states if everything in its result is what it should be."""
    if not isinstance(raw, RawResult):
        raise BackendError(
            f"backend {solver.name!r} returned {type(raw).__name__}, not a RawResult."
        )
    for what in ("num_complete", "num_evaluated"):
        count = getattr(raw, what)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise BackendError(f"backend {solver.name!r} returned {count!r} as {what}.")
    for what, kind in (
        ("lower_bound", float),
        ("native_status", str),
        ("timings", dict),
        ("proof", dict),
        ("statistics", dict),
    ):
        value = getattr(raw, what)
        if not isinstance(value, kind) or value != value:  # noqa: PLR0124 - only NaN differs
            raise BackendError(f"backend {solver.name!r} returned {value!r} as {what}.")
    for what in ("proof", "statistics"):
        facts = getattr(raw, what)
        if not all(is_fact(*item) for item in facts.items()):
            raise BackendError(f"backend {solver.name!r} returned {facts!r} as {what}.")
    if not all(is_fact(*item) and not isinstance(item[1], str) for item in raw.timings.items()):
        raise BackendError(f"backend {solver.name!r} returned {raw.timings!r} as timings.")
    try:
        states = as_states(raw.states, problem.num_blocks, "states")
    except (
        Exception
    ) as error:  # an array of another library may raise anything when it is converted
        raise BackendError(f"backend {solver.name!r} returned no valid states: {error}") from error
    infeasible = np.flatnonzero(~problem.is_feasible(states))
    if infeasible.size:
        raise BackendError(
            f"backend {solver.name!r} returned {infeasible.size} states that violate the constraint, the first "
            f"removing {np.flatnonzero(states[infeasible[0]]).tolist()}."
        )
    if len(np.unique(np.packbits(states, axis=1), axis=0)) < len(states):
        raise BackendError(f"backend {solver.name!r} returned a state twice.")
    if raw.lower_bound == np.inf and len(states) < problem.num_states:
        raise BackendError(
            f"backend {solver.name!r} says that no state is missing, but returned {len(states)} of "
            f"{problem.num_states}."
        )
    if raw.num_complete > len(states):
        raise BackendError(
            f"backend {solver.name!r} says that it returned the {raw.num_complete} lowest states, but returned "
            f"{len(states)}."
        )
    return states
