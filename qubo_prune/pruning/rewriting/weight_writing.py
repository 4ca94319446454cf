"""Copying tensors into new safetensors files, a few megabytes at a time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.pruning.rewriting.weight_files import (
    INDEX,
    LENGTH,
    METADATA,
    SINGLE,
    StoredTensor,
    bits_of,
    unreadable,
)

CHUNK = 1 << 23
"""Bytes of a tensor that are in memory at a time."""

_ALIGNMENT = 8


@dataclass(frozen=True)
class Shard:
    """A file to be written.

    Attributes
    ----------
    name : str
        Its name.
    tensors : mapping
        By new name, in the order of their bytes.
    """

    name: str
    tensors: Mapping[str, StoredTensor]

    @property
    def size(self) -> int:
        """Bytes of its tensors."""
        return sum(each.size for each in self.tensors.values())

    def header(self, metadata: Mapping[str, str]) -> bytes:
        """Return the bytes before those of the tensors."""
        entries: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
        end = 0
        for name, tensor in self.tensors.items():
            entries[name] = {
                "dtype": tensor.dtype,
                "shape": tensor.shape,
                "data_offsets": (end, end + tensor.size),
            }
            end += tensor.size
        text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        return LENGTH.pack(len(text)) + text


def cut_into_shards(tensors: Mapping[str, StoredTensor], limit: int) -> tuple[Shard, ...]:
    """Distribute tensors over files of at most so many bytes each, or of one tensor.

    In a file the widest types come first, so that every tensor begins at a multiple of its width,
    and then the names decide, as the safetensors library does it.
    """
    groups: list[dict[str, StoredTensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if groups[-1] and size + tensor.size > limit:
            groups.append({})
            size = 0
        groups[-1][name] = tensor
        size += tensor.size
    names = [SINGLE] if len(groups) == 1 else _numbered(len(groups))
    return tuple(
        Shard(name, dict(sorted(group.items(), key=_place)))
        for name, group in zip(names, groups, strict=True)
    )


def write_shards(
    folder: Path, shards: Sequence[Shard], metadata: Mapping[str, str]
) -> dict[str, str]:
    """Write files and, if there are several, their index; return for each file the SHA-256 of what
    it has to hold, as it was read.

    Raises
    ------
    InputError
        If a file that is read ends early.
    OSError
        If a file cannot be written.
    """
    sums = {}
    buffer = memoryview(bytearray(CHUNK))
    for shard in shards:
        digest = hashlib.sha256()
        with (folder / shard.name).open("xb", buffering=0) as target:
            header = shard.header(metadata)
            digest.update(header)
            _write(target, memoryview(header))
            source: Any = None
            try:
                for tensor in shard.tensors.values():
                    if source is None or source.name != str(tensor.path):
                        source = _reopened(source, tensor.path)
                    _copy(tensor, source, target, digest, buffer)
            finally:
                if source is not None:
                    source.close()
            os.fsync(target.fileno())
            _forget(target.fileno())
        sums[shard.name] = digest.hexdigest()
    if len(shards) > 1:
        text = index_text(shards)
        (folder / INDEX).write_text(text, "utf-8")
    return sums


def index_text(shards: Sequence[Shard]) -> str:
    """Return the JSON that says which file holds which tensor."""
    index = {
        "metadata": {"total_size": sum(shard.size for shard in shards)},
        "weight_map": {name: shard.name for shard in shards for name in shard.tensors},
    }
    return json.dumps(index, indent=2, sort_keys=True) + "\n"


def _copy(tensor: StoredTensor, source: Any, target: Any, digest: Any, buffer: memoryview) -> None:
    source.seek(tensor.start)
    left = tensor.size
    while left:
        try:
            count = source.readinto(buffer[: min(left, len(buffer))])
        except OSError as error:
            raise unreadable(tensor.path, error) from error
        if not count:
            raise InputError(
                f"{tensor.path} ended while {tensor.name} was read; leave it alone and try again."
            )
        digest.update(buffer[:count])
        _write(target, buffer[:count])
        left -= count


def _write(target: Any, data: memoryview) -> None:
    while data:
        data = data[target.write(data) :]


def _reopened(source: Any, path: Path) -> Any:
    if source is not None:
        source.close()
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise unreadable(path, error) from error


def _forget(descriptor: int) -> None:
    """Have the system read a file from the disk when it is checked, not from memory."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _numbered(count: int) -> list[str]:
    return [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def _place(item: tuple[str, StoredTensor]) -> tuple[int, str]:
    return -bits_of(item[1].dtype), item[0]
