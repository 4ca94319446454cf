"""The arguments of `solve` and `sweep`, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import Backend, Capability
from qubo_prune.backends.registry import get_backend
from qubo_prune.core.errors import BackendError, InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Progress, Stop
from qubo_prune.core.validation import as_states, frozen


def require_problem(problem: object) -> None:
    """Refuse what is not a `Problem`."""
    if not isinstance(problem, Problem):
        raise InputError(
            f"problem must be a Problem, not {type(problem).__name__}; make one with Problem(H, M)."
        )


def as_stop(
    stop: Stop | None,
    time_limit: float | None,
    max_evaluations: int | None,
    progress: Callable[[Progress], None] | None,
) -> Stop:
    """Return when to stop, from what was given."""
    if stop is None:
        return Stop(time_limit, max_evaluations, progress)
    if not isinstance(stop, Stop):
        raise InputError(
            f"stop must be a Stop, not {type(stop).__name__}; make one with Stop(time_limit)."
        )
    if not (time_limit is None and max_evaluations is None and progress is None):
        raise InputError(
            "stop was given together with time_limit, max_evaluations or progress; set them on the"
            " Stop."
        )
    return stop


def as_backend(backend: str | Backend, options: Mapping[str, Any] | None) -> Backend:
    """Return the configured backend."""
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
            f"backend must be a name or a Backend, not {type(backend).__name__}; see"
            " backend_names()."
        )
    if options:
        raise InputError("options go with a backend given by name; configure the Backend instead.")
    for what, kind in (("name", str), ("capabilities", Capability)):
        declared: object = getattr(backend, what, None)
        if not isinstance(declared, kind):
            raise BackendError(
                f"backend {type(backend).__name__} declares {declared!r} as its {what}, not a"
                f" {kind.__name__}."
            )
    return backend


def checked_warm_start(problem: Problem, warm_start: ArrayLike) -> NDArray[np.bool_]:
    """Return the states to start from, refused unless feasible."""
    states = as_states(warm_start, problem.num_blocks, "warm_start")
    infeasible = np.flatnonzero(~problem.is_feasible(states))
    if infeasible.size:
        raise InputError(
            f"warm_start must satisfy the constraint, but state {infeasible[0]} does not; "
            "leave such states out."
        )
    return frozen(states.copy())  # the array may be the caller's own
