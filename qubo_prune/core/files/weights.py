"""What each block frees, in a file: JSON, a list or an object by name, or CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qubo_prune.core.csv_text import csv_text
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import check_suffix, read_file, write_atomically
from qubo_prune.core.files.kinds import Kind, kind_of
from qubo_prune.core.files.strict_json import Reader, as_number
from qubo_prune.core.text import format_value, plural

__all__ = ["SUFFIXES", "read_weights", "require_weights_replaceable", "write_weights"]

SUFFIXES = (".json", ".csv")

_REMEDY = "write a list of numbers, one per block, or one for each name"
_CELLS = (1, 2)
"""How many a line of CSV may have: the weight, or a name and the weight."""


def read_weights(path: str | os.PathLike[str], names: Sequence[str]) -> tuple[float, ...]:
    r"""Return what each block weighs, by what a file says.

    Parameters
    ----------
    path : str or path
        A ``.json`` file with a list of numbers in the order of the blocks, or an object from name
        to number; or a ``.csv`` file with a line for each block, ``name,weight`` in any order or
        the weight alone. A first line without a number is taken for headings.
    names : sequence of str
        The name of each block.

    Raises
    ------
    InputError
        If the file cannot be read, or a weight is missing, there twice, no number or negative, or
        of no block.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sizes.csv")
    ...     _ = path.write_text("name,weight\nb,2.5\na,1\n")
    ...     read_weights(path, ["a", "b"])
    (1, 2.5)
    """
    path = Path(path)
    suffix = check_suffix(path, SUFFIXES, "a file of weights")
    reader = Reader(path, "file of weights", _REMEDY)
    data = read_file(path)
    read = _of_json if suffix == ".json" else _of_csv
    found = read(data, reader)
    if isinstance(found, dict):
        found = _in_order(found, names, reader)
    if len(found) != len(names):
        reader.fail(f"it has {plural(len(found), 'number')}, but there are {len(names)} blocks")
    for name, weight in zip(names, found, strict=True):
        if weight < 0:
            reader.fail(f"{name} weighs {weight:g}, which is less than 0")
    return tuple(found)


def write_weights(
    path: str | os.PathLike[str], names: Sequence[str], weights: Sequence[float]
) -> None:
    """Write what each block weighs, as `read_weights` takes it, completely or not at all.

    Parameters
    ----------
    path : str or path
        A ``.json`` file, an object from name to number, or a ``.csv`` file, ``name,weight``.
    names : sequence of str
        The name of each block.
    weights : sequence of float
        What it weighs.

    Raises
    ------
    InputError
        If the suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    if check_suffix(path, SUFFIXES, "a file of weights") == ".json":
        text = json.dumps(dict(zip(names, weights, strict=True)), indent=1) + "\n"
    else:
        text = csv_text(("name", "weight"), zip(names, weights, strict=True))
    write_atomically({path: lambda stream: stream.write(text.encode())})


def require_weights_replaceable(path: Path) -> None:
    """Refuse to replace a file that holds anything but weights."""
    suffix = check_suffix(path, SUFFIXES, "a file of weights")
    if kind_of(path) in (None, Kind.EMPTY):
        return
    read = _of_json if suffix == ".json" else _of_csv
    try:
        read(read_file(path), Reader(path, "file of weights", _REMEDY))
    except InputError as error:
        raise InputError(
            f"{path} holds something else than weights, and is not replaced by them; name another"
            " file, or delete it."
        ) from error


def _of_json(data: bytes, reader: Reader) -> list[float] | dict[str, float]:
    value = reader.parse_any(data)
    if isinstance(value, dict):
        return {name: _number(each, name, reader) for name, each in value.items()}
    if not isinstance(value, list):
        reader.fail(f"it holds {format_value(value)}")
    return [_number(each, f"entry {place}", reader) for place, each in enumerate(value)]


def _number(value: object, what: str, reader: Reader) -> float:
    try:
        return as_number(value)
    except (TypeError, ValueError, OverflowError):
        reader.fail(f"{what} weighs {format_value(value)}, which is no number")


def _of_csv(data: bytes, reader: Reader) -> list[float] | dict[str, float]:
    try:
        rows = [
            row for row in csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True) if row
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        reader.fail(f"it is not CSV ({error})")
    if rows and _as_number(rows[0][-1]) is None:
        rows = rows[1:]  # the headings
    widths = {len(row) for row in rows}
    if len(widths) > 1 or not widths <= set(_CELLS):
        reader.fail(f"its lines have {', '.join(map(str, sorted(widths)))} cells, not 1 or 2")
    weights = []
    for row in rows:
        weight = _as_number(row[-1])
        if weight is None:
            reader.fail(f"{row[0]} weighs {format_value(row[-1])}, which is no number")
        weights.append(weight)
    if widths != {len(_CELLS)}:
        return weights
    names = [row[0].strip() for row in rows]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        reader.fail(f"{name} is there {times} times")
    return dict(zip(names, weights, strict=True))


def _as_number(text: str) -> float | None:
    """Return the number of a cell, a whole one as what it is; None where it is none."""
    for convert in (int, float):
        try:
            return as_number(convert(text))
        except (ValueError, OverflowError):
            continue
    return None


def _in_order(found: dict[str, float], names: Sequence[str], reader: Reader) -> list[float]:
    unknown = [name for name in found if name not in set(names)]
    if unknown:
        reader.fail(f"{unknown[0]} is none of the {len(names)} blocks, {names[0]} to {names[-1]}")
    missing = [name for name in names if name not in found]
    if missing:
        more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        reader.fail(f"{missing[0]}{more} missing")
    return [found[name] for name in names]
