"""Branch and bound: proves the K lowest states without visiting all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.core.validation import as_count
from qubo_prune.search.threads import num_threads

if TYPE_CHECKING:
    from qubo_prune.backends.branch_and_bound.kernels.explore import Tables
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
        Upper limit of pairwise steps per node; more steps give fewer, dearer nodes. The answer does
        not depend on it.
    anchor_interval : int
        Local fields are recomputed from scratch after this many incremental updates. The answer
        does not depend on it.
    """

    threads: int | None = None
    max_steps: int = 40
    anchor_interval: int = 512

    name: ClassVar[str] = "branch-and-bound"
    summary: ClassVar[str] = "proves the K lowest states for every M; the default"
    capabilities: ClassVar[Capability] = (
        Capability.EXACT
        | Capability.PROVES
        | Capability.WARM_START
        | Capability.SEEDED
        | Capability.NATIVE_CONSTRAINT
        | Capability.TIME_LIMIT
        | Capability.CANCEL
        | Capability.PROGRESS
    )

    def __post_init__(self) -> None:
        num_threads(self.threads)
        as_count(self.max_steps, "max_steps", least=1)
        as_count(self.anchor_interval, "anchor_interval", least=1)

    def prepare(self) -> None:
        """Load the kernels, or compile them the first time."""
        from qubo_prune.backends.common.preparation import warm_up

        warm_up(BranchAndBound, threads=1)

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Prove the `num_states` lowest states; see `Backend.run`."""
        from qubo_prune.backends.branch_and_bound.arrays import (
            make_root,
            make_tables,
            make_workspace,
            refine_tables,
        )
        from qubo_prune.backends.branch_and_bound.kernels.explore import Shared
        from qubo_prune.backends.branch_and_bound.search import search
        from qubo_prune.search.kernels.pool import pack, unpack
        from qubo_prune.search.starting_states import starting_states

        threads = num_threads(self.threads)
        wanted = min(num_states + 1, problem.num_states)
        begin = time.perf_counter()
        start = starting_states(problem, wanted, seed, stop, warm_start)
        seeded = time.perf_counter()
        enough = (lambda: True) if _is_shallow(problem) else stop.should_stop
        tables = make_tables(problem, self.max_steps, self.anchor_interval, enough)
        threshold = np.full(1, np.inf)
        cut_word = tables.base_word.copy()
        if len(start) == wanted:
            threshold[0] = problem.energies(start[-1:])[0]
            cut_word = pack(start[-1:])[0]
        shared = Shared(threshold, np.zeros(1, np.bool_))
        workspaces = [make_workspace(tables, wanted, problem.num_blocks) for _ in range(threads)]
        prepared = time.perf_counter()

        def refine(tables: Tables) -> Tables:
            return refine_tables(tables, problem, lambda: bool(shared.stop[0]))

        bounds, tables = search(
            tables, workspaces, shared, make_root(tables), cut_word, stop, refine
        )
        words = np.concatenate([w.pool_words[: w.pool_size[0]] for w in workspaces])
        states = unpack(words, problem.num_blocks)
        complete = bounds.open == np.inf
        if not complete:
            states = np.unique(np.concatenate([states, start]), axis=0)
        finished = time.perf_counter()
        nodes = sum(int(w.nodes[0]) for w in workspaces)
        proof: dict[str, float | int | str] = {
            "nodes": nodes,
            "epsilon": float(tables.epsilon),
            "quantum": float(tables.quantum),
            "max_steps": self.max_steps,
            "anchor_interval": self.anchor_interval,
            "threads": threads,
        }
        if np.isfinite(bounds.root):
            proof["root_bound"] = bounds.root
        return RawResult(
            states=states,
            num_complete=wanted if complete else 0,
            lower_bound=-np.inf if complete else bounds.open - tables.epsilon,
            num_evaluated=nodes,
            native_status=f"{nodes} nodes, " + ("tree finished" if complete else "tree open"),
            timings={
                "warm_start": seeded - begin,
                "preparation": prepared - seeded,
                "search": finished - prepared,
            },
            proof=proof,
        )


def _is_shallow(problem: Problem) -> bool:
    """Tell whether three or fewer blocks of one group are to be removed or kept: then looking at
    all states, cubic in N, takes less than good shifts.
    """
    group = problem.groups[0]
    return len(problem.groups) == 1 and min(group.count, len(group.indices) - group.count) <= 3
