"""QAOA: a quantum algorithm, simulated; with a mixer that keeps the constraint, or with a penalty
term as the field does it.

`simulate`, `optimize_angles`, `to_circuit` and `decode_counts` are the parts to take a circuit to a
device and back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import Availability, Backend, Capability, RawResult
from qubo_prune.backends.common.libraries import library_availability
from qubo_prune.backends.qaoa.angles import Angles
from qubo_prune.backends.qaoa.circuit import decode_counts, to_circuit
from qubo_prune.backends.qaoa.mixers import MIXERS, check_mixer
from qubo_prune.backends.qaoa.optimizer import optimize, optimize_angles
from qubo_prune.backends.qaoa.simulator import Simulation, Simulator, simulate
from qubo_prune.backends.qaoa.subspace import FEWER_STATES, MAX_AMPLITUDES, Subspace
from qubo_prune.core.errors import BackendUnavailableError, InputError
from qubo_prune.core.text import format_count, format_value
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

__all__ = [
    "MIXERS",
    "QAOA",
    "Angles",
    "Simulation",
    "decode_counts",
    "optimize_angles",
    "simulate",
    "to_circuit",
]

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
        Capability.SEEDED
        | Capability.NATIVE_CONSTRAINT
        | Capability.TIME_LIMIT
        | Capability.CANCEL
        | Capability.PROGRESS
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
        self._require_libraries()
        _warm_up(self.variant)

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: (NDArray[np.bool_] | None) = None,  # noqa: ARG002 - the algorithm has no use for it
    ) -> RawResult:
        """Optimise the angles, then measure; see `Backend.run`."""
        if self.variant == "xy":
            try:
                return self._run_xy(problem, stop, seed)
            except MemoryError as error:
                raise InputError(
                    f"there is not enough memory for {format_count(problem.num_states)} amplitudes;"
                    f" {FEWER_STATES}."
                ) from error
        return self._run_penalty(problem, num_states, stop, seed)

    def _require_libraries(self) -> None:
        availability = self.availability()
        if self.variant == "penalty" and availability.install:
            raise BackendUnavailableError(
                f"{availability.detail}; install it with: {availability.install}, or take the"
                " variant 'xy'."
            )

    def _run_xy(self, problem: Problem, stop: Stop, seed: int) -> RawResult:
        begin = time.perf_counter()
        starts, shots = np.random.default_rng(seed).spawn(2)
        simulator = Simulator(Subspace(problem, self.max_amplitudes), self.mixer)
        prepared = time.perf_counter()
        optimum = optimize(simulator, self.p, self.starts, starts, stop)
        optimized = time.perf_counter()
        simulation = simulator.simulate(optimum.x)
        ranks, _ = simulation.sample(self.shots, shots)
        p = simulation.angles.p
        return RawResult(
            states=simulation.states(ranks),
            num_evaluated=optimum.num_evaluations,
            native_status=(
                f"p = {p}, {optimum.num_evaluations} circuit evaluations; {self.shots} shots found"
                f" {len(ranks)} of {format_count(problem.num_states)} states"
            ),
            timings={
                "preparation": prepared - begin,
                "optimization": optimized - prepared,
                "sampling": time.perf_counter() - optimized,
            },
            statistics={
                "variant": self.variant,
                "mixer": self.mixer,
                "p": p,
                "amplitudes": problem.num_states,
                "circuit_evaluations": optimum.num_evaluations,
                "expected_energy": simulation.expected_energy,
                "approximation_ratio": simulation.approximation_ratio,
                "ground_state_probability": simulation.ground_state_probability,
                "shots": self.shots,
                "distinct_states": len(ranks),
                **simulation.angles.as_facts(),
            },
        )

    def _run_penalty(self, problem: Problem, num_states: int, stop: Stop, seed: int) -> RawResult:
        from qubo_prune.backends.qaoa.penalty import check_qubits, sample
        from qubo_prune.encodings import estimated_penalty
        from qubo_prune.encodings.penalty import penalty_facts
        from qubo_prune.search.repair import Harvest

        check_qubits(problem, self.max_amplitudes)
        self._require_libraries()
        begin = time.perf_counter()
        penalties = self.penalty
        if penalties is None:
            penalties = estimated_penalty(problem, num_states, seed=seed, stop=stop)
        encoded = time.perf_counter()
        random = np.random.default_rng(seed)
        samples = sample(problem, penalties, self.p, self.shots, self.iterations, random, stop)
        sampled = time.perf_counter()
        harvest = Harvest(problem, num_states + 1, repaired=self.repair)
        harvest.add(samples.states, stop)
        return RawResult(
            states=harvest.states(),
            num_evaluated=samples.num_evaluations,
            native_status=(
                f"p = {self.p}, {samples.num_evaluations} circuit evaluations;"
                f" {harvest.num_feasible} of {self.shots} shots feasible"
            ),
            timings={
                "penalty": encoded - begin,
                "sampling": sampled - encoded,
                "repair": time.perf_counter() - sampled,
            },
            statistics={
                "variant": self.variant,
                "p": self.p,
                "amplitudes": 1 << len(problem.reduced().variables),
                "circuit_evaluations": samples.num_evaluations,
                "expected_penalty_energy": samples.expected_energy,
                **harvest.statistics(num_states),
                **penalty_facts(samples.penalties),
            },
        )


@cache
def _warm_up(variant: str) -> None:
    """Load libraries and kernels, once per process, by solving a tiny problem."""
    from qubo_prune.core.problem.problem import Problem

    problem = Problem(np.diag([1.0, 2.0, 3.0]), 1)
    if variant == "xy":
        optimize_angles(problem, p=1, starts=1)
    else:
        from qubo_prune.encodings import estimated_penalty
        from qubo_prune.search.repair import repair

        for module in ("qiskit_aer.primitives", "qiskit_optimization.algorithms"):
            import_module(module)
        estimated_penalty(problem, 1)
        repair(problem, np.zeros((1, 3), np.bool_))
