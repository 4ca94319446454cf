"""The proof from a problem to its lowest states: good states first, then the search of the tree."""

from __future__ import annotations

import os
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import RawResult
from qubo_prune.backends.branch_and_bound.arrays import (
    make_tables,
    next_energy,
    smallest_terms_bound,
)
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables
from qubo_prune.backends.branch_and_bound.race import load_kernels as load_kernels_of_the_race
from qubo_prune.backends.branch_and_bound.search_at_once import (
    MORE_WALKS,
    SearchAtOnce,
    fair_evaluations,
    is_shallow,
)
from qubo_prune.backends.branch_and_bound.shared_search import Found, Sharing, search_by_tasks
from qubo_prune.backends.branch_and_bound.subtrees import Job
from qubo_prune.backends.branch_and_bound.walks import Walks
from qubo_prune.backends.common.completeness import claims_when_done
from qubo_prune.backends.common.phases import Phases
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.stopping import Standing, Stop
from qubo_prune.search.kernels.pool import pack, unpack
from qubo_prune.search.starting_states import GoodStates

_LARGE, _MANY = 1000, 20_000
"""Blocks, and states, above which what comes after the warm start takes long enough to be left out
once the time is up.
"""


@cache
def load_kernels() -> None:
    """Load the kernels that only a long proof needs, once per process."""
    load_kernels_of_the_race()
    good = GoodStates(Problem(np.diag([1.0, 2.0, 3.0, 4.0]), 2), 2, 0, Stop())
    good.walk()
    good.walk_on(10_000)


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
    walks = Walks(problem, wanted, seed, stop, warm_start, threads)
    sharing = Sharing(executor, scheduler, checkpoint, threads)
    good = walks.start(_evaluations(problem, stop, sharing))
    start = good.states(in_order=False)
    stop.offer(0, start.copy)
    large = problem.num_blocks > _LARGE or wanted > _MANY or walks.has_begun
    if large and len(start) and stop.should_stop():
        return RawResult(start, timings=clock.timings())
    clock.begin("preparation")
    more = False

    def enough() -> bool:
        nonlocal more
        stop.report(0, None, "preparing the bounds")
        more = walks.catch_up_while_preparing() or more
        return is_shallow(problem) or stop.should_stop()

    tables = make_tables(problem, max_steps, anchor_interval, enough)
    if more:
        words = np.concatenate([pack(start), pack(walks.states())])
        start = unpack(np.unique(words, axis=0), problem.num_blocks)
    energies = problem.energies(start)
    order = lexicographic_order(start, energies)[:wanted]
    start, energies = start[order], energies[order]
    last, cut_word = np.inf, tables.base_word
    if len(start) == wanted:
        last, cut_word = float(energies[-1]), pack(start[-1:])[0]
    clock.begin("search")
    best = float(energies.min(initial=np.inf))
    known = Standing(best, last, -np.inf, 0, num_states)
    job = Job(problem, wanted, max_steps, anchor_interval, tables.block_of)
    if sharing.is_plain:
        found = SearchAtOnce(
            job, tables, threads, good, walks, energies, cut_word, stop, known
        ).run()
    else:
        found = search_by_tasks(job, tables, sharing, cut_word, stop, known)
    complete = found.bounds.open == np.inf
    words = found.words
    if sharing.is_plain or not complete:
        words = np.unique(np.concatenate([words, pack(start), pack(walks.states())]), axis=0)
    states = unpack(words, problem.num_blocks)
    num_complete, lower_bound = claims_when_done(problem, wanted, len(words))
    if not complete:
        num_complete, lower_bound = 0, _lower_bound(problem, found, tables)
    elif sharing.is_plain and tables.quantum > 0 and num_states < wanted <= len(words):
        # Of the states that tie behind the last one asked for, any may be there: only their energy
        # was sought.
        num_complete = num_states
        lower_bound = float(np.partition(problem.energies(states), num_states)[num_states])
    before = f", {found.num_before} of them before this run" if found.num_before else ""
    ended = "tree finished" if complete else "tree open"
    return RawResult(
        states=states,
        num_complete=num_complete,
        lower_bound=lower_bound,
        num_evaluated=found.num_nodes,
        native_status=f"{found.num_nodes} nodes{before}, {ended}",
        timings=clock.timings(),
        proof=_facts(problem, found, tables, sharing),
    )


def _evaluations(problem: Problem, stop: Stop, sharing: Sharing) -> int:
    """Return how many states walks may evaluate before the proof begins, after their first round:
    the shifts may take all of a limit, and then theirs is the answer. What is shared, or may be
    resumed, is a long proof.
    """
    if is_shallow(problem) or (stop.time_limit is None and sharing.is_plain):
        return 0
    num_variables = sum(len(group.indices) for group in problem.groups)
    return (1 if sharing.is_plain else MORE_WALKS) * fair_evaluations(num_variables, 0)


def _lower_bound(problem: Problem, found: Found, tables: Tables) -> float:
    """Return an energy below which there is no state that was not visited."""
    bound = found.bounds.open
    if problem.num_blocks <= _LARGE:
        bound = max(bound, smallest_terms_bound(problem.reduced()))
    return next_energy(bound - found.epsilon, float(tables.quantum), problem.decimals)


def _facts(
    problem: Problem, found: Found, tables: Tables, sharing: Sharing
) -> dict[str, float | int | str]:
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
    if problem.budget is not None:
        facts["price"] = float(tables.price)
    if found.checkpoint is not None:
        # Its checksum finds damage, not malice: whoever can write the file can sign it.
        facts["rests_on"] = f"the checkpoint {found.checkpoint}"
    if np.isfinite(found.bounds.root):
        facts["root_bound"] = found.bounds.root
    return facts
