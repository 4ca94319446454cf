"""SLEB: remove one block after the other, always the one whose removal hurts least."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.validation import as_count
from qubo_prune.pruning.searches.base import Record, Search, SearchEndedError

__all__ = ["Sleb"]


@dataclass(frozen=True)
class Sleb(Search):
    """Greedy removal, every block that is left measured again after each one that went.

    That takes N + (N-1) + ... + (N-M+1) measurements. Where the budget ends earlier, the blocks
    that the last finished round likes best go together, and that removal is measured: an answer is
    there after two measurements.

    Parameters
    ----------
    early_barrier, late_barrier : int
        How many of the first and last blocks still there are never removed. The official program
        spares one on either side; 0 by default, so that a search competes with others on equal
        terms.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> from qubo_prune.pruning import FunctionObjective
    >>> objective = FunctionObjective(lambda removed: sum((i - 2.0) ** 2 for i in removed), 5)
    >>> result = Sleb().run(objective, Problem(np.zeros((5, 5)), remove=2))
    >>> result.best.removed, result.num_measurements
    ((1, 2), 9)
    """

    early_barrier: int = 0
    late_barrier: int = 0

    name: ClassVar[str] = "sleb"
    summary: ClassVar[str] = "Remove the block that hurts least, measure the rest again, repeat."
    citation: ClassVar[str] = "Song et al. 2024, arXiv:2402.09025"

    def __post_init__(self) -> None:
        for what in ("early_barrier", "late_barrier"):
            if as_count(getattr(self, what), what) < 0:
                raise InputError(
                    f"{what} must be at least 0, not {getattr(self, what)}; use 0 for no barrier."
                )

    def _search(self, record: Record, problem: Problem) -> None:
        removed = tuple(problem.fixed_removed.tolist())
        wanted = problem.num_removed
        if len(removed) == wanted:
            record.measure([removed])
        scores: dict[int, float] = {}
        while len(removed) < wanted:
            candidates = self._candidates(problem, removed)
            trials = [tuple(sorted((*removed, block))) for block in candidates]
            if len(removed) + 1 < wanted and record.left < len(trials) + 1:
                if not scores:  # the budget is less than one round
                    measured = trials[: max(0, math.ceil(record.left) - 1)]
                    scores = dict(zip(candidates, record.measure(measured), strict=False))
                record.measure([_completed(problem, removed, scores)])
                raise SearchEndedError
            values = record.measure(trials)
            scores = dict(zip(candidates, values, strict=True))
            # Ties go to the first block.
            removed = trials[int(np.argmin(values))]

    def _candidates(self, problem: Problem, removed: tuple[int, ...]) -> list[int]:
        gone = set(removed)
        alive = [block for block in range(problem.num_blocks) if block not in gone]
        spared = {*alive[: self.early_barrier], *alive[len(alive) - self.late_barrier :]}
        found: list[int] = []
        for group in problem.groups:
            blocks = set(group.indices.tolist())
            if len(blocks & gone) < group.count:
                found += blocks - gone - spared
        if not found:
            raise InputError(
                f"after {len(removed)} blocks the barriers {self.early_barrier} and "
                f"{self.late_barrier} leave none to remove; lower them or remove fewer."
            )
        return sorted(found)


def _completed(
    problem: Problem, removed: tuple[int, ...], scores: dict[int, float]
) -> tuple[int, ...]:
    """Return `removed` filled up with the blocks of the lowest scores."""
    full = set(removed)
    for group in problem.groups:
        blocks = set(group.indices.tolist())
        missing = group.count - len(blocks & full)
        ranked = sorted(blocks - full, key=lambda block: (scores.get(block, math.inf), block))
        full |= set(ranked[:missing])
    return tuple(sorted(full))
