"""What happens before the clock of a run starts: kernels are loaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Standing, Stop

if TYPE_CHECKING:
    from qubo_prune.backends.base import Backend


@cache
def warm_up(backend: type[Backend], **options: Any) -> None:
    """Solve a tiny problem, once per process, so that the kernels of `backend` with these options
    are loaded.
    """
    backend.configured(**options).run(Problem(np.eye(4), 2), 1, _Silent(), 0)


@cache
def load_energies() -> None:
    """Load the kernel behind `Problem.energies`, once per process."""
    Problem(np.eye(2), 1).energies([[True, False]])


class _Silent(Stop):
    """For a run that nobody asked for: nothing of it is reported or logged."""

    def report(
        self,
        num_evaluated: int,
        fraction: float | None = None,
        message: str = "",
        *,
        standing: Callable[[], Standing] | None = None,
        unit: str = "",
    ) -> None:
        """Do nothing."""
