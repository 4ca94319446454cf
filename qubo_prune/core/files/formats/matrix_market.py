"""Matrix Market files, by scipy; the energy is x'Ax for the matrix A of the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats.quadratic_model import Model, check_size

_SHORTEST_ENTRY = {"array": 2, "coordinate": 4}
"""Bytes of a digit, or of two indices, and the end of the line."""


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
    if kind == "coordinate":
        matrix = matrix.toarray()
    return Model(np.asarray(matrix, np.float64))


def write_matrix_market(stream: IO[bytes], model: Model) -> None:
    """Write the lower half of a symmetric matrix, in digits that read back to the same bits."""
    import scipy.io

    scipy.io.mmwrite(stream, model.matrix, field="real", symmetry="symmetric")


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
