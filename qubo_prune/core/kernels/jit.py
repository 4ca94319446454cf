"""One way to compile kernels: no GIL, strict IEEE arithmetic, cached on disk under a key that
cannot go stale.

Numba keys its on-disk cache by the file that holds a function, so a kernel would survive a change
of a helper it calls from another file. The cache therefore lives in a folder named after the hash
of all kernel sources, which are the modules in folders named ``kernels``. Its files carry
checksums: what is damaged counts as missing, where numba would end in a traceback or run it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile

_PACKAGE = Path(__file__).resolve().parents[2]
_DIGEST_BYTES = 32
_warned: list[Exception] = []
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
    compiled: _Function = numba.njit(nogil=True, inline=inline)(function)
    previous = numba.config.CACHE_DIR
    try:
        numba.config.CACHE_DIR = str(cache_directory())
        compiled._cache = _KernelCache(function)  # type: ignore[attr-defined]  # as enable_caching
    except (OSError, RuntimeError) as error:
        _warn_once(error)
    finally:
        numba.config.CACHE_DIR = previous
    return compiled


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """The cache of one kernel; where it fails, the kernel is compiled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _CheckedFiles(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 - whatever is wrong, compiling helps
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_once(error)


class _CheckedFiles(IndexDataCacheFile):  # type: ignore[misc]
    """The files of a cache, each with its checksum in front."""

    def _load_index(self) -> dict[Any, str]:
        found = self._read(self._index_path)
        origin, names = (None, {}) if found is None else found
        return names if origin == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, ((self._version, self._source_stamp), overloads))

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, value: Any) -> None:
        data = self._dump(value)
        with self._open_for_write(path) as stream:
            stream.write(hashlib.sha256(data).digest() + data)

    def _read(self, path: str) -> Any:
        """Return what a file holds; None if there is none, or it is damaged."""
        try:
            content = Path(path).read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return pickle.loads(data) if hashlib.sha256(data).digest() == digest else None  # noqa: S301


def _warn_once(error: Exception) -> None:
    """Say that kernels cannot be kept, the first time."""
    if not _warned:
        _warned.append(error)
        reason = getattr(error, "strerror", None) or error
        warnings.warn(
            f"compiled kernels cannot be kept ({reason}), so they are compiled again each time; set"
            " NUMBA_CACHE_DIR to a folder with space.",
            RuntimeWarning,
            stacklevel=2,
        )


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


class _Compilations(event.Listener):  # type: ignore[misc]
    def __init__(self, callback: Callable[[str], None]) -> None:
        self._callback = callback
        self._told: set[str] = set()

    def on_start(self, started: event.Event) -> None:
        whose = _owner(started.data["dispatcher"].py_func.__module__)
        if whose not in {*self._told, numba.__name__}:  # which compiles helpers of its own
            self._told.add(whose)
            self._callback(whose)

    def on_end(self, _event: event.Event) -> None:
        """Nothing to do: only starts are announced."""


def on_compile(callback: Callable[[str], None]) -> contextlib.AbstractContextManager[Any]:
    """Call `callback` if kernels have to be compiled, rather than loaded, within the returned
    context.

    Parameters
    ----------
    callback : callable
        Called just before the first compilation of each part of the package, with a name for it.
    """
    context: contextlib.AbstractContextManager[Any] = event.install_listener(
        "numba:compile", _Compilations(callback)
    )
    return context


def _owner(module: str) -> str:
    """Return whose kernels a module holds.

    >>> _owner("qubo_prune.backends.branch_and_bound.kernels.explore")
    'branch-and-bound'
    >>> _owner("qubo_prune.core.kernels.energy"), _owner("elsewhere.kernels")
    ('energies', 'elsewhere')
    """
    package, *parts = module.split(".")
    if package != _PACKAGE.name or not parts:
        return package
    known = {"core": "energies", "search": "swaps"}
    part = parts[1] if parts[0] == "backends" and len(parts) > 1 else parts[0]
    return known.get(part, part.replace("_", "-"))
