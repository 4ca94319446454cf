"""The names of all backends, without loading any of them or a numerical library."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

ENTRY_POINT_GROUP = "qubo_prune.backends"

BUILT_INS = (
    ("branch-and-bound", "qubo_prune.backends.branch_and_bound.backend", "BranchAndBound"),
    ("enumeration", "qubo_prune.backends.enumeration.backend", "Enumeration"),
    ("tabu", "qubo_prune.backends.swaps.tabu", "Tabu"),
    ("annealing", "qubo_prune.backends.swaps.annealing", "Annealing"),
    ("gurobi", "qubo_prune.backends.gurobi.backend", "Gurobi"),
    ("ocean-tabu", "qubo_prune.backends.ocean.backend", "OceanTabu"),
    ("ocean-annealing", "qubo_prune.backends.ocean.backend", "OceanAnnealing"),
    ("ocean-descent", "qubo_prune.backends.ocean.backend", "OceanDescent"),
    ("ocean-tree", "qubo_prune.backends.ocean.backend", "OceanTree"),
    ("ocean-exact", "qubo_prune.backends.ocean.backend", "OceanExact"),
    ("qaoa", "qubo_prune.backends.qaoa.backend", "QAOA"),
    ("lqa", "qubo_prune.backends.lqa.backend", "LocalQuantumAnnealing"),
    ("scip", "qubo_prune.backends.scip.backend", "Scip"),
    ("greedy", "qubo_prune.backends.controls", "Greedy"),
    ("random", "qubo_prune.backends.controls", "RandomStates"),
)
"""Name, module and class of each backend of this package."""


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends: built-ins first, then those that other packages registered.

    Examples
    --------
    >>> backend_names()[:2]
    ('branch-and-bound', 'enumeration')
    """
    built_in = tuple(name for name, _, _ in BUILT_INS)
    return built_in + tuple(sorted(set(outside_backends()) - set(built_in)))


@lru_cache(maxsize=1)
def outside_backends() -> dict[str, Any]:
    """Return the entry points of the backends of other packages, by name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
