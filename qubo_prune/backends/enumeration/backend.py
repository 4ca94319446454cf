"""Exhaustive enumeration: visits every state, prunes nothing, and so checks everything else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.backends.common.preparation import warm_up
from qubo_prune.backends.common.sharing import check_sharing
from qubo_prune.backends.enumeration.cuda.device import check_devices
from qubo_prune.core.defaults import EXECUTORS
from qubo_prune.core.errors import InputError
from qubo_prune.core.validation import as_count
from qubo_prune.search.threads import num_threads

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop


@dataclass(frozen=True)
class Enumeration(Backend):
    """Visit all C(N, M) states, on the CPU or on GPUs.

    The search walks sorted prefixes with their local fields, screens whole rows of completions in
    float32 against a threshold with a derived rounding margin, and re-evaluates in float64 what
    passes. It is the oracle of this package: no bound is involved.

    The answer depends on none of these options, nor on what happens to a worker.

    Parameters
    ----------
    threads : int, optional
        Number of threads, or of worker processes; all available cores by default. Without meaning
        on GPUs and where a `scheduler` is named.
    task_states : int, optional
        Upper limit of the states per task (unless a single node holds more); by default 2^27, or
        2^36 on GPUs.
    tile_size : int, optional
        Number of variables in the dense tile, an even number; chosen by a cost model by default.
    executor : str
        Who does the work: ``threads``, ``processes``, ``dask`` or ``cuda``. A process or Dask
        worker that dies is replaced and its work done again.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``tcp://host:8786``; by default Dask works in this
        process.
    devices : int or str, optional
        With ``cuda``, how many of the GPUs that CUDA shows, each with a process of its own if there
        are several; all by default. ``host`` stands for the GPU's code compiled for the processor,
        which is slow, to check it.
    checkpoint : path, optional
        A file written every few seconds, and at the end. If it is there, the run goes on from it
        and visits no finished task again; the file of another problem, K, or cut into tasks is
        refused.
    """

    threads: int | None = None
    task_states: int | None = None
    tile_size: int | None = None
    executor: str = "threads"
    scheduler: str | None = None
    devices: int | str | None = None
    checkpoint: str | os.PathLike[str] | None = None

    name: ClassVar[str] = "enumeration"
    summary: ClassVar[str] = (
        "visits every state, on all cores or GPUs; the oracle, up to about 1e12 states"
    )
    capabilities: ClassVar[Capability] = (
        Capability.EXACT
        | Capability.PROVES
        | Capability.WARM_START
        | Capability.GPU
        | Capability.SEEDED
        | Capability.NATIVE_CONSTRAINT
        | Capability.BUDGET
        | Capability.LIMITED
    )

    def __post_init__(self) -> None:
        num_threads(self.threads)
        if self.task_states is not None:
            as_count(self.task_states, "task_states", least=1)
        if self.tile_size is not None:
            tile_size = as_count(self.tile_size, "tile_size")
            if tile_size < 0 or tile_size % 2:
                raise InputError(
                    f"tile_size must be an even number of at least 0, not {tile_size}; leave it out"
                    " to have it chosen."
                )
        check_sharing(EXECUTORS, self.executor, self.scheduler, self.checkpoint)
        if self.devices is not None:
            if self.executor != "cuda":
                raise InputError(
                    f"devices goes with executor='cuda', not {self.executor!r}; ask for that, or"
                    " leave devices out."
                )
            check_devices(self.devices)

    def prepare(self) -> None:
        """Load the kernels, or compile them the first time."""
        if self.executor == "cuda":
            warm_up(Enumeration, executor="cuda", devices="host" if self.devices == "host" else 1)
        else:
            warm_up(Enumeration, threads=1)

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Visit every state; see `Backend.run`."""
        from qubo_prune.backends.enumeration.visit import visit_all

        return visit_all(self, problem, num_states, stop, seed, warm_start)
