"""Single divergences, measured: how far the model without one block is from the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.pruning.criteria.base import Criterion
from qubo_prune.pruning.criteria.evidence import Evidence, Need

__all__ = ["SingleKL"]


@dataclass(frozen=True)
class SingleKL(Criterion):
    """KL divergence of the model without the block from the original, which needs no labels."""

    name: ClassVar[str] = "single-kl"
    summary: ClassVar[str] = "Measured KL divergence when the block alone is removed."
    citation: ClassVar[str] = "Kim et al. 2024, with the divergence of Sieberling et al. 2024"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.KL})

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the measured divergences, inf where the model diverged."""
        return evidence.singles("kl")
