"""A model's objective on some of its samples, for searches that screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qubo_prune.core.stopping import Stop
from qubo_prune.pruning.measurement import ModelObjective
from qubo_prune.pruning.objective import Measurement

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["SampledModel"]


class SampledModel:
    """The objective of a model that can be measured on some of its samples.

    For `EvoPress` as published, which screens on few samples drawn afresh. Each draw takes one more
    pass over its samples, of the original model.

    Parameters
    ----------
    objective : ModelObjective
        The objective on all samples.
    """

    def __init__(self, objective: ModelObjective) -> None:
        self.num_blocks = objective.num_blocks
        self.num_samples = objective.num_samples
        self._objective = objective

    def measure(
        self, removals: Sequence[tuple[int, ...]], stop: Stop | None = None
    ) -> Iterator[Measurement]:
        """Yield one measurement per removal, on all samples."""
        return self._objective.measure(removals, stop)

    def subset(self, samples: Sequence[int]) -> ModelObjective:
        """Return the objective on these samples alone, by index."""
        whole = self._objective
        calibration = whole.calibration
        model: PreTrainedModel = whole.gates.model  # type: ignore[assignment]
        return ModelObjective(
            model,
            whole.gates,
            replace(
                calibration,
                tokens=tuple(calibration.tokens[s] for s in samples),
                targets=tuple(calibration.targets[s] for s in samples),
                indices=calibration.indices[list(samples)],
            ),
            objective=whole.objective,
            batch_size=whole.batch_size,
        )
