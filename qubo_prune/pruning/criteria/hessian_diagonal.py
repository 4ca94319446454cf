"""Diagonal of H: the energy without any pair of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.pruning.criteria.base import Criterion
from qubo_prune.pruning.criteria.evidence import Evidence, Need

__all__ = ["HessianDiagonal"]


@dataclass(frozen=True)
class HessianDiagonal(Criterion):
    """``H_ii = E[g_i^2]``: what is left of the energy when pairs are ignored; a control."""

    name: ClassVar[str] = "hessian-diagonal"
    summary: ClassVar[str] = "Mean square of the gradient of the loss at the block's gate."
    citation: ClassVar[str] = "LeCun et al. 1989 (optimal brain damage)"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.GRADIENTS})

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the diagonal of the Hessian."""
        return np.asarray(np.square(evidence.gradients()).mean(axis=0))
