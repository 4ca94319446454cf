"""dimod's own files, BQM and CQM: binary, exact, with labels.

dimod writes both. It also reads the CQM, whose archive has checksums; a damaged BQM crashes its
reader, so that one is taken apart here, as the documentation of
`dimod.BinaryQuadraticModel.to_file` describes it.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats.quadratic_model import (
    Counts,
    Model,
    check_size,
    disjoint,
    exact_count,
    from_spins,
    plain_labels,
    symmetric,
)
from qubo_prune.core.files.strict_json import unrepeated
from qubo_prune.core.memory import check_memory
from qubo_prune.core.text import format_value

if TYPE_CHECKING:
    import dimod

_BQM_MAGIC = b"DIMODBQM"
_CQM_MAGIC = b"DIMODCQM"

_CQM_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    struct.error,
)
"""What dimod and `zipfile` raise for archives that are damaged or of another version."""


def read_bqm(path: Path, data: bytes) -> Model:
    """Read a BQM file of version 1 or 2."""
    reader = _Bytes(path, data, "write it again with dimod's to_file")
    header = reader.header(_BQM_MAGIC)
    try:
        size, num_terms = header["shape"]
        bias, index, start = (np.dtype(header[key]) for key in ("dtype", "itype", "ntype"))
        vartype = header["vartype"]
        labelled = header["variables"]
    except (KeyError, TypeError, ValueError) as error:
        reader.fail(f"its header is incomplete ({error!r})")
    if not (
        type(size) is int
        and type(num_terms) is int
        and num_terms >= 0
        and bias.kind == "f"
        and index.kind == start.kind == "i"
        and vartype in ("BINARY", "SPIN")
    ):
        reader.fail(f"its header is {format_value(header)}")
    check_size(size, f"{path}: the model")
    offset = float(reader.take(bias, 1)[0])
    nodes = reader.take(np.dtype([("start", start), ("bias", bias)]), size)
    neighbours = reader.take(np.dtype([("index", index), ("bias", bias)]), 2 * num_terms)
    starts = np.append(nodes["start"].astype(np.int64), 2 * num_terms)
    degrees = starts[1:] - starts[:-1]
    others = neighbours["index"].astype(np.int64)
    if starts[0] != 0 or (degrees < 0).any() or not _within(others, size):
        reader.fail("its neighbourhoods contradict its header")
    own = np.repeat(np.arange(size), degrees)
    # Each pair is there twice, once in the neighbourhood of either.
    matrix, seen = np.zeros((size, size)), np.zeros((size, size), np.bool_)
    matrix[own, others] = 0.5 * neighbours["bias"].astype(np.float64)
    seen[own, others] = True
    if np.count_nonzero(seen) < len(own) or seen.diagonal().any() or (matrix != matrix.T).any():
        reader.fail("its neighbourhoods contradict each other")
    linear = nodes["bias"].astype(np.float64)
    labels = plain_labels(
        [str(label) for label in (reader.labels() if labelled is True else labelled or range(size))]
    )
    if vartype == "SPIN":
        return Model(*from_spins(matrix, linear, offset), labels)
    np.einsum("ii->i", matrix)[:] = linear
    return Model(matrix, offset, labels)


def write_bqm(stream: IO[bytes], model: Model) -> None:
    """Write a BQM file."""
    with make_bqm(model, _dimod_labels(model)).to_file() as file:
        stream.write(file.read())


def read_cqm(path: Path, data: bytes) -> Model:
    """Read a CQM file whose constraints are exact counts of its binary variables."""
    import dimod
    from dimod.variables import deserialize_variable

    reader = _Bytes(path, data, "write it again with dimod's to_file")
    header = reader.header(_CQM_MAGIC)
    size = header.get("num_variables")
    if type(size) is not int:
        reader.fail("its header does not tell the number of variables")
    check_size(size, f"{path}: the model")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            unpacked = sum(member.file_size for member in archive.infolist())
        check_memory(2 * unpacked, f"unpacking {path}")
        cqm = dimod.ConstrainedQuadraticModel.from_file(io.BytesIO(data))
    except _CQM_ERRORS as error:
        if isinstance(error, InputError):
            raise
        detail = " ".join(str(error).split()) or type(error).__name__
        reader.fail(f"dimod cannot read it ({detail})")
    model = from_cqm(cqm, str(path))
    ones = {each.label for each in model.counts if each.count == 1}
    for name in names:
        folder, _, rest = name.partition("/")
        label, _, mark = rest.rpartition("/")
        if folder != "constraints" or mark in ("lhs", "rhs", "sense"):
            continue
        named = str(deserialize_variable(json.loads(label)))  # type: ignore[no-untyped-call]
        # A discrete constraint is a count of one; dimod drops the marker of any other.
        if mark != "discrete" or named not in ones:
            reader.fail(f"its constraint {label} is marked as {mark!r}, and counts are hard")
    return model


def write_cqm(stream: IO[bytes], model: Model) -> None:
    """Write a CQM file."""
    with make_cqm(model, _dimod_labels(model)).to_file() as file:
        stream.write(file.read())


def make_bqm(model: Model, labels: Sequence[Hashable]) -> dimod.BinaryQuadraticModel:
    """Return the objective of a model as a BQM of BINARY variables in the order of the model."""
    import dimod

    bqm = dimod.BinaryQuadraticModel(model.matrix, dimod.BINARY)
    bqm.offset = model.offset
    bqm.relabel_variables(dict(enumerate(labels)))  # type: ignore[no-untyped-call]
    return bqm


def make_cqm(
    model: Model, labels: Sequence[Hashable], prefix: str = ""
) -> dimod.ConstrainedQuadraticModel:
    """Return a model as a CQM, each count as a constraint of its label after `prefix`."""
    import dimod

    cqm = dimod.ConstrainedQuadraticModel()  # type: ignore[no-untyped-call]
    for label in labels:
        cqm.add_variable("BINARY", label)
    cqm.set_objective(make_bqm(model, labels))
    for each in model.counts:
        terms = [(labels[i], 1.0) for i in each.indices]
        cqm.add_constraint_from_iterable(terms, "==", rhs=each.count, label=prefix + each.label)
    return cqm


def from_cqm(cqm: dimod.ConstrainedQuadraticModel, where: str) -> Model:
    """Return the model of a CQM with binary variables and constraints that are exact counts."""
    import dimod

    variables = list(cqm.variables)
    for variable in variables:
        if cqm.vartype(variable) is not dimod.BINARY:
            raise InputError(
                f"{where}: variable {variable!r} is {cqm.vartype(variable).name}, but only BINARY"
                " ones are read; convert it in dimod first."
            )
    position = {variable: i for i, variable in enumerate(variables)}
    linear = np.array([cqm.objective.get_linear(v) for v in variables], np.float64)
    terms = [(position[u], position[v], bias) for u, v, bias in cqm.objective.iter_quadratic()]
    rows, columns = (np.array([term[k] for term in terms], np.int64) for k in (0, 1))
    values = np.array([term[2] for term in terms], np.float64)
    counts = []
    for label, constraint in cqm.constraints.items():
        which = f"{where}: constraint {label!r}"
        members = {position[v]: bias for v, bias in constraint.lhs.iter_linear() if bias}
        if constraint.sense.value != "==" or not constraint.lhs.is_linear():
            raise InputError(
                f"{which} is no linear equation; state exact counts, as x0 + x1 + x2 == 1."
            )
        if constraint.lhs.is_soft():
            raise InputError(
                f"{which} is soft (weight {constraint.lhs.weight():g}, {constraint.lhs.penalty()}"
                " penalty), but counts hold exactly; add it without a weight, or leave it out."
            )
        right = constraint.rhs - constraint.lhs.offset
        count = exact_count(members.values(), right, which)
        counts.append(Counts(str(label), np.array(sorted(members), np.int64), count))
    return Model(
        symmetric(linear, rows, columns, values),
        float(cqm.objective.offset),
        plain_labels([str(variable) for variable in variables]),
        disjoint(counts, [str(variable) for variable in variables], where),
    )


def _dimod_labels(model: Model) -> list[Hashable]:
    """Return numbers for labels that are numbers, as dimod has them."""
    labels = model.labels or tuple(map(str, range(len(model.matrix))))
    numbered = all(label.isdecimal() and str(int(label)) == label for label in labels)
    return [int(label) for label in labels] if numbered else list(labels)


def _within(indices: NDArray[np.int64], size: int) -> bool:
    return not indices.size or bool(indices.min() >= 0 and indices.max() < size)


class _Bytes:
    """The parts of a binary file, one after the other."""

    def __init__(self, path: Path, data: bytes, remedy: str) -> None:
        self._path = path
        self._data = data
        self._remedy = remedy
        self._at = 0

    def fail(self, problem: str) -> NoReturn:
        raise InputError(f"{self._path} cannot be read: {problem}; {self._remedy}.")

    def header(self, magic: bytes) -> dict[str, Any]:
        """Return the JSON object after the magic, the version and a length."""
        if not self._data.startswith(magic):
            self.fail(f"it begins with {self._data[:8]!r}, not {magic!r}")
        self._at = len(magic) + 2
        size = int(self.take(np.dtype("<u4"), 1)[0])
        fields: dict[str, Any] = self._json(self.take(np.dtype("u1"), size).tobytes(), dict)
        return fields

    def take(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """Return the next `count` values."""
        present = len(self._data) - self._at
        if dtype.itemsize * count > present:
            self.fail(
                f"it is truncated: {dtype.itemsize * count} bytes should follow, not {present}"
            )
        values = np.frombuffer(self._data, dtype.newbyteorder("<"), count, self._at)
        self._at += dtype.itemsize * count
        return values

    def labels(self) -> list[Any]:
        """Return the section of variable labels."""
        if self.take(np.dtype("S4"), 1)[0] != b"VARS":
            self.fail("its labels are missing")
        size = int(self.take(np.dtype("<u4"), 1)[0])
        labels: list[Any] = self._json(self.take(np.dtype("u1"), size).tobytes(), list)
        return labels

    def _json(self, text: bytes, kind: type) -> Any:
        try:
            value = json.loads(text, object_pairs_hook=unrepeated)
        except (ValueError, RecursionError) as error:
            self.fail(f"a part of it is not JSON ({error})")
        if not isinstance(value, kind):
            self.fail(f"a part of it is a {type(value).__name__}, not a {kind.__name__}")
        return value
