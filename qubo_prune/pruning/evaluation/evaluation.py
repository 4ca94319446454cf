"""What was measured of some models, for files, terminals and model cards."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import check_suffix, write_atomically
from qubo_prune.core.files.kinds import EVALUATION_MARK
from qubo_prune.core.stopping import StopReason
from qubo_prune.core.text import format_value
from qubo_prune.pruning.evaluation.comparison import Comparison, compare
from qubo_prune.pruning.evaluation.files import FORMAT_VERSION, metric_to_json, read_evaluation
from qubo_prune.pruning.evaluation.metrics import Kind, Metric
from qubo_prune.pruning.evaluation.tables import (
    Row,
    csv_table,
    format_metric,
    markdown_table,
    notes,
    terminal_table,
)

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["SUFFIXES", "Evaluation"]

SUFFIXES = (".json", ".md", ".csv")
"""What the names of files that an evaluation is written to end in."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Evaluation:
    """Numbers of models, each compared with that of the original on the same samples.

    Attributes
    ----------
    models : dict of str to dict
        By name what each model is: ``model``, ``model_class``, ``model_fingerprint``, ``dtype``,
        as sidecars of Hessians have it. The original comes first.
    metrics : dict of str to tuple of Metric
        By the same names what was measured.
    original : str, optional
        The name of the model that the others are compared with.
    settings : dict
        Samples, text, windows, tasks: what was measured how, as JSON.
    versions : dict
        Of the libraries.
    seconds : float
        How long it took, without what was known already.
    stop_reason : StopReason
        Why it ended; where it was stopped, what was not measured is missing.

    Examples
    --------
    >>> from qubo_prune.pruning.evaluation.metrics import Metric
    >>> evaluation = Evaluation(
    ...     models={"original": {}, "smaller": {}},
    ...     metrics={
    ...         "original": (Metric.mean("loss", [2.0, 3.0, 4.0]),),
    ...         "smaller": (Metric.mean("loss", [2.1, 3.3, 4.2]),),
    ...     },
    ...     original="original",
    ... )
    >>> print(evaluation.to_markdown())
    | measure | model | value | against the original (95 %) | p | detectable |
    | --- | --- | ---: | ---: | ---: | ---: |
    | loss | original | 3.00 ± 0.58 |  |  |  |
    | loss | smaller | 3.20 ± 0.61 | +0.20 (-0.05, +0.45) | 0.074 | 0.31 |
    <BLANKLINE>
    Samples, and blocks of 256 tokens of texts, are compared one by one (paired t test). ...
    """

    models: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, tuple[Metric, ...]]
    original: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stop_reason: StopReason = StopReason.COMPLETED

    def __post_init__(self) -> None:
        if self.models.keys() != self.metrics.keys():
            raise InputError(
                f"metrics must be of the models {', '.join(self.models)}, not of"
                f" {', '.join(self.metrics)}; give both by the same names."
            )
        if self.original is not None and self.original not in self.models:
            raise InputError(
                f"the original must be one of {', '.join(self.models)}, not"
                f" {format_value(self.original)}; name one of them."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the models, the original first."""
        first = () if self.original is None else (self.original,)
        return (*first, *(name for name in self.models if name != self.original))

    def __getitem__(self, name: str) -> tuple[Metric, ...]:
        """Return what was measured of a model."""
        return self.metrics[name]

    def __len__(self) -> int:
        """Return how many models there are."""
        return len(self.models)

    def metric(self, model: str, name: str) -> Metric | None:
        """Return one number of a model; None if it was not measured."""
        return next((each for each in self.metrics[model] if each.name == name), None)

    def compare(self, model: str, name: str) -> Comparison | None:
        """Return how a number of a model differs from the original's; None if nothing can be
        compared.
        """
        if self.original is None or model == self.original:
            return None
        metric, original = self.metric(model, name), self.metric(self.original, name)
        if metric is None or original is None:
            return None
        return compare(metric, original)

    @property
    def rows(self) -> list[Row]:
        """Every number of every model, those of one name together."""
        # The original lacks what is measured beside it.
        richest = sorted(self.names, key=lambda name: -len(self.metrics[name]))
        named = dict.fromkeys(each.name for name in richest for each in self.metrics[name])
        return [
            Row(model, metric, self.compare(model, name))
            for name in named
            for model in self.names
            if (metric := self.metric(model, name)) is not None
        ]

    def __str__(self) -> str:
        """Return one line: how many models, and the loss or whatever was measured first of each."""
        what = f"{len(self)} model{'s' if len(self) > 1 else ''} evaluated"
        soft = [row for row in self.rows if row.metric.kind is not Kind.SIZE]
        if not soft:
            return what
        name = soft[0].metric.name
        told = [f"{r.model} {format_metric(r.metric)}" for r in soft if r.metric.name == name]
        return f"{what}: {name} of {', '.join(told)}"

    def to_table(self) -> Table:
        """Return a rich table that fits into 80 columns."""
        return terminal_table(self.rows)

    def to_markdown(self) -> str:
        """Return a Markdown table and a sentence on its tests, as a model card has it."""
        said = " ".join(notes(self.rows))
        return markdown_table(self.rows) + (f"\n\n{said}" if said else "")

    def to_csv(self) -> str:
        """Return a CSV table with all digits, a line for each number."""
        return csv_table(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, samples too, as JSON has it."""
        return {
            "format_version": FORMAT_VERSION,
            "original": self.original,
            "models": {name: dict(self.models[name]) for name in self.names},
            "metrics": {
                name: [metric_to_json(each) for each in self.metrics[name]] for name in self.names
            },
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "stop_reason": self.stop_reason.value,
            "seconds": self.seconds,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a ``.json``, which can be loaded, or as a table to a ``.md`` or ``.csv``."""
        path = Path(path)
        suffix = check_suffix(path, SUFFIXES, "an evaluation")
        if suffix == ".json":
            text = json.dumps(self.to_dict(), allow_nan=False, indent=1) + "\n"
        else:
            text = (
                self.to_csv()
                if suffix == ".csv"
                else f"{EVALUATION_MARK}\n\n{self.to_markdown()}\n"
            )
        write_atomically({path: lambda stream: stream.write(text.encode())})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Read what `save` wrote to a ``.json``.

        Raises
        ------
        InputError
            If the file is not what it should be.
        """
        check_suffix(Path(path), SUFFIXES[:1], "an evaluation that is loaded")
        return cls(**read_evaluation(Path(path)))
