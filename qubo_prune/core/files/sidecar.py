"""The JSON beside a file: what it may say, and that it fits the matrix."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file
from qubo_prune.core.files.kinds import Kind, kind_of_object
from qubo_prune.core.files.strict_json import unrepeated
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import (
    as_count,
    as_finite_float,
    as_gradient,
    as_labels,
    as_names,
    as_percentage,
    as_remove,
    check_kind,
)

if TYPE_CHECKING:
    from qubo_prune.core.files.formats.quadratic_model import Model

FORMAT_VERSION = 1
_SOME_KEYS = "names, kinds, model, samples, remove"
REFERENCE_NODE = "reference_node"
"""Key of the number, from 1, of the node of a graph that is no block."""


class Sidecar(NamedTuple):
    """What of a sidecar matters to a problem; None where it says nothing."""

    names: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    mean_gradient: NDArray[np.float64] | None = None
    remove: int | dict[str, int] | None = None
    offset: float | None = None
    weights: tuple[float, ...] | None = None
    at_least: float | str | None = None


def sidecar_path(path: Path, *, is_npy: bool = True) -> Path:
    """Return where the sidecar of a file is: ``a.json`` for ``a.npy``, ``a.qubo.json`` for
    ``a.qubo``.
    """
    return path.with_suffix(".json") if is_npy else path.with_name(f"{path.name}.json")


def read_sidecar(path: Path, of: Path, sha256: str) -> dict[str, Any]:
    """Return the sidecar at `path` of the file `of`, whose checksum is given; an empty object if
    there is none.
    """
    if not path.exists():
        return {}
    try:
        metadata = json.loads(read_file(path).decode(), object_pairs_hook=unrepeated)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the sidecar {path} is not JSON ({error}); correct or delete it."
        ) from error
    if not isinstance(metadata, dict):
        raise InputError(
            f"the sidecar {path} must hold a JSON object, not a {type(metadata).__name__}; "
            "correct or delete it."
        )
    found = kind_of_object(metadata)
    if found is not Kind.SIDECAR:
        if path == of:
            raise InputError(f"{path} is {found.value}, not a Hessian; name the file of a matrix.")
        known = "" if found is not Kind.OTHER else f" (it has none of the keys {_SOME_KEYS}, ...)"
        raise InputError(
            f"{path} is {found.value}, not the sidecar of {of.name}, beside which it lies{known};"
            " move it elsewhere or rename it."
        )
    claimed = metadata.get("sha256")
    if claimed not in (None, sha256):
        raise InputError(
            f"{path} belongs to another matrix: its sha256 is {format_value(claimed)}, "
            f"that of {of.name} is '{sha256}'; put matching files together or delete the sidecar."
        )
    return metadata


def sidecar_text(metadata: Mapping[str, Any], num_blocks: int, of: Path) -> str:
    """Return a sidecar of the file `of` as JSON; refuse what is not JSON or contradicts the
    matrix.
    """
    try:
        text = json.dumps(metadata, indent=1, allow_nan=False, default=_plain) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the sidecar of {of} cannot be written as JSON ({error}); "
            "use numbers, strings, lists and dicts."
        ) from error
    check_sidecar(json.loads(text), num_blocks, f"the sidecar of {of}")
    return text


def check_sidecar(metadata: dict[str, Any], num_blocks: int, where: str) -> Sidecar:
    """Return what matters to a problem; an entry that is null counts as left out."""

    def checked(key: str, convert: Callable[[Any], Any]) -> Any:
        if metadata.get(key) is None:
            return None
        try:
            return convert(metadata[key])
        except InputError as error:
            raise InputError(f"{where} contradicts the matrix or its format: {error}") from error

    checked("format_version", _check_version)
    checked("granularity", _check_text)
    checked("samples", lambda value: as_count(value, "samples", least=1, remedy="correct it"))
    checked("parameter_counts", lambda value: _check_parameter_counts(value, num_blocks))
    kinds = checked("kinds", lambda value: as_labels(value, num_blocks, "kinds"))
    at_least = checked("at_least", _as_amount)
    return Sidecar(
        names=checked("names", lambda value: as_names(value, num_blocks)),
        kinds=kinds,
        mean_gradient=checked(
            "mean_gradient", lambda value: as_gradient(value, num_blocks, "mean_gradient")
        ),
        remove=checked("remove", lambda value: _as_remove(value, kinds, num_blocks)),
        offset=checked("offset", lambda value: as_finite_float(value, "offset")),
        weights=checked("weights", lambda value: _as_weights(value, num_blocks))
        if at_least is not None
        else None,
        at_least=at_least,
    )


def merge_sidecar(
    model: Model, sidecar: dict[str, Any], model_file: Path, sidecar_file: Path
) -> tuple[NDArray[np.float64], Sidecar]:
    """Return the matrix of a model and the facts that its file and the sidecar state together;
    refuse what they contradict each other in.
    """
    contradiction = f"{sidecar_file} contradicts {model_file.name}"
    matrix = _without_reference_node(model, sidecar, contradiction)
    facts = check_sidecar(sidecar, len(matrix), str(sidecar_file))
    facts = _with_budget(_with_offset_and_names(facts, model), model, contradiction)
    return matrix, _with_counts(facts, model, contradiction)


def _without_reference_node(
    model: Model, sidecar: dict[str, Any], contradiction: str
) -> NDArray[np.float64]:
    """Return the matrix over the blocks: a graph as `export` writes it has one node more."""
    matrix, node = model.matrix, sidecar.get(REFERENCE_NODE)
    if node is None:
        return matrix
    if model.labels or model.counts:
        raise InputError(
            f"{contradiction}: only a graph has a {REFERENCE_NODE}, not a file of names or counts;"
            " put matching files together or delete the sidecar."
        )
    if node != len(matrix) or len(matrix) < 2:
        raise InputError(
            f"{contradiction}: {REFERENCE_NODE} must be its last node, {len(matrix)}, not"
            f" {format_value(node)}; put matching files together or delete the sidecar."
        )
    return matrix[:-1, :-1].copy()


def _with_offset_and_names(facts: Sidecar, model: Model) -> Sidecar:
    """Take from the model what the sidecar leaves out."""
    labels = model.labels and as_names(model.labels, len(model.labels))
    return facts._replace(
        offset=model.offset if facts.offset is None else facts.offset,
        names=facts.names or labels,
    )


def _with_budget(facts: Sidecar, model: Model, contradiction: str) -> Sidecar:
    """Take the budget from the model; refuse another one of the sidecar."""
    if model.budget is None:
        return facts
    weights = tuple(map(_whole, model.budget.weights.tolist()))
    amount = _whole(max(0.0, model.budget.amount))
    if facts.at_least is not None and (facts.weights, facts.at_least) != (weights, amount):
        raise InputError(
            f"{contradiction}, which says that the variables weigh at least {amount:g}; put"
            " matching files together or delete the sidecar."
        )
    return facts._replace(weights=weights, at_least=amount)


def _whole(value: float) -> float:
    """Return a whole number as an integer."""
    return int(value) if value.is_integer() else value


def _with_counts(facts: Sidecar, model: Model, contradiction: str) -> Sidecar:
    """Take the counts from the model where the sidecar leaves them out; refuse others."""
    if not model.counts:
        return facts
    num_blocks = sum(len(each.indices) for each in model.counts)
    if facts.remove is None and len(model.counts) == 1:
        return facts._replace(remove=model.counts[0].count)
    if facts.remove is None:
        kinds = np.empty(num_blocks, object)
        for each in model.counts:
            kinds[each.indices] = each.label
        facts = facts._replace(
            kinds=facts.kinds or tuple(kinds),
            remove={each.label: each.count for each in model.counts},
        )
    counted = {(*each.indices.tolist(), each.count) for each in model.counts}
    if counted != _members_and_counts(facts, num_blocks):
        raise InputError(
            f"{contradiction}, which counts "
            + " and ".join(f"{each.count} of {len(each.indices)}" for each in model.counts)
            + " variables; put matching files together or delete the sidecar."
        )
    return facts


def _members_and_counts(facts: Sidecar, num_blocks: int) -> set[tuple[int, ...]]:
    """Return the members and the count of each group."""
    if isinstance(facts.remove, int):
        return {(*range(num_blocks), facts.remove)}
    return {
        (*(i for i, of in enumerate(facts.kinds or ()) if of == kind), count)
        for kind, count in (facts.remove or {}).items()
    }


def _as_remove(value: Any, kinds: tuple[str, ...] | None, num_blocks: int) -> int | dict[str, int]:
    remove = as_remove(value)
    limits = [(remove, num_blocks)] if isinstance(remove, int) else []
    for kind, count in {} if isinstance(remove, int) else remove.items():
        check_kind(kind, kinds or (), "remove")
        limits.append((count, (kinds or ()).count(kind)))
    for count, most in limits:
        as_count(count, "remove", least=0, most=most, remedy="correct it")
    return remove


def _check_version(value: object) -> None:
    if as_count(value, "format_version") != FORMAT_VERSION:
        raise InputError(
            f"format_version is {format_value(value)}, but only {FORMAT_VERSION} is known here; "
            "upgrade."
        )


def _check_text(value: object) -> None:
    if not isinstance(value, str) or not value:
        raise InputError(
            f"granularity must be a word such as branch, not {format_value(value)}; correct it."
        )


def _check_parameter_counts(value: object, num_blocks: int) -> None:
    if not isinstance(value, list) or len(value) != num_blocks:
        size = len(value) if isinstance(value, list) else format_value(value)
        raise InputError(
            f"parameter_counts must have one entry per block, {num_blocks}, not {size}; correct it."
        )
    for count in value:
        as_count(count, "an entry of parameter_counts", least=0, remedy="correct it")


def _as_weights(value: object, num_blocks: int) -> tuple[float, ...]:
    """Return what blocks weigh, whole numbers as they are; `Problem` refuses negative ones."""
    if not isinstance(value, list) or len(value) != num_blocks:
        size = len(value) if isinstance(value, list) else format_value(value)
        raise InputError(
            f"weights must have one entry per block, {num_blocks}, not {size}; correct it."
        )
    for weight in value:
        as_finite_float(weight, "an entry of weights")
    return tuple(value)


def _as_amount(value: Any) -> float | str:
    if isinstance(value, str):
        as_percentage(value, "at_least")
        return value
    as_finite_float(value, "at_least")
    return value  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")
