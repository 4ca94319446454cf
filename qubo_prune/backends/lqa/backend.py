"""Local quantum annealing: a product state that descends while a driver is turned down, aimed at
excited levels by a penalty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Capability, RawResult
from qubo_prune.backends.ocean.sampler import Sampler
from qubo_prune.backends.ocean.sampler_backend import SamplerBackend
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count, as_finite_float
from qubo_prune.search.threads import num_threads

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop


@dataclass(frozen=True, kw_only=True)
class LocalQuantumAnnealing(SamplerBackend):
    """Local quantum annealing (LQA; Bowles, Dauphin, Huembeli, Martinez and Acin, arXiv 2108.08064)
    on the penalty form, with the penalty on low energies of excited LQA (ExcLQA; Altelarrea-Ferre,
    Barbera-Rodriguez, Jansen and Acin, arXiv 2507.12394).

    Each sample is a start of its own. See `docs/explanation/lqa.md` for what is theirs and what
    is not.

    Parameters
    ----------
    levels : int
        Number of energies that calls of `reads_per_call` samples aim at in turn: the lowest, which
        is plain LQA, and above ever more of the states found so far.
    steps : int
        Steps of gradient descent.
    step_size, momentum : float
        Of the descent, in the unit of the typical field.
    gamma : float
        Weight of the energy against the driver.
    spread : float
        The weights start uniformly in [-spread, spread].
    threads : int, optional
        Number of threads; all available cores by default. The answer does not depend on it.
    num_reads : int, optional
        Samples to draw in all, unless a limit ends the run before; 200 by default.
    reads_per_call : int, optional
        Samples between two looks at the limits and the levels, 10 by default. Other numbers give
        other samples.
    penalty : float or sequence of float, optional
        Penalty of the constraint, one for all groups or one for each; `estimated_penalty` by
        default.
    repair : bool
        Whether infeasible samples are repaired and all are improved.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> problem = Problem.load("bytelm-40-block", remove=12)
    >>> options = {"num_reads": 20, "levels": 2}
    >>> spectrum = solve(problem, num_states=5, backend="lqa", options=options)
    >>> spectrum.status.value, spectrum.statistics["samples"], spectrum.statistics["lifted_samples"]
    ('heuristic', 20, 10)
    """

    levels: int = 4
    steps: int = 1000
    step_size: float = 0.4
    momentum: float = 0.997
    gamma: float = 3.0
    spread: float = 1.0
    threads: int | None = None

    name: ClassVar[str] = "lqa"
    summary: ClassVar[str] = "local quantum annealing, aimed at excited levels, with repair"
    capabilities: ClassVar[Capability] = Capability.LIMITED | Capability.SEEDED
    default_reads: ClassVar[int] = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        num_threads(self.threads)
        for what in ("levels", "steps"):
            as_count(getattr(self, what), what, least=1)
        for what in ("step_size", "gamma", "spread"):
            if as_finite_float(getattr(self, what), what) <= 0:
                raise InputError(
                    f"{what} must be above 0, not {format_value(getattr(self, what))}; leave it out"
                    " for the default."
                )
        if not 0 <= as_finite_float(self.momentum, "momentum") < 1:
            raise InputError(
                f"momentum must be at least 0 and below 1, not {format_value(self.momentum)}; leave"
                " it out for the default."
            )
        if self.sampler_options:
            raise InputError(
                f"backend {self.name!r} has no sampler_options; give its options by name."
            )

    def prepare(self) -> None:
        """Load the kernels, or compile them the first time."""
        from qubo_prune.backends.lqa.annealer import load_kernels

        super().prepare()
        load_kernels()

    def make_sampler(self) -> Sampler:
        """Return the runs in the place of a sampler."""
        from qubo_prune.backends.lqa.annealer import Annealer

        return Annealer(self)

    def call_options(self, stop: Stop, num_states: int) -> dict[str, Any]:  # noqa: ARG002
        """Return how many states the levels are counted in."""
        return {"num_states": num_states}

    def encoded(self, problem: Problem, penalties: NDArray[np.float64]) -> Any:
        """Return the Ising model, scaled."""
        from qubo_prune.backends.lqa.annealer import Glass

        return Glass.of(problem, penalties)

    def drawn(
        self, sampler: Sampler, problem: Problem, num_states: int, stop: Stop, seed: int
    ) -> RawResult:
        """Draw samples, and tell how many of them aimed above the lowest energy."""
        raw = super().drawn(sampler, problem, num_states, stop, seed)
        lifted = getattr(sampler, "num_lifted", 0)
        return replace(raw, statistics={**raw.statistics, "lifted_samples": lifted})
