"""Spectra in files: strict JSON that people and scripts read, or a compact ``.npz``.

Both hold the same object, described in `Spectrum.to_dict`; in the ``.npz`` the states and energies
are arrays beside it. Nothing in a file is trusted: whatever does not fit is an `InputError`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError, SpectrumError
from qubo_prune.core.files.disk import check_suffix, read_file, write_atomically
from qubo_prune.core.files.kinds import Kind, require_kind, require_replaceable
from qubo_prune.core.files.strict_json import (
    LARGEST_TABLE,
    Reader,
    as_amount,
    as_boolean,
    as_counts,
    as_facts,
    as_floats,
    as_index_lists,
    as_integer,
    as_integers,
    as_large_integer,
    as_lower_bound,
    as_numbers,
    as_string,
    as_strings,
    as_timings,
    from_large_integer,
    from_lower_bound,
    optional,
)
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.spectrum.tables import parameters_removed, weight_removed
from qubo_prune.core.spectrum.view import SpectrumView
from qubo_prune.core.stopping import StopReason

_Spectrum = TypeVar("_Spectrum", bound=SpectrumView)

FORMAT_VERSION = 1

SUFFIXES = (".json", ".npz")

_ARRAYS = {"states": "uint8", "energies": "float64"}
DERIVED = ("parameters_removed", "share_removed", "weight_removed", "weight_share")
"""Keys that follow from others, for who reads the file; computed again when it is loaded."""
_FACTS = ("proof", "statistics")
"""Keys whose values are objects of facts; left out where there are none."""


def to_dict(spectrum: SpectrumView) -> dict[str, Any]:
    """Return the JSON object of a spectrum."""
    return {
        **_header(spectrum),
        "energies": spectrum.energies.tolist(),
        "removed": [spectrum.removed(k) for k in range(len(spectrum))],
        **_derived(spectrum),
    }


def save(spectrum: SpectrumView, path: str | os.PathLike[str]) -> None:
    """Write a spectrum; the suffix chooses the format."""
    path = Path(path)
    suffix = check_suffix(path, SUFFIXES, "a spectrum file")
    require_replaceable(path, Kind.SPECTRUM)
    if suffix == ".json":
        text = json.dumps(to_dict(spectrum), allow_nan=False) + "\n"
        write_atomically({path: lambda stream: stream.write(text.encode())})
    else:
        header = json.dumps(_header(spectrum), allow_nan=False).encode()
        arrays: dict[str, NDArray[Any]] = {
            "header": np.frombuffer(header, np.uint8),
            "states": np.packbits(spectrum.states, axis=1),
            "energies": spectrum.energies,
        }
        write_atomically({path: lambda stream: np.savez(stream, allow_pickle=False, **arrays)})


def load(path: str | os.PathLike[str], make: Callable[..., _Spectrum]) -> _Spectrum:
    """Read and check a spectrum, which `make` makes; the suffix chooses the format."""
    path = Path(path)
    suffix = check_suffix(path, SUFFIXES, "a spectrum file")
    data = read_file(path)
    reader = Reader(path, "spectrum file", "write it again with Spectrum.save")
    if suffix == ".json":
        top = reader.parse(data)
        require_kind(path, top, Kind.SPECTRUM)
        spectrum = from_dict(top, reader, make)
    else:
        fields, arrays = reader.arrays(data, _ARRAYS, lambda fields: _most_bytes(fields, reader))
        names = reader.get(fields, "names", as_strings)
        states = _unpack(arrays["states"], len(names), reader)
        spectrum = _build(fields, names, states, arrays["energies"], reader, make)
    try:
        spectrum.check_consistency()
    except SpectrumError as error:
        reader.fail(str(error).rstrip("."))
    _check_removed(spectrum, reader)
    return spectrum


def _check_removed(spectrum: SpectrumView, reader: Reader) -> None:
    """Refuse states that remove another number of blocks than asked for, or too little."""
    asked = spectrum.remove
    if asked is not None:
        num_removed = asked if isinstance(asked, int) else sum(asked.values())
        counts = np.count_nonzero(spectrum.states, axis=1)
        if (counts != num_removed).any():
            wrong = int(np.flatnonzero(counts != num_removed)[0])
            reader.fail(f"state {wrong} removes {counts[wrong]} blocks, not {num_removed}")
    budget = spectrum.budget
    if budget is not None and not (enough := budget.allows(spectrum.states)).all():
        wrong = int(np.flatnonzero(~enough)[0])
        reader.fail(
            f"state {wrong} removes {budget.amount(int(budget.removed(spectrum.states)[wrong])):g},"
            f" not {budget.amount(budget.at_least):g}"
        )


def from_dict(fields: dict[str, Any], reader: Reader, make: Callable[..., _Spectrum]) -> _Spectrum:
    """Return the spectrum of a JSON object; types and shapes are checked, claims are not."""
    reader.check_version(fields, FORMAT_VERSION)
    names = reader.get(fields, "names", as_strings)
    states = reader.states(reader.get(fields, "removed", as_index_lists), len(names))
    return _build(fields, names, states, reader.get(fields, "energies", as_floats), reader, make)


def _build(
    fields: dict[str, Any],
    names: list[str],
    states: NDArray[np.bool_],
    energies: NDArray[Any],
    reader: Reader,
    make: Callable[..., _Spectrum],
) -> _Spectrum:
    if reader.get(fields, "num_blocks", as_integer) != len(names):
        reader.fail(f"num_blocks is {fields['num_blocks']}, but there are {len(names)} names")
    values: dict[str, Any] = {
        "states": states,
        "energies": energies,
        "num_proven": reader.get(fields, "num_proven", as_integer),
        "lower_bound": reader.get(fields, "lower_bound", as_lower_bound),
        "status": reader.get(fields, "status", Status),
        "stop_reason": reader.get(fields, "stop_reason", StopReason),
        "ties_truncated": reader.get(fields, "ties_truncated", as_boolean),
        "backend": reader.get(fields, "backend", as_string),
        "num_states_total": reader.get(fields, "num_states_total", as_large_integer),
        "hessian_sha256": reader.get(fields, "hessian_sha256", as_string),
        "names": tuple(names),
        "remove": reader.get(fields, "remove", optional(as_counts)),
        "seed": reader.get(fields, "seed", optional(as_integer)),
        "timings": reader.get(fields, "timings", as_timings),
        "num_evaluated": reader.get(fields, "num_evaluated", as_integer),
        "native_status": reader.get(fields, "native_status", as_string),
        **{key: reader.get(fields, key, as_facts) for key in _FACTS if key in fields},
    }
    if "parameter_counts" in fields:
        values["parameter_counts"] = reader.get(fields, "parameter_counts", as_integers)
    if "at_least" in fields or "weights" in fields:
        values["at_least"] = reader.get(fields, "at_least", as_amount)
        values["weights"] = tuple(reader.get(fields, "weights", as_numbers))
    try:
        return make(**values)
    except InputError as error:
        reader.fail(str(error).rstrip("."))


def _header(spectrum: SpectrumView) -> dict[str, Any]:
    header = {
        "format_version": FORMAT_VERSION,
        "backend": spectrum.backend,
        "status": spectrum.status.value,
        "stop_reason": spectrum.stop_reason.value,
        "native_status": spectrum.native_status,
        "num_proven": spectrum.num_proven,
        "lower_bound": from_lower_bound(spectrum.lower_bound),
        "ties_truncated": spectrum.ties_truncated,
        "num_blocks": spectrum.num_blocks,
        "remove": spectrum.remove,
        "num_states_total": from_large_integer(spectrum.num_states_total),
        "names": list(spectrum.names),
        "num_evaluated": spectrum.num_evaluated,
        "timings": dict(spectrum.timings),
        "seed": spectrum.seed,
        "hessian_sha256": spectrum.hessian_sha256,
    }
    if spectrum.parameter_counts is not None:
        header["parameter_counts"] = list(spectrum.parameter_counts)
    if spectrum.at_least is not None:
        header |= {"at_least": spectrum.at_least, "weights": list(spectrum.weights or ())}
    header.update({key: dict(getattr(spectrum, key)) for key in _FACTS if getattr(spectrum, key)})
    return header


def _derived(spectrum: SpectrumView) -> dict[str, Any]:
    """Return what states remove in all, as far as that is known."""
    found = parameters_removed(spectrum), weight_removed(spectrum)
    values = [value for each in found for value in each or (None, None)]
    pairs = zip(DERIVED, values, strict=True)
    return {key: value for key, value in pairs if value is not None}


def _most_bytes(fields: dict[str, Any], reader: Reader) -> dict[str, int]:
    """Return how many bytes the arrays of a spectrum may take: no state is there twice."""
    reader.check_version(fields, FORMAT_VERSION)
    num_blocks = reader.get(fields, "num_blocks", as_integer)
    num_states = reader.get(fields, "num_states_total", as_large_integer)
    width = -(-max(1, num_blocks) // 8)
    num_states = min(num_states, LARGEST_TABLE // (8 * width))
    return {"states": width * num_states, "energies": 8 * num_states}


def _unpack(packed: NDArray[Any], num_blocks: int, reader: Reader) -> NDArray[np.bool_]:
    if packed.ndim != 2 or packed.shape[1] != -(-num_blocks // 8):
        reader.fail(f"states of shape {packed.shape} do not fit {num_blocks} blocks")
    bits = np.unpackbits(packed, axis=1)
    if bits[:, num_blocks:].any():
        reader.fail(f"states remove blocks beyond the last of {num_blocks}")
    return bits[:, :num_blocks].astype(np.bool_)
