"""A pruned model brought nearer to its original: methods in order, measured, saved and checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.repair.base import HealingMethod, Step

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Healed", "heal"]


@dataclass(frozen=True, kw_only=True)
class Healed:
    """What `heal` did.

    Attributes
    ----------
    out : Path
        The folder; as it was before if `is_written` is false.
    is_written : bool
        Whether anything was healed before a stop.
    removed : tuple of int
        The layers of the original that the model lacks.
    steps : tuple of Step
        What each method did, in order.
    evaluation : Evaluation, optional
        Loss, KL and top-1 agreement on held-out samples: ``original``, ``not healed``, and after
        each method, as ``rescale, linear``.
    stop_reason : StopReason
        COMPLETED, or why it ended before; the same call then goes on.
    command : str
        How to do it again.
    described : dict
        The original and the samples.
    seconds : float
        How long it took.
    """

    out: Path
    removed: tuple[int, ...]
    steps: tuple[Step, ...]
    evaluation: Evaluation | None = None
    stop_reason: StopReason = StopReason.COMPLETED
    is_written: bool = True
    command: str = ""
    described: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def heal(
    model: str | os.PathLike[str],
    original: PreTrainedModel | str | os.PathLike[str],
    calibration: Calibration,
    out: str | os.PathLike[str],
    *,
    held_out: Calibration | None = None,
    methods: Sequence[str | HealingMethod] = ("linear",),
    removed: Sequence[int] | None = None,
    batch_size: int = BATCH_SIZE,
    dtype: str = "auto",
    device_map: str = "auto",
    layers: str | None = None,
    command: str | None = None,
    trust_remote_code: bool = False,
    stop: Stop | None = None,
) -> Healed:
    """Bring a pruned model nearer to its original."""
    raise NotImplementedError
