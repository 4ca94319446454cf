"""The GPU's kernel, compiled for the processor, finds what the CPU's engine finds, bit for bit; and
what surrounds it behaves.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from itertools import combinations, product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import (
    BackendError,
    BackendUnavailableError,
    InputError,
    Problem,
    Status,
    get_backend,
    plan,
    solve,
)
from qubo_prune.backends.enumeration import assembly
from qubo_prune.backends.enumeration.backend import Enumeration
from qubo_prune.backends.enumeration.best_states import Best
from qubo_prune.backends.enumeration.cuda import device as device_module
from qubo_prune.backends.enumeration.cuda import device_engine as engine_module
from qubo_prune.backends.enumeration.cuda.device import MAX_PICKS
from qubo_prune.backends.enumeration.cuda.device_engine import CAPACITY, DeviceEngine
from qubo_prune.backends.enumeration.cuda.gpu import Gpu
from qubo_prune.backends.enumeration.cuda.host import Host, compiler
from qubo_prune.backends.enumeration.cuda.source import LAUNCHES, source
from qubo_prune.backends.enumeration.cuda.tables import WARP, make_tables, warp_bytes
from qubo_prune.backends.enumeration.cuda.work_list import SheetMaker
from qubo_prune.backends.enumeration.cuda.work_queue import Feed, Part
from qubo_prune.backends.enumeration.engine import Batch, Engine, Job
from qubo_prune.backends.enumeration.executors.processes import Processes
from qubo_prune.backends.enumeration.kernels.walk import Shared
from qubo_prune.backends.enumeration.run.coordinator import Coordinator
from qubo_prune.backends.enumeration.run.progress import Ledger
from qubo_prune.backends.enumeration.space import layout as layout_module
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.testing import CHECKS

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")

TILES = st.sampled_from([None, 0, 2, 4, 6, 8, 10])


def has_gpu() -> bool:
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.cuda.is_available())


@st.composite
def problems(draw: st.DrawFn, max_blocks: int, max_states: int) -> Problem:
    """Draw one to four groups of any sizes and counts, some blocks kept or forced, with or without
    ties, of any scale.
    """
    n = draw(st.integers(2, max_blocks))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1.0, 1e-12, 1e12, 3e-150, 1e150]))
    family = draw(st.sampled_from(["normal", "integers", "decades", "shifted", "constant"]))
    entries = rng.normal(size=(n, n))
    if family == "integers":
        entries = rng.integers(-2, 3, (n, n)).astype(float)
    elif family == "decades":
        entries *= 10.0 ** (-20.0 * rng.random((n, n)))
    elif family == "shifted":
        entries -= 100.0
    elif family == "constant":
        entries[:] = rng.choice([0.0, 1.0, -0.3])
    entries *= scale
    hessian = np.tril(entries) + np.tril(entries, -1).T
    num_kinds = draw(st.integers(1, 4))
    kinds = rng.integers(0, num_kinds, n).astype(str).tolist()
    remove = {kind: draw(st.integers(0, kinds.count(kind))) for kind in sorted(set(kinds))}
    force: list[int] = []
    keep: list[int] = []
    if draw(st.booleans()):
        for i in rng.permutation(n)[: n // 4].tolist():
            if len([b for b in force if kinds[b] == kinds[i]]) < remove[kinds[i]]:
                force.append(i)
            elif (
                len([b for b in keep if kinds[b] == kinds[i]])
                < kinds.count(kinds[i]) - remove[kinds[i]]
            ):
                keep.append(i)
    slope = {"gradient": rng.normal(size=n) * scale, "beta": 0.5} if draw(st.booleans()) else {}
    problem = Problem(hessian, remove, kinds=kinds, force=force, keep=keep, **slope)  # type: ignore[arg-type]
    assume(problem.groups)
    assume(problem.num_states <= max_states)
    return problem


def all_states(problem: Problem) -> NDArray[np.bool_]:
    """Every feasible state, by itertools."""
    choices = [combinations(group.indices.tolist(), group.count) for group in problem.groups]
    fixed = problem.fixed_removed.tolist()
    return np.array([problem.state([*fixed, *sum(picks, ())]) for picks in product(*choices)])


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


@needs_compiler
@settings(max_examples=100)
@given(
    problem=problems(max_blocks=16, max_states=4000),
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
    problem=problems(max_blocks=16, max_states=4000),
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
    problem=problems(max_blocks=14, max_states=300),
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


@needs_compiler
@settings(max_examples=60)
@given(
    problem=problems(max_blocks=22, max_states=10**6),
    num_states=st.integers(1, 300),
    tile_size=TILES,
)
def test_solve_gives_the_same(problem: Problem, num_states: int, tile_size: int | None) -> None:
    expected = enumerate_all(problem, num_states)
    assert_same(on_host(problem, num_states, tile_size=tile_size), expected)


BLOCK = Problem.load("bytelm-40-block", remove=8)


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


@needs_compiler
@settings(max_examples=60)
@given(
    problem=problems(max_blocks=24, max_states=10**12),
    task_states=st.sampled_from([1000, 10**6, 1 << 36]),
    tile_size=TILES,
    seed=st.integers(0, 2**32 - 1),
    launch=st.sampled_from([1, 10**4, 10**9]),
)
def test_sheets_hold_the_states_of_their_tasks(
    problem: Problem, task_states: int, tile_size: int | None, seed: int, launch: int
) -> None:
    engine = Engine(Job(problem, 1, task_states, tile_size))
    tasks, layout = engine.partition, engine.layout
    sheets = SheetMaker(layout, make_tables(layout))
    first = int(np.random.default_rng(seed).integers(0, tasks.num_tasks))
    stop = min(first + 7, tasks.num_tasks)
    sheet = sheets.make(list(tasks.tasks(first, stop)))
    assert sheet.num_states == tasks.states_before(stop) - tasks.states_before(first)
    ends = [section[1] for section in sheet.sections[:-1].tolist()]
    starts = np.append(sheet.strips[1:, 0], ends[-1])
    nodes = np.minimum.reduce(
        [starts, np.repeat(ends, np.diff([*sheet.sections[:-1, 2], len(sheet.strips)]))]
    )
    assert ((nodes - sheet.strips[:, 0]) * sheet.strips[:, 4]).sum() == sheet.num_states
    assert sheet.sections[:-1, 0].tolist() == [0, *(-(-end // WARP) for end in ends[:-1])]
    units = [0]
    while units[-1] < sheet.num_units:
        units.append(sheet.unit_after(units[-1], launch))
        assert units[-1] > units[-2]
    assert units[-1] == sheet.num_units
    most = WARP * max(sheet.strips[:, 4])
    assert len(units) <= 2 + (sheet.num_states + len(sheet.sections) * most) // launch


class Memory:
    """A device that only keeps arrays."""

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        return array


@settings(max_examples=60)
@given(
    problem=problems(max_blocks=20, max_states=10**6),
    task_states=st.sampled_from([100, 10**4]),
    launch=st.sampled_from([1, 1000, 10**5, 10**7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_feed_hands_out_everything_once(
    problem: Problem, task_states: int, launch: int, seed: int
) -> None:
    engine = DeviceEngine(Job(problem, 1, task_states), None)
    tasks, rng = engine.partition, np.random.default_rng(seed)
    first = int(rng.integers(0, tasks.num_tasks))
    batch = Batch(first, min(first + 300, tasks.num_tasks), 1e9)
    sheets = SheetMaker(engine.layout, make_tables(engine.layout))
    feed = Feed(batch, tasks, sheets, Memory(), 4)  # type: ignore[arg-type]
    handed_out: dict[int, list[Part]] = {}
    waiting: list[Part] = []
    while (part := feed.next(launch)) or waiting:
        if part:
            waiting.append(part)
        if part is None or len(waiting) > rng.integers(3):
            # What is under way is done in any order, and some of it again in halves.
            part = waiting.pop(rng.integers(len(waiting)))
            if rng.random() < 0.2 and part.stop_key - part.first_key > 1:
                feed.split(part)
                continue
            parts = handed_out.setdefault(part.loaded.stop_task, [])
            parts.append(part)
            last = part.loaded.handed_out and part.loaded.open_parts == 1
            expected = part.loaded.sheet.num_states if last else 0
            before = feed.finished
            feed.finish(part, expected)
            assert before <= feed.finished
            assert feed.finished in {first, *handed_out}
    assert feed.finished == batch.stop == max(handed_out)
    for parts in handed_out.values():
        assert all(
            part.first == part.stop - 1 or part.stop_key - part.first_key == 4 for part in parts
        )
        keys = [
            (unit, key)
            for part in parts
            for unit in range(part.first, part.stop)
            for key in range(part.first_key, part.stop_key)
        ]
        assert sorted(keys) == [
            (u, k) for u in range(parts[0].loaded.sheet.num_units) for k in range(4)
        ]


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no CUDA compiler")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_the_cuda_compiler_takes_it(architecture: str, tmp_path: Path) -> None:
    (tmp_path / "kernel.cu").write_text(source())
    command = ["nvcc", f"-arch={architecture}", "-cubin", "-Werror=all-warnings", "-Xptxas=-v"]
    command += ["-o", "kernel.cubin", "kernel.cu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 bytes spill stores" in done.stderr


def test_what_a_warp_needs_fits_every_gpu() -> None:
    assert warp_bytes(MAX_PICKS) <= 48 * 1024 < warp_bytes(MAX_PICKS + 1)


class FakeArray:
    """An array in the memory of a fake GPU; only good while that is the current one."""

    def __init__(self, gpu: FakeCupy, array: NDArray[Any]) -> None:
        self.gpu, self.array, self.device = gpu, array, gpu.check()

    def __getitem__(self, key: slice) -> FakeArray:
        return FakeArray(self.gpu, self.array[key])

    def get(self) -> NDArray[Any]:
        assert self.gpu.check() == self.device
        return self.array.copy()


class FakeStream:
    """Does what it was given when it is waited for, and no sooner."""

    def __init__(self, gpu: FakeCupy, non_blocking: bool) -> None:
        assert non_blocking
        self.gpu, self.device = gpu, gpu.check()
        self.todo: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        assert self.gpu.check() == self.device
        self.gpu.current.stream = self

    def __exit__(self, *_: object) -> None:
        self.gpu.current.stream = None

    def synchronize(self) -> None:
        assert self.gpu.check() == self.device
        for each in self.todo:
            each()
        self.todo.clear()


class FakeCupy(ModuleType):
    """What `Gpu` uses of CuPy, with the kernel run by the processor; the current device belongs to
    a thread, as in CUDA.
    """

    def __init__(self, count: int) -> None:
        super().__init__("cupy")
        self.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
        self.current = threading.local()
        self.launches: list[int] = []
        self.cuda = SimpleNamespace(
            Device=self.device,
            Stream=lambda non_blocking: FakeStream(self, non_blocking),
            is_available=lambda: count > 0,
            runtime=SimpleNamespace(getDeviceCount=lambda: count),
        )

    def check(self) -> int:
        number: int = self.current.number
        return number

    def device(self, number: int) -> Any:
        gpu = self

        class Device:
            attributes = {"MultiProcessorCount": 132}  # noqa: RUF012

            def __enter__(self) -> None:
                gpu.current.number = number

            def __exit__(self, *_: object) -> None:
                del gpu.current.number

        return Device()

    def asarray(self, array: NDArray[Any], order: str, blocking: bool) -> FakeArray:
        assert (order, blocking) == ("C", True)
        return FakeArray(self, np.array(array))

    def empty(self, size: int, dtype: Any) -> FakeArray:
        return FakeArray(self, np.empty(size, dtype))

    def RawModule(self, code: str, options: tuple[str, ...]) -> Any:  # noqa: N802
        assert code == source()
        assert options == ("-std=c++14",)
        self.check()
        return SimpleNamespace(get_function=self.get_function)

    def get_function(self, name: str) -> Any:
        assert name == "screen"

        def launch(
            grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], *, shared_mem: int
        ) -> None:
            number = self.check()
            self.launches.append(number)
            arrays = [each for each in arguments if isinstance(each, FakeArray)]
            assert all(each.device == number for each in arrays)
            assert {type(each) for each in arguments} == {FakeArray, np.int64}
            assert grid == (5 * 132,)
            warps = block[0] // WARP
            assert 1 <= warps <= 4
            assert shared_mem % warps == 0
            assert shared_mem <= 48 * 1024
            max_picks = (shared_mem // warps - warp_bytes(0)) // (4 * WARP)
            assert arguments[11] == max_picks
            # CuPy does not keep what a kernel uses, and neither does this.
            known = [
                weakref.ref(each) if isinstance(each, FakeArray) else lambda each=each: each
                for each in arguments
            ]
            stream = self.current.stream
            assert not stream.todo

            def run() -> None:
                plain = [
                    each.array if isinstance(each := get(), FakeArray) else each for get in known
                ]
                assert all(each is not None for each in plain)
                Host().start(plain, max_picks)()

            stream.todo.append(run)

        return launch


@needs_compiler
def test_the_way_through_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = FakeCupy(1)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    problem = Problem.load("bytelm-40-block", remove=6)
    found = enumerate_all(problem, executor="cuda")
    assert_same(found, enumerate_all(problem))
    assert set(cupy.launches) == {0}


@needs_compiler
@pytest.mark.parametrize(("devices", "expected"), [(None, 1), (1, 1), (8, 8)])
def test_a_plan_measures_the_gpus(
    devices: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cupy = FakeCupy(1)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    found = plan(Problem.load("bytelm-40-block", remove=6), devices, executor="cuda")
    assert cupy.launches
    assert found.measured
    assert found.rate > 1e5
    assert found.devices == expected
    assert found.task_states == 1 << 36


@needs_compiler
def test_an_engine_on_the_second_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = FakeCupy(2)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    engine = make_engine(BLOCK, 20, 10**6, None, device=Gpu(1))
    engine.run(Batch(0, 3, 1e9), engine.new_workspace(), new_shared(0.0))
    assert set(cupy.launches) == {1}


def test_several_gpus_get_a_process_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy(3))
    started: list[Any] = []

    def start(engine: Engine, devices: Sequence[Any]) -> Any:
        started.append((engine, devices))
        return engine_module  # nothing is called on it

    monkeypatch.setattr("qubo_prune.backends.enumeration.executors.processes.Processes", start)
    for devices, expected in ((None, [0, 1, 2]), (2, [0, 1])):
        backend = Enumeration(executor="cuda", devices=devices)
        found = assembly.find_devices(backend)
        engine = assembly.make_engine(backend, Job(BLOCK, 20, 10**6), found)
        assert type(engine) is DeviceEngine
        assembly.start_workers(backend, engine, found)
        assert started[-1] == (engine, expected)


@pytest.mark.parametrize(
    ("cupy", "message"),
    [
        (
            None,
            r"needs CuPy, which is not installed; install it with: pip install 'qubo-prune\[cud",
        ),
        (FakeCupy(0), "needs an NVIDIA GPU with its driver, and CUDA shows none"),
    ],
)
def test_without_a_gpu(
    cupy: ModuleType | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy)  # type: ignore[arg-type]
    monkeypatch.setattr(device_module.importlib.util, "find_spec", lambda name: cupy)
    with pytest.raises(BackendUnavailableError, match=message):
        enumerate_all(BLOCK, executor="cuda")


def test_cupy_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # type: ignore[arg-type]
    monkeypatch.setattr(device_module.importlib.util, "find_spec", lambda name: "found")
    with pytest.raises(BackendUnavailableError, match="CuPy, which cannot be loaded"):
        enumerate_all(BLOCK, executor="cuda")


def test_more_gpus_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy(2))
    with pytest.raises(InputError, match="devices must be at most 2, the number of GPUs here"):
        enumerate_all(BLOCK, executor="cuda", devices=3)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BackendUnavailableError, match="devices='host' needs a C\\+\\+ compiler"):
        Host("-DNEVER_COMPILED_BEFORE")


@needs_compiler
def test_a_compiler_that_fails() -> None:
    with pytest.raises(BackendUnavailableError, match="cannot compile the kernel"):
        Host("-std=no-such-standard")


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


@pytest.mark.skipif(not has_gpu(), reason="there is no GPU")
@pytest.mark.parametrize(
    "problem",
    [
        BLOCK,
        Problem.load("bytelm-40-branch", remove={"attention": 3, "mlp": 3}, keep=[2, 7]),
        Problem(np.tril(np.arange(900).reshape(30, 30) % 5 - 2.0) * np.eye(30), 11),
    ],
)
def test_a_gpu_gives_the_same(problem: Problem) -> None:
    for capacity in (CAPACITY, 1000):
        with mock.patch.object(engine_module, "CAPACITY", capacity):
            found = enumerate_all(problem, 200, executor="cuda", devices=1, task_states=10**7)
            assert_same(found, enumerate_all(problem, 200))
