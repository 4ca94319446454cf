"""How far a run is, in a line and in a table."""

from __future__ import annotations

import math
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.progress import Progress, Standing, log_header
from qubo_prune.solving.solve import solve

KNOWN = Standing(-12.345678, -0.00012345, -12345.678, 999, 1000)


@pytest.mark.parametrize(
    ("standing", "gap"),
    [
        (Standing(1.0, 2.0, 1.5, 0, 5), 0.25),
        (Standing(-3.0, -2.0, -3.0, 0, 5), 0.5),
        (Standing(1.0, 2.0, 2.5, 5, 5), 0.0),
        (Standing(1.0, math.inf, 0.5, None, 5), 0.5),
        (Standing(0.0, 0.0, -1.0, 0, 1), math.inf),
        (Standing(0.0, 0.0, 0.0, 1, 1), 0.0),
        (Standing(1.0, 2.0, -math.inf, 0, 5), math.inf),
        (Standing(math.inf, math.inf, 0.5, 0, 5), math.inf),
    ],
)
def test_the_gap_is_to_the_last_wanted_energy_or_else_the_best(
    standing: Standing, gap: float
) -> None:
    assert standing.gap == gap


@pytest.mark.parametrize("elapsed", [0.0, 59.97, 3599.4, 86_000.0])
def test_rows_of_the_log_stand_below_their_headings(elapsed: float) -> None:
    header = log_header()
    assert len(header) <= 80
    ends = [end for end in range(2, 80) if header[end - 1] != " " and header[end:][:1] in ("", " ")]
    for known in (KNOWN, Standing(1.0, math.inf, -math.inf, None, 5)):
        row = Progress(None, 9, 999_999.0, None, "", elapsed, 3599.0, known).log_row(improved=True)
        assert row[0] == "*"
        assert len(row) == len(header)
        assert all(row[end:][:1] in ("", " ") for end in ends if header[end - 2 : end] != "up")


@pytest.mark.parametrize("width", [0, 3, 20, 40, 60, 80, 200])
def test_a_line_is_never_wider_than_asked_and_never_cuts_a_figure(width: int) -> None:
    progress = Progress(0.25, 9, 999_999.0, 60.0, "searching", 59.97, 3599.0, KNOWN)
    line = progress.line(width)
    assert len(line) <= max(width, 3)
    if width >= 40:
        assert set(line.split(": ")[1].split(", ")) <= set(
            progress.line().split(": ")[1].split(", ")
        )


def test_branch_and_bound_says_how_much_is_proven_so_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qubo_prune.core.stopping._REPORT_INTERVAL", 0.0)
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(64, 64))
    problem = Problem(samples.T @ samples / 64, 32)
    seen: list[Progress] = []
    options = {"threads": 1}
    true = solve(problem, num_states=40, options=options, progress=seen.append)
    assert true.num_proven == 40
    energies = true.energies
    told = [(each.standing, each) for each in seen if each.standing is not None]
    assert len(told) >= 3
    exact = 0
    for standing, progress in told:
        assert standing.num_wanted == 40
        assert standing.best >= energies[0] - 1e-12
        assert standing.last >= energies[-1] - 1e-12
        assert progress.message == "proving"
        below = int(np.count_nonzero(energies < standing.bound))
        exact += standing.num_proven == min(40, below)
    # A pool may be read while it is changed.
    assert exact >= 0.8 * len(told)
    bounds = [standing.bound for standing, _ in told]
    assert all(after > before - 1e-9 for before, after in pairwise(bounds))


def test_the_log_has_a_row_for_each_better_energy(caplog: pytest.LogCaptureFixture) -> None:
    from qubo_prune.core.stopping import Stop

    stop = Stop()
    with caplog.at_level("INFO", "qubo_prune"):
        for best in (math.inf, 3.0, 3.0, 2.0):
            stop._last_report = -math.inf
            stop.report(1, standing=lambda best=best: Standing(best, 9.0, 1.0, 0, 5))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == log_header()
    assert [line[0] for line in lines[1:]] == [" ", "*", "*"]


@pytest.mark.parametrize("backend", ["gurobi", "scip"])
def test_others_solvers_tell_their_bound_and_their_log(
    backend: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytest.importorskip({"gurobi": "gurobipy", "scip": "pyscipopt"}[backend])
    monkeypatch.setattr("qubo_prune.core.stopping._REPORT_INTERVAL", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    problem = Problem.load("llama-32-block", remove=5)
    before = threading.active_count()
    seen: list[Progress] = []
    with caplog.at_level("DEBUG", "qubo_prune"):
        spectrum = solve(problem, num_states=2, backend=backend, progress=seen.append)
    told = [each.standing for each in seen if each.standing is not None]
    assert told
    assert all(standing.best >= spectrum.energies[0] - 1e-9 for standing in told)
    own = [record.getMessage() for record in caplog.records if record.name.endswith(backend)]
    assert any("Gurobi Optimizer" in line or "SCIP Status" in line for line in own)
    assert capfd.readouterr().out == ""
    assert [*tmp_path.iterdir()] == []
    assert threading.active_count() == before
