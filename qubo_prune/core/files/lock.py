"""One run at a time for a file: a lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from qubo_prune.core.errors import InputError


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock while the context lasts; it ends with the process, however that ends.

    Parameters
    ----------
    path : Path
        The file that stands for what is locked, made where it is missing and removed in the end.
    what : str
        What another process must be doing if it holds the lock.

    Raises
    ------
    InputError
        If another process holds it, or the file cannot be made.
    """
    descriptor = _open(path)
    try:
        if not _try_lock(descriptor) or not _is_at(path, descriptor):
            raise InputError(
                f"another process is {what}, as its lock {path} says; wait for it, or name another"
                " file."
            )
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); check the folder and its permissions."
        ) from error


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the file is still the one that was opened: whoever held it before removes it."""
    with contextlib.suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _try_lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True
