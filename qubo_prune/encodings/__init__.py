"""The problem in the forms that other solvers take, and the way back.

Unconstrained ones carry the constraint as a penalty (`penalty_qubo`, `to_ising`, `to_bqm`), whose
size `smallest_penalty` and `safe_penalty` know; a CQM or a QuadraticProgram carries it as it is.
`decode` and `repair` turn what a solver returns into feasible states, and `write_problem` writes
files that `Problem.load` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.core.files.formats import FORMATS as FORMATS
    from qubo_prune.core.files.formats import Format as Format
    from qubo_prune.encodings.exchange import write_problem as write_problem
    from qubo_prune.encodings.objects import decode as decode
    from qubo_prune.encodings.objects import to_bqm as to_bqm
    from qubo_prune.encodings.objects import to_cqm as to_cqm
    from qubo_prune.encodings.objects import to_quadratic_program as to_quadratic_program
    from qubo_prune.encodings.penalty import Ising as Ising
    from qubo_prune.encodings.penalty import Qubo as Qubo
    from qubo_prune.encodings.penalty import penalty_qubo as penalty_qubo
    from qubo_prune.encodings.penalty import to_ising as to_ising
    from qubo_prune.encodings.weights import estimated_penalty as estimated_penalty
    from qubo_prune.encodings.weights import safe_penalty as safe_penalty
    from qubo_prune.encodings.weights import smallest_penalty as smallest_penalty
    from qubo_prune.search.repair import Harvest as Harvest
    from qubo_prune.search.repair import nearest_feasible as nearest_feasible
    from qubo_prune.search.repair import repair as repair

_HOMES = {
    "FORMATS": "qubo_prune.core.files.formats",
    "Format": "qubo_prune.core.files.formats",
    "Harvest": "qubo_prune.search.repair",
    "Ising": "qubo_prune.encodings.penalty",
    "Qubo": "qubo_prune.encodings.penalty",
    "decode": "qubo_prune.encodings.objects",
    "estimated_penalty": "qubo_prune.encodings.weights",
    "nearest_feasible": "qubo_prune.search.repair",
    "penalty_qubo": "qubo_prune.encodings.penalty",
    "repair": "qubo_prune.search.repair",
    "safe_penalty": "qubo_prune.encodings.weights",
    "smallest_penalty": "qubo_prune.encodings.weights",
    "to_bqm": "qubo_prune.encodings.objects",
    "to_cqm": "qubo_prune.encodings.objects",
    "to_ising": "qubo_prune.encodings.penalty",
    "to_quadratic_program": "qubo_prune.encodings.objects",
    "write_problem": "qubo_prune.encodings.exchange",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
