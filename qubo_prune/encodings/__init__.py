"""The problem in the forms that other solvers take, and the way back.

Unconstrained ones carry the constraint as a penalty (`penalty_qubo`, `to_ising`, `to_bqm`), whose size `smallest_penalty` and `safe_penalty` know; a
CQM or a QuadraticProgram carries it as it is. `decode` and `repair` turn what a solver returns into feasible states, and `write_problem` writes files
that `Problem.load` reads.
"""

from __future__ import annotations

from qubo_prune.encodings.exchange import write_problem
from qubo_prune.encodings.models import decode, to_bqm, to_cqm, to_quadratic_program
from qubo_prune.encodings.penalty import Ising, Qubo, penalty_qubo, to_ising
from qubo_prune.encodings.repair import Harvest, nearest_feasible, repair
from qubo_prune.encodings.weights import estimated_penalty, safe_penalty, smallest_penalty

__all__ = [
    "Harvest",
    "Ising",
    "Qubo",
    "decode",
    "estimated_penalty",
    "nearest_feasible",
    "penalty_qubo",
    "repair",
    "safe_penalty",
    "smallest_penalty",
    "to_bqm",
    "to_cqm",
    "to_ising",
    "to_quadratic_program",
    "write_problem",
]
