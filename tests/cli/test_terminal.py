"""What a person at a terminal sees and does: progress, Ctrl-C, the word before kernels are
compiled.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import pytest

from qubo_prune.cli.commands.sweep import _Course
from qubo_prune.cli.progress import watched
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Standing
from qubo_prune.core.text import format_duration
from qubo_prune.solving.solve import solve
from tests.cli.conftest import Run
from tests.interrupts import send_while_it_solves

BRANCH = "bytelm-40-branch"
LONG = ["solve", BRANCH, "--remove", "40", "--backend", "enumeration", "--states", "5"]


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Any]:
    """A long search with a terminal for stderr, left as soon as its progress bar shows the time
    left.
    """
    pty = pytest.importorskip("pty")
    keeper, terminal = pty.openpty()
    command = [sys.executable, "-m", "qubo_prune", *LONG, "--out", "out.json"]

    def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=terminal, text=True, cwd=tmp_path
        )
        processes.append(process)
        seen = ""
        deadline = time.monotonic() + 120
        while " left" not in seen and time.monotonic() < deadline:
            seen += os.read(keeper, 65536).decode(errors="replace")
        return process, seen

    processes: list[subprocess.Popen[str]] = []
    yield start
    for process in processes:
        process.kill()
        process.wait()
    os.close(keeper)
    os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_ctrl_c_keeps_what_was_found(number: signal.Signals, search: Any, tmp_path: Path) -> None:
    process, seen = search("--json")
    assert "/s" in seen
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    printed = json.loads(out)
    assert printed["stop_reason"] == "interrupted"
    assert len(printed["removed"]) == 5
    written = Spectrum.load(tmp_path / "out.json")
    written.check(Problem.load(BRANCH, remove=40))
    assert written.to_dict() == printed


def test_ctrl_c_prints_the_table(search: Any) -> None:
    process, _ = search()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The run was interrupted." in out
    assert "0 of 5 states proven" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_ctrl_c_ends_a_sweep(number: signal.Signals, run: Run, tmp_path: Path) -> None:
    run(
        "sweep", BRANCH, "--remove", "1,40", *LONG[4:], "--max-evaluations", 1
    )  # compiles the kernels
    send_while_it_solves(number, after=1.0)
    code, out, err = run("sweep", BRANCH, "--remove", "1,40,2", *LONG[4:], "--out", tmp_path)
    assert code == 130
    assert len(out.splitlines()) == 3
    assert "[interrupted]" not in out.splitlines()[1]
    assert out.splitlines()[2].endswith("[interrupted]")
    assert "qubo-prune: not solved: M = 2.\n" in err
    assert f"wrote {tmp_path}/remove-1.json and {tmp_path}/remove-40.json\n" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["remove-1.json", "remove-40.json"]


def test_a_sweep_marks_what_hit_its_limit(run) -> None:
    long = ("sweep", BRANCH, "--remove", "1,39,40", *LONG[4:], "--max-evaluations", 100_000)
    code, out, err = run(*long)
    assert (code, err) == (3, "")
    marked = [line.endswith("[evaluation limit]") for line in out.splitlines()]
    assert marked == [False, False, True, True]
    assert run(*long, "--quiet") == (3, "", "")


def test_where_stderr_is_no_terminal_a_line_now_and_then(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with watched(quiet=False) as watch:
        assert watch.progress is not None
        watch.about, watch.after = "M = 8: ", "; all M in about 3 s"
        for _ in range(2):
            for second in range(200):
                watch.progress(Progress(None, 10, 5.0, None, "walking", float(second)))
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2 * 5  # after 10, 20, 40, 80 and 160 s, of each run
    assert lines[0] == ("qubo-prune: M = 8: 10.0 s: walking, 10 evaluated, 5/s; all M in about 3 s")
    with watched(quiet=True) as watch:
        assert watch.progress is None
    with watched(quiet=False, verbose=1) as watch:
        assert watch.progress is None


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_line_of_a_proof_fits_the_terminal(
    width: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")
    standing = Standing(-396.0, -394.0, -449.54, 37, 1000)
    with watched(quiet=False) as watch:
        assert watch.progress is not None
        watch.about = "M = 30 (2 of 9): "
        watch.progress(Progress(None, 10, 1e5, None, "", 3599.0, 48.0, standing))
        assert watch._bar is not None
        text = watch._bar.tasks[0].description
    assert len(text) < width
    assert ("gap 14.1 %" in text) is (width > 40)
    assert ("bound -449.54" in text) is (width > 120)


def test_the_first_compilation_is_announced_once(capfd: pytest.CaptureFixture[str]) -> None:
    with watched(quiet=False):
        assert numba.njit(lambda x: x + 1)(1) == 2
        assert numba.njit(lambda x: x + 2)(1) == 3
    assert capfd.readouterr().err.count("compiling the kernels") == 1
    with watched(quiet=True):
        assert numba.njit(lambda x: x + 1)(1) == 2
    assert capfd.readouterr().err == ""


def test_the_bar_takes_every_kind_of_progress(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with watched(quiet=False) as watch:
        assert watch.progress is not None
        watch.progress(Progress(None, 10, 0.0, None, ""))
        watch.hide()
        watch.progress(Progress(0.5, 10, 1e9, 3.0, "enumerating [all]"))
    assert capfd.readouterr().out == ""


def test_the_bar_of_a_sweep_says_which_count_of_how_many(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Bar:
        task_ids = (0,)

        def update(self, _task: int, *, description: str, **_: Any) -> None:
            seen.append(description.partition(":")[0])

        def stop(self) -> None:
            pass

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("qubo_prune.cli.progress._start_bar", Bar)
    enumeration = ("--backend", "enumeration", "--threads", 1, "--states", 2)
    assert run("sweep", "bytelm-40-block", "--remove", "3,7,6", *enumeration).code == 0
    assert list(dict.fromkeys(seen)) == ["M = 3 (1 of 3)", "M = 7 (2 of 3)", "M = 6 (3 of 3)"]


def test_a_sweep_estimates_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem.load("bytelm-40-block", remove=1)
    now = iter([0.0, 2.0, 2.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    course = _Course(problem, [3, 7, 6], each_state=True)
    assert (course.about(), course.after()) == ("M = 3 (1 of 3): ", "")
    course.pass_on()
    states = [math.comb(40, m) for m in (3, 7, 6)]
    left = 2.0 * (states[1] + states[2]) / states[0]
    assert course.after() == f"; all M in about {format_duration(left)}"
    course._work = [1, 1, 1]
    assert course.after() == "; all M in about 4 s"
    for _ in range(2):
        course.pass_on()
    assert (course.about(), course.after()) == ("", "")


@pytest.mark.parametrize("remove", [16, 25, 40, 55])
def test_enumeration_out_of_reach_says_so_at_the_start(remove: int, run, monkeypatch) -> None:
    out_of_reach = math.comb(80, remove) > 10**18
    enumeration = ["solve", BRANCH, "--remove", remove, "--backend", "enumeration", "--states", 2]
    run(*enumeration, "--max-evaluations", 1)  # loads the kernels
    for options in ([], ["--quiet"]):
        send_while_it_solves(signal.SIGINT)
        code, out, err = run(*enumeration, *options)
        assert code == 130
        said = "years even at 1e+12 states a second; --backend branch-and-bound proves" in err
        assert said == (out_of_reach and not options)
        if not options:
            advice = " ".join(out.split())
            assert ("give more time" in advice) is not out_of_reach
            assert ("solve with branch-and-bound" in advice) is out_of_reach
    assert run(*enumeration, "--max-evaluations", 1).err == ""
    problem = Problem.load(BRANCH, remove=remove)
    spectrum = solve(problem, num_states=2, backend="enumeration", max_evaluations=1)
    assert ("give more time" in spectrum.advice) is not out_of_reach


def test_a_sweep_out_of_reach_says_so_once(run) -> None:
    send_while_it_solves(signal.SIGTERM)
    code, _, err = run("sweep", BRANCH, "--remove", "40,41,42", *LONG[4:])
    assert code == 130
    assert err.count("enumeration would visit 1.08e23 states, which takes 3,406 years") == 1


def test_durations() -> None:
    assert format_duration(4.5e14 * 3600) == "5.13e10 years"

    assert [format_duration(s) for s in (0, 59.94, 59.999, 3599.9)] == [
        "0.00 s",
        "59.9 s",
        "1 min",
        "1 h",
    ]
