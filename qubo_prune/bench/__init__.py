"""Measuring solvers: instances to try them on, what they ran on, and what the figures say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.bench.instances import FAMILIES as FAMILIES
    from qubo_prune.bench.instances import Case as Case
    from qubo_prune.bench.instances import Family as Family
    from qubo_prune.bench.instances import Instance as Instance
    from qubo_prune.bench.machine import describe_machine as describe_machine
    from qubo_prune.bench.machine import peak_memory as peak_memory
    from qubo_prune.bench.statistics import recall as recall
    from qubo_prune.bench.statistics import shifted_geometric_mean as shifted_geometric_mean

_HOMES = {
    "Case": "qubo_prune.bench.instances",
    "FAMILIES": "qubo_prune.bench.instances",
    "Family": "qubo_prune.bench.instances",
    "Instance": "qubo_prune.bench.instances",
    "describe_machine": "qubo_prune.bench.machine",
    "peak_memory": "qubo_prune.bench.machine",
    "recall": "qubo_prune.bench.statistics",
    "shifted_geometric_mean": "qubo_prune.bench.statistics",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
