"""The kernel compiled for this machine's processor: slow, and the way to check it where there is no
GPU.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qubo_prune.backends.enumeration.cuda.source import LAUNCHES, source
from qubo_prune.core.errors import BackendUnavailableError

_COMPILERS = ("c++", "g++", "clang++")
_OPTIONS = ("-x", "c++", "-std=c++17", "-O2", "-fPIC", "-shared", "-fno-strict-aliasing")


class Host:
    """The processor in place of a GPU: a warp at a time for each launch that is under way.

    Parameters
    ----------
    *options : str
        Further options of the compiler, such as ``-DLANES_DESCENDING``.
    """

    def __init__(self, *options: str) -> None:
        self._kernel = _library(options).screen
        self._kernel.restype = None
        self._threads = ThreadPoolExecutor(LAUNCHES, "qubo-prune-host")

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """See `Device`."""
        return np.array(array, order="C")

    def empty(self, size: int, dtype: DTypeLike) -> NDArray[Any]:
        """See `Device`."""
        return np.empty(size, dtype)

    def download(self, array: NDArray[Any], count: int) -> NDArray[Any]:
        """See `Device`."""
        return array[:count].copy()

    def start(
        self,
        arguments: Sequence[Any],
        max_picks: int,  # noqa: ARG002 - memory grows by itself here
    ) -> Callable[[], object]:
        """See `Device`."""
        values = (
            (
                ctypes.c_void_p(each.ctypes.data)
                if isinstance(each, np.ndarray)
                else ctypes.c_int64(each)
            )
            for each in arguments
        )
        return self._threads.submit(self._kernel, *values).result


def compiler() -> str | None:
    """Return the path of a C++ compiler, the one that CXX names if it does; None if there
    is none.
    """
    named = os.environ.get("CXX")
    found = (shutil.which(name) for name in ([named] if named else _COMPILERS))
    return next(filter(None, found), None)


@cache
def _library(options: tuple[str, ...]) -> ctypes.CDLL:
    path = compiler()
    if path is None:
        raise BackendUnavailableError(
            "devices='host' needs a C++ compiler, and there is none on the PATH; install one, or"
            " name it in CXX."
        )
    with tempfile.TemporaryDirectory(prefix="qubo-prune-") as folder:
        text, library = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
        text.write_text(source(), "utf-8")
        command = [path, *_OPTIONS, *options, str(text), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BackendUnavailableError(
                f"{path} cannot compile the kernel for devices='host':"
                f" {' '.join(done.stderr.split())[:500]}; name another compiler in CXX."
            )
        return ctypes.CDLL(str(library))
