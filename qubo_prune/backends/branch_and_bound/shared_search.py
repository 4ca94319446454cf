"""A proof by tasks: on the workers of a cluster, or with a checkpoint to go on from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.checkpoint import Checkpoint, order_of
from qubo_prune.backends.branch_and_bound.coordinator import Coordinator, Workers
from qubo_prune.backends.branch_and_bound.kernels.explore import Tables
from qubo_prune.backends.branch_and_bound.ledger import Ledger
from qubo_prune.backends.branch_and_bound.orders import DECISIVE, DIAGONAL
from qubo_prune.backends.branch_and_bound.race import other_tables, promises_more
from qubo_prune.backends.branch_and_bound.subtrees import Explorer, Job
from qubo_prune.backends.branch_and_bound.task_workers import Threads, encode_job, run_remotely
from qubo_prune.backends.common.dask_workers import DaskWorkers
from qubo_prune.core.stopping import Standing, Stop
from qubo_prune.search.best_states import Best


@dataclass(frozen=True)
class Sharing:
    """Who does the work, and where it is kept; the options of `BranchAndBound`.

    Attributes
    ----------
    executor : str
        ``threads`` or ``dask``.
    scheduler : str, optional
        Of the cluster.
    checkpoint : path, optional
        File to go on from.
    threads : int
        Threads of this process.
    """

    executor: str
    scheduler: str | None
    checkpoint: str | os.PathLike[str] | None
    threads: int

    @property
    def is_plain(self) -> bool:
        """Whether threads of this process do it all at once, and nothing is kept."""
        return self.executor == "threads" and self.checkpoint is None


class Bounds(NamedTuple):
    """What a search leaves: the lowest bound of an open node, inf if it is complete; and the bound
    of the root.
    """

    open: float
    root: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search leaves.

    Attributes
    ----------
    bounds : Bounds
        What is open.
    words : ndarray of uint64, shape (K', W)
        The best states, packed.
    num_nodes, num_before : int
        Nodes visited in all, and those of earlier runs.
    epsilon : float
        The rounding that the bounds allow for.
    order : str
        In which blocks are decided.
    checkpoint : str, optional
        Name of the file that earlier runs left, on whose word the rest hangs.
    """

    bounds: Bounds
    words: NDArray[np.uint64]
    num_nodes: int
    epsilon: float
    order: str
    num_before: int = 0
    checkpoint: str | None = None


def search_by_tasks(
    job: Job,
    tables: Tables,
    sharing: Sharing,
    cut_word: NDArray[np.uint64],
    stop: Stop,
    known: Standing,
) -> Found:
    """Search the tree of a job, or what earlier runs left open of it.

    Parameters
    ----------
    job, tables
        What is to be proven.
    sharing
        Who does it.
    cut_word
        A state at or after the last wanted one, packed.
    stop
        When to end.
    known
        What is known before; ``known.last`` is the energy of that state, inf if there is none.
    """
    order = None if sharing.checkpoint is None else order_of(sharing.checkpoint)
    if order != DIAGONAL:
        other = other_tables(job.problem, tables, stop.should_stop)
        cut = np.full(1, known.last), cut_word
        if order == DECISIVE or promises_more(other, tables, cut, stop):
            order, tables = DECISIVE, other
            job = replace(job, order=tables.block_of)
    order = order or DIAGONAL
    explorer = Explorer(job, tables)
    checkpoint = (
        None if sharing.checkpoint is None else Checkpoint(sharing.checkpoint, explorer, order)
    )
    earlier = None if checkpoint is None else checkpoint.ledger()
    ledger = earlier or Ledger(Best(job.num_states, job.problem.num_blocks), [explorer.root()])
    ledger.epsilon = max(ledger.epsilon, float(tables.epsilon))
    if (last := ledger.best.last()) is not None and last[0] < known.last:
        known, cut_word = known._replace(last=last[0]), last[1]
    if checkpoint is not None:
        checkpoint.save(ledger)  # says so now rather than after hours if that is impossible
    if ledger.open:
        workers = _workers(sharing, explorer)
        try:
            Coordinator(explorer, ledger, known, cut_word).run(workers, stop, checkpoint)
        finally:
            workers.close()
        if checkpoint is not None:
            checkpoint.save_last(ledger)
    return Found(
        bounds=Bounds(ledger.lowest_bound(), ledger.root_bound),
        words=ledger.best.words(),
        num_nodes=ledger.num_before + ledger.num_nodes,
        epsilon=ledger.epsilon,
        order=order,
        num_before=ledger.num_before,
        checkpoint=checkpoint.name if checkpoint is not None and ledger.num_before else None,
    )


def _workers(sharing: Sharing, explorer: Explorer) -> Workers:
    if sharing.executor == "threads":
        return Threads(explorer, sharing.threads)
    return DaskWorkers(
        encode_job(explorer.job),
        run_remotely,
        sharing.scheduler,
        sharing.threads,
    )
