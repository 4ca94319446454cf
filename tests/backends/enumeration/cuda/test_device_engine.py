"""The kernel, compiled for the processor, finds what the CPU's engine finds, bit for bit, however its
work is cut; and what launches it behaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import BackendError, Problem
from qubo_prune.backends.enumeration.cuda.device_engine import CAPACITY
from qubo_prune.backends.enumeration.cuda.host import Host
from qubo_prune.backends.enumeration.cuda.source import LAUNCHES
from qubo_prune.backends.enumeration.cuda.work_queue import Part
from qubo_prune.backends.enumeration.engine import Batch
from qubo_prune.backends.enumeration.kernels.walk import Shared
from qubo_prune.core.spectrum.order import lexicographic_order
from tests.backends.enumeration.cuda.common import (
    BLOCK,
    TILES,
    Watched,
    make_engine,
    needs_compiler,
    new_shared,
    run_in_pieces,
)
from tests.strategies import all_states, problems_of_kinds


@needs_compiler
@settings(max_examples=100)
@given(
    problem=problems_of_kinds(max_blocks=16, max_states=4000),
    task_states=st.sampled_from([1, 2, 7, 60, 500, 10**6]),
    tile_size=TILES,
    triples=st.booleans(),
    capacity=st.sampled_from([1, 5, 10**6]),
    buffer=st.sampled_from([1, 3, 64, CAPACITY]),
    descending=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_split_and_any_buffer(
    problem: Problem,
    task_states: int,
    tile_size: int | None,
    triples: bool,
    capacity: int,
    buffer: int,
    descending: bool,
    seed: int,
) -> None:
    assume(buffer > 3 or problem.num_states < 100)  # each state takes some launches
    wanted = min(capacity, problem.num_states)
    device = Host("-DLANES_DESCENDING") if descending else Host()
    engine = make_engine(problem, wanted, task_states, tile_size, triples, buffer, device)
    best = run_in_pieces(engine, new_shared(), seed)
    states = all_states(problem)
    expected = states[lexicographic_order(states, problem.energies(states))[:wanted]]
    np.testing.assert_array_equal(best.states(), expected)


@needs_compiler
@settings(max_examples=80)
@given(
    problem=problems_of_kinds(max_blocks=16, max_states=4000),
    task_states=st.sampled_from([7, 500, 10**6]),
    tile_size=TILES,
    triples=st.booleans(),
)
def test_every_state_is_screened_once(
    problem: Problem, task_states: int, tile_size: int | None, triples: bool
) -> None:
    engine = make_engine(problem, problem.num_states, task_states, tile_size, triples)
    found: list[NDArray[np.bool_]] = []
    describe = engine._states

    def note(*arguments: Any) -> NDArray[np.bool_]:
        found.append(describe(*arguments))
        return found[-1]

    with mock.patch.object(engine, "_states", note):
        run_in_pieces(engine, new_shared(), 0)
    states = np.concatenate(found)
    np.testing.assert_array_equal(np.unique(states, axis=0), np.unique(all_states(problem), axis=0))
    assert len(states) == problem.num_states


@needs_compiler
@settings(max_examples=60)
@given(
    problem=problems_of_kinds(max_blocks=14, max_states=300),
    tile_size=TILES,
    triples=st.booleans(),
)
def test_screening_loses_no_state_at_the_threshold(
    problem: Problem, tile_size: int | None, triples: bool
) -> None:
    check_screening(problem, tile_size, triples, range(problem.num_states))


@needs_compiler
@pytest.mark.parametrize("decades", [0.0, 4.0, 12.0])
@pytest.mark.parametrize(
    ("n", "remove", "tile_size"),
    [(18, 7, 10), (17, 11, 0), (18, {"0": 4, "1": 5}, 6), (40, 3, None), (90, 88, None)],
)
def test_screening_loses_no_state_of_a_larger_problem(
    n: int, remove: int | dict[str, int], tile_size: int | None, decades: float
) -> None:
    rng = np.random.default_rng([n, int(decades)])
    entries = rng.normal(size=(n, n)) * 10.0 ** (-decades * rng.random((n, n)))
    problem = Problem(entries + entries.T, remove, kinds=[str(i % 2) for i in range(n)])
    picked = rng.integers(0, problem.num_states, 8).tolist()
    check_screening(problem, tile_size, True, picked)


def check_screening(
    problem: Problem, tile_size: int | None, triples: bool, picked: Sequence[int]
) -> None:
    """Screen with the threshold at the energy of each picked state: all at or below it must be
    found.

    The float64 allowance is set to 0 where it is small against the float32 margin, so that the
    margin alone has to cover the screening error.
    """
    engine = make_engine(problem, problem.num_states + 1, 10**9, tile_size, triples)
    assert engine.layout.margin > 0.0
    if engine.allowance * engine.layout.scale < 1e-3 * engine.layout.margin:
        engine.allowance = 0.0
    energies = np.sort(problem.energies(all_states(problem)))
    for k in picked:
        shared = new_shared(energies[k])
        best = run_in_pieces(engine, shared, 0)
        assert shared.threshold[0] == energies[k]
        found = np.sort(problem.energies(best.states()))
        np.testing.assert_array_equal(found, energies[energies <= energies[k]])


@needs_compiler
@pytest.mark.parametrize("task_states", [10**6, 1 << 36])
def test_the_next_launch_starts_before_one_is_looked_at(task_states: int) -> None:
    device = Watched()
    engine = make_engine(BLOCK, 20, task_states, None, device=device)
    looked_at: list[int] = []
    offer = engine._offer

    def note(*arguments: Any) -> None:
        looked_at.append(len(device.under_way))
        offer(*arguments)

    with mock.patch.object(engine, "_offer", note):
        run_in_pieces(engine, new_shared(), 0)
    assert device.most == LAUNCHES == 2
    assert not device.under_way
    assert sum(looked_at) >= len(looked_at) // 2 > 0


@needs_compiler
def test_a_full_buffer_lowers_the_threshold() -> None:
    engine = make_engine(BLOCK, 20, 10**6, None, capacity=100)
    thresholds: list[float] = []
    survivors: list[int] = []
    launch, counters = engine._launch, engine._counters

    def note_threshold(part: Part, buffer: Any, shared: Shared) -> Any:
        thresholds.append(float(shared.threshold[0]))
        return launch(part, buffer, shared)

    def note_survivors(landed: Any) -> NDArray[np.uint64]:
        found = counters(landed)
        survivors.append(int(found[2]))
        return found

    work, shared = engine.new_workspace(), new_shared()
    with (
        mock.patch.object(engine, "_launch", note_threshold),
        mock.patch.object(engine, "_counters", note_survivors),
    ):
        engine.run(Batch(0, 4, 1e9), work, shared)
    assert thresholds[0] == np.inf
    assert 100 < survivors[0] < 10_000  # nobody goes on for long after the first to find no place
    assert thresholds[LAUNCHES] < np.inf
    assert thresholds == sorted(thresholds, reverse=True)
    assert work.visited[0] == engine.partition.states_before(4)
    assert len(thresholds) < 60


@needs_compiler
def test_a_wrong_count_is_an_error() -> None:
    device = Watched()
    engine = make_engine(BLOCK, 20, 10**6, None, device=device)
    counters = engine._counters
    with (
        mock.patch.object(
            engine, "_counters", lambda launch: counters(launch) - np.array([0, 1, 0], np.uint64)
        ),
        pytest.raises(BackendError, match="please report"),
    ):
        engine.run(Batch(0, 99, 1e9), engine.new_workspace(), new_shared(0.0))
    assert device.count > 1
    assert not device.under_way


@needs_compiler
def test_a_stopped_launch_leaves_its_task() -> None:
    engine = make_engine(BLOCK, 20, 1 << 36, None)
    assert engine.partition.num_tasks == 1
    shared = new_shared(0.0)
    launch = engine._launch

    def stop(*arguments: Any) -> Any:
        shared.stop[0] = True
        return launch(*arguments)

    work = engine.new_workspace()
    with mock.patch.object(engine, "_launch", stop):
        result = engine.run(Batch(0, 1, 1e9), work, shared)
    assert result.finished == 0
    assert 0 < result.visited == work.visited[0] < BLOCK.num_states
    assert engine.run(Batch(0, 1, 1e9), work, shared).visited == 0


@needs_compiler
def test_a_batch_without_time_does_some_tasks() -> None:
    engine = make_engine(BLOCK, 20, 10**5, None)
    result = engine.run(
        Batch(3, engine.partition.num_tasks, 0.0), engine.new_workspace(), new_shared(0.0)
    )
    assert 3 < result.finished < engine.partition.num_tasks
    before = engine.partition.states_before
    assert result.visited == before(result.finished) - before(3)
