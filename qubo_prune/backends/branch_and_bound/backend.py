"""Branch and bound: proves the K lowest states without visiting all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.backends.common.preparation import warm_up
from qubo_prune.backends.common.sharing import check_sharing
from qubo_prune.core.defaults import SHARED_EXECUTORS
from qubo_prune.core.validation import as_count
from qubo_prune.search.threads import num_threads

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop


@dataclass(frozen=True)
class BranchAndBound(Backend):
    """Certified K lowest states by branch and bound; the default backend.

    A swap tabu finds an upper bound T on the K-th energy; a depth-first search with convex
    quadratic bounds then visits every state that could lie at or below T. A subtree is dropped only
    if a safe lower bound exceeds T by more than the rounding errors, so the K states are proven
    together, ties included. Any symmetric matrix is handled; a positive semidefinite one is faster
    to prove.

    Parameters
    ----------
    threads : int, optional
        Number of threads; all available cores by default. The answer does not depend on it.
    max_steps : int
        Upper limit of pairwise steps per node; more steps give fewer, dearer nodes. Most nodes need
        far fewer, as steps end where a node is pruned or cannot be. The answer does not depend on
        it.
    anchor_interval : int
        Local fields are recomputed from scratch after this many incremental updates. The answer
        does not depend on it.
    executor : str
        Who does the work: ``threads`` of this process, or the workers of a ``dask`` cluster.
    scheduler : str, optional
        Address of the Dask scheduler, as ``tcp://host:8786``; by default a cluster in this process.
    checkpoint : path, optional
        File to save the run to every few seconds, and to go on from.
    """

    threads: int | None = None
    max_steps: int = 160
    anchor_interval: int = 512
    executor: str = "threads"
    scheduler: str | None = None
    checkpoint: str | os.PathLike[str] | None = None

    name: ClassVar[str] = "branch-and-bound"
    summary: ClassVar[str] = "proves the K lowest states for every M; the default"
    capabilities: ClassVar[Capability] = (
        Capability.EXACT
        | Capability.PROVES
        | Capability.WARM_START
        | Capability.SEEDED
        | Capability.NATIVE_CONSTRAINT
        | Capability.BUDGET
        | Capability.LIMITED
    )

    def __post_init__(self) -> None:
        num_threads(self.threads)
        as_count(self.max_steps, "max_steps", least=1)
        as_count(self.anchor_interval, "anchor_interval", least=1)
        check_sharing(SHARED_EXECUTORS, self.executor, self.scheduler, self.checkpoint)

    def prepare(self) -> None:
        """Load the kernels, or compile them the first time."""
        from qubo_prune.backends.branch_and_bound.prove import load_kernels

        warm_up(BranchAndBound, threads=1)
        load_kernels()

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Prove the `num_states` lowest states; see `Backend.run`."""
        from qubo_prune.backends.branch_and_bound.prove import prove

        return prove(
            problem,
            num_states,
            stop,
            seed,
            warm_start,
            executor=self.executor,
            scheduler=self.scheduler,
            checkpoint=self.checkpoint,
            threads=num_threads(self.threads),
            max_steps=self.max_steps,
            anchor_interval=self.anchor_interval,
        )
