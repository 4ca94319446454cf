"""Norm ratio: how much longer a block makes the residual stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.pruning.criteria.base import Criterion, require_choice
from qubo_prune.pruning.criteria.evidence import Evidence, Need

if TYPE_CHECKING:
    from qubo_prune.pruning.statistics import Tokens

__all__ = ["NormRatio"]


@dataclass(frozen=True)
class NormRatio(Criterion):
    """``E[|h after| / |h before|]`` over tokens; the blocks of the largest ratios are kept.

    Parameters
    ----------
    tokens : {"all", "last"}
        Over which tokens of a sample the ratio is averaged.
    """

    tokens: Tokens = "all"

    name: ClassVar[str] = "norm-ratio"
    summary: ClassVar[str] = "Mean ratio of the norms of the stream after and before the block."
    citation: ClassVar[str] = "Mistral AI 2026 (Ministral 3), arXiv:2601.08584"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.STATISTICS})

    def __post_init__(self) -> None:
        require_choice(self.tokens, ("all", "last"), "tokens")

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the mean ratio of norms."""
        return np.asarray(evidence.statistics().norm_ratio[self.tokens].mean(axis=0))
