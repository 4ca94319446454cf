"""`solve` for studies: who ends a solve by Ctrl-C or SIGTERM ends the study, and stores nothing."""

from __future__ import annotations

from typing import Any

import qubo_prune
from qubo_prune import Problem, Spectrum, StopReason


def solve(problem: Problem, **arguments: Any) -> Spectrum:
    """Return what `qubo_prune.solve` does.

    Raises
    ------
    KeyboardInterrupt
        If the solve was interrupted, which by itself would return what it has.
    """
    spectrum = qubo_prune.solve(problem, **arguments)
    if spectrum.stop_reason is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    return spectrum
