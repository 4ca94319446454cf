"""The run of an enumeration: good states for a threshold, then all states, task by task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import RawResult
from qubo_prune.backends.common.completeness import claims_when_done
from qubo_prune.backends.common.phases import Phases
from qubo_prune.backends.enumeration import assembly
from qubo_prune.backends.enumeration.cuda.device import HOST
from qubo_prune.backends.enumeration.engine import Engine, Job
from qubo_prune.backends.enumeration.run.checkpoint import Checkpoint
from qubo_prune.backends.enumeration.run.coordinator import Coordinator
from qubo_prune.backends.enumeration.run.progress import Ledger
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.search.best_states import Best
from qubo_prune.search.kernels.pool import distinct
from qubo_prune.search.starting_states import starting_states
from qubo_prune.search.threads import num_threads

_LARGE, _MANY = 1000, 20_000
"""Blocks, and states, above which starting workers takes long enough to be left out once the time
is up.
"""


def visit_all(
    options: assembly.Options,
    problem: Problem,
    num_states: int,
    stop: Stop,
    seed: int,
    warm_start: NDArray[np.bool_] | None,
) -> RawResult:
    """Visit every state that no checkpoint says was visited before."""
    wanted = min(num_states + 1, problem.num_states)
    clock = Phases("preparation", "warm_start", "search")
    devices = assembly.find_devices(options)
    task_states = options.task_states or assembly.default_task_states(options)
    engine = assembly.make_engine(
        options, Job(problem, wanted, task_states, options.tile_size), devices
    )
    checkpoint = None
    ledger = Ledger(Best(wanted, problem.num_blocks))
    if options.checkpoint is not None:
        checkpoint = Checkpoint(options.checkpoint, engine)
        ledger = checkpoint.ledger()
        checkpoint.save(ledger)  # says so now rather than after hours if that is impossible
    earlier = ledger.num_finished
    clock.begin("warm_start")
    start = np.zeros((0, problem.num_blocks), np.bool_)
    if earlier < problem.num_states:
        start = starting_states(problem, wanted, seed, stop, warm_start, in_order=False)
        clock.begin("search")
        large = problem.num_blocks > _LARGE or wanted > _MANY
        if not (large and stop.should_stop()):
            threshold = float(problem.energies(start).max()) if len(start) == wanted else np.inf
            executor = assembly.start_workers(options, engine, devices)
            try:
                Coordinator(engine.partition, ledger, threshold).run(executor, stop, checkpoint)
            finally:
                executor.close()
            if checkpoint is not None:
                checkpoint.save_last(ledger)
    clock.begin("search")
    complete = ledger.num_finished == problem.num_states
    states = ledger.best.states()
    if not complete:
        states = distinct(np.concatenate([states, start])) if len(states) else start
    num_complete, lower_bound = 0, -np.inf
    if complete:
        num_complete, lower_bound = claims_when_done(problem, wanted, len(states))
    visited = earlier + ledger.num_visited
    before = f", {earlier} of them before this run" if earlier else ""
    return RawResult(
        states=states,
        num_complete=num_complete,
        lower_bound=lower_bound,
        num_evaluated=visited,
        native_status=f"visited {visited} of {problem.num_states} states{before}",
        timings=clock.timings(),
        proof=_facts(options, engine, len(devices), earlier),
    )


def _facts(
    options: assembly.Options, engine: Engine, num_devices: int, earlier: int
) -> dict[str, float | int | str]:
    """Return what a reader of a certificate should know: how the states were shared out, and what
    rounding was allowed for.
    """
    facts: dict[str, float | int | str] = {
        "tasks": engine.partition.num_tasks,
        "task_states": engine.job.task_states,
        "tile_size": engine.layout.tile_size,
        "executor": options.executor,
        "visited_before": earlier,
        "screening_margin": engine.layout.margin / engine.layout.scale,
        "epsilon": engine.allowance,
    }
    if engine.job.problem.budget is not None:
        facts["price"] = engine.price
    if earlier:
        # Its checksum finds damage, not malice: whoever can write the file can sign it.
        facts["rests_on"] = f"the checkpoint {Path(options.checkpoint or '').name}"
    if options.executor == "cuda":
        facts["devices"] = HOST if options.devices == HOST else num_devices
    elif options.scheduler is None:
        facts["threads"] = num_threads(options.threads)
    return facts
