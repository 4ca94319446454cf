"""A proof by tasks: on the workers of a cluster, or with a checkpoint to go on from."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.checkpoint import Checkpoint, read_saved
from qubo_prune.backends.branch_and_bound.coordinator import Coordinator, Workers
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables
from qubo_prune.backends.branch_and_bound.ledger import Ledger
from qubo_prune.backends.branch_and_bound.race import Cut, Race
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
    saved = None if sharing.checkpoint is None else read_saved(sharing.checkpoint)
    race = Race(job.problem, tables)
    order = race.order
    if saved is not None and saved.order == race.other_order:
        race.close()
        order, tables = race.other_order, race.other(stop.should_stop)
        job = replace(job, order=tables.block_of)
    explorer = Explorer(job, tables)
    checkpoint = _checkpoint(sharing, explorer, order)
    if saved is None or checkpoint is None:
        ledger = Ledger(Best(job.num_states, job.problem.num_blocks), [explorer.root()])
    else:
        ledger = checkpoint.ledger(saved)
    race.skip(ledger.num_before)
    ledger.epsilon = max(ledger.epsilon, float(tables.epsilon))
    if (last := ledger.best.last()) is not None and last[0] < known.last:
        known, cut_word = known._replace(last=last[0]), last[1]
    if checkpoint is not None:
        checkpoint.save(ledger)  # says so now rather than after hours if that is impossible
    open_before = -math.inf
    while ledger.open:
        coordinator = Coordinator(explorer, ledger, known, cut_word)
        workers = _workers(sharing, explorer)
        try:
            other = _run(coordinator, workers, race, stop, checkpoint, sharing)
        finally:
            workers.close()
        if other is None:
            break
        # Begin again in the other order, with what is known by now.
        open_before = ledger.lowest_bound()
        known, cut_word = coordinator.standing(), coordinator.cut[1]
        order, job = race.other_order, replace(job, order=other.block_of)
        explorer = Explorer(job, other)
        ledger.begin_again(explorer.root(), float(other.epsilon))
        checkpoint = _checkpoint(sharing, explorer, order)
    if checkpoint is not None:
        checkpoint.save_last(ledger)
    return Found(
        bounds=Bounds(max(ledger.lowest_bound(), open_before), ledger.root_bound),
        words=ledger.best.words(),
        num_nodes=ledger.num_before + ledger.num_nodes,
        epsilon=ledger.epsilon,
        order=order,
        num_before=ledger.num_before,
        checkpoint=checkpoint.name if checkpoint is not None and ledger.num_before else None,
    )


def _run(
    coordinator: Coordinator,
    workers: Workers,
    race: Race,
    stop: Stop,
    checkpoint: Checkpoint | None,
    sharing: Sharing,
) -> Tables | None:
    """Search until nothing is open or `stop` says so; return the tables of the other order as soon
    as it promises fewer nodes.
    """
    ledger = coordinator.ledger
    while True:
        coordinator.run(workers, stop, checkpoint, race.after)
        visited = ledger.num_before + ledger.num_nodes
        if not ledger.open or stop.should_stop(visited):
            return None
        if (winner := race.winner(Cut(*coordinator.cut), stop, visited)) is not None:
            return winner
        if sharing.executor != "threads":
            race.close()  # a cluster is not kept waiting for larger samples


def _checkpoint(sharing: Sharing, explorer: Explorer, order: str) -> Checkpoint | None:
    return None if sharing.checkpoint is None else Checkpoint(sharing.checkpoint, explorer, order)


def _workers(sharing: Sharing, explorer: Explorer) -> Workers:
    if sharing.executor == "threads":
        return Threads(explorer, sharing.threads)
    return DaskWorkers(
        encode_job(explorer.job),
        run_remotely,
        sharing.scheduler,
        sharing.threads,
    )
