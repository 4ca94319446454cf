"""`-v`: whatever may take long logs a line a second, under the name of the package."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import qubo_prune.cli.commands
from qubo_prune import Problem, solve
from qubo_prune.core.progress import Progress
from qubo_prune.core.stopping import Stop
from qubo_prune.pruning.proposals import lowest_states
from tests.cli.conftest import Run

COMMANDS = Path(qubo_prune.cli.commands.__file__).parent


def watched_commands() -> list[str]:
    return sorted(
        path.stem for path in COMMANDS.glob("*.py") if "watch.progress" in path.read_text("utf-8")
    )


def test_what_shows_progress_logs_it_where_asked() -> None:
    commands = watched_commands()
    assert {"solve", "select", "compress", "bench_run", "verify", "bound"} <= set(commands)
    for name in commands:
        module = importlib.import_module(f"qubo_prune.cli.commands.{name}")
        command = getattr(module, name.rpartition("_")[2])
        assert "verbose" in inspect.signature(command).parameters, name
        assert "with watched(quiet, verbose)" in inspect.getsource(module), name


def test_a_certificate_that_is_verified_logs_both_engines(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    run("solve", "llama-32-block", "--remove", 3, "--states", 5, "--certificate", path, "--quiet")
    err = run("verify", path, "-v").err
    started = re.findall(
        r"^5 lowest of 4,960 states of 32 blocks, by ([\w-]+), seed 1$", err, re.MULTILINE
    )
    assert started == ["enumeration", "branch-and-bound"]
    assert err.count("5 of 5 states proven") == 2
    assert run("verify", path, "-v", "--quiet").err == ""


def test_a_bound_logs_its_search_and_its_stages(run: Run) -> None:
    ran = run("bound", "llama-32-block", "--remove", 3, "-v")
    assert ran.code == 0
    lines = ran.err.splitlines()
    assert lines[0] == "1 lowest of 4,960 states of 32 blocks, by tabu, seed 0"
    stage = re.compile(r"\*? +[\d.]+ s +[\d.]+ +\S+ +- +\S+ +[\d.]+ %")
    assert any(stage.fullmatch(line) for line in lines)


def test_steps_of_something_longer_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    problem = Problem(np.diag([1.0, 2.0, 4.0, 8.0]), remove=2)
    with caplog.at_level("INFO", "qubo_prune"):
        lowest_states(problem, np.diag([1.0, 2.0, 4.0, 8.0]), {(0, 1)}, 2, Stop())
        solve(problem, num_states=1, stop=Stop(logged=False))
        assert caplog.records == []
        solve(problem, num_states=1, stop=Stop())
    assert len(caplog.records) >= 2


def test_progress_says_what_it_counts() -> None:
    def line(count: int, unit: str) -> str:
        return Progress(0.25, count, 2.0, 6.0, "differentiating", 2.0, unit=unit).line()

    assert line(1, "sample") == "2.0 s: differentiating, 25.0 %, 1 sample, 2/s, 6.0 s left"
    assert "25.0 %, 3 samples, 2/s" in line(3, "sample")
    assert "25.0 %, 3 evaluated, 2/s" in line(3, "")
    assert "25.0 %, 6.0 s left" in line(0, "sample")
