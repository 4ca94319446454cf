"""Spectra in files: strict JSON that people and scripts read, or a compact ``.npz``.

Both hold the same object, described in `Spectrum.to_dict`; in the ``.npz`` the states and energies
are arrays beside it. Nothing in a file is trusted: whatever does not fit is an `InputError`.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.errors import InputError, SpectrumError
from qubo_prune.files import read_array, read_file, write_atomically
from qubo_prune.spectrum import Spectrum, Status
from qubo_prune.stopping import StopReason
from qubo_prune.text import format_value

FORMAT_VERSION = 1

_SUFFIXES = (".json", ".npz")
_LARGEST_DECIMAL_BITS = 8192
"""Integers above are written in hexadecimal: Python refuses to parse long decimal ones."""

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    KeyError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises for archives that are damaged, encrypted or packed in unknown ways."""

_Value = TypeVar("_Value")


def to_dict(spectrum: Spectrum) -> dict[str, Any]:
    """Return the JSON object of a spectrum."""
    return {
        **_header(spectrum),
        "energies": spectrum.energies.tolist(),
        "removed": [spectrum.removed(k) for k in range(len(spectrum))],
    }


def save(spectrum: Spectrum, path: str | os.PathLike[str]) -> None:
    """Write a spectrum; the suffix chooses the format."""
    path = Path(path)
    if check_suffix(path) == ".json":
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


def load(path: str | os.PathLike[str]) -> Spectrum:
    """Read and check a spectrum; the suffix chooses the format."""
    path = Path(path)
    suffix = check_suffix(path)
    data = read_file(path)
    reader = _Reader(path)
    if suffix == ".json":
        fields = reader.parse(data)
        names = reader.get(fields, "names", _strings)
        states = _states_of(reader.get(fields, "removed", _index_lists), len(names), reader)
        energies = reader.get(fields, "energies", _floats)
    else:
        arrays = _read_arrays(data, path)
        fields = reader.parse(arrays["header"].tobytes())
        names = reader.get(fields, "names", _strings)
        states = _unpack(arrays["states"], len(names), reader)
        energies = arrays["energies"]
    if reader.get(fields, "num_blocks", _integer) != len(names):
        reader.fail(f"num_blocks is {fields['num_blocks']}, but there are {len(names)} names")
    spectrum = reader.build(
        lambda: Spectrum(
            states=states,
            energies=energies,
            num_proven=reader.get(fields, "num_proven", _integer),
            lower_bound=reader.get(fields, "lower_bound", _bound),
            status=reader.get(fields, "status", Status),
            stop_reason=reader.get(fields, "stop_reason", StopReason),
            ties_truncated=reader.get(fields, "ties_truncated", _boolean),
            backend=reader.get(fields, "backend", _string),
            num_states_total=reader.get(fields, "num_states_total", _large_integer),
            hessian_sha256=reader.get(fields, "hessian_sha256", _string),
            names=tuple(names),
            remove=reader.get(fields, "remove", _remove),
            seed=reader.get(fields, "seed", _optional_integer),
            timings=reader.get(fields, "timings", _timings),
            num_evaluated=reader.get(fields, "num_evaluated", _integer),
            native_status=reader.get(fields, "native_status", _string),
        )
    )
    asked = spectrum.remove
    num_removed = asked if isinstance(asked, int) else sum(asked.values())
    counts = np.count_nonzero(spectrum.states, axis=1)
    if (counts != num_removed).any():
        wrong = int(np.flatnonzero(counts != num_removed)[0])
        reader.fail(f"state {wrong} removes {counts[wrong]} blocks, not {num_removed}")
    return spectrum


def _header(spectrum: Spectrum) -> dict[str, Any]:
    total = spectrum.num_states_total
    bound = spectrum.lower_bound
    return {
        "format_version": FORMAT_VERSION,
        "backend": spectrum.backend,
        "status": spectrum.status.value,
        "stop_reason": spectrum.stop_reason.value,
        "native_status": spectrum.native_status,
        "num_proven": spectrum.num_proven,
        "lower_bound": bound if math.isfinite(bound) else _INFINITIES[bound],
        "ties_truncated": spectrum.ties_truncated,
        "num_blocks": spectrum.num_blocks,
        "remove": spectrum.remove,
        "num_states_total": total if total.bit_length() <= _LARGEST_DECIMAL_BITS else hex(total),
        "names": list(spectrum.names),
        "num_evaluated": spectrum.num_evaluated,
        "timings": dict(spectrum.timings),
        "seed": spectrum.seed,
        "hessian_sha256": spectrum.hessian_sha256,
    }


_INFINITIES = {math.inf: "Infinity", -math.inf: "-Infinity"}
_BOUNDS = {text: bound for bound, text in _INFINITIES.items()}


def check_suffix(path: Path) -> str:
    """Return the suffix of a spectrum file, ``.json`` or ``.npz``, or refuse another one."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(
            f"a spectrum file must end in .json or .npz, not {path.name!r}; choose one of them."
        )
    return suffix


class _Reader:
    """Turns whatever is wrong with a file into one sentence that names it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fail(self, problem: str) -> NoReturn:
        raise InputError(
            f"{self._path} is not a valid spectrum file: {problem}; "
            "write it again with Spectrum.save."
        )

    def parse(self, data: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(data.decode(), parse_constant=self._refuse_constant)
        except (ValueError, RecursionError) as error:
            self.fail(f"it is not JSON ({error})")
        if not isinstance(fields, dict):
            self.fail(f"it holds a {type(fields).__name__}, not an object")
        version = self.get(fields, "format_version", _integer)
        if version != FORMAT_VERSION:
            self.fail(f"its format_version is {version}, and only {FORMAT_VERSION} is known here")
        return fields

    def get(self, fields: dict[str, Any], key: str, convert: Callable[[Any], _Value]) -> _Value:
        if key not in fields:
            self.fail(f"the key {key!r} is missing")
        try:
            return convert(fields[key])
        except (TypeError, ValueError, OverflowError):
            self.fail(f"{key} has a wrong value, {format_value(fields[key])}")

    def build(self, make: Callable[[], Spectrum]) -> Spectrum:
        try:
            spectrum = make()
            spectrum.check_consistency()
        except (InputError, SpectrumError) as error:
            self.fail(str(error).rstrip("."))
        return spectrum

    def _refuse_constant(self, constant: str) -> NoReturn:
        self.fail(f"it holds the number {constant}")


def _read_arrays(data: bytes, path: Path) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name, dtype in (("header", np.uint8), ("states", np.uint8), ("energies", "<f8")):
                member = archive.getinfo(f"{name}.npy")
                with archive.open(member) as stream:
                    array = read_array(stream, member.file_size, f"{name}.npy of {path}")
                if array.dtype != dtype:
                    raise InputError(
                        f"{name}.npy of {path} has dtype {array.dtype}, not {np.dtype(dtype)}; "
                        "write it again with Spectrum.save."
                    )
                arrays[name] = array
    except _ZIP_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is not a valid spectrum file: {error}; write it again with Spectrum.save."
        ) from error
    return arrays


def _unpack(packed: NDArray[Any], num_blocks: int, reader: _Reader) -> NDArray[np.bool_]:
    if packed.ndim != 2 or packed.shape[1] != -(-num_blocks // 8):
        reader.fail(f"states of shape {packed.shape} do not fit {num_blocks} blocks")
    bits = np.unpackbits(packed, axis=1)
    if bits[:, num_blocks:].any():
        reader.fail(f"states remove blocks beyond the last of {num_blocks}")
    return bits[:, :num_blocks].astype(np.bool_)


def _states_of(removed: list[list[int]], num_blocks: int, reader: _Reader) -> NDArray[np.bool_]:
    states = np.zeros((len(removed), num_blocks), np.bool_)
    for k, blocks in enumerate(removed):
        if any(a >= b for a, b in pairwise(blocks)):
            reader.fail(f"the removed blocks of state {k} do not ascend")
        if blocks and not 0 <= blocks[0] <= blocks[-1] < num_blocks:
            reader.fail(f"state {k} removes a block outside 0...{num_blocks - 1}")
        states[k, blocks] = True
    return states


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _optional_integer(value: Any) -> int | None:
    return None if value is None else _integer(value)


def _large_integer(value: Any) -> int:
    number = int(value, 16) if isinstance(value, str) else _integer(value)
    if number < 0:
        raise ValueError
    return number


def _float(value: Any) -> float:
    if isinstance(value, float) and math.isfinite(value):
        return value
    return float(_integer(value))


def _bound(value: Any) -> float:
    return _BOUNDS[value] if value in _BOUNDS else _float(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _strings(value: Any) -> list[str]:
    return [_string(entry) for entry in _list(value)]


def _floats(value: Any) -> NDArray[np.float64]:
    return np.array([_float(entry) for entry in _list(value)], np.float64)


def _index_lists(value: Any) -> list[list[int]]:
    return [[_integer(index) for index in _list(entry)] for entry in _list(value)]


def _remove(value: Any) -> int | dict[str, int]:
    if isinstance(value, dict):
        return {_string(kind): _integer(count) for kind, count in value.items()}
    return _integer(value)


def _timings(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise TypeError
    return {_string(phase): _float(seconds) for phase, seconds in value.items()}
