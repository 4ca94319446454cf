"""The proof from a problem to its lowest states: good states first, then the search of the tree."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import RawResult
from qubo_prune.backends.branch_and_bound.arrays import (
    make_root,
    make_tables,
    make_workspace,
    refine_tables,
)
from qubo_prune.backends.branch_and_bound.kernels.explore import Shared, Tables, Workspace
from qubo_prune.backends.branch_and_bound.orders import DECISIVE, DIAGONAL
from qubo_prune.backends.branch_and_bound.race import (
    RACE_AFTER,
    load_kernels,
    other_tables,
    promises_more,
)
from qubo_prune.backends.branch_and_bound.search import Frontier, Refinement, search
from qubo_prune.backends.branch_and_bound.shared_search import (
    Bounds,
    Found,
    Sharing,
    search_by_tasks,
)
from qubo_prune.backends.branch_and_bound.subtrees import Job
from qubo_prune.backends.common.phases import Phases
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.stopping import Standing, Stop
from qubo_prune.search.kernels.pool import pack, unpack
from qubo_prune.search.starting_states import starting_states

__all__ = ["load_kernels", "prove"]

_LARGE, _MANY = 1000, 20_000
"""Blocks, and states, above which what comes after the warm start takes long enough to be left out
once the time is up.
"""


def prove(
    problem: Problem,
    num_states: int,
    stop: Stop,
    seed: int,
    warm_start: NDArray[np.bool_] | None,
    *,
    executor: str,
    scheduler: str | None,
    checkpoint: str | os.PathLike[str] | None,
    threads: int,
    max_steps: int,
    anchor_interval: int,
) -> RawResult:
    """Prove the `num_states` lowest states; the options are those of `BranchAndBound`."""
    wanted = min(num_states + 1, problem.num_states)
    clock = Phases("warm_start", "preparation", "search")
    start = starting_states(problem, wanted, seed, stop, warm_start, in_order=False)
    stop.offer(0, start.copy)
    large = problem.num_blocks > _LARGE or wanted > _MANY
    if large and len(start) and stop.should_stop():
        return RawResult(start, timings=clock.timings())
    start = start[lexicographic_order(start, problem.energies(start))]
    clock.begin("preparation")

    def enough() -> bool:
        stop.report(0, None, "preparing the bounds")
        return _is_shallow(problem) or stop.should_stop()

    tables = make_tables(problem, max_steps, anchor_interval, enough)
    threshold = np.full(1, np.inf)
    cut_word = tables.base_word.copy()
    if len(start) == wanted:
        threshold[0] = problem.energies(start[-1:])[0]
        cut_word = pack(start[-1:])[0]
    clock.begin("search")
    best = float(problem.energies(start[:1]).min(initial=np.inf))
    known = Standing(best, float(threshold[0]), -np.inf, 0, num_states)
    sharing = Sharing(executor, scheduler, checkpoint, threads)
    job = Job(problem, wanted, max_steps, anchor_interval, tables.block_of)
    look = _search_at_once if sharing.is_plain else search_by_tasks
    found = look(job, tables, sharing, cut_word, stop, known)
    complete = found.bounds.open == np.inf
    words = found.words
    if not complete:
        words = np.unique(np.concatenate([words, pack(start)]), axis=0)
    before = f", {found.num_before} of them before this run" if found.num_before else ""
    ended = "tree finished" if complete else "tree open"
    return RawResult(
        states=unpack(words, problem.num_blocks),
        num_complete=wanted if complete else 0,
        lower_bound=-np.inf if complete else found.bounds.open - found.epsilon,
        num_evaluated=found.num_nodes,
        native_status=f"{found.num_nodes} nodes{before}, {ended}",
        timings=clock.timings(),
        proof=_facts(found, tables, sharing),
    )


def _search_at_once(
    job: Job,
    tables: Tables,
    sharing: Sharing,
    cut_word: NDArray[np.uint64],
    stop: Stop,
    known: Standing,
) -> Found:
    """Search the tree by threads that share all they have; see `search_by_tasks`."""
    shared = Shared(np.full(1, known.last), np.zeros(1, np.bool_))
    workspaces = [
        make_workspace(tables, job.num_states, job.problem.num_blocks)
        for _ in range(sharing.threads)
    ]
    frontier = Frontier(make_root(tables), shared.threshold, cut_word)
    refine = Refinement(
        lambda tables: refine_tables(tables, job.problem, lambda: bool(shared.stop[0]))
    )
    race_after = RACE_AFTER * len(tables.matrix) ** 2
    tables = search(tables, workspaces, shared, frontier, stop, refine, known, race_after)
    order, given_up = DIAGONAL, [np.zeros((0, len(cut_word)), np.uint64)]
    if not frontier.is_done and not shared.stop[0]:
        other = other_tables(job.problem, tables, stop.should_stop)
        if promises_more(other, tables, frontier.cut, stop):
            tables, order = other, DECISIVE
            given_up = [_take_pool(each) for each in workspaces]
            frontier = Frontier(make_root(tables), *frontier.cut)
        tables = search(tables, workspaces, shared, frontier, stop, refine, known)
    pools = [each.pool_words[: each.pool_size[0]] for each in workspaces]
    return Found(
        bounds=Bounds(np.inf if frontier.is_done else frontier.lowest_bound(), frontier.root_bound),
        words=np.concatenate(pools if frontier.is_done else [*pools, *given_up]),
        num_nodes=sum(int(each.nodes[0]) for each in workspaces),
        epsilon=float(tables.epsilon),
        order=order,
    )


def _take_pool(workspace: Workspace) -> NDArray[np.uint64]:
    """Empty a worker's pool; return its states, packed."""
    words = workspace.pool_words[: workspace.pool_size[0]].copy()
    workspace.pool_size[0] = 0
    return words


def _facts(found: Found, tables: Tables, sharing: Sharing) -> dict[str, float | int | str]:
    """Return what a reader of a certificate should know."""
    facts: dict[str, float | int | str] = {
        "nodes": found.num_nodes,
        "epsilon": found.epsilon,
        "quantum": float(tables.quantum),
        "max_steps": tables.max_steps,
        "anchor_interval": tables.anchor_interval,
        "order": found.order,
    }
    if not sharing.is_plain:
        facts["executor"] = sharing.executor
        facts["visited_before"] = found.num_before
    if sharing.scheduler is None:
        facts["threads"] = sharing.threads
    if found.checkpoint is not None:
        # Its checksum finds damage, not malice: whoever can write the file can sign it.
        facts["rests_on"] = f"the checkpoint {found.checkpoint}"
    if np.isfinite(found.bounds.root):
        facts["root_bound"] = found.bounds.root
    return facts


def _is_shallow(problem: Problem) -> bool:
    """Tell whether three or fewer blocks of one group are to be removed or kept: then looking at
    all states, cubic in N, takes less than good shifts.
    """
    group = problem.groups[0]
    return len(problem.groups) == 1 and min(group.count, len(group.indices) - group.count) <= 3
