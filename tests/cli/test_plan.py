"""`qubo-prune plan` and the function behind it: counts that are exact, a time that is about
right.
"""

from __future__ import annotations

import json
import sys
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import InputError, Problem, plan, solve
from qubo_prune.backends.enumeration.cuda.host import compiler
from qubo_prune.backends.enumeration.engine import Engine, Job
from qubo_prune.core.text import format_count
from tests.cli.conftest import Run

BRANCH = "bytelm-40-branch"


def test_the_counts_are_those_of_the_tasks() -> None:
    problem = Problem.load("bytelm-40-block", remove={"layer": 7}, keep=[1])
    found = plan(problem, devices=3, rate=1e6, task_states=50_000)
    tasks = list(Engine(Job(problem, 101, 50_000)).partition)
    assert found.num_states == problem.num_states == sum(task.num_states for task in tasks)
    assert found.num_tasks == len(tasks)
    assert found.largest_task == max(task.num_states for task in tasks)
    assert found.seconds == pytest.approx(problem.num_states / 3e6 + found.largest_task / 1e6)
    assert not found.measured


@pytest.mark.parametrize(("remove", "seconds"), [(12, 0.97), (16, 421.2)])
def test_the_plan_for_64_devices(remove: int, seconds: float, run: Run) -> None:
    code, out, err = run(
        *("plan", BRANCH, "--remove", remove, "--devices", 64, "--rate", "1e12", "--json")
    )
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["num_states"] == comb(80, remove)
    assert found["largest_task"] <= found["task_states"] == 1 << 35
    assert found["num_tasks"] > 64
    assert found["seconds"] == pytest.approx(seconds, rel=0.01)
    assert found["num_checkpoints"] == 2 + int(found["seconds"] / 3)


def test_the_table(run: Run) -> None:
    code, out, err = run("plan", BRANCH, "--remove", 16, "--devices", 64, "--rate", "1e12")
    assert (code, err) == (0, "")
    assert format_count(comb(80, 16)) in out
    assert "64, 1.00e+12 states/s each, as given" in out
    assert "7 min 1 s" in out
    assert run("plan", BRANCH, "--remove", 16, "--rate", "1e12", "--quiet").out == ""


def test_the_measured_rate_is_about_right() -> None:
    problem = Problem.load(BRANCH, remove=7)
    found = plan(problem)
    assert found.measured
    assert found.rate > 1e6
    spectrum = solve(problem, backend="enumeration")
    assert spectrum.timings["search"] < 20 * found.seconds
    assert found.seconds < 20 * spectrum.timings["search"]


def test_any_workers_can_be_measured(run: Run) -> None:
    code, out, err = run(
        *("plan", "bytelm-40-block", "--remove", 9, "--devices", 3),
        *("--executor", "processes", "--task-states", 10**12, "--json"),
    )
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["measured"]
    assert found["rate"] > 1e5
    assert (found["executor"], found["scheduler"], found["devices"]) == ("processes", None, 3)
    assert found["seconds"] > found["num_states"] / found["rate"] / 3


def test_gpus_that_are_elsewhere(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    asked = ("plan", BRANCH, "--remove", 12, "--executor", "cuda", "--devices", 8)
    code, out, err = run(*asked, "--rate", "1e12")
    assert (code, err) == (0, "")
    assert "devices       8, 1.00e+12 states/s each, as given" in out
    assert f"--executor cuda --option task_states={1 << 36}\n" in out
    huge = json.loads(run(*asked, "--rate", "1e300", "--json").out)
    assert huge["task_states"] == 1 << 50
    assert huge["device_bytes"] > 2 * 4 * 15 << 20


@pytest.mark.parametrize(
    "arguments",
    [
        ("solve", BRANCH, "--remove", 3, "--backend", "enumeration", "--executor", "cuda"),
        ("sweep", BRANCH, "--remove", 3, "--backend", "enumeration", "--executor", "cuda"),
        ("plan", BRANCH, "--remove", 3, "--executor", "cuda"),
    ],
)
def test_without_a_gpu(arguments: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    code, _, err = run(*arguments)
    assert code == 2
    assert err.startswith("qubo-prune: error: executor='cuda' needs CuPy")
    assert err.count("\n") == 1


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
def test_the_kernel_for_gpus_on_the_processor(run: Run) -> None:
    asked = ("bytelm-40-block", "--remove", 7, "--executor", "cuda", "--json")
    code, out, err = run("plan", *asked, "--devices", "host")
    assert (code, err) == (0, "")
    planned = json.loads(out)
    assert planned["rate"] > 1e5
    assert (planned["devices"], planned["executor"]) == (1, "cuda")
    solved = json.loads(
        run("solve", *asked, "--backend", "enumeration", "--option", "devices=host").out
    )
    assert solved["status"] == "proven"
    assert solved["proof"]["devices"] == "host"
    assert solved["proof"]["task_states"] == planned["task_states"] == 1 << 27
    assert "threads" not in solved["proof"]


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_the_workers_of_a_scheduler(dask: Any, run: Run) -> None:
    with dask.LocalCluster(
        n_workers=1, threads_per_worker=3, processes=False, dashboard_address=None
    ) as cluster:
        workers = ("--executor", "dask", "--scheduler", cluster.scheduler_address)
        counted = run("plan", BRANCH, "--remove", 12, "--rate", "1e9", *workers)
        measured = json.loads(run("plan", BRANCH, "--remove", 12, *workers, "--json").out)
        small = ("--remove", 4, "--backend", "enumeration", "--states", 2, *workers, "--json")
        solved = json.loads(run("solve", "bytelm-40-block", *small).out)
        swept = json.loads(run("sweep", "bytelm-40-block", *small).out)
    assert (counted.code, counted.err) == (0, "")
    assert "devices       3, 1.00e+09 states/s each, as given" in counted.out
    assert f"--backend enumeration {' '.join(workers)} --option task_states=" in counted.out
    assert (measured["devices"], measured["measured"]) == (3, True)
    assert measured["rate"] > 1e5
    assert solved["proof"]["executor"] == "dask"
    assert "threads" not in solved["proof"]  # the scheduler knows
    assert swept["spectra"][0]["removed"] == solved["removed"]


def test_the_memory_and_the_checkpoint_are_about_right(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    problem = Problem.load("bytelm-40-block", remove=7)
    found = plan(problem, rate=1e9, num_states=500)
    solve(problem, num_states=500, backend="enumeration", options={"checkpoint": path})
    assert path.stat().st_size / 2 < found.checkpoint_bytes < path.stat().st_size * 2
    assert 1e5 < found.device_bytes < 1e9


def test_one_state_and_very_many() -> None:
    assert plan(Problem.load(BRANCH, remove=0)).seconds == 0
    measured = plan(Problem.load(BRANCH, remove=40))
    assert measured.num_states == comb(80, 40)
    assert measured.seconds > 1e9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"devices": 0}, "devices must be at least 1, not 0"),
        ({"rate": 0.0}, "rate must be more than 0 states per second, not 0.0"),
        ({"rate": float("nan")}, "rate must be a finite number"),
        ({"num_states": 0}, "num_states must be at least 1"),
        ({"task_states": 0}, "task_states must be at least 1"),
        ({"executor": "slurm"}, "executor must be one of"),
        ({"scheduler": "tcp://a:1"}, "scheduler goes with executor='dask'"),
        ({"devices": "host"}, "devices must be an integer, not 'host'"),
        ({"devices": "two", "executor": "cuda"}, "devices must be an integer, not 'two'"),
        ({"task_states": 1 << 51, "executor": "cuda"}, "task_states must be at most"),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(Problem.load(BRANCH, remove=8), **arguments)  # type: ignore[arg-type]


def test_a_plan_takes_every_option_of_a_problem(run, tmp_path) -> None:
    """As `solve` does: the same words, whatever is done with the problem."""
    np.save(tmp_path / "skewed.npy", np.arange(16.0).reshape(4, 4))
    refused = run("plan", tmp_path / "skewed.npy", "--remove", 2, "--rate", 1e6)
    assert refused.code == 2
    planned = run("plan", tmp_path / "skewed.npy", "--remove", 2, "--rate", 1e6, "--symmetrize")
    assert planned.code == 0
    assert "gradient" in run("plan", BRANCH, "--remove", 2, "--rate", 1e6, "--beta", 1).err
