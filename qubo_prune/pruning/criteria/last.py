"""The last blocks: a control that looks at nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.pruning.criteria.base import Criterion
from qubo_prune.pruning.criteria.evidence import Evidence, Need

__all__ = ["Last"]


@dataclass(frozen=True)
class Last(Criterion):
    """How many blocks come after a block: the last ones go. Strong once the model is healed."""

    name: ClassVar[str] = "last"
    summary: ClassVar[str] = "Number of blocks after the block, so that the last ones go."
    citation: ClassVar[str] = "Lu et al. 2024, arXiv:2411.15558"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the number of blocks that come after each."""
        return np.arange(evidence.num_blocks - 1.0, -1.0, -1.0)
