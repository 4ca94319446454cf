"""Selections in files: strict JSON that people and scripts read; nothing in a file is trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, TypeVar

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.kinds import Kind, require_kind
from qubo_prune.core.files.strict_json import (
    Reader,
    as_amount,
    as_boolean,
    as_bound,
    as_counts,
    as_float,
    as_integer,
    as_integers,
    as_list,
    as_numbers,
    as_string,
    as_strings,
    from_bound,
    optional,
)
from qubo_prune.core.stopping import StopReason
from qubo_prune.pruning.selection_data import Candidate, SelectionData

_Selection = TypeVar("_Selection", bound=SelectionData)

FORMAT_VERSION = 1

_PARAMETERS = ("parameters_removed", "share_removed")
_WEIGHT = ("weight_removed", "weight_share")

_CANDIDATE: dict[str, Any] = {
    "objective": as_bound,
    "standard_error": as_bound,
    "proposed_by": as_string,
    "energy": optional(as_float),
    "rank_in_spectrum": optional(as_integer),
    "predicted": optional(as_float),
    "tied_with_best": as_boolean,
    "held_out": optional(as_bound),
    "held_out_error": optional(as_bound),
    "above_best": as_bound,
    "above_best_error": as_bound,
}
"""How each field of a removal is read, beside the removed blocks."""

_SELECTION: dict[str, Any] = {
    "objective": as_string,
    "baseline": optional(as_float),
    "held_out_baseline": optional(as_float),
    "num_evaluations": as_integer,
    "num_held_out": as_integer,
    "remove": optional(as_counts),
    "hessian_sha256": optional(as_string),
    "model_fingerprint": optional(as_string),
    "seed": as_integer,
    "seconds": as_float,
    "stop_reason": StopReason,
}


def to_dict(selection: SelectionData) -> dict[str, Any]:
    """Return the JSON object of a selection."""
    return {
        "format_version": FORMAT_VERSION,
        "objective": selection.objective,
        "baseline": selection.baseline,
        "held_out_baseline": selection.held_out_baseline,
        "num_evaluations": selection.num_evaluations,
        "num_held_out": selection.num_held_out,
        "remove": selection.remove,
        "num_blocks": selection.num_blocks,
        "names": list(selection.names),
        **_counts(selection.parameter_counts),
        **_budget(selection),
        "samples": selection.samples,
        "removals": [
            _candidate(each)
            | _derived(_PARAMETERS, selection.parameters_removed(k))
            | _derived(_WEIGHT, selection.weight_removed(k))
            for k, each in enumerate(selection)
        ],
        "singles": [[block, from_bound(value)] for block, value in selection.singles.items()],
        "hessian_sha256": selection.hessian_sha256,
        "model_fingerprint": selection.model_fingerprint,
        "seed": selection.seed,
        "stop_reason": selection.stop_reason.value,
        "seconds": selection.seconds,
    }


def save(selection: SelectionData, path: str | os.PathLike[str]) -> None:
    """Write a selection."""
    path = Path(path)
    check_suffix(path)
    text = json.dumps(to_dict(selection), allow_nan=False, indent=1) + "\n"
    write_atomically({path: lambda stream: stream.write(text.encode())})


def load(path: str | os.PathLike[str], make: Callable[..., _Selection]) -> _Selection:
    """Read and check a selection, which `make` makes."""
    path = Path(path)
    check_suffix(path)
    reader = Reader(path, "selection", "write it again with Selection.save or `qubo-prune select`")
    fields = reader.parse(read_file(path))
    require_kind(path, fields, Kind.SELECTION)
    reader.check_version(fields, FORMAT_VERSION)
    names = reader.get(fields, "names", as_strings)
    if reader.get(fields, "num_blocks", as_integer) != len(names):
        reader.fail(f"num_blocks is {fields['num_blocks']}, but there are {len(names)} names")
    listed = [
        reader.as_object(each, "a removal") for each in reader.get(fields, "removals", as_list)
    ]
    blocks = [reader.get(each, "removed", as_integers) for each in listed]
    reader.states(blocks, len(names))
    values = {key: reader.get(fields, key, convert) for key, convert in _SELECTION.items()}
    singles = reader.get(fields, "singles", _as_singles)
    if any(not 0 <= block < len(names) for block in singles):
        reader.fail(f"its singles name a block outside 0...{len(names) - 1}")
    try:
        return make(
            removals=tuple(
                Candidate(
                    removed=tuple(removed),
                    **{key: reader.get(each, key, convert) for key, convert in _CANDIDATE.items()},
                )
                for removed, each in zip(blocks, listed, strict=True)
            ),
            names=tuple(names),
            singles=singles,
            parameter_counts=reader.get(fields, "parameter_counts", optional(as_integers))
            if "parameter_counts" in fields
            else None,
            samples=reader.as_object(fields.get("samples"), "samples"),
            **_read_budget(fields, reader),
            **values,
        )
    except InputError as error:
        if str(path) in str(error):
            raise
        reader.fail(str(error).rstrip("."))


def _read_budget(fields: dict[str, Any], reader: Reader) -> dict[str, Any]:
    if "at_least" not in fields:
        return {}
    return {
        "at_least": reader.get(fields, "at_least", as_amount),
        "weights": tuple(reader.get(fields, "weights", as_numbers)),
        "weights_of": reader.get(fields, "weights_of", optional(as_string)),
    }


def check_suffix(path: Path) -> None:
    """Refuse a name that does not end in ``.json``."""
    if path.suffix.lower() != ".json":
        raise InputError(f"a selection must end in .json, not {path.name!r}; rename it.")


def _candidate(candidate: Candidate) -> dict[str, Any]:
    values = {each.name: getattr(candidate, each.name) for each in fields_of(candidate)}
    values["removed"] = list(candidate.removed)
    return {
        key: from_bound(value) if isinstance(value, float) else value
        for key, value in values.items()
    }


def _counts(parameter_counts: tuple[int, ...] | None) -> dict[str, list[int]]:
    return {} if parameter_counts is None else {"parameter_counts": list(parameter_counts)}


def _budget(selection: SelectionData) -> dict[str, Any]:
    """Return the budget, where there is one."""
    if selection.at_least is None:
        return {}
    return {
        "at_least": selection.at_least,
        "weights": list(selection.weights or ()),
        "weights_of": selection.weights_of,
    }


def _derived(keys: tuple[str, ...], removed: tuple[float, float] | None) -> dict[str, float]:
    """Return what follows from the sizes of the blocks, for who reads the file."""
    return {} if removed is None else dict(zip(keys, removed, strict=True))


def _as_singles(value: Any) -> dict[int, float]:
    return {as_integer(block): as_bound(single) for block, single in map(as_list, as_list(value))}
