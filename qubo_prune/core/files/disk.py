"""Reading arrays that may be damaged or hostile, and writing files completely or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import stat
import sys
import tempfile
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError, OutputError
from qubo_prune.core.memory import check_memory

if sys.platform != "win32":
    import fcntl

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
        check_memory(path.stat().st_size, f"reading {path}")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the path and its permissions."
        ) from error
    if not data:
        raise InputError(f"{path} is empty (0 bytes); write it again.")
    return data


def array_in(data: bytes, what: str) -> NDArray[Any]:
    """Return the array of a ``.npy`` file without unpickling or copying it, so read-only."""
    stream = io.BytesIO(data)
    shape, fortran, dtype = _checked_header(stream, len(data), what)
    if not prod(shape):
        return np.empty(shape, dtype)
    flat: NDArray[Any] = np.frombuffer(data, dtype, prod(shape), stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def read_array(stream: IO[bytes], size: int, what: str) -> NDArray[Any]:
    """Return the array of a ``.npy`` stream of `size` bytes without ever unpickling.

    The header is held against the size before anything is allocated, so a damaged one cannot ask
    for more memory than the file itself takes.
    """
    shape, _, dtype = _checked_header(stream, size, what)
    check_memory(prod(shape) * dtype.itemsize, what)
    stream.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _checked_header(
    stream: IO[bytes], size: int, what: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return what `read_header` does; refuse a stream whose `size` bytes do not hold it all."""
    shape, fortran, dtype = read_header(stream, what)
    needed = prod(shape) * dtype.itemsize
    present = size - stream.tell()
    if min(shape, default=0) < 0 or present < needed:
        raise InputError(
            f"{what} is truncated: shape {shape} of {dtype} needs {needed} bytes of data, but "
            f"{present} are there; copy or write it again."
        )
    return shape, fortran, dtype


def read_header(stream: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and dtype that a ``.npy`` stream begins with."""
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
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
    return shape, fortran, dtype


def write_atomically(writers: Mapping[Path, Callable[[IO[bytes]], object]]) -> None:
    """Write files completely or leave the old ones as they are.

    Every file is written beside its destination and flushed to disk before the first one is moved
    into place. A device or a pipe is written to, and stays what it is.

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
        with contextlib.ExitStack() as open_files:
            for path in writers:
                require_file(path)
            for path, write in writers.items():
                if is_stream(path):
                    continue
                target = path.resolve()  # replace what a link points to, not the link
                _remove_abandoned(target)
                stream = open_files.enter_context(_new_temporary(target))
                temporaries[target] = Path(stream.name)
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
                if sys.platform == "win32":
                    stream.close()  # no open file is renamed there
            for path, write in writers.items():
                if is_stream(path):
                    with path.open("wb") as stream:
                        write(stream)
            for target, temporary in temporaries.items():
                temporary.replace(target)
    except OSError as error:
        names = " and ".join(map(str, writers))
        raise OutputError(
            f"{names} cannot be written ({error.strerror or error}); "
            "check that the folder exists, may be written to and has space."
        ) from error
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that only grows; when this returns, it is on the disk.

    One process writes to a file at a time.

    Parameters
    ----------
    path : Path
        The file, of whole lines; made if it is not there.
    line : str
        Without its end.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with _told_of_growing(path), path.open("ab") as stream:
        stream.write(line.encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def drop_cut_off_line(path: Path) -> None:
    """Leave whole lines in a file that only grows: what a killed run was writing at its end goes,
    or the next line would be lost with it.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with _told_of_growing(path), path.open("rb+") as stream:
        stream.truncate(stream.read().rfind(b"\n") + 1)


@contextlib.contextmanager
def _told_of_growing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); "
            "make space and repeat the command, which goes on from there."
        ) from error


def is_stream(path: Path) -> bool:
    """Whether a path leads to a terminal, another character device or a pipe, which are written to
    and not replaced.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def require_file(path: Path, what: str = "") -> None:
    """Raise InputError if a path leads to something that cannot be written as a file is; `what` is
    who asks.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise InputError(f"{what}{path} is a directory, but a file is to be written; name one.")
    if not stat.S_ISREG(mode) and not is_stream(path):
        raise InputError(f"{what}{path} is a block device or a socket; name a file.")


def save_or_rescue(save: Callable[[Path], object], path: Path) -> None:
    """Save a result that took long; where that is impossible, in a new folder among the temporary
    files, in the home folder or in the current one.

    Parameters
    ----------
    save : callable
        Writes it to a path.
    path : Path
        Where it should go.

    Raises
    ------
    OutputError
        If it cannot go there; the message says where it is kept.
    """
    try:
        save(path)
    except OutputError as error:
        kept = _rescued(save, path.name)
        where = f"it is kept in {kept}" if kept else "it cannot be kept anywhere else"
        raise OutputError(f"{str(error).rstrip('.')}; {where}.") from error


def _rescued(save: Callable[[Path], object], name: str) -> Path | None:
    for root in (Path(tempfile.gettempdir()), Path("~").expanduser(), Path.cwd()):
        with contextlib.suppress(OSError, InputError):
            file = Path(tempfile.mkdtemp(prefix="qubo-prune-", dir=root)) / name
            try:
                save(file)
            except InputError:
                file.parent.rmdir()
                raise
            return file
    return None


def _new_temporary(target: Path) -> IO[bytes]:
    """Open a new hidden file beside `target`, which nobody takes for abandoned while it is open."""
    while True:
        # Not tempfile: that would make the file private whatever the user's umask says.
        stream = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp").open("xb")
        if _lock(stream) is not False and os.fstat(stream.fileno()).st_nlink:
            return stream
        stream.close()  # taken for abandoned between these lines


def _remove_abandoned(target: Path) -> None:
    """Delete the temporary files of `target` whose writers were killed."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        for path in list(target.parent.iterdir()):
            if pattern.fullmatch(path.name):
                with contextlib.suppress(OSError), path.open("rb") as stream:
                    if _lock(stream):
                        path.unlink()


def _lock(stream: IO[bytes]) -> bool | None:
    """Lock a file until it is closed, and return whether that was possible; None if files cannot be
    locked here.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _one_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
