"""Rescaling for the norm that went with removed layers (Prune&Comp, arXiv 2507.18212)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qubo_prune.pruning.repair.base import Patient, Step

__all__ = ["Rescale"]


@dataclass(frozen=True)
class Rescale:
    """Rescale later branches for the norm that removed layers gave the residual stream."""

    name: ClassVar[str] = "rescale"
    summary: ClassVar[str] = "rescale for the norm that removed layers gave the stream"

    def check(self) -> None:
        """Nothing can be wrong beforehand."""

    def run(self, patient: Patient) -> Step:
        """Rescale ``patient.model``."""
        raise NotImplementedError
