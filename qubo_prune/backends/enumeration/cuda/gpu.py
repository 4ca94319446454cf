"""An NVIDIA GPU, by way of CuPy."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from numpy.typing import DTypeLike, NDArray

from qubo_prune.backends.enumeration.cuda.source import LAUNCHES, source
from qubo_prune.backends.enumeration.cuda.tables import WARP, WARPS, warp_bytes
from qubo_prune.core.errors import BackendUnavailableError

_SHARED_BYTES = 48 * 1024
_BLOCKS_PER_MULTIPROCESSOR = 5
_OPTIONS = ("-std=c++14",)
_INSTALL = "install it with: pip install 'qubo-prune[cuda12]' (or cuda13, as your driver says)"


class Gpu:
    """An NVIDIA GPU.

    Parameters
    ----------
    number : int
        Its number among those that CUDA shows to this process.
    """

    def __init__(self, number: int) -> None:
        self._cupy = load_cupy()
        self._device = self._cupy.cuda.Device(number)
        with self._device:
            module = self._cupy.RawModule(code=source(), options=_OPTIONS)
            self._kernel = module.get_function("screen")
            # They do not wait for each other, so that a launch fills the multiprocessors that the
            # one before has left.
            self._streams = cycle(
                [self._cupy.cuda.Stream(non_blocking=True) for _ in range(LAUNCHES)]
            )
        multiprocessors = self._device.attributes["MultiProcessorCount"]
        self._blocks = _BLOCKS_PER_MULTIPROCESSOR * multiprocessors

    def upload(self, array: NDArray[Any]) -> Any:
        """See `Device`."""
        with self._device:
            # Other streams would not wait for a copy that is under way.
            return self._cupy.asarray(array, order="C", blocking=True)

    def empty(self, size: int, dtype: DTypeLike) -> Any:
        """See `Device`."""
        with self._device:
            return self._cupy.empty(size, dtype)

    def download(self, array: Any, count: int) -> NDArray[Any]:
        """See `Device`."""
        with self._device:
            copy: NDArray[Any] = array[:count].get()
            return copy

    def start(self, arguments: Sequence[Any], max_picks: int) -> Callable[[], object]:
        """See `Device`."""
        warps = min(WARPS, _SHARED_BYTES // warp_bytes(max_picks))
        stream = next(self._streams)
        with self._device, stream:
            self._kernel(
                (self._blocks,),
                (WARP * warps,),
                tuple(arguments),
                shared_mem=warps * warp_bytes(max_picks),
            )

        def wait() -> None:
            with self._device:
                stream.synchronize()

        return wait


def load_cupy() -> Any:
    """Return CuPy, or say how to get it."""
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        reason = "which is not installed"
        if importlib.util.find_spec("cupy") is not None:
            reason = f"which cannot be loaded ({' '.join(str(error).split())})"
        raise BackendUnavailableError(f"executor='cuda' needs CuPy, {reason}; {_INSTALL}") from None
