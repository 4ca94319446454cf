"""QAOA: a quantum algorithm, simulated; its parts take a circuit to a device and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.backends.qaoa.angles import Angles as Angles
    from qubo_prune.backends.qaoa.backend import QAOA as QAOA
    from qubo_prune.backends.qaoa.circuit import decode_counts as decode_counts
    from qubo_prune.backends.qaoa.circuit import to_circuit as to_circuit
    from qubo_prune.backends.qaoa.mixers import MIXERS as MIXERS
    from qubo_prune.backends.qaoa.optimizer import optimize_angles as optimize_angles
    from qubo_prune.backends.qaoa.simulator import Simulation as Simulation
    from qubo_prune.backends.qaoa.simulator import simulate as simulate

_HOMES = {
    "Angles": "qubo_prune.backends.qaoa.angles",
    "MIXERS": "qubo_prune.backends.qaoa.mixers",
    "QAOA": "qubo_prune.backends.qaoa.backend",
    "Simulation": "qubo_prune.backends.qaoa.simulator",
    "decode_counts": "qubo_prune.backends.qaoa.circuit",
    "optimize_angles": "qubo_prune.backends.qaoa.optimizer",
    "simulate": "qubo_prune.backends.qaoa.simulator",
    "to_circuit": "qubo_prune.backends.qaoa.circuit",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
