"""The engine on the processor, and how its answers are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import strategies as st

from qubo_prune import Problem, Status, solve
from qubo_prune.backends.enumeration.cuda.device_engine import CAPACITY, DeviceEngine
from qubo_prune.backends.enumeration.cuda.host import Host, compiler
from qubo_prune.backends.enumeration.engine import Batch, Job
from qubo_prune.backends.enumeration.kernels.walk import Shared
from qubo_prune.backends.enumeration.space import layout as layout_module
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.search.best_states import Best

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")

TILES = st.sampled_from([None, 0, 2, 4, 6, 8, 10])

BLOCK = Problem.load("bytelm-40-block", remove=8)


def make_engine(
    problem: Problem,
    wanted: int,
    task_states: int,
    tile_size: int | None,
    triples: bool = True,
    capacity: int = CAPACITY,
    device: Any = None,
) -> DeviceEngine:
    limit = layout_module.MAX_PAIR_FLOATS if triples else 0
    with mock.patch.object(layout_module, "MAX_PAIR_FLOATS", limit):
        return DeviceEngine(
            Job(problem, wanted, task_states, tile_size), device or Host(), capacity
        )


def new_shared(threshold: float = np.inf) -> Shared:
    return Shared(np.full(1, threshold), np.zeros(1, np.bool_))


def run_in_pieces(engine: DeviceEngine, shared: Shared, seed: int) -> Best:
    """Run all tasks as batches of any size in any order; every state must be counted once."""
    problem, rng = engine.job.problem, np.random.default_rng(seed)
    best = Best(engine.job.capacity, problem.num_blocks)
    num_tasks = engine.partition.num_tasks
    inner = rng.integers(0, num_tasks + 1, 3)
    edges = np.unique([0, num_tasks, *inner]).tolist()
    visited = 0
    for at in rng.permutation(len(edges) - 1):
        batch = Batch(edges[at], edges[at + 1], 1e9)
        work = engine.new_workspace()
        result = engine.run(batch, work, shared)
        assert result.finished == batch.stop
        assert result.visited == work.visited[0]
        visited += result.visited
        best.add(result.energies, result.words)
    assert visited == problem.num_states
    return best


def enumerate_all(problem: Problem, num_states: int = 50, **options: Any) -> Spectrum:
    return solve(problem, num_states=num_states, backend="enumeration", options=options)


def on_host(problem: Problem, num_states: int = 50, **options: Any) -> Spectrum:
    return enumerate_all(problem, num_states, executor="cuda", devices="host", **options)


def assert_same(found: Spectrum, expected: Spectrum) -> None:
    assert found.status is Status.PROVEN
    assert (found.states == expected.states).all()
    assert found.energies.tobytes() == expected.energies.tobytes()
    assert found.num_evaluated == found.num_states_total
    for what in ("num_proven", "lower_bound", "ties_truncated"):
        assert getattr(found, what) == getattr(expected, what)


class Watched(Host):
    """The processor, with a note of each launch that starts and each that is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: set[int] = set()
        self.most = 0
        self.count = 0

    def start(self, arguments: Sequence[Any], max_picks: int) -> Callable[[], object]:
        number = self.count
        self.count += 1
        self.under_way.add(number)
        self.most = max(self.most, len(self.under_way))
        done = super().start(arguments, max_picks)

        def wait() -> None:
            done()
            self.under_way.remove(number)

        return wait
