"""First-order Taylor: what the gradient at a block's gate says of its removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.pruning.criteria.base import Criterion
from qubo_prune.pruning.criteria.evidence import Evidence, Need

__all__ = ["Taylor"]


@dataclass(frozen=True)
class Taylor(Criterion):
    """``|E[g]|``, g the gradient of a sample's loss with respect to the block's gate.

    Shortened LLaMA sums ``|dL/dW * W|`` over the weights of a block instead; the gate takes the
    block as one piece, so that its value is the first-order change of the loss without the block.

    Parameters
    ----------
    per_sample : bool
        ``E[|g|]`` instead: gradients of opposite sign do not cancel.
    """

    per_sample: bool = False

    name: ClassVar[str] = "taylor"
    summary: ClassVar[str] = "Absolute value of the mean gradient of the loss at the block's gate."
    citation: ClassVar[str] = "Molchanov et al. 2017, arXiv:1611.06440; Kim et al. 2024"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.GRADIENTS})

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the absolute first-order change of the loss."""
        gradients = evidence.gradients()
        if self.per_sample:
            return np.asarray(np.abs(gradients).mean(axis=0))
        return np.asarray(np.abs(gradients.mean(axis=0)))
