"""Criteria: cheap scores per block, by which others choose what to remove.

Each is a frozen class in a module of its own; ``get_criterion(name).removal(problem, evidence)``
is what it would remove.
"""

from __future__ import annotations

from qubo_prune.pruning.criteria.base import Criterion, lowest
from qubo_prune.pruning.criteria.evidence import Evidence, Need
from qubo_prune.pruning.criteria.registry import CRITERIA, criterion_names, get_criterion
from qubo_prune.pruning.criteria.table import ScoreTable, score_table

__all__ = [
    "CRITERIA",
    "Criterion",
    "Evidence",
    "Need",
    "ScoreTable",
    "criterion_names",
    "get_criterion",
    "lowest",
    "score_table",
]
