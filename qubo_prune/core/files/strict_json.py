"""Strict JSON, and arrays, from files that nobody vouches for: whatever does not fit is an
`InputError` of one sentence.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_array
from qubo_prune.core.text import format_bytes, format_count, format_value

_LARGEST_DECIMAL_BITS = 8192
"""Integers above are written in hexadecimal: Python refuses to parse long decimal ones."""

LARGEST_TABLE = 1 << 32
"""Bytes that the states of a file may take; a hostile one could ask for any number in few
characters.
"""

_LARGEST_HEADER = 1 << 26
_NPY_HEADER = 1 << 12
"""Bytes that the header of an archive, and that of each array in it, may take."""

_INFINITIES = {math.inf: "Infinity", -math.inf: "-Infinity"}
_BOUNDS = {text: bound for bound, text in _INFINITIES.items()}

_Value = TypeVar("_Value")

ZIP_ERRORS = (
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


class Reader:
    """Turns whatever is wrong with a file into one sentence that names it.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it should be.
    remedy : str
        What to do if it is not.
    """

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        self._path = path
        self._what = what
        self._remedy = remedy

    def fail(self, problem: str) -> NoReturn:
        """Refuse the file."""
        raise InputError(f"{self._path} is not a valid {self._what}: {problem}; {self._remedy}.")

    def parse(self, data: bytes) -> dict[str, Any]:
        """Return the JSON object in `data`."""
        return self.as_object(self.parse_any(data))

    def parse_any(self, data: bytes) -> Any:
        """Return the JSON value in `data`."""
        try:
            return json.loads(
                data.decode(),
                parse_constant=self._refuse_constant,
                object_pairs_hook=self._without_repetition,
            )
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            self.fail(f"it is not JSON ({error})")

    def arrays(
        self,
        data: bytes,
        dtypes: Mapping[str, str],
        bytes_of: Callable[[dict[str, Any]], Mapping[str, int]],
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the header and the arrays of an ``.npz`` archive that have these names and dtypes,
        never unpickled.

        The header, a JSON object, is the array of bytes ``header``. `bytes_of` tells from it how
        many each other array may take at most, before it is unpacked: a few bytes of an archive
        could ask for any number.
        """
        arrays: dict[str, NDArray[Any]] = {}
        limits: Mapping[str, int] = {}
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if len(set(archive.namelist())) < len(archive.namelist()):
                    self.fail("it has two members of one name")
                for name in ("header", *dtypes):
                    member = archive.getinfo(f"{name}.npy")
                    where = f"{name}.npy of {self._path}"
                    most = limits.get(name, _LARGEST_HEADER) + _NPY_HEADER
                    if member.file_size > most:
                        self.fail(
                            f"{name}.npy unpacks to {format_bytes(member.file_size)}, and"
                            f" {format_bytes(most)} are the most that its header speaks of"
                        )
                    with archive.open(member) as stream:
                        arrays[name] = read_array(stream, member.file_size, where)
                    dtype = dtypes.get(name, "uint8")
                    if arrays[name].dtype != dtype:
                        self.fail(f"{name}.npy has dtype {arrays[name].dtype}, not {dtype}")
                    if name == "header":
                        fields = self.parse(arrays.pop("header").tobytes())
                        limits = bytes_of(fields)
        except ZIP_ERRORS as error:
            if isinstance(error, InputError):
                raise
            self.fail(str(error))
        return fields, arrays

    def check_version(self, fields: dict[str, Any], version: int) -> None:
        """Refuse an object of another format version."""
        found = self.get(fields, "format_version", as_integer)
        if found != version:
            self.fail(f"its format_version is {found}, and only {version} is known here")

    def as_object(self, value: Any, key: str = "") -> dict[str, Any]:
        """Return `value`, the file's whole contents or what is under `key`, if it is an object."""
        if not isinstance(value, dict):
            what = f"{key} is" if key else "it holds"
            self.fail(f"{what} a {type(value).__name__}, not an object")
        return value

    def get(self, fields: dict[str, Any], key: str, convert: Callable[[Any], _Value]) -> _Value:
        """Return the converted value of a key that has to be there."""
        if key not in fields:
            self.fail(f"the key {key!r} is missing")
        try:
            return convert(fields[key])
        except (TypeError, ValueError, OverflowError):
            self.fail(f"{key} has a wrong value, {format_value(fields[key])}")

    def states(self, removed: list[list[int]], num_blocks: int) -> NDArray[np.bool_]:
        """Return lists of removed blocks as states, shape (K, num_blocks)."""
        size = len(removed) * num_blocks
        if size > LARGEST_TABLE:
            self.fail(
                f"{len(removed)} states of {num_blocks} blocks take {format_count(size)} bytes, "
                f"more than {format_count(LARGEST_TABLE)}"
            )
        states = np.zeros((len(removed), num_blocks), np.bool_)
        for k, blocks in enumerate(removed):
            if any(a >= b for a, b in pairwise(blocks)):
                self.fail(f"the removed blocks of state {k} do not ascend")
            if blocks and not 0 <= blocks[0] <= blocks[-1] < num_blocks:
                self.fail(f"state {k} removes a block outside 0...{num_blocks - 1}")
            states[k, blocks] = True
        return states

    def _refuse_constant(self, constant: str) -> NoReturn:
        self.fail(f"it holds the number {constant}")

    def _without_repetition(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        try:
            return unrepeated(pairs)
        except ValueError as error:
            self.fail(str(error))


def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these keys and values, as an ``object_pairs_hook`` does; raise a
    ValueError if a key is there twice, for readers disagree on which of two values counts.
    """
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {format_value(key)} is there twice")
        seen.add(key)
    return dict(pairs)


def from_bound(bound: float) -> float | str:
    """Return a bound as JSON has it, without infinite numbers."""
    return bound if math.isfinite(bound) else _INFINITIES[bound]


def from_lower_bound(bound: float) -> float | str | None:
    """Return a lower bound as JSON has it: null where nothing is known, which is -inf.

    >>> from_lower_bound(-math.inf), from_lower_bound(0.5), from_lower_bound(math.inf)
    (None, 0.5, 'Infinity')
    """
    return None if bound == -math.inf else from_bound(bound)


def as_lower_bound(value: Any) -> float:
    """Return what `from_lower_bound` made of a bound, now or before it knew null."""
    return -math.inf if value is None else as_bound(value)


def from_any_float(value: float) -> float | str | None:
    """Return any float as JSON has it, where NaN is null."""
    return None if math.isnan(value) else from_bound(value)


def as_any_float(value: Any) -> float:
    """Return what `from_any_float` made of a float."""
    return math.nan if value is None else as_bound(value)


def as_any_floats(value: Any) -> NDArray[np.float64]:
    """Return a list of what `from_any_float` made of floats, read-only."""
    values = np.array([as_any_float(entry) for entry in as_list(value)], np.float64)
    values.setflags(write=False)
    return values


def from_large_integer(number: int) -> int | str:
    """Return an integer of any size as JSON has it."""
    return number if number.bit_length() <= _LARGEST_DECIMAL_BITS else hex(number)


def as_string(value: Any) -> str:
    """Return a string; like all functions here, raise TypeError or ValueError for anything else."""
    if not isinstance(value, str):
        raise TypeError
    return value


def as_boolean(value: Any) -> bool:
    """Return a bool."""
    if not isinstance(value, bool):
        raise TypeError
    return value


def as_integer(value: Any) -> int:
    """Return an int; True is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def as_large_integer(value: Any) -> int:
    """Return a nonnegative integer of any size."""
    number = int(value, 16) if isinstance(value, str) else as_integer(value)
    if number < 0:
        raise ValueError
    return number


def as_float(value: Any) -> float:
    """Return a finite float."""
    if isinstance(value, float) and math.isfinite(value):
        return value
    return float(as_integer(value))


def as_bound(value: Any) -> float:
    """Return a float that may be infinite."""
    return _BOUNDS[value] if value in _BOUNDS else as_float(value)


def as_list(value: Any) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise TypeError
    return value


def as_strings(value: Any) -> list[str]:
    """Return a list of strings."""
    return [as_string(entry) for entry in as_list(value)]


def as_integers(value: Any) -> list[int]:
    """Return a list of ints."""
    return [as_integer(entry) for entry in as_list(value)]


def as_number(value: Any) -> float:
    """Return an int or a finite float as what it is."""
    return value if type(value) is int else as_float(value)


def as_numbers(value: Any) -> list[float]:
    """Return a list of ints and finite floats, each as what it is."""
    return [as_number(each) for each in as_list(value)]


def as_amount(value: Any) -> float | str:
    """Return a number as what it is, or a string such as ``20%``."""
    return value if isinstance(value, str) else as_number(value)


def as_floats(value: Any) -> NDArray[np.float64]:
    """Return a list of finite floats as an array."""
    return np.array([as_float(entry) for entry in as_list(value)], np.float64)


def as_index_lists(value: Any) -> list[list[int]]:
    """Return lists of ints."""
    return [as_integers(entry) for entry in as_list(value)]


def as_counts(value: Any) -> int | dict[str, int]:
    """Return one count or an object of counts."""
    if isinstance(value, dict):
        return {as_string(kind): as_integer(count) for kind, count in value.items()}
    return as_integer(value)


def as_timings(value: Any) -> dict[str, float]:
    """Return an object of finite floats."""
    if not isinstance(value, dict):
        raise TypeError
    return {phase: as_float(seconds) for phase, seconds in value.items()}


def as_facts(value: Any) -> dict[str, float | int | str]:
    """Return an object of finite numbers and strings."""
    if not isinstance(value, dict):
        raise TypeError
    return {
        name: fact if isinstance(fact, str) or type(fact) is int else as_float(fact)
        for name, fact in value.items()
    }


def is_fact(name: object, value: object) -> bool:
    """Whether `as_facts` reads back a name and a value that were written."""
    if isinstance(value, float):
        return isinstance(name, str) and math.isfinite(value)
    return isinstance(name, str) and isinstance(value, int | str) and not isinstance(value, bool)


def optional(convert: Callable[[Any], _Value]) -> Callable[[Any], _Value | None]:
    """Return a conversion that also lets null through."""
    return lambda value: None if value is None else convert(value)
