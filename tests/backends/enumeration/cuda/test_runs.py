"""Whole runs on the processor: the same spectra, limits, checkpoints, processes, and options that are
refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import InputError, Problem, get_backend, solve
from qubo_prune.backends.enumeration.cuda.device import MAX_PICKS
from qubo_prune.backends.enumeration.cuda.device_engine import DeviceEngine
from qubo_prune.backends.enumeration.engine import Job
from qubo_prune.backends.enumeration.executors.processes import Processes
from qubo_prune.backends.enumeration.run.coordinator import Coordinator
from qubo_prune.backends.enumeration.run.progress import Ledger
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.search.best_states import Best
from qubo_prune.testing import CHECKS
from tests.backends.enumeration.cuda.common import (
    BLOCK,
    TILES,
    assert_same,
    enumerate_all,
    needs_compiler,
    on_host,
)
from tests.strategies import problems_of_kinds


@needs_compiler
@settings(max_examples=60)
@given(
    problem=problems_of_kinds(max_blocks=22, max_states=10**6),
    num_states=st.integers(1, 300),
    tile_size=TILES,
)
def test_solve_gives_the_same(problem: Problem, num_states: int, tile_size: int | None) -> None:
    expected = enumerate_all(problem, num_states)
    assert_same(on_host(problem, num_states, tile_size=tile_size), expected)


@needs_compiler
@pytest.mark.parametrize(
    ("problem", "options"),
    [
        (BLOCK, {}),
        (BLOCK, {"task_states": 10**6}),
        (Problem.load("bytelm-40-block", remove=34), {"tile_size": 20}),
        (Problem.load("bytelm-40-branch", remove={"attention": 3, "mlp": 3}, keep=[2, 7]), {}),
        (Problem.load("bytelm-40-branch", remove=6, force=[3]), {"task_states": 10**6}),
        (Problem(np.diag(np.arange(300) % 7) - 1.0, 3), {}),  # more rows than are kept at a time
    ],
)
def test_a_larger_problem(problem: Problem, options: dict[str, Any]) -> None:
    assert_same(on_host(problem, 200, **options), enumerate_all(problem, 200))


@needs_compiler
def test_pairs_of_very_many_blocks() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, 300))
    problem = Problem(matrix + matrix.T, 3)
    assert_same(on_host(problem, 200), enumerate_all(problem, 200))


@needs_compiler
@pytest.mark.parametrize("name", ["exact", "proof", "progress", "cancelled before"])
def test_it_conforms(name: str) -> None:
    (check,) = (check for check in CHECKS if check.name == name)
    check(get_backend("enumeration", executor="cuda", devices="host"))


LONG = Problem.load("bytelm-40-branch", remove=40)


@needs_compiler
def test_a_time_limit_keeps_what_was_found() -> None:
    options = {"executor": "cuda", "devices": "host"}
    found = solve(LONG, num_states=5, backend="enumeration", time_limit=0.7, options=options)
    assert found.stop_reason is StopReason.TIME_LIMIT
    assert len(found) == 5
    assert found.num_evaluated > 0
    found.check(LONG)


@needs_compiler
def test_cancelling_keeps_what_was_found() -> None:
    seen: list[Progress] = []

    def cancel(progress: Progress) -> None:
        seen.append(progress)
        if progress.num_evaluated:
            stop.cancel()

    stop = Stop(progress=cancel)
    options = {"executor": "cuda", "devices": "host"}
    found = solve(LONG, num_states=5, backend="enumeration", stop=stop, options=options)
    assert found.stop_reason is StopReason.INTERRUPTED
    assert 0 < seen[-1].num_evaluated <= found.num_evaluated
    assert len(found) == 5


@needs_compiler
def test_a_run_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    cut = {"task_states": 10**6, "tile_size": 10, "checkpoint": path}
    options = {"executor": "cuda", "devices": "host", **cut}
    first = solve(
        BLOCK, num_states=50, backend="enumeration", max_evaluations=10**7, options=options
    )
    assert first.stop_reason is StopReason.EVALUATION_LIMIT
    stored = json.loads(path.read_text())["num_finished"]
    assert 0 < stored < BLOCK.num_states
    # The other executors take it up too, if they cut the tasks in the same way.
    found = solve(BLOCK, num_states=50, backend="enumeration", options=cut)
    assert_same(found, enumerate_all(BLOCK))
    assert f"{stored} of them before this run" in found.native_status


@needs_compiler
def test_one_process_per_device() -> None:
    engine = DeviceEngine(Job(BLOCK, 51, 3_000_000), None)
    assert engine.partition.num_tasks > 10
    ledger = Ledger(Best(51, BLOCK.num_blocks))
    executor = Processes(engine, ["host", "host"])
    try:
        assert executor.num_workers() == 2
        Coordinator(engine.partition, ledger, np.inf).run(executor, Stop(), None)
    finally:
        executor.close()
    assert ledger.num_visited == BLOCK.num_states
    assert (ledger.best.states()[:50] == enumerate_all(BLOCK).states).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 1}, "devices goes with executor='cuda', not 'threads'"),
        (
            {"executor": "cuda", "devices": 0},
            "devices must be a number of GPUs, at least 1, or 'ho",
        ),
        ({"executor": "cuda", "devices": "gpu"}, "devices must be a number of GPUs"),
        ({"executor": "cuda", "devices": 1.5}, "devices must be an integer, not 1.5"),
        (
            {"executor": "cuda", "devices": "host", "task_states": 1 << 51},
            "task_states must be at m",
        ),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        enumerate_all(BLOCK, **options)


def test_too_many_picks() -> None:
    problem = Problem(np.eye(2 * MAX_PICKS + 2), MAX_PICKS + 1)
    with pytest.raises(
        InputError, match=f"at most {MAX_PICKS} blocks to remove or to keep, not {MAX_PICKS + 1}"
    ):
        enumerate_all(problem, executor="cuda", devices="host")
