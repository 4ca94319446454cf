"""Options of distillation, of `heal` and `compress`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

Lora = Annotated[
    int | None,
    typer.Option(
        metavar="RANK", help="Train adapters of this rank and merge them, not all weights."
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(metavar="COUNT", help="Distil with so many tokens.  [default: all samples once]"),
]
Epochs = Annotated[
    int | None, typer.Option(metavar="COUNT", help="How often to go through the samples.")
]
LearningRate = Annotated[
    float | None,
    typer.Option(metavar="RATE", help="The highest one.  [default: 2e-5; 2e-4 with --lora]"),
]
StepSamples = Annotated[
    int | None,
    typer.Option(metavar="COUNT", help="Samples of a step of training.  [default: 64]"),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Train in float32 or bfloat16.  [default: as the model is loaded]"
    ),
]
Checkpointing = Annotated[
    bool,
    typer.Option("--gradient-checkpointing", help="Train in less memory, but a third more slowly."),
]


@dataclass(frozen=True, kw_only=True)
class DistillOptions:
    """How to distil, as the user wrote it; None for the defaults."""

    lora: Lora = None
    max_tokens: MaxTokens = None
    epochs: Epochs = None
    learning_rate: LearningRate = None
    step_samples: StepSamples = None
    precision: Precision = None
    gradient_checkpointing: Checkpointing = False

    def given(self) -> dict[str, Any]:
        """Return what the user wrote, by the names of `DistillSettings`."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and value is not False
        }
