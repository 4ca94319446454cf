"""One linear map for each run of removed layers, merged into the layer before it (ReplaceMe,
arXiv 2505.02819).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qubo_prune.pruning.repair.base import Patient, Step

__all__ = ["Linear"]


@dataclass(frozen=True)
class Linear:
    """Have the layer before each run of removed layers do, as far as a linear map can, their work.

    Parameters
    ----------
    ridge : float, optional
        Strength of the ridge, in units of the mean square of what is mapped; by default chosen by
        cross-validation.
    """

    ridge: float | None = None

    name: ClassVar[str] = "linear"
    summary: ClassVar[str] = "a linear map in place of removed layers, merged into the one before"

    def check(self) -> None:
        """Refuse a ridge that is none."""

    def run(self, patient: Patient) -> Step:
        """Merge maps into ``patient.model``."""
        raise NotImplementedError
