"""The options that state a budget, and how their texts become values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.core.defaults import WEIGHTS as DEFAULT_WEIGHTS
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qubo_prune.cli.files import Files

BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="B",
        help=(
            "What the removed blocks have to weigh at least: 20% of all, or a number; besides"
            " --remove, or by any number of blocks."
        ),
    ),
]
WeightsFile = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="WHAT",
        help=(
            "What blocks weigh for --budget: parameters, or a .json or .csv file of numbers by"
            " block.  [default: parameters]"
        ),
    ),
]


ModelWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="WHAT",
        help=(
            "What blocks weigh for --budget: parameters, bytes, kv-cache (of one token), or a .json"
            " or .csv file of numbers by block.  [default: parameters]"
        ),
    ),
]


@dataclass(frozen=True, kw_only=True)
class ModelBudgetOptions:
    """The same where a model says what blocks weigh."""

    budget: BudgetOption = None
    weights: ModelWeights = None

    def of_problem(self) -> dict[str, Any]:
        """Return what `problem_of` takes."""
        return {
            "at_least": parse_budget(self.budget, self.weights),
            "weights": self.weights or DEFAULT_WEIGHTS,
        }

    def declare(self, files: Files) -> None:
        """Take note of the file that is read, if there is one."""
        from qubo_prune.pruning.block_weights import WEIGHTS

        if self.weights is not None and self.weights not in WEIGHTS:
            files.reads(Path(self.weights))


@dataclass(frozen=True, kw_only=True)
class BudgetOptions:
    """What the removed blocks have to weigh, as the user wrote it."""

    budget: BudgetOption = None
    weights: WeightsFile = None

    def at_least(self) -> float | str | None:
        """Return what `Problem` takes as `at_least`."""
        return parse_budget(self.budget, self.weights)

    def weights_file(self) -> Path | None:
        """Return the file of weights, if they are in one."""
        if self.weights is None or self.weights == DEFAULT_WEIGHTS:
            return None
        return Path(self.weights)

    def declare(self, files: Files) -> None:
        """Take note of the file that is read."""
        path = self.weights_file()
        if path is not None:
            files.reads(path)

    def of_blocks(self, names: Sequence[str]) -> tuple[float, ...] | None:
        """Return what each block weighs, by a file; None where that is its parameters."""
        path = self.weights_file()
        if path is None:
            return None
        from qubo_prune.core.files.weights import read_weights

        return read_weights(path, names)

    def of_hessian(self, source: str, *, gradients: bool = False) -> tuple[float, ...] | None:
        """Return what each block of a Hessian weighs; None where its parameters are asked for, or
        nothing is.
        """
        if self.budget is None:
            return None
        from qubo_prune.core.files.hessian import load_hessian

        file = load_hessian(source, gradients=gradients)
        if self.weights_file() is None and file.metadata.get("parameter_counts") is None:
            raise InputError(
                f"--budget needs to know what blocks weigh, and {source} tells no parameters; give"
                " a .json or .csv file of numbers by block as --weights."
            )
        return self.of_blocks(file.names or tuple(map(str, range(len(file.hessian)))))


def parse_budget(text: str | None, weights: str | None = None) -> float | str | None:
    """Turn the value of --budget into what `Problem` takes as `at_least`.

    >>> parse_budget("20%"), parse_budget("1.5e9"), parse_budget("300")
    ('20%', 1500000000.0, 300)
    """
    if text is None:
        if weights is not None:
            raise InputError(
                f"--weights {weights} says what blocks weigh, but there is no --budget; say what"
                " the removed ones have to weigh, e.g. --budget 20%."
            )
        return None
    from qubo_prune.core.validation import as_percentage

    if text.endswith("%"):
        as_percentage(text, "--budget")
        return text
    for convert in (int, float):
        try:
            number = convert(text)
        except ValueError:
            continue
        if number >= 0 and number != float("inf"):
            return number
    raise InputError(
        f"--budget takes a share or a number of at least 0, not {format_value(text)}; write e.g."
        " --budget 20% or --budget 1500000."
    )
