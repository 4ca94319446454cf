"""Distillation as a method of healing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from qubo_prune.pruning.healing.distillation.settings import DistillSettings
from qubo_prune.pruning.repair.base import Patient, Step

__all__ = ["Distill"]


@dataclass(frozen=True, kw_only=True)
class Distill(DistillSettings):
    """Train the model to predict what the original predicts; see `DistillSettings`."""

    name: ClassVar[str] = "distill"
    summary: ClassVar[str] = "trained to predict what the original predicts"

    def check(self) -> None:
        """Refuse adapters where peft is missing."""
        if self.lora is not None:
            from qubo_prune.pruning.healing.distillation.adapters import require_peft

            require_peft()

    def run(self, patient: Patient) -> Step:
        """Train ``patient.model``, from where a stopped call left off."""
        from qubo_prune.pruning.healing.distillation.training import distill

        distilled = distill(
            patient.model,
            patient.original,
            patient.calibration,
            self,
            batch_size=patient.batch_size,
            layers=patient.layers,
            work=patient.work,
            stop=patient.stop,
        )
        facts = distilled.to_dict()
        del facts["stop_reason"], facts["seconds"]
        return Step(
            method=self.name,
            settings={**asdict(self), "learning_rate": self.peak},
            facts=facts,
            summary=f"distilled: {distilled}",
            seconds=distilled.seconds,
            stop_reason=distilled.stop_reason,
        )
