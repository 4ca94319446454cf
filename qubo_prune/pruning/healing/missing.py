"""Which layers of an original a pruned model lacks, and whether it is its original."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_blocks, format_count, format_value
from qubo_prune.core.validation import as_count
from qubo_prune.hessians.gates.layers import find_layers
from qubo_prune.hessians.language_model import fingerprint
from qubo_prune.pruning.saving import RECORD

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["changes_weights", "check_original", "missing_layers", "read_record"]

_LAYER = re.compile(r"layers\.(\d+)", re.ASCII)

_ENTRIES = 4096
"""Numbers of each parameter that are compared."""


def read_record(folder: str | os.PathLike[str], name: str = RECORD) -> dict[str, Any] | None:
    """Return what `prune` or `heal` wrote of a folder; None if neither did.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    path = Path(folder, name)
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); restore it, or remove it and name the removed blocks"
            " by --blocks."
        ) from error
    if not isinstance(record, dict):
        raise InputError(f"{path} is not a JSON object, but {format_value(record)}; restore it.")
    return record


def missing_layers(
    record: dict[str, Any] | None, removed: Sequence[int | str] | None, model: str
) -> tuple[int, ...]:
    """Return the layers of the original that a model lacks, ascending; nothing where it lacks only
    branches of layers.

    Parameters
    ----------
    record
        What `prune` wrote of the model.
    removed
        The layers as the user names them.
    model
        The folder.

    Raises
    ------
    InputError
        If that is not known, or the two contradict each other.

    Examples
    --------
    >>> missing_layers({"removed_names": ["layers.3", "layers.4"]}, None, "smaller")
    (3, 4)
    """
    given = None if removed is None else _indices(removed)
    if record is None:
        if not given:
            raise InputError(
                f"the folder {model!r} has no {RECORD}, so which layers it lacks is not known;"
                " name them by --blocks."
            )
        return given
    try:
        layers = record.get("layers_removed")
        if layers is not None:
            return _agreed(
                given, tuple(sorted(as_count(each, "a layer") for each in layers)), model
            )
        matches = [_LAYER.fullmatch(name) for name in record["removed_names"]]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{Path(model, RECORD)} does not say which blocks were removed; name them by --blocks,"
            " and remove the file."
        ) from error
    return _agreed(given, tuple(sorted(int(match[1]) for match in matches if match)), model)


def _agreed(
    given: tuple[int, ...] | None, recorded: tuple[int, ...], model: str
) -> tuple[int, ...]:
    if given is not None and given != recorded:
        raise InputError(
            f"{Path(model, RECORD)} says that layers {format_blocks(recorded)} were removed, not"
            f" {format_blocks(given)}; leave the blocks out."
        )
    return recorded


def changes_weights(record: dict[str, Any] | None) -> bool:
    """Whether a removal changed weights of layers that stay.

    Examples
    --------
    >>> changes_weights({"merge": None, "branches": "zero"}), changes_weights(None)
    (True, False)
    """
    return record is not None and any(record.get(key) for key in ("merge", "branches"))


def _indices(removed: Sequence[int | str]) -> tuple[int, ...]:
    found = set()
    for each in removed:
        match = _LAYER.fullmatch(each) if isinstance(each, str) else None
        if isinstance(each, str) and match is None:
            raise InputError(
                f"a removed layer must be an index or a name as layers.3, not"
                f" {format_value(each)}; name whole layers."
            )
        found.add(int(match[1]) if match else as_count(each, "a removed layer", least=0))
    return tuple(sorted(found))


def check_original(
    model: PreTrainedModel,
    original: PreTrainedModel,
    removed: Sequence[int],
    *,
    record: dict[str, Any] | None,
    is_changed: bool,
    layers: str | None = None,
) -> None:
    """Refuse an original that is not the one that a model was made from.

    Parameters
    ----------
    model, original
        Both models.
    removed
        The layers that the first lacks.
    record
        What `prune` wrote of it.
    is_changed
        Whether weights of layers that stay were changed.
    layers
        Where the decoder layers are, if not found.

    Raises
    ------
    InputError
        Names what does not fit.
    """
    if type(model) is not type(original):
        raise InputError(
            f"the original is a {type(original).__name__}, but the pruned model a"
            f" {type(model).__name__}; name the model that it was made from."
        )
    _, kept = find_layers(model, layers)
    _, all_layers = find_layers(original, layers)
    if len(all_layers) != len(kept) + len(removed) or (
        removed and not removed[-1] < len(all_layers)
    ):
        lacks = f" and lacks {format_blocks(removed)}" if removed else ""
        raise InputError(
            f"the original has {format_count(len(all_layers))} layers, but the pruned model has"
            f" {format_count(len(kept))}{lacks}; name the model that it was made from."
        )
    if record is not None and record.get("model_fingerprint") == fingerprint(original):
        return
    stay = [layer for i, layer in enumerate(all_layers) if i not in removed]
    for name, ours, theirs in _pairs(model, original, kept, stay):
        packed = getattr(theirs, "quant_state", None)  # of weights in 4 bits, whose values differ
        shape = theirs.shape if packed is None else packed.shape
        if ours.shape != shape:
            raise InputError(
                f"{name} of the original is of shape {tuple(shape)}, but in the pruned model"
                f" of {tuple(ours.shape)}; name the model that it was made from."
            )
        if not (is_changed or packed) and not torch.equal(
            _some(ours), _some(theirs).to(ours.dtype)
        ):
            raise InputError(
                f"{name} of the original differs from that of the pruned model; name the model that"
                " it was made from, and these blocks."
            )
    is_packed = getattr(original, "hf_quantizer", None) is not None
    if (
        is_changed
        and not is_packed
        and record is not None
        and record.get("dtype") == _dtype(original)
    ):
        raise InputError(
            "the original has another fingerprint than the model that was pruned; name that one."
        )


def _pairs(
    model: PreTrainedModel,
    original: PreTrainedModel,
    kept: Sequence[nn.Module],
    stay: Sequence[nn.Module],
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield the parameters that both models have, from where they do not depend on rounding."""
    yield "the embedding", _embedding(model), _embedding(original)
    for ours, theirs in zip(kept, stay, strict=True):
        others = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            if name in others:
                yield f"a layer's {name}", parameter, others[name]


def _embedding(model: Any) -> Tensor:
    weight: Tensor = model.get_input_embeddings().weight
    return weight


def _some(parameter: Tensor) -> Tensor:
    flat = parameter.detach().flatten()
    return flat[:: max(1, len(flat) // _ENTRIES)].cpu()


def _dtype(model: PreTrainedModel) -> str:
    return str(model.dtype).removeprefix("torch.")
