"""What a folder's safetensors files hold, read from their headers and held against their sizes.

A file begins with eight bytes, the length of a JSON object that names each tensor with its type,
its shape and where its bytes are; then come those bytes, without gaps. Nothing is unpickled.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePath
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file
from qubo_prune.core.files.strict_json import Reader, as_integers, as_string
from qubo_prune.core.text import format_count, format_value

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

LENGTH = struct.Struct("<Q")
"""What a file begins with."""

METADATA = "__metadata__"
"""The one entry of a header that is no tensor."""

_LARGEST_HEADER = 100_000_000
"""Bytes; that of the safetensors library."""

_WIDTH = re.compile(r"[A-Z]+(\d+)(?:_\w+)?|BOOL")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_REMEDY = "copy or download it again"


def bits_of(dtype: str) -> int:
    """Return how many bits an entry takes; 0 for types that are not known.

    Examples
    --------
    >>> [bits_of(name) for name in ("BF16", "F8_E4M3", "F4", "BOOL", "other")]
    [16, 8, 4, 8, 0]
    """
    match = _WIDTH.fullmatch(dtype)
    return 0 if match is None else int(match[1] or 8)


@dataclass(frozen=True)
class StoredTensor:
    """Where the bytes of a tensor are.

    Attributes
    ----------
    name, dtype, shape
        As the header says.
    path : Path
        The file.
    start, size : int
        The first byte in the file, and how many there are.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    start: int
    size: int


@dataclass(frozen=True)
class WeightFiles:
    """The weights of a folder.

    Attributes
    ----------
    tensors : mapping
        By name, file by file and in a file in the order of their bytes.
    sizes : tuple of int
        Bytes of the tensors of each file.
    metadata : mapping
        What the headers say beside the tensors.
    """

    tensors: Mapping[str, StoredTensor]
    sizes: tuple[int, ...]
    metadata: Mapping[str, str]


def read_weight_files(folder: Path) -> WeightFiles:
    """Return what the safetensors files of a folder hold.

    A single ``model.safetensors`` comes before an index, as transformers reads them.

    Raises
    ------
    InputError
        If there are none, one is missing, truncated or damaged, or they and the index disagree.
    """
    if (folder / SINGLE).exists():
        tensors, metadata = read_header(folder / SINGLE)
        if not tensors:
            raise InputError(f"{folder / SINGLE} holds no tensors; {_REMEDY}.")
        return WeightFiles(tensors, (_total(tensors),), metadata)
    if not (folder / INDEX).exists():
        _refuse_others(folder)
    weight_map = _read_index(folder / INDEX)
    everything: dict[str, StoredTensor] = {}
    metadata, sizes = {}, []
    for name in dict.fromkeys(weight_map.values()):
        path = folder / name
        if not path.exists():
            number = list(weight_map.values()).count(name)
            raise InputError(
                f"{path} is missing, in which {INDEX} has {number:,}"
                f" tensor{'s' if number != 1 else ''}; {_REMEDY}."
            )
        tensors, more = read_header(path)
        _check_index(folder / INDEX, weight_map, path, tensors)
        everything |= tensors
        metadata |= more
        sizes.append(_total(tensors))
    return WeightFiles(everything, tuple(sizes), metadata)


def read_header(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors of one file, in the order of their bytes, and its metadata.

    Raises
    ------
    InputError
        If it is not a complete safetensors file.
    """
    reader = Reader(path, "safetensors file", _REMEDY)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            prefix = stream.read(LENGTH.size)
            if prefix == b"version ":
                raise InputError(
                    f"{path} is a pointer of Git LFS, not the weights; fetch them, as with"
                    " git lfs pull."
                )
            if len(prefix) < LENGTH.size:
                reader.fail(f"it has {size} bytes")
            length = LENGTH.unpack(prefix)[0]
            if length > _LARGEST_HEADER:
                reader.fail(f"its header would take {format_count(length)} bytes")
            header = stream.read(length)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(header) < length:
        reader.fail(f"its header takes {length} bytes, but the file ends after {len(header)}")
    fields = reader.parse(header)
    metadata = reader.as_object(fields.pop(METADATA, {}), METADATA)
    begin = LENGTH.size + length
    tensors = [_stored(reader, name, each, path, begin) for name, each in fields.items()]
    tensors.sort(key=lambda each: (each.start, each.size))
    end = begin
    for tensor in tensors:
        if tensor.start != end:
            reader.fail(f"the bytes of {format_value(tensor.name)} do not follow those before")
        end += tensor.size
    if end != size:
        is_short = "is truncated: its" if size < end else "is damaged: its"
        raise InputError(
            f"{path} {is_short} header speaks of {format_count(end)} bytes, but it has"
            f" {format_count(size)}; {_REMEDY}."
        )
    return {each.name: each for each in tensors}, {
        str(key): str(value) for key, value in metadata.items()
    }


def unreadable(path: Path, error: OSError) -> InputError:
    """Return what is said of a file that cannot be read."""
    return InputError(
        f"{path} cannot be read ({error.strerror}); check the path and its permissions."
    )


def _stored(reader: Reader, name: str, value: Any, path: Path, begin: int) -> StoredTensor:
    entry = reader.as_object(value, name)
    dtype = reader.get(entry, "dtype", as_string)
    shape = reader.get(entry, "shape", as_integers)
    offsets = reader.get(entry, "data_offsets", as_integers)
    if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1] or min(shape, default=0) < 0:
        reader.fail(f"shape or place of {format_value(name)} cannot be")
    size, bits = offsets[1] - offsets[0], bits_of(dtype)
    if bits and -(-prod(shape) * bits // 8) != size:
        reader.fail(
            f"{format_value(name)} of shape {tuple(shape)} and type {dtype} would not take {size}"
            " bytes"
        )
    return StoredTensor(name, dtype, tuple(shape), path, begin + offsets[0], size)


def _read_index(path: Path) -> dict[str, str]:
    """Return the file of each tensor; only names of files beside the index are let through."""
    reader = Reader(path, "index of weights", _REMEDY)
    fields = reader.parse(read_file(path))
    weight_map = reader.get(fields, "weight_map", reader.as_object)
    if not weight_map:
        reader.fail("it lists no tensors")
    for name, file in weight_map.items():
        if (
            not isinstance(file, str)
            or PurePath(file).name != file
            or not file.endswith(".safetensors")
        ):
            reader.fail(f"it has {format_value(name)} in {format_value(file)}, no file beside it")
    return weight_map


def _check_index(
    index: Path, weight_map: Mapping[str, str], path: Path, tensors: Mapping[str, StoredTensor]
) -> None:
    listed = {name for name, file in weight_map.items() if file == path.name}
    for name in sorted(listed ^ tensors.keys()):
        where = weight_map.get(name)
        said = f"in {where}" if where else "nowhere"
        held = "which holds it too" if name in tensors else "which does not hold it"
        raise InputError(
            f"{index} disagrees with {path.name}, {held}: it has {format_value(name)} {said};"
            f" {_REMEDY}."
        )


def _refuse_others(folder: Path) -> None:
    """Say what a folder without safetensors files holds instead."""
    for pattern in _PICKLED:
        for path in sorted(folder.glob(pattern)):
            raise InputError(
                f"{folder} holds its weights in {path.name}, which would have to be unpickled; load"
                " it once with transformers and save it, which writes safetensors, or leave out"
                " --without-loading."
            )
    raise InputError(
        f"{folder} holds neither {SINGLE} nor {INDEX}, so there are no weights to copy; check the"
        " path."
    )


def _total(tensors: Mapping[str, StoredTensor]) -> int:
    return sum(each.size for each in tensors.values())
