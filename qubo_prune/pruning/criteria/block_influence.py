"""Block influence: how far a block turns the residual stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.pruning.criteria.base import (
    Criterion,
    lowest,
    require_blocks,
    require_choice,
    require_final_states,
)
from qubo_prune.pruning.criteria.evidence import Evidence, Need

if TYPE_CHECKING:
    from qubo_prune.pruning.statistics import Tokens

__all__ = ["BlockInfluence"]


@dataclass(frozen=True)
class BlockInfluence(Criterion):
    """``1 - E[cos(h before, h after)]``, averaged per sample, then over samples.

    Hidden states are taken at the blocks: the last entry of the library's own list comes after the
    final norm, which would give the last block another influence than it has.

    Parameters
    ----------
    tokens : {"all", "last"}
        Over which tokens of a sample the cosine is averaged. ShortGPT takes all.
    recomputed : bool
        Choose one block at a time and compute the influence of the others again without it, as the
        official program of the paper's baseline does; ShortGPT computes it once. Takes a forward
        pass for each block removed.
    after_norm : bool
        Take the state after the last block from behind the final norm, as programs do that read the
        library's own list of hidden states.
    """

    tokens: Tokens = "all"
    recomputed: bool = False
    after_norm: bool = False

    name: ClassVar[str] = "block-influence"
    summary: ClassVar[str] = "1 - mean cosine of the residual stream before and after the block."
    citation: ClassVar[str] = "Men et al. 2024 (ShortGPT), arXiv:2403.03853"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.STATISTICS})

    def __post_init__(self) -> None:
        require_choice(self.tokens, ("all", "last"), "tokens")

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the block influence in the whole model."""
        return self._without(evidence, ())

    def removal(self, problem: Problem, evidence: Evidence) -> tuple[int, ...]:
        """Return the blocks of the lowest influence, computed again after each if so asked."""
        require_blocks(problem, evidence)
        if not self.recomputed:
            return lowest(problem, self.scores(evidence))
        if problem.budget is not None:
            raise InputError(
                "recomputed=True chooses block by block and knows counts only, not a budget; leave"
                " it out, or the budget."
            )
        removed = tuple(problem.fixed_removed.tolist())
        while len(removed) < problem.num_removed:
            scores = self._without(evidence, removed)
            gone = set(removed)
            candidates: list[int] = []
            for group in problem.groups:
                blocks = set(group.indices.tolist())
                if len(blocks & gone) < group.count:
                    candidates += blocks - gone
            best = min(candidates, key=lambda block: (scores[block], block))
            removed = tuple(sorted((*removed, best)))
        return removed

    def _without(self, evidence: Evidence, removed: tuple[int, ...]) -> NDArray[np.float64]:
        statistics = evidence.statistics(removed)
        similarity = statistics.similarity[self.tokens].mean(axis=0)
        if self.after_norm:
            require_final_states(statistics)
            last = max(set(range(evidence.num_blocks)).difference(removed))
            similarity[last] = statistics.final_similarity[self.tokens][:, last].mean()
        return np.asarray(1.0 - similarity)
