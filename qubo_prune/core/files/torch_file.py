"""Tensors as `torch.save` writes them, read without torch and without unpickling.

Such a file holds a pickle, a program that can run anything. Here the few instructions that describe
one tensor are carried out by this module, on plain values; whatever else a pickle asks for is
refused. Both layouts are read: the zip archive, and the stream of pickles that torch wrote before.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.strict_json import ZIP_ERRORS, Reader
from qubo_prune.core.memory import check_memory
from qubo_prune.core.text import format_value

__all__ = ["SUFFIXES", "is_torch_file", "read_tensor"]

SUFFIXES = (".pt", ".pth")

_MAGIC = 0x1950A86A20F9469CFC6C
"""Which integer a stream of pickles begins with."""

_LARGEST_PICKLE = 1 << 20
"""Bytes that the description of a tensor may take; a few hundred are usual."""

_MOST_AXES = 8
_SHOWN = 5

_DTYPES = {
    "BFloat16Storage": "bfloat16",
    "HalfStorage": "f2",
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "ShortStorage": "i2",
    "IntStorage": "i4",
    "LongStorage": "i8",
}

_PARTS = {
    "torch._utils _rebuild_tensor_v2",
    "collections OrderedDict",
    *(f"torch {name}" for name in _DTYPES),
}
"""The only names that a pickle may speak of; each stands for itself, and none is imported."""


class _Name(NamedTuple):
    """A class or function that a pickle names."""

    name: str


class _Storage(NamedTuple):
    """Numbers in a row, elsewhere in the file."""

    dtype: str
    key: str
    size: int


class _Tensor(NamedTuple):
    """How a tensor lies in its storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def is_torch_file(path: Path) -> bool:
    """Whether the suffix of a file says that `torch.save` wrote it.

    >>> is_torch_file(Path("A.pt")), is_torch_file(Path("A.npy"))
    (True, False)
    """
    return path.suffix.lower() in SUFFIXES


def read_tensor(path: Path, data: bytes) -> NDArray[Any]:
    """Return the one tensor of a file that `torch.save` wrote; bfloat16 becomes float32.

    Parameters
    ----------
    path : Path
        The file, for messages.
    data : bytes
        Its contents.

    Raises
    ------
    InputError
        If it holds anything but one dense tensor of numbers, is damaged, or asks to run something.
    """
    reader = Reader(
        path, "file of one tensor", "save the (N, N) or (m, N) tensor alone, as torch.save(A, path)"
    )
    try:
        read = _read_archive if data.startswith(b"PK") else _read_stream
        return read(reader, data)
    except ZIP_ERRORS as error:  # also what `pickletools` raises
        if isinstance(error, InputError):
            raise
        reader.fail(" ".join(str(error).split()) or type(error).__name__)


def _read_archive(reader: Reader, data: bytes) -> NDArray[Any]:
    """Read the zip archive that torch has written since 1.6."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {each.filename.partition("/")[2]: each for each in archive.infolist()}
        if len(members) < len(archive.infolist()):
            reader.fail("it has two members of one name")

        def contents(name: str) -> bytes:
            if name not in members:
                reader.fail(f"its archive has no {format_value(name)}")
            if members[name].compress_type != zipfile.ZIP_STORED:
                reader.fail(f"{format_value(name)} is compressed, which torch never does")
            return archive.read(members[name])

        if "data.pkl" not in members:
            reader.fail("its archive has no data.pkl, so torch.save did not write it")
        if members["data.pkl"].file_size > _LARGEST_PICKLE:
            reader.fail("its description is longer than that of any tensor")
        value, _ = _Pickle(reader).value(contents("data.pkl"))
        tensor = _one_tensor(reader, value)
        order = contents("byteorder") if "byteorder" in members else b"little"
        stored = contents(f"data/{tensor.storage.key}")
    return _array(reader, tensor, stored, big_endian=order == b"big")


def _read_stream(reader: Reader, data: bytes) -> NDArray[Any]:
    """Read the pickles, one after the other, and the numbers behind them."""
    values: list[Any] = []
    at = 0
    for _ in range(5):  # magic number, version, system, the tensor, keys of the storages
        value, length = _Pickle(reader).value(data[at : at + _LARGEST_PICKLE])
        values.append(value)
        if values[0] != _MAGIC:
            reader.fail("torch.save did not write it")
        at += length
    system, tensor, keys = values[2], _one_tensor(reader, values[3]), values[4]
    if keys != [tensor.storage.key]:
        reader.fail("it does not hold one storage")
    little = not isinstance(system, dict) or system.get("little_endian") is not False
    count = int.from_bytes(data[at : at + 8], "little" if little else "big")
    if count != tensor.storage.size:
        reader.fail(f"{count} numbers are announced where {tensor.storage.size} are described")
    return _array(reader, tensor, data[at + 8 :], big_endian=not little)


def _one_tensor(reader: Reader, value: Any) -> _Tensor:
    if isinstance(value, dict):
        shown = ", ".join(format_value(key) for key in list(value)[:_SHOWN])
        reader.fail(f"it holds a dict of {shown or 'nothing'}, not one tensor")
    if not isinstance(value, _Tensor):
        reader.fail(f"it holds a {type(value).__name__.lstrip('_').lower()}, not one tensor")
    return value


def _array(reader: Reader, tensor: _Tensor, stored: bytes, *, big_endian: bool) -> NDArray[Any]:
    """Return the numbers of a tensor, which may lie apart and in any order."""
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    is_bfloat16 = storage.dtype == "bfloat16"
    dtype = np.dtype("u2" if is_bfloat16 else storage.dtype)
    dtype = dtype.newbyteorder(">" if big_endian else "<")
    if len(stored) < storage.size * dtype.itemsize:
        reader.fail(
            f"it is truncated: {storage.size} numbers of {dtype.itemsize} bytes are described,"
            f" but {len(stored)} bytes are there"
        )
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    size = math.prod(shape)
    if size and last >= storage.size:
        reader.fail(f"number {last} of its tensor is outside the {storage.size} that are there")
    check_memory(size * 8, f"a tensor of shape {shape}")
    if not size:
        return np.empty(shape, np.float32 if is_bfloat16 else dtype.newbyteorder("="))
    flat = np.frombuffer(stored, dtype, storage.size)
    steps = [step * dtype.itemsize if n > 1 else 0 for n, step in zip(shape, strides, strict=True)]
    laid_out = np.lib.stride_tricks.as_strided(flat[tensor.offset :], shape, steps, writeable=False)
    if is_bfloat16:
        return (laid_out.astype(np.uint32) << 16).view(np.float32)
    return laid_out.astype(dtype.newbyteorder("="), order="C")


class _Pickle:
    """Carries out the instructions that describe a tensor; every other one is refused."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def value(self, data: bytes) -> tuple[Any, int]:
        """Return what a pickle describes, and how many bytes it takes."""
        length = 0
        for instruction, argument, at in pickletools.genops(data):  # until a STOP, or it raises
            name = instruction.name
            length = (at or 0) + 1
            if name in _LITERALS:
                self._stack.append(argument)
            elif name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name]())
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name not in _IGNORED:
                self._reader.fail(f"its pickle has the instruction {name}, which no tensor needs")
        if len(self._stack) != 1 or self._marks:
            self._reader.fail("its pickle leaves more or less than one value")
        return self._stack[0], length

    def _pop(self, count: int = 1) -> list[Any]:
        floor = self._marks[-1] if self._marks else 0
        if len(self._stack) - floor < count:
            self._reader.fail("its pickle takes values that it does not have")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            self._reader.fail("its pickle takes values that it does not have")
        start = self._marks.pop()
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def tuple_of(self, count: int) -> None:
        self._stack.append(tuple(self._pop(count)))

    def append(self, items: list[Any]) -> None:
        [target] = self._pop()
        if not isinstance(target, list):
            self._reader.fail("its pickle appends to what is no list")
        target.extend(items)
        self._stack.append(target)

    def set_items(self, items: list[Any]) -> None:
        [target] = self._pop()
        keys = items[::2]
        if not isinstance(target, dict) or len(items) % 2 or not all(map(_is_key, keys)):
            self._reader.fail("its pickle fills what is no dict of names")
        target.update(zip(keys, items[1::2], strict=True))
        self._stack.append(target)

    def remember(self, index: Any) -> None:
        [value] = self._pop()
        self._memo[len(self._memo) if index is None else index] = value
        self._stack.append(value)

    def recall(self, index: Any) -> None:
        if index not in self._memo:
            self._reader.fail("its pickle recalls what it never had")
        self._stack.append(self._memo[index])

    def name(self, argument: Any) -> None:
        if argument is None:  # the two parts are on the stack
            argument = " ".join(map(str, self._pop(2)))
        if argument not in _PARTS:
            named = format_value(argument.replace(" ", "."))
            self._reader.fail(f"its pickle asks for {named}, which is never run")
        self._stack.append(_Name(argument))

    def storage(self, _: Any) -> None:
        [value] = self._pop()
        match value:
            case ("storage", _Name(name), str(key), str(), int(count), *view) if view in (
                [],
                [None],
            ):
                dtype = _DTYPES.get(name.removeprefix("torch "))
                if dtype is not None and count >= 0:
                    self._stack.append(_Storage(dtype, key, count))
                    return
        self._reader.fail("its pickle speaks of numbers in a way that is not known here")

    def call(self, _: Any) -> None:
        function, arguments = self._pop(2)
        match function, arguments:
            case _Name("collections OrderedDict"), ():
                self._stack.append({})
            case (
                _Name("torch._utils _rebuild_tensor_v2"),
                (_Storage() as storage, offset, shape, strides, bool(), {}),
            ) if _are_counts((offset,)) and _are_counts(shape) and _are_counts(strides):
                if len(shape) != len(strides) or len(shape) > _MOST_AXES:
                    self._reader.fail(f"its tensor has {len(shape)} axes, {len(strides)} strides")
                self._stack.append(_Tensor(storage, offset, shape, strides))
            case _:
                self._reader.fail("its pickle makes something other than a tensor")


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(
        type(each) is int and 0 <= each < 1 << 62 for each in values
    )


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int)


_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_ACTIONS: dict[str, Callable[[_Pickle, Any], None]] = {
    "MARK": _Pickle.mark,
    "TUPLE": _Pickle.tuple,
    "TUPLE1": lambda pickle, _: pickle.tuple_of(1),
    "TUPLE2": lambda pickle, _: pickle.tuple_of(2),
    "TUPLE3": lambda pickle, _: pickle.tuple_of(3),
    "APPEND": lambda pickle, _: pickle.append(pickle._pop()),
    "APPENDS": lambda pickle, _: pickle.append(pickle._pop_to_mark()),
    "SETITEM": lambda pickle, _: pickle.set_items(pickle._pop(2)),
    "SETITEMS": lambda pickle, _: pickle.set_items(pickle._pop_to_mark()),
    "BINPUT": _Pickle.remember,
    "LONG_BINPUT": _Pickle.remember,
    "MEMOIZE": _Pickle.remember,
    "BINGET": _Pickle.recall,
    "LONG_BINGET": _Pickle.recall,
    "GLOBAL": _Pickle.name,
    "STACK_GLOBAL": _Pickle.name,
    "BINPERSID": _Pickle.storage,
    "REDUCE": _Pickle.call,
}
