"""What healing did to a model, for files, terminals and model cards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qubo_prune.core.stopping import StopReason
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.repair.base import Step

__all__ = ["NOT_HEALED", "ORIGINAL", "Healed"]

FORMAT_VERSION = 1

ORIGINAL = "original"
NOT_HEALED = "not healed"
"""Names of the first two models of an evaluation; the others are named by the methods so far."""


@dataclass(frozen=True, kw_only=True)
class Healed:
    """What `heal` did.

    Attributes
    ----------
    out : Path
        The folder.
    is_written : bool
        Whether there was anything to write when it ended; if not, the folder is as it was before.
    removed : tuple of int
        The layers of the original that the model lacks.
    steps : tuple of Step
        What each method did, in order.
    evaluation : Evaluation, optional
        Loss, KL and top-1 agreement on held-out samples of ``original``, ``not healed``, and the
        model after each method, as ``rescale`` and ``rescale, linear``.
    stop_reason : StopReason
        COMPLETED, or why it ended before; the same call goes on.
    scale : tuple of float
        By what the residual stream at each place has to be multiplied to be comparable with the
        original's.
    max_difference, cache_difference : float
        What was found when the folder was loaded again: the largest difference of a logit from the
        healed model in memory, and between generation with and without a cache.
    command : str
        How to do it again.
    described : dict
        The original, the pruned model and the samples.
    earlier : tuple of dict
        What was done to the model before.
    sha256 : dict
        Checksums of the files.
    seconds : float
        How long it took.
    """

    out: Path
    removed: tuple[int, ...]
    steps: tuple[Step, ...]
    evaluation: Evaluation | None = None
    stop_reason: StopReason = StopReason.COMPLETED
    is_written: bool = True
    scale: tuple[float, ...] = ()
    max_difference: float = 0.0
    cache_difference: float = 0.0
    command: str = ""
    described: dict[str, Any] = field(default_factory=dict)
    earlier: tuple[dict[str, Any], ...] = ()
    sha256: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def methods(self) -> str:
        """The names of the methods, in order."""
        return ", ".join(step.method for step in self.steps)

    def gain(self, measure: str, model: str | None = None) -> tuple[float, float] | None:
        """Return how much a measure changed by healing, sample by sample, and its standard error;
        None if it was not measured.

        Parameters
        ----------
        measure : str
            ``loss``, ``KL`` or ``top-1 agreement``.
        model : str, optional
            After which methods; by default all of them.
        """
        name = self.methods if model is None else model
        evaluation = self.evaluation
        if evaluation is None or not {name, NOT_HEALED} <= evaluation.models.keys():
            return None
        after, before = (evaluation.metric(each, measure) for each in (name, NOT_HEALED))
        if after is None or before is None:
            return None
        differences = after.samples - before.samples
        error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else 0
        return float(differences.mean()), float(error)

    def to_dict(self) -> dict[str, Any]:
        """Return the object in ``heal.json``, in plain Python types."""
        evaluation = self.evaluation
        return {
            "format_version": FORMAT_VERSION,
            **self.described,
            "removed": list(self.removed),
            "steps": [step.to_dict() for step in self.steps],
            "earlier": list(self.earlier),
            "scale": list(self.scale),
            "evaluation": None if evaluation is None else evaluation.to_dict(),
            "gain": {
                measure: None if found is None else list(found)
                for measure in ("loss", "KL", "top-1 agreement")
                for found in [self.gain(measure)]
            },
            "max_difference": self.max_difference,
            "cache_difference": self.cache_difference,
            "stop_reason": self.stop_reason.value,
            "seconds": self.seconds,
            "command": self.command,
            "sha256": self.sha256,
        }

    def __str__(self) -> str:
        """Return what was done and, where it was measured, what it changed."""
        if not self.steps:
            return "nothing was healed"
        lines = [step.summary for step in self.steps]
        for measure in ("loss", "KL", "top-1 agreement"):
            found = self.gain(measure)
            if found is not None:
                change, error = found
                lines.append(f"{measure} on held-out samples: {change:+.3f} ± {error:.3f}")
        return "\n".join(lines)
