"""One way to compile kernels: no GIL, strict IEEE arithmetic, cached on disk under a key that
cannot go stale.

Numba keys its on-disk cache by the file that holds a function, so a kernel would survive a change
of a helper it calls from another file. The cache therefore lives in a folder named after the hash
of all kernel sources, which are the modules in folders named ``kernels``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import event

_PACKAGE = Path(__file__).resolve().parents[2]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile `function` in nopython mode, releasing the GIL, with the disk cache of this package.

    Fast-math stays off: energies are compared bit for bit.
    """
    return _compiled(function, "never")


def inlined(function: _Function) -> _Function:
    """Compile `function` like a `kernel`, and copy it into every kernel that calls it.

    For a step of a hot loop that takes a tuple: a call would pass every array of it, word by word.
    """
    return _compiled(function, "always")


def _compiled(function: _Function, inline: str) -> _Function:
    directory = cache_directory()
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(directory)
    try:
        compiled: _Function = numba.njit(nogil=True, cache=True, inline=inline)(function)
    finally:
        numba.config.CACHE_DIR = previous
    return compiled


@lru_cache(maxsize=1)
def cache_directory() -> Path:
    """Return the writable folder that holds the compiled kernels of exactly these sources."""
    digest = hashlib.sha256()
    for source in sorted(_PACKAGE.rglob("kernels/*.py")):
        digest.update(source.relative_to(_PACKAGE).as_posix().encode())
        digest.update(source.read_bytes())
    leaf = f"kernels-{digest.hexdigest()[:16]}"
    for root in _cache_roots():
        directory = root / "qubo-prune" / leaf
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                return directory
    return Path(tempfile.mkdtemp(prefix="qubo-prune-"))


def _cache_roots() -> list[Path]:
    roots = []
    if numba.config.CACHE_DIR:
        roots.append(Path(numba.config.CACHE_DIR))
    if os.environ.get("XDG_CACHE_HOME"):
        roots.append(Path(os.environ["XDG_CACHE_HOME"]))
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        roots.append(Path(os.environ["LOCALAPPDATA"]))
    with contextlib.suppress(RuntimeError):
        roots.append(Path.home() / ".cache")
    return roots


class _FirstCompile(event.Listener):  # type: ignore[misc]
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._fired = False

    def on_start(self, _event: event.Event) -> None:
        if not self._fired:
            self._fired = True
            self._callback()

    def on_end(self, _event: event.Event) -> None:
        """Nothing to do: only the first start is announced."""


def on_first_compile(callback: Callable[[], None]) -> contextlib.AbstractContextManager[Any]:
    """Call `callback` once if a kernel has to be compiled, rather than loaded, within the returned
    context.

    Parameters
    ----------
    callback : callable
        Called without arguments just before the first compilation starts.
    """
    context: contextlib.AbstractContextManager[Any] = event.install_listener(
        "numba:compile", _FirstCompile(callback)
    )
    return context
