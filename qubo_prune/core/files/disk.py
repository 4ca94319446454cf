"""Reading arrays that may be damaged or hostile, and writing files completely or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import tokenize
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError

_HEADER_ERRORS = (
    ValueError,
    SyntaxError,
    TypeError,
    KeyError,
    EOFError,
    MemoryError,
    RecursionError,
    tokenize.TokenError,
)
"""What NumPy's header parser raises for headers that are not what they should be."""


def check_suffix(path: Path, suffixes: Sequence[str], what: str) -> str:
    """Return the suffix of a path, in lower case; refuse one that `what` does not have.

    Examples
    --------
    >>> check_suffix(Path("a.JSON"), (".json", ".npz"), "a spectrum file")
    '.json'
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        *others, last = suffixes
        known = f"{', '.join(others)} or {last}" if others else last
        raise InputError(f"{what} must end in {known}, not {path.name!r}; rename it.")
    return suffix


def read_file(path: Path) -> bytes:
    """Return the contents of a regular file; every failure is an `InputError`."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory, but a file is needed; name a file in it.")
        if not path.exists():
            raise InputError(f"there is no file {path}; check the path.")
        if not path.is_file():
            raise InputError(f"{path} is not a regular file; copy its contents to one.")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the path and its permissions."
        ) from error
    if not data:
        raise InputError(f"{path} is empty (0 bytes); write it again.")
    return data


def read_array(stream: IO[bytes], size: int, what: str) -> NDArray[Any]:
    """Return the array of a ``.npy`` stream of `size` bytes without ever unpickling.

    The header is held against the size before anything is allocated, so a damaged one cannot ask
    for more memory than the file itself takes.
    """
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    except _HEADER_ERRORS as error:
        raise InputError(
            f"{what} has a damaged .npy header ({_one_line(error)}); "
            "write it again with numpy.save."
        ) from error
    if dtype.hasobject:
        raise InputError(
            f"{what} holds pickled Python objects (dtype {dtype}), which are never loaded because "
            "they can run code; save a float64 array instead."
        )
    needed = prod(shape) * dtype.itemsize
    present = size - stream.tell()
    if min(shape, default=0) < 0 or present < needed:
        raise InputError(
            f"{what} is truncated: shape {shape} of {dtype} needs {needed} bytes of data, but "
            f"{present} are there; copy or write it again."
        )
    stream.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def write_atomically(writers: Mapping[Path, Callable[[IO[bytes]], object]]) -> None:
    """Write files completely or leave the old ones as they are.

    Every file is written beside its destination and flushed to disk before the first one is moved
    into place.

    Parameters
    ----------
    writers : mapping
        For each path a function that writes its contents to a binary stream.

    Raises
    ------
    InputError
        If a file cannot be written; no temporary file is left.
    """
    temporaries: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            if path.is_dir():
                raise InputError(f"{path} is a directory, but a file is to be written; name one.")
            target = path.resolve()  # replace what a link points to, not the link
            temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
            # Not tempfile: that would make the file private whatever the user's umask says.
            with temporary.open("xb") as stream:
                temporaries[target] = temporary
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
        for target, temporary in temporaries.items():
            temporary.replace(target)
    except OSError as error:
        names = " and ".join(map(str, writers))
        raise InputError(
            f"{names} cannot be written ({error.strerror or error}); "
            "check that the folder exists, may be written to and has space."
        ) from error
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _one_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
