"""Matrix Market files, by scipy; the energy is x'Ax for the matrix A of the file."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats.quadratic_model import Model, check_size

_SHORTEST_ENTRY = {"array": 2, "coordinate": 4}
"""Bytes of a digit, or of two indices, and the end of the line."""

_REAL = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WHOLE = rb"[+-]?\d+"
_VALUE = {"real": _REAL, "integer": _WHOLE, "unsigned-integer": _WHOLE, "pattern": None}
"""What a value of a field looks like; a pattern has none."""


def read_matrix_market(path: Path, data: bytes) -> Model:
    """Read a real square matrix, dense or sparse."""
    import scipy.io

    try:
        rows, columns, entries, kind, field, symmetry = scipy.io.mminfo(io.BytesIO(data))
    except (ValueError, OverflowError) as error:
        _fail(path, str(error))
    if rows != columns:
        _fail(path, f"the matrix of {rows} x {columns} is not square")
    check_size(rows, f"{path}: the matrix")
    if field == "complex" or symmetry in ("skew-symmetric", "hermitian"):
        _fail(path, f"the matrix is {field} and {symmetry}, not real and symmetric or general")
    # Memory for all entries is allocated before the first one is read.
    if kind == "array" and symmetry == "symmetric":
        entries = rows * (rows + 1) // 2
    if _SHORTEST_ENTRY[kind] * entries > len(data):
        _fail(path, f"{entries} entries are announced, but the file has {len(data)} bytes")
    try:
        matrix = scipy.io.mmread(io.BytesIO(data))
    except (ValueError, OverflowError) as error:
        _fail(path, str(error))
    _check_lines(path, data, kind, _VALUE[field])
    if kind == "coordinate":
        # scipy adds the other half of a symmetric matrix, and adds up what is there twice.
        half = matrix.row >= matrix.col if symmetry == "symmetric" else slice(None)
        seen = np.zeros(matrix.shape, np.bool_)
        seen[matrix.row[half], matrix.col[half]] = True
        if np.count_nonzero(seen) < entries:
            _fail_at_repetition(path, data, either_half=symmetry == "symmetric")
        matrix = matrix.toarray()
    return Model(np.asarray(matrix, np.float64))


def write_matrix_market(stream: IO[bytes], model: Model) -> None:
    """Write the lower half of a symmetric matrix, in digits that read back to the same bits."""
    import scipy.io

    scipy.io.mmwrite(stream, model.matrix, field="real", symmetry="symmetric")


def _check_lines(path: Path, data: bytes, kind: str, value: bytes | None) -> None:
    """Refuse lines after the sizes that are not blank and no entry of this kind; scipy reads 1.5x
    as 1.5, and 0x10 as 0.
    """
    words = [rb"\d+"] * 2 if kind == "coordinate" else []
    entry = rb"[ \t]+".join([*words, value] if value else words)
    lines = re.compile(rb"(?:[ \t]*+(?:%b)?+[ \t\r]*+(?:\n|\Z))*+" % entry)
    found = lines.match(data, _after_sizes(data))
    if found is not None and found.end() < len(data):
        number = data.count(b"\n", 0, found.end()) + 1
        text = data[found.end() : found.end() + 40].split(b"\n")[0].decode(errors="replace")
        _fail(path, f"Line {number}: {text.strip()!r} is no entry of the kind announced")


def _fail_at_repetition(path: Path, data: bytes, *, either_half: bool) -> NoReturn:
    """Name the first two lines that have the same entry."""
    lines: dict[tuple[int, ...], int] = {}
    start = _after_sizes(data)
    first = data.count(b"\n", 0, start) + 1
    for number, text in enumerate(data[start:].split(b"\n"), start=first):
        place = tuple(map(int, text.split()[:2]))
        key = tuple(sorted(place)) if either_half else place
        if key and lines.setdefault(key, number) != number:
            both = ", and a symmetric matrix has one half" if either_half else ""
            _fail(
                path,
                f"Line {number}: line {lines[key]} has the entry {place[0]} {place[1]}"
                f" already{both}",
            )
    _fail(path, "an entry is there twice")


def _after_sizes(data: bytes) -> int:
    """Return where the line after that of the sizes begins."""
    at = 0
    while at < len(data):
        line, at = data[at : (end := data.find(b"\n", at) + 1 or len(data))], end
        if line.strip() and not line.startswith(b"%"):
            break
    return at


def _fail(path: Path, problem: str) -> NoReturn:
    problem = problem.rstrip(".")
    if problem.startswith("Line "):
        line, _, problem = problem[5:].partition(":")
        where = f"line {line} of {path}"
    else:
        where = str(path)
    raise InputError(
        f"{where} cannot be read: {problem.strip()}; write a Matrix Market file of a real symmetric"
        " matrix."
    )
