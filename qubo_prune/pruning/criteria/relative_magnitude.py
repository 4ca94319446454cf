"""Relative magnitude: how large what a block adds is beside what it hands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.pruning.criteria.base import Criterion, require_choice
from qubo_prune.pruning.criteria.evidence import Evidence, Need

if TYPE_CHECKING:
    from qubo_prune.pruning.statistics import Tokens

__all__ = ["RelativeMagnitude"]


@dataclass(frozen=True)
class RelativeMagnitude(Criterion):
    """``E[|f(h)| / |h + f(h)|]`` over tokens, f(h) what the block adds to the residual stream.

    Parameters
    ----------
    tokens : {"all", "last"}
        Over which tokens of a sample the ratio is averaged.
    """

    tokens: Tokens = "all"

    name: ClassVar[str] = "relative-magnitude"
    summary: ClassVar[str] = "Mean norm of what the block adds over that of the stream after it."
    citation: ClassVar[str] = "Samragh et al. 2023, arXiv:2312.09299"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.STATISTICS})

    def __post_init__(self) -> None:
        require_choice(self.tokens, ("all", "last"), "tokens")

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the mean relative magnitude."""
        return np.asarray(evidence.statistics().magnitude[self.tokens].mean(axis=0))
