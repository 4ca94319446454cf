"""Solvers behind one interface, and the registry that knows them by name.

Importing this package loads no solver library. A third party registers a `Backend` subclass under
the entry point group ``qubo_prune.backends``::

    [project.entry-points."qubo_prune.backends"]
    my-solver = "my_package:MySolver"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.backends.base import Availability as Availability
    from qubo_prune.backends.base import Backend as Backend
    from qubo_prune.backends.base import Capability as Capability
    from qubo_prune.backends.base import RawResult as RawResult
    from qubo_prune.backends.branch_and_bound.backend import BranchAndBound as BranchAndBound
    from qubo_prune.backends.built_ins import backend_names as backend_names
    from qubo_prune.backends.controls import Greedy as Greedy
    from qubo_prune.backends.controls import RandomStates as RandomStates
    from qubo_prune.backends.enumeration.backend import Enumeration as Enumeration
    from qubo_prune.backends.gurobi.backend import Gurobi as Gurobi
    from qubo_prune.backends.ising import IsingBackend as IsingBackend
    from qubo_prune.backends.lqa.backend import LocalQuantumAnnealing as LocalQuantumAnnealing
    from qubo_prune.backends.ocean.backend import OceanAnnealing as OceanAnnealing
    from qubo_prune.backends.ocean.backend import OceanBackend as OceanBackend
    from qubo_prune.backends.ocean.backend import OceanDescent as OceanDescent
    from qubo_prune.backends.ocean.backend import OceanExact as OceanExact
    from qubo_prune.backends.ocean.backend import OceanTabu as OceanTabu
    from qubo_prune.backends.ocean.backend import OceanTree as OceanTree
    from qubo_prune.backends.qaoa.backend import QAOA as QAOA
    from qubo_prune.backends.registry import availability_of as availability_of
    from qubo_prune.backends.registry import backend_class as backend_class
    from qubo_prune.backends.registry import distribution_of as distribution_of
    from qubo_prune.backends.registry import get_backend as get_backend
    from qubo_prune.backends.scip.backend import Scip as Scip
    from qubo_prune.backends.swaps.annealing import Annealing as Annealing
    from qubo_prune.backends.swaps.tabu import Tabu as Tabu

_HOMES = {
    "Annealing": "qubo_prune.backends.swaps.annealing",
    "Availability": "qubo_prune.backends.base",
    "Backend": "qubo_prune.backends.base",
    "BranchAndBound": "qubo_prune.backends.branch_and_bound.backend",
    "Capability": "qubo_prune.backends.base",
    "Enumeration": "qubo_prune.backends.enumeration.backend",
    "Greedy": "qubo_prune.backends.controls",
    "Gurobi": "qubo_prune.backends.gurobi.backend",
    "IsingBackend": "qubo_prune.backends.ising",
    "LocalQuantumAnnealing": "qubo_prune.backends.lqa.backend",
    "OceanAnnealing": "qubo_prune.backends.ocean.backend",
    "OceanBackend": "qubo_prune.backends.ocean.backend",
    "OceanDescent": "qubo_prune.backends.ocean.backend",
    "OceanExact": "qubo_prune.backends.ocean.backend",
    "OceanTabu": "qubo_prune.backends.ocean.backend",
    "OceanTree": "qubo_prune.backends.ocean.backend",
    "QAOA": "qubo_prune.backends.qaoa.backend",
    "RandomStates": "qubo_prune.backends.controls",
    "RawResult": "qubo_prune.backends.base",
    "Scip": "qubo_prune.backends.scip.backend",
    "Tabu": "qubo_prune.backends.swaps.tabu",
    "availability_of": "qubo_prune.backends.registry",
    "backend_class": "qubo_prune.backends.registry",
    "backend_names": "qubo_prune.backends.built_ins",
    "distribution_of": "qubo_prune.backends.registry",
    "get_backend": "qubo_prune.backends.registry",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
