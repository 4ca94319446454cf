"""QAOA: a quantum algorithm, simulated; with a mixer that keeps the constraint, or with a penalty
term as the field does it.

`simulate`, `optimize_angles`, `to_circuit` and `decode_counts` are the parts to take a circuit to a
device and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import Availability, Backend, Capability, RawResult
from qubo_prune.backends.common.libraries import library_availability
from qubo_prune.backends.qaoa.limits import MAX_AMPLITUDES, check_qubits
from qubo_prune.backends.qaoa.mixers import check_mixer
from qubo_prune.core.errors import BackendUnavailableError, InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

VARIANTS = ("xy", "penalty")

_LIBRARIES = (
    ("qiskit", "qiskit"),
    ("qiskit_aer", "qiskit-aer"),
    ("qiskit_optimization", "qiskit-optimization"),
)
"""Modules and distributions that the variant ``penalty`` needs."""


@dataclass(frozen=True)
class QAOA(Backend):
    """The quantum approximate optimization algorithm, simulated without noise; returns distinct
    states that were measured.

    The variant ``xy`` (Hadfield et al. 2019) starts from the equal superposition of all feasible
    states, a product of Dicke states, and mixes with swaps, so that every measured state is
    feasible. One amplitude for each feasible state is all that is simulated. Angles minimise the
    expected energy; only states that were measured are returned, although the simulator knows all
    energies.

    The variant ``penalty`` runs the MinimumEigenOptimizer of qiskit-optimization on the penalty
    form (Farhi et al. 2014), with one qubit and the mixer X for each free block, on the simulator
    Aer; what it measures is repaired.

    Parameters
    ----------
    variant : str
        ``xy`` or ``penalty``.
    p : int
        Number of layers. For ``xy``, 0 draws feasible states uniformly.
    shots : int
        Number of measurements; for ``penalty``, at each evaluation.
    max_amplitudes : int
        Limit on the number of amplitudes: one for each feasible state, or, for ``penalty``, for
        each subset of the free blocks.
    mixer : str
        For ``xy``: ``ring`` swaps neighbours within each group, ``complete`` all pairs.
    starts : int
        For ``xy``: starts of the optimiser at each depth 1 ... p.
    penalty : float or sequence of float, optional
        For ``penalty``: penalty of the constraint, one for all groups or one for each;
        `estimated_penalty` by default.
    repair : bool
        For ``penalty``: whether to swap what was measured to feasible states, improve them and list
        the neighbours met; if not, infeasible measurements are dropped.
    iterations : int
        For ``penalty``: evaluations by COBYLA, at most.
    """

    variant: str = "xy"
    p: int = 3
    shots: int = 10_000
    max_amplitudes: int = MAX_AMPLITUDES
    mixer: str = "ring"
    starts: int = 2
    penalty: ArrayLike | None = None
    repair: bool = True
    iterations: int = 100

    name: ClassVar[str] = "qaoa"
    summary: ClassVar[str] = "quantum approximate optimization, simulated for some million states"
    capabilities: ClassVar[Capability] = (
        Capability.SEEDED | Capability.NATIVE_CONSTRAINT | Capability.LIMITED
    )

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise InputError(
                f"variant must be one of {', '.join(VARIANTS)}, not {format_value(self.variant)}."
            )
        check_mixer(self.mixer)
        for what in ("shots", "starts", "max_amplitudes", "iterations"):
            as_count(getattr(self, what), what, least=1)
        if not isinstance(self.repair, bool):
            raise InputError(f"repair must be true or false, not {format_value(self.repair)}.")
        if self.variant == "xy":
            as_count(self.p, "p", least=0)
            if self.penalty is not None:
                raise InputError("penalty goes with variant='penalty', not 'xy'; leave it out.")
        else:
            as_count(self.p, "p", least=1)
            # What the class says holds for its default; a frozen dataclass refuses plain
            # assignment.
            self.__dict__["capabilities"] = type(self).capabilities & ~Capability.NATIVE_CONSTRAINT

    @classmethod
    def availability(cls) -> Availability:
        """Say what is missing for circuits and the variant ``penalty``; ``xy`` needs nothing."""
        libraries = [library_availability(*names, "qaoa") for names in _LIBRARIES]
        missing = [each for each in libraries if not each.installed]
        if not missing:
            return Availability(detail=", ".join(each.detail for each in libraries))
        return Availability(
            detail=f"{missing[0].detail}, which to_circuit and the variant 'penalty' need",
            install=missing[0].install,
        )

    def prepare(self) -> None:
        """Load the kernels, or compile them the first time; for ``penalty``, load the libraries."""
        from qubo_prune.backends.qaoa.variants import load

        self._require_libraries()
        load(self.variant)

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,  # noqa: ARG002 - there is no use for it
    ) -> RawResult:
        """Optimise the angles, then measure; see `Backend.run`."""
        from qubo_prune.backends.qaoa.variants import run_penalty, run_xy

        if self.variant == "xy":
            return run_xy(self, problem, stop, seed)
        check_qubits(problem, self.max_amplitudes)
        self._require_libraries()
        return run_penalty(self, problem, num_states, stop, seed)

    def _require_libraries(self) -> None:
        availability = self.availability()
        if self.variant == "penalty" and availability.install:
            raise BackendUnavailableError(
                f"{availability.detail}; install it with: {availability.install}, or take the"
                " variant 'xy'."
            )
