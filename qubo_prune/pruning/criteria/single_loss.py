"""Single losses, measured: what the loss is without one block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.pruning.criteria.base import Criterion
from qubo_prune.pruning.criteria.evidence import Evidence, Need

__all__ = ["SingleLoss"]


@dataclass(frozen=True)
class SingleLoss(Criterion):
    """Increase of the loss without the block; its exponential is Shortened LLaMA's PPL ratio."""

    name: ClassVar[str] = "single-loss"
    summary: ClassVar[str] = "Measured increase of the loss when the block alone is removed."
    citation: ClassVar[str] = "Kim et al. 2024 (Shortened LLaMA), arXiv:2402.02834"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOSS})

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the measured losses, inf where the model diverged."""
        return evidence.singles("loss")
