"""A run that was ended by anything goes on from its checkpoint: no finished task again, and the
same answer.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from qubo_prune import InputError, Problem, Status, solve
from qubo_prune.backends.common import checkpoint_file as module
from qubo_prune.backends.enumeration.engine import Engine
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import StopReason

BLOCK = Problem.load("bytelm-40-block", remove=8)
OPTIONS = {"task_states": 1_000_000, "threads": 2}


def enumerate_with(
    path: Path, problem: Problem = BLOCK, num_states: int = 20, **arguments: Any
) -> Spectrum:
    options = {**OPTIONS, "checkpoint": path, **arguments.pop("options", {})}
    return solve(
        problem, num_states=num_states, backend="enumeration", options=options, **arguments
    )


def assert_same(spectrum: Spectrum, problem: Problem = BLOCK) -> None:
    expected = solve(problem, num_states=20, backend="enumeration")
    assert spectrum.status is Status.PROVEN
    assert (spectrum.states == expected.states).all()
    assert spectrum.energies.tobytes() == expected.energies.tobytes()
    assert spectrum.num_evaluated == problem.num_states


@contextlib.contextmanager
def numbers_run() -> Iterator[list[int]]:
    """Record the number of every task that a thread finishes meanwhile."""
    numbers: list[int] = []
    run = Engine.run

    def recorded(self: Engine, batch: Any, work: Any, shared: Any) -> Any:
        result = run(self, batch, work, shared)
        numbers.extend(range(batch.first, result.finished))
        return result

    with mock.patch.object(Engine, "run", recorded):
        yield numbers


def finished_in(path: Path) -> set[int]:
    pairs = json.loads(path.read_text())["finished"]
    return {number for first, stop in pairs for number in range(first, stop)}


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_limited_run_goes_on(executor: str, tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    first = enumerate_with(path, max_evaluations=20_000_000, options={"executor": executor})
    assert first.stop_reason is StopReason.EVALUATION_LIMIT
    done = finished_in(path)
    stored = json.loads(path.read_text())["num_finished"]
    assert 0 < stored <= first.num_evaluated < BLOCK.num_states
    with numbers_run() as again:
        found = enumerate_with(path)
    assert_same(found)
    assert (
        found.native_status
        == f"visited {BLOCK.num_states} of {BLOCK.num_states} states, {stored} of them before"
        " this run"
    )
    assert not done & set(again)
    assert len(done) + len(again) == len(set(again) | done) == len(finished_in(path))
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_run_only_reads(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    assert_same(enumerate_with(path))
    with numbers_run() as again:
        found = enumerate_with(path)
    assert_same(found)
    assert not again


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_sigkill_of_the_whole_run(executor: str, tmp_path: Path) -> None:
    problem = Problem.load("bytelm-40-branch", remove=7)
    path = tmp_path / "run.checkpoint"
    # Checkpoints as often as possible, and tasks so small that there are many.
    code = (
        "from qubo_prune.backends.common import checkpoint_file; checkpoint_file.INTERVAL_SECONDS ="
        " 0.01; from qubo_prune import Problem, solve; solve(Problem.load('bytelm-40-branch',"
        " remove=7), num_states=20, backend='enumeration', options=dict(task_states=300_000,"
        f" threads=2, executor={executor!r}, checkpoint={str(path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (path.exists() and len(finished_in(path)) > 500) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    done = finished_in(path)
    assert done
    assert json.loads(path.read_text())["num_finished"] < problem.num_states
    with numbers_run() as again:
        found = enumerate_with(path, problem, options={"task_states": 300_000})
    assert_same(found, problem)
    assert not done & set(again)
    assert len(again) == len(set(again)) == len(finished_in(path)) - len(done)


@pytest.mark.parametrize(
    ("problem", "arguments", "message"),
    [
        (Problem.load("bytelm-40-branch", remove=8), {}, "hessian_sha256='"),
        (BLOCK.with_remove(9), {}, "constraint_sha256='"),
        (Problem.load("bytelm-40-block", remove=8, keep=[0]), {}, "constraint_sha256='"),
        (BLOCK, {"num_states": 21}, "num_states=21 in place of 22"),
        (BLOCK, {"options": {"task_states": 1000}}, "task_states=1000000 in place of 1000"),
        (BLOCK, {"options": {"tile_size": 4}}, "tile_size=.* in place of 4"),
        (
            Problem(BLOCK.hessian, 8, gradient=[1.0] * 40, beta=1.0),
            {},
            "linear_sha256='",
        ),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(
    problem: Problem, arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.checkpoint"
    enumerate_with(path, max_evaluations=1)
    before = path.read_bytes()
    with pytest.raises(InputError, match=message) as error:
        enumerate_with(path, problem, **arguments)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.checkpoint"
    enumerate_with(path, max_evaluations=1)
    monkeypatch.setattr(module, "__version__", "99.0")
    with pytest.raises(InputError, match=r"package_version='[^9]"):
        enumerate_with(path)


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Change the contents and make the checksum fit."""

    def edit(data: bytes) -> bytes:
        document = json.loads(data)
        change(document)
        del document["sha256"], document["format_version"]
        return json.dumps(
            {"format_version": 1, "sha256": module.digest(document), **document}
        ).encode()

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "it is not JSON"),
        (lambda data: b"", "is empty"),
        (lambda data: b"\x80\x04pickle", "it is not JSON"),
        # How many states were visited by the limit depends on the threads; whatever it was, it
        # grows by a digit.
        (lambda data: data.replace(b'"num_finished": ', b'"num_finished": 1', 1), "its sha256"),
        (
            lambda data: data.replace(b'"format_version": 1', b'"format_version": 2'),
            "format_version",
        ),
        (lambda data: b"[]", "not an object"),
        (edited(lambda d: d.update(finished=[[0, 10**9]])), "it has more than"),
        (edited(lambda d: d.update(finished=[[3, 2]])), "do not ascend"),
        (edited(lambda d: d.update(finished=[[1]])), "do not ascend"),
        (edited(lambda d: d.update(num_finished=5)), "not num_finished"),
        (edited(lambda d: d.update(removed=[[1, 2]])), "violates the constraint"),
        (edited(lambda d: d.update(removed=[[1, 200]])), "outside 0...39"),
        (edited(lambda d: d.pop("removed")), "'removed' is missing"),
        (edited(lambda d: d.update(run=3)), "run is a int, not an object"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    damage: Callable[[bytes], bytes], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.checkpoint"
    enumerate_with(path, max_evaluations=10_000_000)
    original = path.read_bytes()
    path.write_bytes(damage(original))
    assert path.read_bytes() != original
    with pytest.raises(InputError, match=message) as error:
        enumerate_with(path)
    assert "\n" not in str(error.value)


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(InputError, match="cannot be written"):
        enumerate_with(tmp_path / "none" / "run.checkpoint", Problem.load("bytelm-40-branch", 40))
    assert time.monotonic() - begin < 10


def test_a_disk_that_fills_up_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "run.checkpoint"
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.01)

    def remove(_: object) -> None:
        path.unlink(missing_ok=True)
        if folder.exists():
            folder.rmdir()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = enumerate_with(path, progress=remove)
    assert_same(found)
    assert [str(w.message) for w in caught if "checkpoint is out of date" in str(w.message)]
    assert len(caught) == 1


def test_a_problem_with_one_state_needs_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    spectrum = enumerate_with(path, BLOCK.with_remove(0))
    assert spectrum.status is Status.PROVEN
    assert not path.exists()


def test_on_the_command_line(tmp_path: Path) -> None:
    from qubo_prune.cli.main import main

    path = tmp_path / "run.checkpoint"
    command = ["solve", "bytelm-40-block", "--remove", "8", "--quiet", "--checkpoint", str(path)]
    assert main([*command, "--backend", "enumeration"]) == 0
    assert path.exists()
    assert main([*command, "--backend", "enumeration", "--states", "5"]) == 2
    assert main(command) == 2  # branch and bound has none
