"""Checksums by which a step sees that what it read, or wrote, has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from qubo_prune.core.errors import InputError

__all__ = ["digest_of", "source_digest"]

_WHOLE = 1 << 20
"""Files up to so many bytes are read whole; of larger ones, in folders, three parts of it are."""

_PART = 1 << 16
_IGNORED = {"README.md"}
"""Files of a model's folder that say nothing of the model."""


def digest_of(path: Path) -> str | None:
    """Return the checksum of a file, or of a model's folder; None where nothing is.

    Of a folder's large files, size and three parts count: weights that differ differ there, and
    those of a large model would take minutes to read.
    """
    try:
        if path.is_file():
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        if not path.is_dir():
            return None
        digest = hashlib.sha256()
        for each in sorted(path.iterdir()):
            if each.is_file() and each.name not in _IGNORED and not each.name.startswith("."):
                digest.update(f"{each.name} {each.stat().st_size}\n".encode())
                digest.update(_parts(each))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    return digest.hexdigest()


def source_digest(names: Iterable[str], revision: str | None = None) -> str:
    """Return what identifies models or data: the contents where they are here, the name and
    revision where they are on the hub.
    """
    parts = [digest_of(Path(name)) or f"{name}@{revision or 'main'}" for name in names]
    return parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _parts(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= _WHOLE:
            return stream.read()
        parts = []
        for start in (0, size // 2, size - _PART):
            stream.seek(start)
            parts.append(stream.read(_PART))
    return b"".join(parts)
