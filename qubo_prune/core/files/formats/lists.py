"""Formats that list entries ``i j value``: COO, qbsolv, Biq Mac and rudy.

Numbers are written with as many digits as reading them back to the same bits takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import fsum
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.files.formats.lines import Entries, TextFile
from qubo_prune.core.files.formats.quadratic_model import (
    Model,
    check_size,
    from_spins,
    plain_labels,
    symmetric,
    upper_terms,
)

_VARTYPE = re.compile(r"#.*?vartype\s*[:=]\s*([-\w]+)")


def read_coo(path: Path, data: bytes) -> Model:
    """Read dimod's COO: a line ``# vartype=BINARY`` (or SPIN), then ``i j bias``. The indices that
    occur, from 0 or not, are the variables, and label them.
    """
    file = TextFile(
        path, data, "write '# vartype=BINARY', then lines 'i j bias', each pair of indices once"
    )
    entries = Entries(file)
    vartype = ""
    line = 1
    for line, text in file.lines():
        if text.startswith("#"):
            header = _VARTYPE.match(text)
            if header and header[1] not in ("BINARY", "SPIN"):
                file.fail(line, f"the vartype is {header[1]}, not BINARY or SPIN")
            if header and vartype not in ("", header[1]):
                file.fail(line, f"the vartype is {header[1]} here and {vartype} above")
            vartype = header[1] if header else vartype
        else:
            entries.put(line, *file.entry(line, text))
    if not vartype:
        file.fail(1, "no comment says whether the variables are 0 and 1 or spins")
    if not entries:
        file.fail(line, "there is no entry")
    nodes = np.unique(np.concatenate(entries.arrays()[:2]))
    check_size(len(nodes), f"{path}: the model")
    labels = plain_labels([str(node) for node in nodes.tolist()])
    linear, rows, columns, values = entries.split(nodes)
    if vartype == "BINARY":
        return Model(symmetric(linear, rows, columns, values), labels=labels)
    couplings = symmetric(np.zeros(len(linear)), rows, columns, values)
    return Model(*from_spins(couplings, linear, 0.0), labels)


def write_coo(stream: IO[bytes], model: Model) -> None:
    """Write dimod's COO, without exponents, which its reader passes over, and with every diagonal
    entry, which makes it know the variable.
    """

    def lines() -> Iterable[str]:
        yield "# vartype=BINARY\n"
        for i, value in enumerate(np.diagonal(model.matrix)):
            yield f"{i} {i} {_positional(value)}\n"
        for i, j, value in _doubled(model.matrix):
            yield f"{i} {j} {_positional(value)}\n"

    _write(stream, lines())


def read_qbsolv(path: Path, data: bytes) -> Model:
    """Read a ``.qubo`` file: ``p qubo topology maxNodes nNodes nCouplers``, then nodes ``i i
    bias``, then couplers ``i j bias`` with i < j.
    """
    file = TextFile(
        path,
        data,
        "write 'p qubo 0 maxNodes nNodes nCouplers', then nNodes lines 'i i bias', then nCouplers"
        " lines 'i j bias' with i < j",
    )
    entries = Entries(file)
    header: tuple[int, int, int] | None = None
    line = 1
    for line, text in file.lines():
        if text.startswith("c"):
            continue
        if text.startswith("p"):
            if header is not None:
                file.fail(line, "there is a second 'p' line")
            header = _qbsolv_header(file, line, text)
            continue
        if header is None:
            file.fail(line, "no 'p' line comes before it")
        first, second, value = file.entry(line, text)
        if not first <= second < header[0]:
            file.fail(line, f"{first} {second} is no pair i <= j below maxNodes = {header[0]}")
        if (first == second) != (len(entries) < header[1]):
            file.fail(line, f"{header[1]} nodes come first, and then couplers")
        entries.put(line, first, second, value)
    if header is None:
        file.fail(line, "there is no 'p' line")
    _, num_nodes, num_couplers = header
    if len(entries) != num_nodes + num_couplers:
        file.fail(
            line,
            f"the file ends after {len(entries)} entries, and the 'p' line announces"
            f" {num_nodes + num_couplers}",
        )
    rows, columns, _ = entries.arrays()
    nodes = np.sort(rows[:num_nodes])
    strangers = np.setdiff1d(np.concatenate([rows, columns]), nodes)
    if strangers.size:
        file.fail(line, f"there is a coupler of node {strangers[0]}, which is not among the nodes")
    matrix = symmetric(*entries.split(nodes))
    return Model(matrix, labels=plain_labels([str(node) for node in nodes.tolist()]))


def _qbsolv_header(file: TextFile, line: int, text: str) -> tuple[int, int, int]:
    words = text.split()
    if len(words) != 6 or words[:2] != ["p", "qubo"]:
        file.fail(line, "it is no 'p qubo' line of six words")
    most, nodes, couplers = (
        file.integer(line, word, what)
        for word, what in zip(words[3:], ("maxNodes", "nNodes", "nCouplers"), strict=True)
    )
    check_size(nodes, f"line {line} of {file.path}: the model")
    if nodes > most:
        file.fail(line, f"nNodes = {nodes} is more than maxNodes = {most}")
    return most, nodes, couplers


def write_qbsolv(stream: IO[bytes], model: Model) -> None:
    """Write a ``.qubo`` file."""
    size = len(model.matrix)
    terms = _doubled(model.matrix)

    def lines() -> Iterable[str]:
        yield f"p qubo 0 {size} {size} {len(terms)}\n"
        for i, value in enumerate(np.diagonal(model.matrix)):
            yield f"{i} {i} {float(value)!r}\n"
        for i, j, value in terms:
            yield f"{i} {j} {value!r}\n"

    _write(stream, lines())


def read_biqmac(path: Path, data: bytes) -> Model:
    """Read Biq Mac's matrix: ``n m``, then m lines ``i j Q_ij`` from index 1, each pair once for
    both halves of the symmetric Q.
    """
    size, entries = _read_counted(path, data, "Q_ij")
    diagonal, rows, columns, values = entries.split(np.arange(1, size + 1))
    return Model(symmetric(diagonal, rows, columns, 2.0 * values))


def write_biqmac(stream: IO[bytes], model: Model) -> None:
    """Write Biq Mac's matrix."""
    rows, columns, values = upper_terms(model.matrix)
    diagonal = np.diagonal(model.matrix)
    on = np.flatnonzero(diagonal)

    def lines() -> Iterable[str]:
        yield f"{len(diagonal)} {len(on) + len(values)}\n"
        yield from (f"{i + 1} {i + 1} {float(diagonal[i])!r}\n" for i in on)
        yield from _entry_lines(rows + 1, columns + 1, values)

    _write(stream, lines())


def read_rudy(path: Path, data: bytes) -> Model:
    """Read a rudy graph: ``n m``, then m lines ``i j weight`` from index 1. The energy is minus the
    weight of the cut.
    """
    size, entries = _read_counted(path, data, "weight", loops=False)
    _, rows, columns, values = entries.split(np.arange(1, size + 1))
    matrix = symmetric(np.zeros(size), rows, columns, 2.0 * values)
    # Exact sums make what `write_rudy` wrote come back as it was wherever that can be.
    np.einsum("ii->i", matrix)[:] = [-fsum(row) for row in matrix]
    return Model(matrix)


def write_rudy(stream: IO[bytes], model: Model) -> None:
    """Write the graph of n + 1 nodes whose cuts that leave the last node on the side of the zeros
    weigh minus the energies.

    Its edges are Q_ij, and those to the last node minus the sums of the rows of Q (Barahona, Jünger
    and Reinelt 1989).
    """
    rows, columns, values = upper_terms(model.matrix)
    size = len(model.matrix)
    last = np.array([-fsum(row) for row in model.matrix])
    tied = np.flatnonzero(last)

    def lines() -> Iterable[str]:
        yield f"{size + 1} {len(values) + len(tied)}\n"
        yield from _entry_lines(rows + 1, columns + 1, values)
        yield from _entry_lines(tied + 1, np.full(len(tied), size + 1), last[tied])

    _write(stream, lines())


def _read_counted(path: Path, data: bytes, what: str, *, loops: bool = True) -> tuple[int, Entries]:
    """Read ``n m`` and m entries with indices from 1."""
    file = TextFile(
        path, data, f"write 'n m', then m lines 'i j {what}' with indices from 1, each pair once"
    )
    entries = Entries(file)
    header: tuple[int, int] | None = None
    line = 1
    for line, text in file.lines():
        if text.startswith("#"):
            continue
        if header is None:
            words = text.split()
            if len(words) != 2:
                file.fail(line, f"{len(words)} words stand where n and m belong")
            header = file.integer(line, words[0], "n"), file.integer(line, words[1], "m")
            check_size(header[0], f"line {line} of {path}: the model")
            continue
        first, second, value = file.entry(line, text)
        if not (1 <= first <= header[0] and 1 <= second <= header[0]):
            file.fail(line, f"{first} {second} is not within 1...{header[0]}")
        if first == second and not loops:
            file.fail(line, f"node {first} has an edge to itself")
        entries.put(line, first, second, value)
    if header is None:
        file.fail(line, "there is no line 'n m'")
    if len(entries) != header[1]:
        file.fail(line, f"the file ends after {len(entries)} entries, and m announces {header[1]}")
    return header[0], entries


def _doubled(matrix: NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """Return the terms ``2 Q_ij x_i x_j``, i < j."""
    rows, columns, values = upper_terms(matrix)
    return list(zip(rows.tolist(), columns.tolist(), (2.0 * values).tolist(), strict=True))


def _entry_lines(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64]
) -> Iterable[str]:
    for i, j, value in zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True):
        yield f"{i} {j} {value!r}\n"


def _positional(value: float) -> str:
    return np.format_float_positional(value, unique=True, trim="0")


def _write(stream: IO[bytes], lines: Iterable[str]) -> None:
    for line in lines:
        stream.write(line.encode())
