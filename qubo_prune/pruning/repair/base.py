"""What every method of healing is given, does and says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop, StopReason

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qubo_prune.hessians.calibration.calibration import Calibration

__all__ = ["HealingMethod", "Patient", "Run", "Step", "runs_of"]


@dataclass(frozen=True)
class Run:
    """Neighbouring layers that were removed.

    Attributes
    ----------
    first, last : int
        The first and the last of them, as the original numbers its layers.
    place : int
        The layer of the pruned model that follows them, which is how many come before; as many as
        there are where the run ended the model.
    """

    first: int
    last: int
    place: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def runs_of(removed: Sequence[int]) -> tuple[Run, ...]:
    """Return the runs of neighbouring layers among removed ones, from the first to the last.

    Examples
    --------
    >>> [str(run) for run in runs_of([3, 4, 5, 16])]
    ['3-5', '16']
    >>> [run.place for run in runs_of([3, 4, 5, 16])]
    [3, 13]
    """
    runs: list[Run] = []
    for gone, layer in enumerate(sorted(removed)):
        if runs and runs[-1].last == layer - 1:
            runs[-1] = Run(runs[-1].first, layer, runs[-1].place)
        else:
            runs.append(Run(layer, layer, layer - gone))
    return tuple(runs)


@dataclass
class Patient:
    """A pruned model that is being healed, beside its original.

    Attributes
    ----------
    model : transformers.PreTrainedModel
        The pruned model, whose weights methods change in place; it stays what its class and
        configuration say, so that everything loads it as before.
    original : transformers.PreTrainedModel
        The original, which stays as it is.
    calibration : Calibration
        The samples to heal with.
    removed : tuple of int
        The layers of the original that the model lacks, ascending.
    work : Path
        A folder beside the result for what a method that is stopped or killed goes on from. It need
        not be there; it is removed when the result is written and nothing is left to do.
    batch_size : int
        Most samples at a time.
    stop : Stop
        When to stop, and who is told how far it is.
    layers : str, optional
        Dotted path of the decoder layers in both models; found if not given.
    scale : list of float
        By what the residual stream entering each layer of the model has to be multiplied to be
        comparable with the original's; the last entry is that of the stream behind the last layer.
    trust_remote_code : bool
        Whether code that comes with the model may run.
    """

    model: PreTrainedModel
    original: PreTrainedModel
    calibration: Calibration
    removed: tuple[int, ...]
    work: Path
    batch_size: int = BATCH_SIZE
    stop: Stop = field(default_factory=Stop)
    layers: str | None = None
    scale: list[float] = field(default_factory=list)
    trust_remote_code: bool = False

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of layers that are missing."""
        return runs_of(self.removed)

    def require_runs(self) -> None:
        """Refuse a model that lacks no whole layer.

        Raises
        ------
        InputError
            If only branches of layers were removed.
        """
        if not self.removed:
            raise InputError(
                "only branches of layers were removed, and a repair in closed form takes the place"
                " of whole layers; use another method."
            )


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one method did.

    Attributes
    ----------
    method : str
        Its name.
    settings : dict
        Its switches, as JSON.
    facts : dict
        What it found and did, as JSON; ``heal.json`` has it.
    summary : str
        The same in one sentence, for terminals and model cards.
    seconds : float
        How long it took.
    stop_reason : StopReason
        COMPLETED, or why it ended before that; what it had done by then is in the model.
    """

    method: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    stop_reason: StopReason = StopReason.COMPLETED

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of ``heal.json``."""
        return {**vars(self), "stop_reason": self.stop_reason.value}


class HealingMethod(Protocol):
    """One way of healing; a frozen dataclass whose fields are its switches.

    Attributes
    ----------
    name : str
        What it is called in lists of methods.
    summary : str
        One line on what it does.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    def check(self) -> None:
        """Refuse what can be refused before any model is loaded, such as a missing library.

        Raises
        ------
        InputError
            In one sentence that names the remedy.
        """

    def run(self, patient: Patient) -> Step:
        """Change the weights of ``patient.model`` and say what was done.

        A method that may be stopped asks ``patient.stop``. It either returns what it has, with the
        reason, or raises `qubo_prune.pruning.measuring.work.StoppedError` with the model as it was
        given.

        Raises
        ------
        InputError
            If nothing can be done for this model; says why.
        """
