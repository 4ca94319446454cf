"""How a smaller model is distilled from its original; by default as the paper does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count, as_finite_float

__all__ = ["PRECISIONS", "DistillSettings"]

PRECISIONS = ("auto", "float32", "bfloat16")
"""What passes can be computed in; ``auto`` is what the model was loaded in."""

_LEARNING_RATE = 2e-5
_LORA_LEARNING_RATE = 2e-4
_POSITIVE = ("temperature", "clip", "checkpoint_seconds")


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """What the paper's appendix G, table 10, fixes, and what a budget asks for.

    Attributes
    ----------
    learning_rate : float, optional
        The largest one; by default the paper's 2e-5, and 2e-4 with `lora`, of which the paper says
        nothing.
    weight_decay : float
        Of all weights but biases and norms.
    warmup_steps : int
        Steps over which the learning rate rises, at most a tenth of all; then it falls as a cosine.
    clip : float
        Largest norm of a step's gradient.
    temperature : float
        T in the loss, T^2 KL(original || smaller model); 1 in the paper's code.
    step_samples : int
        Samples of a step, 64 in the paper: 16 on each of four devices.
    epochs : int
        How often the samples are gone through.
    max_tokens : int, optional
        Tokens after which it ends, with the learning rate at its lowest; at least one step is made.
    lora : int, optional
        Rank of adapters of all linear maps that are trained in the place of all weights, and added
        to them in the end.
    seed : int
        Of the order of the samples and of the adapters.
    precision : {"auto", "float32", "bfloat16"}
        What passes are computed in. Weights that are trained are in float32 meanwhile.
    gradient_checkpointing : bool
        Compute activations twice in the place of keeping them.
    checkpoint_seconds : float
        How often the state is put on disk.

    Examples
    --------
    >>> DistillSettings().peak, DistillSettings(lora=16).peak
    (2e-05, 0.0002)
    """

    learning_rate: float | None = None
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    clip: float = 1.0
    temperature: float = 1.0
    step_samples: int = 64
    epochs: int = 1
    max_tokens: int | None = None
    lora: int | None = None
    seed: int = 42
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    gradient_checkpointing: bool = False
    checkpoint_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("step_samples", "epochs"):
            as_count(getattr(self, name), name, least=1)
        for name in ("seed", "warmup_steps"):
            as_count(getattr(self, name), name, least=0)
        for name in ("max_tokens", "lora"):
            if getattr(self, name) is not None:
                as_count(getattr(self, name), name, least=1)
        learned = () if self.learning_rate is None else ("learning_rate",)
        for name in (*_POSITIVE, *learned):
            if as_finite_float(getattr(self, name), name) <= 0:
                raise InputError(
                    f"{name} must be more than 0, not {format_value(getattr(self, name))}; leave it"
                    " out for the default."
                )
        if as_finite_float(self.weight_decay, "weight_decay") < 0:
            raise InputError(
                f"weight_decay must be at least 0, not {format_value(self.weight_decay)}; leave it"
                " out for the default."
            )
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision must be one of {', '.join(PRECISIONS)}, not"
                f" {format_value(self.precision)}; choose one."
            )

    @property
    def peak(self) -> float:
        """The largest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return _LEARNING_RATE if self.lora is None else _LORA_LEARNING_RATE
