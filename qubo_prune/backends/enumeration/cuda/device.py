"""Where the kernel runs: an NVIDIA GPU by way of CuPy, or something that behaves like one."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from numpy.typing import DTypeLike, NDArray

from qubo_prune.backends.enumeration.cuda.tables import WARP, WARPS, warp_bytes
from qubo_prune.errors import BackendUnavailableError, InputError
from qubo_prune.text import format_value
from qubo_prune.validation import as_count

HOST: Final = "host"
"""In place of a device's number: the kernel compiled for the processor of this machine."""

LAUNCHES = 2
"""So many launches are under way at a time: one runs while the results of the other are looked at and its successor is prepared."""

MAX_PICKS = 347
"""A warp that keeps track of more picks than this for each of its nodes exceeds the shared memory that every GPU has."""

_SHARED_BYTES = 48 * 1024
_BLOCKS_PER_MULTIPROCESSOR = 5
_OPTIONS = ("-std=c++14",)

_INSTALL = "install it with: pip install 'qubo-prune[cuda12]' (or cuda13, as your driver says)"

DeviceId = int | Literal["host"]


class Device(Protocol):
    """What holds arrays and runs the kernel."""

    def upload(self, array: NDArray[Any]) -> Any:
        """Return a copy of an array in the device's memory."""

    def empty(self, size: int, dtype: DTypeLike) -> Any:
        """Return an array in the device's memory, with any contents."""

    def download(self, array: Any, count: int) -> NDArray[Any]:
        """Return a copy of the first entries of a device's array."""

    def start(self, arguments: Sequence[Any], max_picks: int) -> Callable[[], object]:
        """Start the kernel; return what waits until it is done, up to when the arguments have to be kept.

        Arrays are the device's, numbers 64 bits wide. At most `LAUNCHES` may be under way.
        """


@cache
def source() -> str:
    """Return the kernel as one text, the same for every compiler."""
    folder = Path(__file__).parent
    return "".join((folder / name).read_text("utf-8") for name in ("warp.h", "kernel.cu"))


class Gpu:
    """An NVIDIA GPU.

    Parameters
    ----------
    number : int
        Its number among those that CUDA shows to this process.
    """

    def __init__(self, number: int) -> None:
        self._cupy = _cupy()
        self._device = self._cupy.cuda.Device(number)
        with self._device:
            module = self._cupy.RawModule(code=source(), options=_OPTIONS)
            self._kernel = module.get_function("screen")
            # They do not wait for each other, so that a launch fills the multiprocessors that the one before has left.
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


def open_device(device: DeviceId) -> Device:
    """Return the device with this number, or the stand-in of `HOST`."""
    if device == HOST:
        from qubo_prune.backends.enumeration.cuda.host import Host

        return Host()
    return Gpu(device)


def device_ids(requested: object) -> list[DeviceId]:
    """Return the devices to use: as many as requested, else all that are there."""
    if requested == HOST:
        return [HOST]
    cupy = _cupy()
    count = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
    if not count:
        raise BackendUnavailableError(
            "executor='cuda' needs an NVIDIA GPU with its driver, and CUDA shows none to this process; "
            "see what nvidia-smi says, or leave executor out to use the processor."
        )
    wanted = count if requested is None else as_count(requested, "devices")
    if wanted > count:
        raise InputError(
            f"devices must be at most {count}, the number of GPUs here, not {wanted}; leave it out to use all."
        )
    return list(range(wanted))


def check_devices(requested: object) -> None:
    """Check the option `devices` as far as that needs no GPU."""
    if requested is None or requested == HOST:
        return
    if isinstance(requested, str) or as_count(requested, "devices") < 1:
        raise InputError(
            f"devices must be a number of GPUs, at least 1, or {HOST!r}, not {format_value(requested)}; "
            "leave it out to use all."
        )


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        reason = "which is not installed"
        if importlib.util.find_spec("cupy") is not None:
            reason = f"which cannot be loaded ({' '.join(str(error).split())})"
        raise BackendUnavailableError(f"executor='cuda' needs CuPy, {reason}; {_INSTALL}") from None
