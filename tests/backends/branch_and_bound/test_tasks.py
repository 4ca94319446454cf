"""A proof cut into tasks: by threads with a checkpoint or by a Dask cluster, the same list to the
last bit, whatever happens to a worker or to the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune import InputError, Problem, Status, solve
from qubo_prune.backends.branch_and_bound import arrays, checkpoint, race
from qubo_prune.backends.branch_and_bound.arrays import make_tables
from qubo_prune.backends.branch_and_bound.checkpoint import read_checkpoint
from qubo_prune.backends.branch_and_bound.coordinator import Coordinator
from qubo_prune.backends.branch_and_bound.ledger import Ledger
from qubo_prune.backends.branch_and_bound.subtrees import Explored, Explorer, Job, Subtrees
from qubo_prune.backends.common import checkpoint_file
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Standing, Stop, StopReason
from qubo_prune.search.best_states import Best
from qubo_prune.search.kernels.pool import unpack
from qubo_prune.solving.proof.certificate import Certificate
from tests.strategies import problems

with contextlib.suppress(ImportError):
    import distributed
needs_dask = pytest.mark.skipif("distributed" not in globals(), reason="dask is not installed")

# What dask leaves behind when its threads end is none of our business.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def graph(n: int, count: int) -> Problem:
    """A random graph: few different energies, so many ties, and no proof at the root."""
    rng = np.random.default_rng(1)
    upper = np.triu(rng.integers(0, 2, (n, n)).astype(float), 1)
    return Problem(-(upper + upper.T), count)


HARD = graph(60, 15)
UNEVEN = Problem(HARD.hessian - np.diag([0.0] * 59 + [0.125]), 15)  # by the diagonal, at first


def prove(problem: Problem, num_states: int = 20, **options: Any) -> Spectrum:
    return solve(problem, num_states=num_states, options=options)


def assert_same(found: Spectrum, expected: Spectrum) -> None:
    assert found.status is Status.PROVEN
    assert (found.states == expected.states).all()
    assert found.energies.tobytes() == expected.energies.tobytes()


@pytest.fixture(scope="module")
def expected() -> Spectrum:
    return prove(HARD, threads=1)


class Here:
    """Does tasks at once, and loses every third result."""

    def __init__(self, explorer: Explorer, lose: bool) -> None:
        self.explorer, self.lose, self.count = explorer, lose, 0
        self.done: list[tuple[Subtrees, Explored | None]] = []

    def num_workers(self) -> int:
        return 3

    def put(self, task: Subtrees) -> None:
        self.count += 1
        lost = self.lose and self.count % 3 == 0
        self.done.append((task, None if lost else self.explorer.run(task._replace(seconds=0.0))))

    def come_back(self, timeout: float) -> list[tuple[Subtrees, Explored | None]]:
        done, self.done = self.done[:1], self.done[1:]
        return done

    def close(self) -> None:
        pass


@given(problems(), st.integers(1, 12), st.booleans())
def test_tasks_prove_what_a_search_at_once_proves(
    problem: Problem, num_states: int, lose: bool
) -> None:
    expected = solve(problem, num_states=num_states, backend="enumeration")
    wanted = min(num_states, problem.num_states)
    if not len(problem.groups):
        return
    tables = make_tables(problem, 40, 512, lambda: False)
    explorer = Explorer(Job(problem, wanted, 40, 512, tables.block_of))
    ledger = Ledger(Best(wanted, problem.num_blocks), [explorer.root()])
    known = Standing(np.inf, np.inf, -np.inf, 0, wanted)
    coordinator = Coordinator(explorer, ledger, known, explorer.tables.base_word)
    coordinator.run(Here(explorer, lose), Stop(), None)
    assert not ledger.open
    assert (unpack(ledger.best.words(), problem.num_blocks) == expected.states).all()


def test_a_checkpoint_goes_on_where_it_was(tmp_path: Path, expected: Spectrum) -> None:
    path = tmp_path / "run.checkpoint"
    options = {"checkpoint": path, "threads": 2}
    first = solve(HARD, num_states=20, max_evaluations=20_000, options=options)
    assert first.stop_reason is StopReason.EVALUATION_LIMIT
    assert first.num_proven < 20
    assert first.lower_bound is not None
    assert first.lower_bound <= expected.energies[-1]
    facts = read_checkpoint(path)
    assert facts.num_open > 0
    assert facts.num_nodes == first.num_evaluated >= 20_000
    found = prove(HARD, **options)
    assert_same(found, expected)
    assert f"{facts.num_nodes} of them before this run" in found.native_status
    assert found.proof["rests_on"] == "the checkpoint run.checkpoint"
    # What was finished is not visited again: both runs together are a run without a stop.
    whole = prove(HARD, checkpoint=tmp_path / "whole.checkpoint", threads=2)
    assert_same(whole, expected)
    assert found.num_evaluated < 1.5 * whole.num_evaluated
    again = prove(HARD, **options)
    assert_same(again, expected)
    assert again.num_evaluated == found.num_evaluated
    assert "rests_on" not in whole.proof


def test_a_killed_run_goes_on(tmp_path: Path, expected: Spectrum) -> None:
    path = tmp_path / "run.checkpoint"
    np.save(tmp_path / "h.npy", HARD.hessian)
    code = (
        "from qubo_prune.backends.common import checkpoint_file;"
        " checkpoint_file.INTERVAL_SECONDS = 0.0; checkpoint_file._LARGEST_DUTY = 1.0;"
        " from qubo_prune import Problem, solve;"
        f" solve(Problem.load({str(tmp_path / 'h.npy')!r}, remove=15), num_states=20,"
        f" options=dict(threads=1, checkpoint={str(path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **here()})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and read_checkpoint(path).num_nodes > 1000:
            break
        time.sleep(0.002)
    process.kill()
    process.wait()
    facts = read_checkpoint(path)
    assert facts.num_open
    found = prove(HARD, checkpoint=path)
    assert_same(found, expected)
    assert f"{facts.num_nodes} of them before this run" in found.native_status


def here() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize(
    ("problem", "num_states", "message"),
    [
        (HARD.with_remove(14), 20, "constraint_sha256='"),
        (HARD, 21, "num_states=21 in place of 22"),
        (graph(59, 15), 20, "hessian_sha256='"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    problem: Problem, num_states: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.checkpoint"
    solve(HARD, num_states=20, max_evaluations=1, options={"checkpoint": path})
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"run\.checkpoint is the checkpoint of another run") as e:
        prove(problem, num_states, checkpoint=path)
    assert message in str(e.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["open"].append("0x0p+0 012"), "an open node is not 60 digits"),
        (lambda d: d["open"].append("nan " + "2" * 60), "'nan' is no bound"),
        (lambda d: d["open"].append("no " + "2" * 60), "'no' is no bound"),
        (lambda d: d["open"].append(3), "its open nodes are not texts"),
        (lambda d: d["removed"].append([0, 1]), "violates the constraint"),
        (lambda d: d.pop("num_nodes"), "num_nodes"),
    ],
)
def test_a_damaged_checkpoint_is_refused(edit: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    solve(HARD, num_states=20, max_evaluations=1, options={"checkpoint": path})
    document = json.loads(path.read_text())
    edit(document)
    body = {k: v for k, v in document.items() if k not in ("format_version", "sha256")}
    path.write_text(json.dumps(document | {"sha256": checkpoint_file.digest(body)}))
    with pytest.raises(InputError, match=message):
        prove(HARD, checkpoint=path)
    path.write_text(path.read_text().replace("2222", "2221", 1))
    with pytest.raises(InputError, match="do not match its sha256"):
        prove(HARD, checkpoint=path)


@pytest.mark.parametrize("switches", [False, True])
def test_tasks_may_begin_again_in_the_other_order(switches: bool, tmp_path: Path) -> None:
    """A run in either order is taken up in that order, from a file that is read once."""
    path = tmp_path / "run.checkpoint"
    estimates = mock.Mock(side_effect=[1e9, 1.0 if switches else 1e9] * 3)
    with (
        mock.patch.object(race, "RACE_AFTER", 0.25),
        mock.patch.object(race, "tree_size", estimates),
    ):
        first = solve(
            UNEVEN,
            num_states=20,
            max_evaluations=8_000,
            options={"checkpoint": path, "threads": 2},
        )
    order = "decisive" if switches else "diagonal"
    assert first.proof["order"] == order
    assert first.stop_reason is StopReason.EVALUATION_LIMIT
    assert first.num_evaluated >= 8_000
    read = checkpoint_file.read_checkpoint_file
    with (
        mock.patch.object(checkpoint, "read_checkpoint_file", side_effect=read) as reader,
        mock.patch.object(checkpoint_file, "read_checkpoint_file", side_effect=read) as other,
    ):
        found = prove(UNEVEN, checkpoint=path, threads=2)
    assert reader.call_count + other.call_count == 1
    assert_same(found, prove(UNEVEN, threads=1))
    assert f"{first.num_evaluated} of them before this run" in found.native_status
    if switches:
        assert found.proof["order"] == order


def test_a_run_in_the_order_of_the_file_is_taken_up(tmp_path: Path, expected: Spectrum) -> None:
    """Earlier versions began every proof by the diagonal, also where it is flat."""
    path = tmp_path / "run.checkpoint"
    with (
        mock.patch.object(arrays, "first_order", return_value="diagonal"),
        mock.patch.object(race, "first_order", return_value="diagonal"),
    ):
        first = solve(HARD, num_states=20, max_evaluations=3000, options={"checkpoint": path})
    assert first.proof["order"] == "diagonal"
    found = prove(HARD, checkpoint=path, threads=2)
    assert found.proof["order"] == "diagonal"
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "processes"}, "executor must be one of threads, dask, not 'processes'"),
        ({"scheduler": "tcp://a:1"}, "scheduler goes with executor='dask', not 'threads'"),
        ({"checkpoint": ""}, "checkpoint must be a text, not ''"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prove(HARD, **options)


@needs_dask
def test_a_cluster_in_this_process(expected: Spectrum, tmp_path: Path) -> None:
    found = prove(HARD, executor="dask", threads=2)
    assert_same(found, expected)
    assert found.proof["executor"] == "dask"
    certificate = Certificate.of(HARD, found)
    path = tmp_path / "c.json"
    certificate.save(path)
    assert Certificate.load(path).spectrum == found


@needs_dask
def test_a_killed_worker_costs_its_subtrees_only(expected: Spectrum) -> None:
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:

        def kill(progress: Progress) -> None:
            if not killed and progress.num_evaluated > 2000:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        found = solve(
            HARD,
            num_states=20,
            progress=kill,
            options={"executor": "dask", "scheduler": cluster.scheduler_address},
        )
    assert killed
    assert_same(found, expected)
