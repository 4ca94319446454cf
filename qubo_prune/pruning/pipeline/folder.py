"""What lies in a folder that `compress` writes: the names, and all of it read back, without a
model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file
from qubo_prune.core.files.strict_json import (
    Reader,
    as_integer,
    as_integers,
    as_string,
    as_strings,
)
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.text import format_blocks, format_count
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.pipeline.ledger import LEDGER, Entry, Ledger
from qubo_prune.pruning.saving import HEALING, RECORD
from qubo_prune.pruning.selection import Selection

__all__ = [
    "CompressedFolder",
    "SmallerModel",
    "is_compressed_folder",
    "read_folder",
    "read_model",
]

HESSIAN = "01-hessian.npy"
SPECTRUM = "02-spectrum.json"
SELECTION = "03-selection.json"
MODEL = "04-model"
HEALED = "05-healed"
EVALUATION = "05-evaluation.json"
WORK = "unfinished"
"""The folder, inside that of the steps, of what unfinished steps go on from."""

_FIRST = ("extract", "solve", "select", "prune")
_LAST = "evaluate"


@dataclass(frozen=True, kw_only=True)
class SmallerModel:
    """What a folder of a model says of itself.

    Attributes
    ----------
    name : str
        Of the folder.
    original : str
        What it was made from.
    dtype : str
        Of its weights.
    removed : tuple of int
        The blocks that it lacks.
    removed_names : tuple of str
        Their names.
    num_blocks : int
        How many blocks the original has.
    num_parameters, num_parameters_before : int
        Its parameters, and those of the original.
    command : str
        How to make it again.
    choice : dict
        Why these blocks: the removal that was chosen, with its measurement.
    max_difference : float, optional
        By how much its logits differ from those of the original with the blocks skipped.
    healing : tuple of str
        What was done to its weights, a sentence each.
    """

    name: str
    original: str
    dtype: str
    removed: tuple[int, ...]
    removed_names: tuple[str, ...]
    num_blocks: int
    num_parameters: int
    num_parameters_before: int
    command: str
    choice: Mapping[str, Any] = field(default_factory=dict)
    max_difference: float | None = None
    healing: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What was removed, and how much is left, in a sentence without its full stop."""
        return (
            f"removed {len(self.removed)} of {self.num_blocks} layers"
            f" ({format_blocks(self.removed)}): {format_count(self.num_parameters)} parameters are"
            f" left of {format_count(self.num_parameters_before)},"
            f" {100 * (1 - self.num_parameters / self.num_parameters_before):.1f} % fewer"
        )


@dataclass(frozen=True, kw_only=True)
class CompressedFolder:
    """Everything in a folder of `compress` that people look at.

    Attributes
    ----------
    path : Path
        The folder.
    steps : dict of str to Entry
        What each step did, in the order of the steps.
    hessian : Path, optional
        The file, where it is there; as are all that follow.
    spectrum : Spectrum, optional
        The lowest energies.
    selection : Selection, optional
        The measurements.
    models : tuple of SmallerModel
        The smaller models, the first to keep first, healed ones after those they come from.
    evaluation : Evaluation, optional
        How good they are.
    """

    path: Path
    steps: Mapping[str, Entry]
    hessian: Path | None = None
    spectrum: Spectrum | None = None
    selection: Selection | None = None
    models: tuple[SmallerModel, ...] = ()
    evaluation: Evaluation | None = None

    @property
    def seconds(self) -> float:
        """How long all steps took together."""
        return sum(each.seconds for each in self.steps.values())

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The steps that were begun and not finished."""
        return tuple(name for name, each in self.steps.items() if each.status != "finished")

    def to_dict(self) -> dict[str, Any]:
        """Return what `show --json` prints: the steps and the models in plain Python types."""
        return {
            "steps": [
                {"name": name, "status": each.status, "seconds": each.seconds}
                for name, each in self.steps.items()
            ],
            "seconds": self.seconds,
            "models": [
                {
                    "name": each.name,
                    "original": each.original,
                    "removed": list(each.removed),
                    "num_blocks": each.num_blocks,
                    "num_parameters": each.num_parameters,
                    "num_parameters_before": each.num_parameters_before,
                    "command": each.command,
                    "healing": list(each.healing),
                }
                for each in self.models
            ],
        }


def is_compressed_folder(path: Path) -> bool:
    """Whether a folder is one that `compress` writes."""
    return (path / LEDGER).is_file()


def read_folder(path: str | os.PathLike[str]) -> CompressedFolder:
    """Read a folder of `compress`, finished or not.

    Raises
    ------
    InputError
        If it is none, or a file in it is damaged.
    """
    folder = Path(path)
    if not is_compressed_folder(folder):
        raise InputError(
            f"{folder} has no {LEDGER}, so it is no folder of `compress`; name another one."
        )
    steps = Ledger(folder).entries
    return CompressedFolder(
        path=folder,
        steps={name: steps[name] for name in sorted(steps, key=_place)},
        hessian=folder / HESSIAN if (folder / HESSIAN).is_file() else None,
        spectrum=Spectrum.load(folder / SPECTRUM) if (folder / SPECTRUM).is_file() else None,
        selection=Selection.load(folder / SELECTION) if (folder / SELECTION).is_file() else None,
        models=_models(folder),
        evaluation=(
            Evaluation.load(folder / EVALUATION) if (folder / EVALUATION).is_file() else None
        ),
    )


def _place(step: str) -> tuple[int, int]:
    """Return where a step comes: those of healing lie before the last, by their order."""
    if step in _FIRST:
        return (0, _FIRST.index(step))
    return (2, 0) if step == _LAST else (1, 0)


def _models(folder: Path) -> tuple[SmallerModel, ...]:
    found = [
        each
        for pattern in (f"{MODEL}*", f"{HEALED}*")
        for each in sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))
        if (each / RECORD).is_file()
    ]
    return tuple(map(read_model, found))


def read_model(folder: Path) -> SmallerModel:
    """Read what a folder of a pruned model says of itself."""
    reader = Reader(folder / RECORD, "record of a pruned model", "make the folder again")
    record = reader.parse(read_file(folder / RECORD))
    difference = reader.as_object(record.get("verification"), "verification").get("max_difference")
    healing = _healing(folder / HEALING) if (folder / HEALING).is_file() else ()
    return SmallerModel(
        name=folder.name,
        original=reader.get(record, "model", as_string),
        dtype=reader.get(record, "dtype", as_string),
        removed=tuple(reader.get(record, "removed", as_integers)),
        removed_names=tuple(reader.get(record, "removed_names", as_strings)),
        num_blocks=reader.get(record, "num_blocks", as_integer),
        num_parameters=reader.get(record, "num_parameters", as_integer),
        num_parameters_before=reader.get(record, "num_parameters_before", as_integer),
        command=reader.get(record, "command", as_string),
        choice=reader.as_object(record.get("choice") or {}, "choice"),
        max_difference=difference if isinstance(difference, float) else None,
        healing=healing,
    )


def _healing(path: Path) -> tuple[str, ...]:
    """Return what was done to the weights, first things first."""
    reader = Reader(path, "record of a healed model", "make the folder again")
    record = reader.parse(read_file(path))
    told = []
    for key in ("earlier", "steps"):
        entries = record.get(key)
        if not isinstance(entries, list):
            reader.fail(f"{key} is no list")
        for entry in entries:
            step = reader.as_object(entry, key)
            method, summary = (reader.get(step, name, as_string) for name in ("method", "summary"))
            told.append(f"{method}: {summary}")
    return tuple(told)
