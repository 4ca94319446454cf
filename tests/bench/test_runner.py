"""Plans of runs and the time that is left, without running anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qubo_prune.bench import runner
from qubo_prune.bench.processes import Job
from qubo_prune.bench.references import NOTHING
from qubo_prune.bench.results import Run, read_results
from qubo_prune.bench.runner import Plan, longest_seconds, run_jobs
from qubo_prune.bench.suites import Solver
from qubo_prune.bench.tasks import Task
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Progress, Stop


def a_plan(**changes: object) -> Plan:
    solvers = Solver("tabu", {"walks": 4}), Solver("branch-and-bound"), Solver("greedy")
    plan = Plan((Task("wishart-12", 3), Task("wishart-14", 4)), solvers, (1.0, 10.0), 2)
    return replace(plan, **changes)  # type: ignore[arg-type]


def jobs_of(plan: Plan) -> list[Job]:
    return list(plan.jobs(lambda _: NOTHING))


def test_everybody_gets_the_same_task_by_task() -> None:
    jobs = jobs_of(a_plan())
    asked = [(job.run.instance, job.run.time_limit, job.run.seed, job.backend) for job in jobs]
    assert asked[:5] == [
        ("wishart-12", 1.0, 0, "tabu"),
        ("wishart-12", 1.0, None, "branch-and-bound"),
        ("wishart-12", 1.0, 0, "greedy"),
        ("wishart-12", 1.0, 1, "tabu"),
        ("wishart-12", 1.0, 1, "greedy"),
    ]
    assert len(asked) == len(set(asked)) == 2 * 2 * 5
    assert len({job.run.key for job in jobs}) == len(jobs)
    assert jobs[0].run.options == {"walks": 4, "threads": 1}
    assert jobs[2].run.options == {}, "it has no such option"
    assert longest_seconds(jobs) == 2 * 5 * (1 + 10) + 2 * len(jobs)
    free = jobs_of(a_plan(threads=None))[0].run
    assert (free.threads, free.options) == (None, {"walks": 4})


def test_some_are_not_asked_some_tasks() -> None:
    tasks = Task("wishart-12", 3), Task("wishart-14", 4, without=("tabu", "greedy"))
    asked = {(job.run.instance, job.backend) for job in jobs_of(a_plan(tasks=tasks))}
    assert asked == {
        *(("wishart-12", name) for name in ("tabu", "branch-and-bound", "greedy")),
        ("wishart-14", "branch-and-bound"),
    }


def test_two_solvers_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("def f(h, J, M):\n    return 0 * h\n")
    solvers = tuple(Solver(f"{tmp_path / each / 'mine.py'}:f") for each in ("a", "b"))
    with pytest.raises(InputError, match="would have one name in tables; rename a file"):
        jobs_of(a_plan(solvers=solvers))


class Clockwork:
    """Does runs in no time, on a clock of its own."""

    def __init__(self, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._workers = workers
        self._now = 100.0
        monkeypatch.setattr(runner.time, "monotonic", lambda: self._now)

    def num_workers(self) -> int:
        return self._workers

    def results(self, jobs: Sequence[Job], cancelled: Callable[[], bool]) -> Iterator[Run]:
        for job in jobs:
            if cancelled():
                return
            self._now += 3.0
            yield replace(job.run, measures={"wall_seconds": 2.0})


@pytest.mark.parametrize(("workers", "left"), [(1, 3.0), (2, 2.0)])
def test_the_time_left_is_what_such_runs_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, left: float
) -> None:
    plan = a_plan(solvers=(Solver("greedy"),), time_limits=(10.0,))
    told: list[Progress] = []
    jobs = jobs_of(plan)
    out = tmp_path / "r.jsonl"
    done = run_jobs(jobs, out, Stop(), Clockwork(workers, monkeypatch), progress=told.append)
    assert done == len(read_results([out]).runs) == 4
    assert [each.fraction for each in told] == [0.0, 0.25, 0.5, 0.75]
    assert told[0].eta == 4 * 12.0 / workers
    assert told[-1].eta == left
    assert told[1].message == "run 2 of 4: greedy on wishart-12"


def test_a_cancelled_benchmark_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Stop()
    jobs = jobs_of(a_plan())
    done = run_jobs(
        jobs, tmp_path / "r.jsonl", stop, Clockwork(1, monkeypatch), lambda run: stop.cancel()
    )
    assert done == 1


def test_a_benchmark_logs_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = jobs_of(a_plan(tasks=(Task("wishart-12", 3),), time_limits=(10.0,), seeds=1))
    with caplog.at_level("INFO", "qubo_prune"):
        run_jobs(jobs, tmp_path / "runs.jsonl", Stop(), Clockwork(1, monkeypatch))
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line.startswith("run ")] == [
        "run 1 of 3: tabu on wishart-12, seed 0: done after 2.00 s",
        "run 2 of 3: branch-and-bound on wishart-12: done after 2.00 s",
        "run 3 of 3: greedy on wishart-12, seed 0: done after 2.00 s",
    ]
    assert lines[0].startswith("0.0 s: run 1 of 3: tabu on wishart-12, 0.0 %, ")
    assert "evaluated" not in "".join(lines)
