"""What the options of the backend stand for: an engine, and the workers that run its tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from qubo_prune.backends.enumeration.cuda.device import HOST
from qubo_prune.backends.enumeration.cuda.devices import device_ids, open_device
from qubo_prune.backends.enumeration.engine import Engine, Job
from qubo_prune.search.threads import num_threads

if TYPE_CHECKING:
    from qubo_prune.backends.enumeration.cuda.device import DeviceId
    from qubo_prune.backends.enumeration.executors.base import Executor


class Options(Protocol):
    """The fields of `Enumeration`, which documents them."""

    @property
    def task_states(self) -> int | None: ...  # noqa: D102
    @property
    def tile_size(self) -> int | None: ...  # noqa: D102
    @property
    def checkpoint(self) -> str | os.PathLike[str] | None: ...  # noqa: D102
    @property
    def threads(self) -> int | None: ...  # noqa: D102
    @property
    def executor(self) -> str: ...  # noqa: D102
    @property
    def scheduler(self) -> str | None: ...  # noqa: D102
    @property
    def devices(self) -> int | str | None: ...  # noqa: D102


_TASK_STATES = 1 << 27
_TASK_STATES_GPU = 1 << 36


def default_task_states(options: Options) -> int:
    """Return the upper limit of the states per task where none is given."""
    on_gpu = options.executor == "cuda" and options.devices != HOST
    return _TASK_STATES_GPU if on_gpu else _TASK_STATES


def find_devices(options: Options) -> list[DeviceId]:
    """Return the devices to use; none but for ``cuda``.

    Raises
    ------
    InputError
        If there are fewer than asked for.
    BackendUnavailableError
        If there is none, or no way to use it.
    """
    return device_ids(options.devices) if options.executor == "cuda" else []


def make_engine(options: Options, job: Job, devices: Sequence[DeviceId]) -> Engine:
    """Return the engine of this process: with its device if there is one alone, and else only good
    to cut the tasks of those that have.
    """
    if options.executor != "cuda":
        return Engine(job)
    from qubo_prune.backends.enumeration.cuda.device_engine import DeviceEngine

    return DeviceEngine(job, open_device(devices[0]) if len(devices) == 1 else None)


def start_workers(options: Options, engine: Engine, devices: Sequence[DeviceId]) -> Executor:
    """Start who does the work, on these devices if any; whoever calls this closes the executor."""
    if options.executor == "dask":
        from qubo_prune.backends.enumeration.executors.dask_cluster import Dask

        return Dask(engine, options.scheduler, num_threads(options.threads))
    if options.executor == "processes" or len(devices) > 1:
        from qubo_prune.backends.enumeration.executors.processes import Processes

        return Processes(engine, devices or [None] * num_threads(options.threads))
    from qubo_prune.backends.enumeration.executors.threads import Threads

    return Threads(engine, len(devices) or num_threads(options.threads))
