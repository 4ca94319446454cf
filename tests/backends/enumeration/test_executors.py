"""Enumeration gives the same answer whoever does the work, in whatever order, and whatever happens
to the workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from qubo_prune import (
    BackendError,
    BackendUnavailableError,
    InputError,
    Problem,
    Status,
    plan,
    solve,
)
from qubo_prune.backends.enumeration.backend import Enumeration
from qubo_prune.backends.enumeration.engine import Batch, Engine, Job, Result, nothing_done
from qubo_prune.backends.enumeration.executors import processes
from qubo_prune.backends.enumeration.executors.dask_cluster import Dask
from qubo_prune.backends.enumeration.executors.messages import decode_job, encode_job
from qubo_prune.backends.enumeration.executors.threads import Threads
from qubo_prune.backends.enumeration.run.coordinator import Coordinator
from qubo_prune.backends.enumeration.run.progress import Ledger, Ranges
from qubo_prune.core.defaults import EXECUTORS
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.search.best_states import Best
from qubo_prune.search.kernels.pool import pack

BLOCK = "bytelm-40-block"
LONG = Problem.load("bytelm-40-branch", remove=40)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals")

with contextlib.suppress(ImportError):
    import distributed
needs_dask = pytest.mark.skipif("distributed" not in globals(), reason="dask is not installed")
ANY_EXECUTOR = [
    pytest.param(name, marks=needs_dask) if name == "dask" else name
    for name in EXECUTORS
    if name != "cuda"  # see test_gpu.py
]

# What dask leaves behind when its threads end is none of our business.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def enumerate_all(problem: Problem, num_states: int = 50, **options: object) -> Spectrum:
    return solve(problem, num_states=num_states, backend="enumeration", options=options)


def assert_same(spectrum: Spectrum, expected: Spectrum) -> None:
    assert spectrum.status is Status.PROVEN
    assert (spectrum.states == expected.states).all()
    assert spectrum.energies.tobytes() == expected.energies.tobytes()
    assert spectrum.num_evaluated == spectrum.num_states_total


class Unreliable:
    """Runs batches in any order, breaks some off after a task and loses others."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self._engine = engine
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._waiting: list[tuple[Batch, float]] = []
        self.runs: list[range] = []

    def num_workers(self) -> int:
        return self._random.randint(0, 5)

    def submit(self, batch: Batch, threshold: float) -> None:
        self._waiting.append((batch, threshold))

    def results(self, timeout: float) -> list[tuple[Batch, Result]]:
        self._random.shuffle(self._waiting)
        batch, threshold = self._waiting.pop()
        fate = self._random.random()
        if fate < 0.2:
            return [(batch, nothing_done(batch))]
        short = Batch(batch.first, batch.stop, 0.0 if fate < 0.5 else batch.seconds)
        result = self._engine.run_alone(short, threshold)
        self.runs.append(range(batch.first, result.finished))
        return [(batch, result)]

    def visited(self) -> int:
        return 0

    def stop(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("seed", range(12))
def test_any_order_and_any_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-3, 4, (13, 13))  # with many ties
    problem = Problem(matrix + matrix.T, {"a": 3, "b": 2}, kinds=["a"] * 7 + ["b"] * 6)
    engine = Engine(Job(problem, 40, [1, 7, 60][seed % 3], [None, 0, 4][seed % 3]))
    ledger = Ledger(Best(40, problem.num_blocks))
    executor = Unreliable(engine, seed)
    Coordinator(engine.partition, ledger, np.inf).run(executor, Stop(), None)
    states = (np.arange(1 << 13)[:, None] >> np.arange(13)) & 1 == 1
    states = states[problem.is_feasible(states)]
    expected = states[lexicographic_order(states, problem.energies(states))][:40]
    assert (ledger.best.states() == expected).all()
    assert ledger.num_finished == ledger.num_visited == problem.num_states
    assert list(ledger.finished) == [(0, engine.partition.num_tasks)]
    numbers = [number for run in executor.runs for number in run]
    assert sorted(numbers) == list(range(engine.partition.num_tasks))


@pytest.mark.parametrize(
    ("executor", "threads"),
    [
        ("threads", 1),
        ("threads", 3),
        ("processes", 2),
        pytest.param("dask", 1, marks=needs_dask),
        pytest.param("dask", 3, marks=needs_dask),
    ],
)
def test_every_executor_gives_the_same(executor: str, threads: int) -> None:
    problem = Problem.load(BLOCK, remove=8, keep=[3], force=[20])
    expected = enumerate_all(problem, threads=1)
    found = enumerate_all(problem, executor=executor, threads=threads, task_states=100_000)
    assert_same(found, expected)


def test_the_first_executor_is_the_default() -> None:
    assert Enumeration().executor == EXECUTORS[0]


def test_a_job_survives_its_bytes() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(9, 9))
    problem = Problem(
        matrix + matrix.T,
        {"a": 2, "b": 1},
        kinds=["a", "b", "c"] * 3,
        keep=[0],
        force=[1],
        gradient=rng.normal(size=9),
        beta=0.3,
    )
    job = decode_job(encode_job(Job(problem, 7, 99, 4)))
    assert (job.capacity, job.task_states, job.tile_size) == (7, 99, 4)
    states = rng.integers(0, 2, (20, 9))
    assert job.problem.energies(states).tobytes() == problem.energies(states).tobytes()
    assert job.problem.is_feasible(states).tolist() == problem.is_feasible(states).tolist()


def test_ranges_and_best_do_not_depend_on_the_order() -> None:
    ranges = Ranges()
    pieces = [(0, 3), (3, 4), (6, 9), (4, 6), (12, 20)]
    random.Random(1).shuffle(pieces)  # noqa: S311
    for piece in pieces:
        ranges.add(*piece)
    assert list(ranges) == [(0, 9), (12, 20)]
    assert ranges.gaps(20) == [(9, 12)]
    assert Ranges().gaps(0) == []
    states = np.unique(np.random.default_rng(0).integers(0, 2, (60, 8)).astype(bool), axis=0)
    energies = states.sum(axis=1) % 3 * 1.0
    expected = None
    for seed in range(5):
        best = Best(10, 8)
        for k in np.random.default_rng(seed).integers(0, len(states), 600):
            best.add(energies[[k]], pack(states[[k]]))
        kept = best.words().tolist()
        expected = expected or kept
        assert kept == expected
        assert len(kept) == 10
        assert best.threshold() == 0.0


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Every worker process that is started; none may be left at the end."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        process = popen(*arguments, **options)  # type: ignore[call-overload]
        started.append(process)
        return process

    monkeypatch.setattr(processes.subprocess, "Popen", start)
    yield started
    assert started
    assert all(process.returncode is not None for process in started)


@POSIX
def test_a_killed_worker_is_replaced(workers: list[subprocess.Popen[bytes]]) -> None:
    problem = Problem.load("bytelm-40-branch", remove=7)
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if not killed and progress.fraction is not None and progress.fraction > 0.2:
            killed.append(workers[0].pid)
            workers[0].kill()

    options = {"executor": "processes", "threads": 2, "task_states": 3_000_000}
    found = solve(problem, num_states=50, backend="enumeration", progress=kill, options=options)
    assert killed
    assert len(workers) == 3
    assert_same(found, enumerate_all(problem))


def test_workers_that_keep_dying_end_the_run(
    workers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_START", "import os; os._exit(7)")
    with pytest.raises(BackendError, match="died one after the other, the last with exit code 7"):
        enumerate_all(Problem.load(BLOCK, remove=5), executor="processes", threads=1)


def test_an_error_in_a_worker_is_reported(
    workers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qubo_prune.backends.common.problem_bytes.__version__", "0.0.0")
    with pytest.raises(BackendError, match="install the same version everywhere"):
        enumerate_all(Problem.load(BLOCK, remove=5), executor="processes", threads=1)


def test_a_time_limit_that_ends_before_a_worker_is_ready() -> None:
    options = {"executor": "processes", "threads": 1, "task_states": 10_000_000}
    found = solve(LONG, num_states=5, backend="enumeration", time_limit=0.1, options=options)
    assert found.stop_reason is StopReason.TIME_LIMIT
    assert len(found) == 5
    found.check(LONG)


@pytest.mark.parametrize("executor", ANY_EXECUTOR)
def test_cancelling_keeps_what_was_found(executor: str) -> None:
    seen: list[Progress] = []

    def cancel(progress: Progress) -> None:
        seen.append(progress)
        if progress.num_evaluated:
            stop.cancel()

    stop = Stop(progress=cancel)
    options = {"executor": executor, "threads": 2, "task_states": 10_000_000}
    found = solve(LONG, num_states=5, backend="enumeration", stop=stop, options=options)
    assert found.stop_reason is StopReason.INTERRUPTED
    assert seen[-1].num_evaluated <= found.num_evaluated
    assert seen[-1].rate > 0
    assert seen[-1].eta is not None
    assert len(found) == 5


def test_an_evaluation_limit_is_kept_roughly() -> None:
    options = {"executor": "processes", "threads": 2, "task_states": 1_000_000}
    found = solve(LONG, num_states=5, backend="enumeration", max_evaluations=10**8, options=options)
    assert found.stop_reason is StopReason.EVALUATION_LIMIT
    assert 10**8 <= found.num_evaluated < 5 * 10**8


def test_an_exception_in_the_callback_ends_the_workers(
    workers: list[subprocess.Popen[bytes]],
) -> None:
    def fail(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(
            LONG,
            num_states=5,
            backend="enumeration",
            progress=fail,
            options={"executor": "processes", "threads": 2},
        )
    assert threading.active_count() < 20


COMMAND = [
    *(sys.executable, "-m", "qubo_prune", "solve", "bytelm-40-branch", "--remove", "40", "--json"),
    *("--backend", "enumeration", "--states", "5", "--threads", "2"),
    *("--option", "executor=processes"),
]


def children_of(pid: int) -> list[int]:
    tasks = f"/proc/{pid}/task/{pid}/children"
    try:
        with open(tasks) as file:  # noqa: PTH123
            return [int(child) for child in file.read().split()]
    except OSError:
        pytest.skip("needs /proc")


def wait_for_workers(process: subprocess.Popen[str]) -> list[int]:
    deadline = time.monotonic() + 60
    while len(children := children_of(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(children) == 2
    return children


def assert_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_at_a_terminal() -> None:
    # A terminal sends the signal to the whole group, so the workers must not take part in it.
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    pids = wait_for_workers(process)
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert len(json.loads(out)["removed"]) == 5
    assert_gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_orphans_when_the_run_is_killed() -> None:
    process = subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pids = wait_for_workers(process)  # type: ignore[arg-type]
    process.kill()
    process.wait()
    assert_gone(pids)


@needs_dask
@pytest.mark.parametrize("workers", [2, 1], ids=["one of two", "the last one"])
def test_a_killed_dask_worker_is_replaced(workers: int) -> None:
    problem = Problem.load("bytelm-40-branch", remove=7)
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:

        def kill(progress: Progress) -> None:
            if not killed and progress.fraction is not None and progress.fraction > 0.1:
                nanny = next(iter(cluster.workers.values()))
                killed.append(nanny.pid)
                os.kill(nanny.pid, signal.SIGKILL)

        found = solve(
            problem,
            num_states=50,
            backend="enumeration",
            progress=kill,
            options={
                "executor": "dask",
                "scheduler": cluster.scheduler_address,
                "task_states": 3_000_000,
            },
        )
    assert killed
    assert_same(found, enumerate_all(problem))


@needs_dask
def test_a_cluster_that_stays_empty_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qubo_prune.backends.common.dask_workers._REJOIN_SECONDS", 1.0)
    problem = Problem.load("bytelm-40-branch", remove=7)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:

        def leave(progress: Progress) -> None:
            if progress.fraction is not None and progress.fraction > 0.1:
                cluster.scale(0)

        with pytest.raises(BackendError, match="the last Dask worker has gone, and none came"):
            solve(
                problem,
                num_states=50,
                backend="enumeration",
                progress=leave,
                options={
                    "executor": "dask",
                    "scheduler": cluster.scheduler_address,
                    "task_states": 3_000_000,
                },
            )


@needs_dask
def test_a_result_lost_with_its_worker_is_a_lost_batch() -> None:
    """The last worker dies after it finished a batch and before the result was fetched."""
    engine = Engine(Job(Problem.load(BLOCK, remove=4), 10, 1000))
    batch = Batch(0, 1, 1.0)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        executor = Dask(engine, cluster.scheduler_address, 1)
        executor.submit(batch, np.inf)
        [future] = executor._futures
        while future.status == "pending":
            time.sleep(0.01)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        [(returned, result)] = executor.results(30.0)
        executor.close()
    assert returned == batch
    assert result.finished == batch.first
    assert result.visited == 0


@needs_dask
def test_batches_lost_together_are_one_loss() -> None:
    """As when a worker dies that had many of them."""

    class Lost:
        status = "cancelled"

    executor = object.__new__(Dask)
    executor._losses = 0
    executor._client = SimpleNamespace(nthreads=lambda: {"tcp://a": 1})
    executor._job = SimpleNamespace(status="finished")
    for _ in range(3):
        executor._look_into([Lost()] * 20)
    with pytest.raises(BackendError, match="the Dask workers failed: cancelled"):
        executor._look_into([Lost()])


@needs_dask
def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qubo_prune.backends.common.dask_workers._CONNECT_SECONDS", 1)
    with pytest.raises(BackendUnavailableError, match="no Dask scheduler answers at 'tcp://127"):
        enumerate_all(Problem.load(BLOCK, remove=5), executor="dask", scheduler="tcp://127.0.0.1:9")


@needs_dask
@pytest.mark.parametrize("address", ["head", "head:8786", "tcp://head", "ftp://head:1"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(BackendUnavailableError, match=f"no Dask scheduler answers at {address!r}"):
        enumerate_all(Problem.load(BLOCK, remove=5), executor="dask", scheduler=address)


@needs_dask
def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qubo_prune.backends.common.dask_workers._CONNECT_SECONDS", 1)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster,
        pytest.raises(BackendUnavailableError, match="has no workers; start some"),
    ):
        enumerate_all(
            Problem.load(BLOCK, remove=5), executor="dask", scheduler=cluster.scheduler_address
        )


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'qubo-prune\[dask\]'"):
        enumerate_all(Problem.load(BLOCK, remove=5), executor="dask")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "slurm"}, f"executor must be one of {', '.join(EXECUTORS)}, not 'slurm'"),
        ({"scheduler": "tcp://a:1"}, "scheduler goes with executor='dask', not 'threads'"),
        ({"checkpoint": 5}, "checkpoint must be a text, not 5"),
        ({"executor": "dask", "scheduler": ""}, "scheduler must be a text, not ''"),
    ],
)
def test_options_that_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        enumerate_all(LONG, **options)


def test_more_states_than_can_be_counted() -> None:
    problem = Problem(np.diag(np.arange(1100.0)), remove=550)
    for use in (enumerate_all, plan):
        with pytest.raises(InputError, match=r"at most 1e300 states, not 3\.\d\de329; use another"):
            use(problem)


def test_an_error_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> Result:
        raise BackendError("broken")

    monkeypatch.setattr(Engine, "run", fail)
    with pytest.raises(BackendError, match="broken"):
        enumerate_all(Problem.load(BLOCK, remove=5), threads=2)


def test_threads_end() -> None:
    before = threading.active_count()
    engine = Engine(Job(Problem.load(BLOCK, remove=4), 10, 1000))
    executor = Threads(engine, 3)
    executor.submit(Batch(0, 1, 1.0), np.inf)
    executor.close()
    assert threading.active_count() == before
