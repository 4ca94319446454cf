"""Where the kernel runs: an NVIDIA GPU by way of CuPy, or something that behaves like one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol

from numpy.typing import DTypeLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count

HOST: Final = "host"
"""In place of a device's number: the kernel compiled for the processor of this machine."""


MAX_PICKS = 347
"""A warp that keeps track of more picks than this for each of its nodes exceeds the shared memory
that every GPU has.
"""


DeviceId = int | Literal["host"]


def check_devices(requested: object) -> None:
    """Check the option `devices` as far as that needs no GPU."""
    if requested is None or requested == HOST:
        return
    if isinstance(requested, str) or as_count(requested, "devices") < 1:
        raise InputError(
            f"devices must be a number of GPUs, at least 1, or {HOST!r}, not"
            f" {format_value(requested)}; leave it out to use all."
        )


class Device(Protocol):
    """What holds arrays and runs the kernel."""

    def upload(self, array: NDArray[Any]) -> Any:
        """Return a copy of an array in the device's memory."""

    def empty(self, size: int, dtype: DTypeLike) -> Any:
        """Return an array in the device's memory, with any contents."""

    def download(self, array: Any, count: int) -> NDArray[Any]:
        """Return a copy of the first entries of a device's array."""

    def start(self, arguments: Sequence[Any], max_picks: int) -> Callable[[], object]:
        """Start the kernel; return what waits until it is done, up to when the arguments have to be
        kept.

        Arrays are the device's, numbers 64 bits wide. At most `LAUNCHES` may be under way.
        """
