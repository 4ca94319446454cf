"""A random choice: the control that any criterion has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.validation import as_count
from qubo_prune.pruning.criteria.base import Criterion
from qubo_prune.pruning.criteria.evidence import Evidence, Need

__all__ = ["Random"]


@dataclass(frozen=True)
class Random(Criterion):
    """A random number for each block; what any criterion has to beat.

    Parameters
    ----------
    seed : int
        Another one draws other numbers.
    """

    seed: int = 0

    name: ClassVar[str] = "random"
    summary: ClassVar[str] = "A random number."
    citation: ClassVar[str] = "control"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        if as_count(self.seed, "seed") < 0:
            raise InputError(f"seed must be at least 0, not {self.seed}; choose another one.")

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the numbers drawn."""
        return np.random.default_rng(self.seed).random(evidence.num_blocks)
