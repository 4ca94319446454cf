"""Hands out the open nodes as tasks, collects what comes back and keeps the account, whoever does
the work.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.cut import lower_cut
from qubo_prune.backends.branch_and_bound.ledger import Ledger
from qubo_prune.backends.branch_and_bound.search import REFINE_AFTER, advanced
from qubo_prune.backends.branch_and_bound.subtrees import (
    Explored,
    Explorer,
    OpenNode,
    Subtrees,
    nodes_of,
)
from qubo_prune.core.stopping import Standing

if TYPE_CHECKING:
    from qubo_prune.backends.branch_and_bound.checkpoint import Checkpoint
    from qubo_prune.core.stopping import Stop

_POLL_SECONDS = 0.02
_TASK_SECONDS = 0.5
"""Time of a task: long against the time to send it, short against the patience of whoever stops
the run.
"""

_MOST_WORKERS = 50
"""So many are fed with tasks of that time; more get longer ones, since tasks take the coordinator
milliseconds.
"""

_FIRST_SECONDS = 0.05
"""Time of a task as long as there are too few nodes for everybody."""

_GRACE_SECONDS = 10.0
"""How long a stopped run waits for what its workers have."""

_TASKS_PER_WORKER = 2
_SHARES_PER_WORKER = 4
_MOST_NODES = 200
"""To start from in a task."""

_UNLIMITED = 2**62


class Workers(Protocol):
    """Do tasks somewhere; every one comes back, with None where its result was lost."""

    def num_workers(self) -> int:
        """Return how many tasks run at the same time."""

    def put(self, task: Subtrees) -> None:
        """Queue a task."""

    def come_back(self, timeout: float) -> list[tuple[Subtrees, Explored | None]]:
        """Wait for results, `timeout` seconds at most.

        Raises
        ------
        BackendError
            If tasks cannot be done.
        """

    def close(self) -> None:
        """End at once; may be called at any time, once."""


class Coordinator:
    """One run over the nodes that are open.

    Parameters
    ----------
    explorer : Explorer
        The tables of this process.
    ledger : Ledger
        What is open; kept up to date.
    known : Standing
        What is known before; ``known.last`` is the energy of the next, inf if there is none.
    cut_word : ndarray of uint64, shape (W,)
        A state at or after the last wanted one, packed.

    Attributes
    ----------
    ledger : Ledger
        What is open, as above.
    """

    def __init__(
        self, explorer: Explorer, ledger: Ledger, known: Standing, cut_word: NDArray[np.uint64]
    ) -> None:
        self._known = known
        self._explorer = explorer
        self.ledger = ledger
        self._cut = np.full(1, known.last), cut_word.copy()
        self._flying: dict[int, list[OpenNode]] = {}
        self._tasks = 0
        self._seconds = _TASK_SECONDS
        self._serial = 1 + max((node.serial for node in ledger.open), default=0)
        self._refine_after = REFINE_AFTER * len(explorer.tables.matrix) ** 2

    @property
    def cut(self) -> tuple[NDArray[np.float64], NDArray[np.uint64]]:
        """The lowest state known to be at or after the last wanted one: its energy, and the state,
        packed.
        """
        return self._cut

    def run(
        self,
        workers: Workers,
        stop: Stop,
        checkpoint: Checkpoint | None,
        pause_after: float = math.inf,
    ) -> None:
        """Do tasks until no node is open, `stop` says so, or about `pause_after` nodes are visited
        in all; the workers are left open.
        """
        deadline = None
        while True:
            ledger = self.ledger
            if deadline is None and ledger.num_before + ledger.num_nodes < pause_after:
                self._send(workers, stop.max_evaluations)
            if not self._flying:
                return
            for task, result in workers.come_back(_POLL_SECONDS):
                self._receive(task, result)
            visited = ledger.num_before + ledger.num_nodes
            stop.offer(visited, ledger.best.states)
            if deadline is not None:
                if time.monotonic() > deadline:
                    self._land()
                    return
            elif stop.should_stop(visited):
                deadline = time.monotonic() + max(_GRACE_SECONDS, 2 * self._seconds)
            stop.report(visited, message="proving", standing=self.standing)
            if checkpoint is not None:
                checkpoint.save_if_due(ledger, self._all_flying())

    def _send(self, workers: Workers, max_evaluations: int | None) -> None:
        count = max(1, workers.num_workers())
        ledger = self.ledger
        most = _UNLIMITED
        if max_evaluations is not None:
            left = max_evaluations - ledger.num_before - ledger.num_nodes
            most = max(1, left // (count * _TASKS_PER_WORKER))
        limit = float(self._cut[0][0]) + ledger.epsilon
        self._seconds = _TASK_SECONDS * max(1.0, count / _MOST_WORKERS)
        while ledger.open and len(self._flying) < count * _TASKS_PER_WORKER:
            size = min(_MOST_NODES, max(1, len(ledger.open) // (count * _SHARES_PER_WORKER)))
            few = len(ledger.open) < count * _SHARES_PER_WORKER
            taken = [heapq.heappop(ledger.open) for _ in range(min(size, len(ledger.open)))]
            taken = [node for node in taken if node.bound <= limit]
            if not taken:
                ledger.open.clear()  # their bounds are no lower
                return
            self._tasks += 1
            self._flying[self._tasks] = taken
            workers.put(
                Subtrees(
                    number=self._tasks,
                    nodes=nodes_of(taken, len(self._explorer.tables.matrix)),
                    threshold=float(self._cut[0][0]),
                    cut_word=self._cut[1].copy(),
                    seconds=_FIRST_SECONDS if few else self._seconds,
                    most_nodes=most,
                    is_refined=ledger.num_nodes > self._refine_after,
                )
            )

    def _receive(self, task: Subtrees, result: Explored | None) -> None:
        nodes = self._flying.pop(task.number)
        ledger = self.ledger
        if result is None:
            self._put_back(nodes)
            return
        if not ledger.num_nodes and not ledger.num_before:
            ledger.root_bound = result.first_bound
        ledger.num_nodes += result.num_nodes
        ledger.epsilon = max(ledger.epsilon, result.epsilon)
        ledger.best.add(result.energies, result.words)
        for bound, fixed, x in zip(*result.nodes, strict=True):
            heapq.heappush(ledger.open, OpenNode(float(bound), self._serial, fixed, x))
            self._serial += 1
        last = ledger.best.last()
        if last is not None:
            lower_cut(*self._cut, *last)

    def standing(self) -> Standing:
        """Return what is known by now."""
        ledger = self.ledger
        flying = min((node.bound for node in self._all_flying()), default=np.inf)
        bound = min(flying, ledger.lowest_bound()) - ledger.epsilon
        return advanced(self._known, ledger.best.energies(), float(self._cut[0][0]), bound)

    def _put_back(self, nodes: Iterable[OpenNode]) -> None:
        for node in nodes:
            heapq.heappush(self.ledger.open, node)

    def _land(self) -> None:
        """Count what did not come back in time as open."""
        self._put_back(self._all_flying())
        self._flying.clear()

    def _all_flying(self) -> list[OpenNode]:
        return [node for nodes in self._flying.values() for node in nodes]
