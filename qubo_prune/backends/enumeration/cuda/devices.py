"""Which devices there are, and opening one."""

from __future__ import annotations

from qubo_prune.backends.enumeration.cuda.device import HOST, Device, DeviceId
from qubo_prune.backends.enumeration.cuda.gpu import Gpu, load_cupy
from qubo_prune.backends.enumeration.cuda.host import Host
from qubo_prune.core.errors import BackendUnavailableError, InputError
from qubo_prune.core.validation import as_count


def open_device(device: DeviceId) -> Device:
    """Return the device with this number, or the stand-in of `HOST`."""
    if device == HOST:
        return Host()
    return Gpu(device)


def device_ids(requested: object) -> list[DeviceId]:
    """Return the devices to use: as many as requested, else all that are there."""
    if requested == HOST:
        return [HOST]
    cupy = load_cupy()
    count = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
    if not count:
        raise BackendUnavailableError(
            "executor='cuda' needs an NVIDIA GPU with its driver, and CUDA shows none to this"
            " process; see what nvidia-smi says, or leave executor out to use the processor."
        )
    wanted = count if requested is None else as_count(requested, "devices")
    if wanted > count:
        raise InputError(
            f"devices must be at most {count}, the number of GPUs here, not {wanted}; leave it out"
            " to use all."
        )
    return list(range(wanted))
