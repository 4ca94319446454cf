"""`qubo-prune bench run, list, check, compare, export`: real runs in processes of their own."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from qubo_prune.bench import Run, append_run, read_results
from qubo_prune.bench.processes import Job, execute
from qubo_prune.bench.results import Outcome, ReferenceKind

SOLVERS = Path(__file__).parents[1] / "bench" / "solvers.py"
TASK = ("wishart-16", "--remove", 4, "--states", 20)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A folder with solvers.py in it, as a user has it."""
    shutil.copy(SOLVERS, tmp_path / "solvers.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUBO_PRUNE_CACHE", str(cache))
    monkeypatch.setenv("LEAVE_PID", str(tmp_path / "pid"))
    return tmp_path


def mine(*names: str) -> str:
    return ",".join(f"solvers.py:{name}" for name in names)


def without_times(run: Run) -> dict[str, Any]:
    document = json.loads(run.to_line())
    for name in ("trace", "machine", "details", "key"):
        del document[name]
    timed = ("seconds", "primal", "peak")
    document["measures"] = {
        name: value
        for name, value in document["measures"].items()
        if not any(each in name for each in timed)
    }
    return document


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_benchmark_from_run_to_page(run: Any, place: Path) -> None:
    """The naive is shown naive, the cheat is named, and all of it can be recomputed."""
    names = ["tabu", *mine("Naive", "anneal", "WrongEnergies").split(",")]
    arguments = ("bench", "run", *TASK, "--seeds", 1, "--time-limit", 5)
    ran = run(*arguments, "--backends", ",".join(names))
    assert ran.code == 0, ran.err
    assert "4 runs, at most 28 s if all use their limit" in ran.err
    assert "Not to be believed: solvers.py:WrongEnergies on wishart-16 (energy)" in ran.out
    runs = {each.backend: each for each in read_results(["results.jsonl"]).runs}
    assert list(runs) == names
    tabu, naive, function, cheat = runs.values()
    assert (tabu.measure("recall_20"), tabu.measure("recall_20_repaired")) == (1.0, 1.0)
    assert tabu.options == {"threads": 1}
    assert tabu.trace[-1].recall_20 == 1.0
    assert len(tabu.trace) > 1, "the trace has what was offered"
    assert naive.measure("recall_20") < 0.5
    assert function.measure("recall_20") < 0.5 < function.measure("recall_20_repaired")
    assert function.measure("unrepaired_share") < 0.5
    assert (cheat.outcome, cheat.violations[0].kind) == (Outcome.WRONG, "energy")
    assert str(place) not in json.dumps(cheat.violations)
    assert naive.version.startswith("sha256:")
    assert not tabu.version
    for each in runs.values():
        assert each.measure("wall_seconds") < 5
        assert 1e7 < each.measure("peak_bytes") < 1e9
        assert each.machine["cores"] >= 1
    page = place / "page.html"
    told = run("bench", "report", "results.jsonl", "--html", page)
    assert "Not to be believed: solvers.py:WrongEnergies (energy)" in told.out
    assert "solvers.py:WrongEnergies" in page.read_text()
    assert run("bench", "check", "results.jsonl").code == 0
    # Nothing is left to do, and a changed solver is run again.
    again = run(*arguments, "--backends", ",".join(names), "--json")
    assert json.loads(again.out)["runs"] == 0
    with (place / "solvers.py").open("a") as stream:
        stream.write("# changed\n")
    dry = run(*arguments, "--backends", ",".join(names), "--dry-run", "--json")
    assert json.loads(dry.out) == {
        "tasks": 1,
        "runs": 4,
        "missing": 3,
        "references_to_compute": 0,
        "seconds_at_most": 21.0,
    }
    compared = run("bench", "compare", "tabu", "solvers.py:Naive", "results.jsonl", "--json")
    [pair] = json.loads(compared.out)["comparisons"]
    assert (pair["measures"]["recall_20"]["wins"], pair["first"]) == (1, "tabu")
    refused = run("bench", "compare", "tabu", "solvers.py:WrongEnergies", "results.jsonl")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "claimed what is not true" in refused.err
    append_run("tabu.jsonl", tabu)
    append_run("naive.jsonl", naive)
    alike = run("bench", "compare", "tabu.jsonl", "tabu.jsonl")
    assert "tabu of tabu.jsonl against tabu of tabu.jsonl" in alike.out
    apart = run("bench", "compare", "tabu.jsonl", "naive.jsonl")
    assert (apart.code, apart.err.count("\n")) == (2, 1)
    assert "have no solver in common" in apart.err
    unknown = run("bench", "compare", "tabu", "someone", "tabu.jsonl")
    assert "there is no solver 'someone' in the results; they have tabu." in unknown.err
    for option, name in (("--csv", "runs.csv"), ("--qoblib", "qoblib.csv")):
        assert run("bench", "export", "results.jsonl", option, name).code == 0
    rows = list(csv.DictReader((place / "runs.csv").read_text().splitlines()))
    assert [row["backend"] for row in rows] == names
    assert float(rows[1]["recall_20"]) == naive.measure("recall_20")
    template = list(csv.DictReader((place / "qoblib.csv").read_text().splitlines()))
    assert len(template[0]) == 27
    assert [row["# Successful Runs"] for row in template] == ["1", "0", "0", "0"]
    assert "not to be believed: energy" in template[3]["Remarks"]
    lower = tuple(energy - 1.0 for energy in tabu.reference_energies)
    append_run("forged.jsonl", replace(tabu, reference_energies=lower))
    forged = run("bench", "check", "forged.jsonl")
    assert forged.code == 1
    said = " ".join(forged.out.split())
    assert "its reference is not the certified spectrum" in said
    assert "recall_20 is 0.0, not 1.0" in said


def test_same_seeds_give_the_same_results_and_other_failures_are_told_apart(
    run: Any, place: Path
) -> None:
    names = mine("Naive", "Crashing", "Hungry", "Late") + ",ocean-exact"
    for out in ("a.jsonl", "b.jsonl"):
        arguments = ("bench", "run", *TASK, "--seeds", 1, "--time-limit", 0.4, "--out", out)
        backends = names if out == "a.jsonl" else mine("Naive")
        ran = run(*arguments, "--backends", backends)
        assert ran.code == 0, ran.err
    a, b = (read_results([out]).runs for out in ("a.jsonl", "b.jsonl"))
    first = {(each.backend, each.seed): each for each in a}
    for each in b:
        assert without_times(each) == without_times(first[each.backend, each.seed])
    crashed = first["solvers.py:Crashing", 0]
    assert (crashed.outcome, crashed.message) == (
        Outcome.CRASHED,
        "its process ended by signal 11.",
    )
    assert "about to die" in crashed.details["stderr"]
    assert first["solvers.py:Hungry", 0].outcome is Outcome.MEMORY
    late = first["solvers.py:Late", 0]
    assert (late.outcome, late.energies) == (Outcome.LIMIT, ())
    assert late.measure("recall_20") == 0.0
    assert ("ocean-exact", 0) not in first, "an exact solver is run once, and takes no seed"
    assert first["ocean-exact", None].measure("num_proven") == 20.0
    counts = Counter(each.outcome for each in a)
    dry = run("bench", "run", *TASK, "--seeds", 1, "--time-limit", 0.4, "--out", "a.jsonl",
              "--backends", names, "--dry-run", "--json", "--retry")  # fmt: skip
    assert json.loads(dry.out)["missing"] == counts[Outcome.CRASHED] + counts[Outcome.MEMORY] == 2


def test_after_kill_nine_only_what_is_missing_is_done(run: Any, place: Path) -> None:
    """The run under way ends with who started it; two files are one benchmark."""
    arguments = [*map(str, TASK), "--seeds", "2", "--time-limit", "30", "--out", "r.jsonl"]
    arguments += ["--backends", mine("Naive", "Endless"), "--reference-limit", "20"]
    process = subprocess.Popen(
        [sys.executable, "-m", "qubo_prune", "bench", "run", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pid = place / "pid"
    deadline = time.monotonic() + 120
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    child = int(pid.read_text())
    while not ended(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended(child)
    before = (place / "r.jsonl").read_bytes()
    assert [each.backend for each in read_results(["r.jsonl"]).runs] == ["solvers.py:Naive"]
    with (place / "r.jsonl").open("ab") as stream:
        stream.write(before[:40])  # what a machine that loses power leaves
    arguments[arguments.index("--backends") + 1] = mine("Naive")
    ran = run("bench", "run", *arguments, "--json")
    assert json.loads(ran.out)["runs"] == 1
    after = (place / "r.jsonl").read_bytes()
    assert after.startswith(before)
    lines = after.splitlines(keepends=True)
    assert len(lines) == 2
    (place / "x.jsonl").write_bytes(lines[0])
    (place / "y.jsonl").write_bytes(lines[1])
    one, two = (
        json.loads(run("bench", "report", *files, "--json").out)
        for files in (["r.jsonl"], ["x.jsonl", "y.jsonl"])
    )
    assert one == two


def test_a_proof_tells_its_bound_along_time(run: Any, place: Path) -> None:
    """Bounds and nodes ascend, and no bound exceeds what it is a bound of."""
    asked = ("wishart-half-64", "--remove", 16, "--states", 5, "--time-limit", 20, "--seeds", 1)
    run("bench", "run", *asked, "--backends", "branch-and-bound", "--reference-limit", 0)
    [each] = read_results(["results.jsonl"]).runs
    assert each.measure("num_proven") == 5.0
    told = [(point.evaluations, point.bound) for point in each.trace if point.bound is not None]
    assert len(told) > 2
    assert told == sorted(told)
    assert all(a <= b for (_, a), (_, b) in pairwise(told))
    # No state outside the list lies below the bound of the end, and that is the sixth.
    assert all(bound <= told[-1][1] for _, bound in told)
    assert each.energies[4] <= told[-1][1]
    assert all(point.best >= each.energies[0] for point in each.trace if point.best is not None)
    assert told[-1][0] == each.measure("num_evaluated")


def test_one_that_knows_no_limit_is_killed_and_what_it_offered_counts(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qubo_prune.bench.processes._GRACE_SECONDS", 0.3)
    job = a_job(backend="solvers.py:Endless", limit=0.2)
    killed = execute(job)
    assert killed is not None
    assert (killed.outcome, killed.energies) == (Outcome.LIMIT, ())
    assert "did not stop at its limit" in killed.message
    assert killed.trace[0].best is not None
    assert killed.measure("cpu_seconds") > 0
    assert ended(int((place / "pid").read_text()))


def test_a_run_that_is_cancelled_leaves_nothing(place: Path) -> None:
    pid = place / "pid"
    job = a_job(backend="solvers.py:Endless", limit=60)
    assert execute(job, lambda: pid.exists() and bool(pid.read_text())) is None
    assert ended(int(pid.read_text()))


def test_a_file_that_is_another_one_elsewhere_is_refused(place: Path) -> None:
    job = a_job(backend="solvers.py:Naive", limit=1)
    other = Job(Run.from_line(job.run.to_line().replace("wishart-16", "wishart-17").encode(), ""),
                job.backend)  # fmt: skip
    refused = execute(other)
    assert refused is not None
    assert refused.outcome is Outcome.REFUSED
    assert "use the same files everywhere" in refused.message


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_runs_are_spread_over_a_cluster(
    dask: Any, run: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it does not matter who does them."""
    arguments = ("bench", "run", *TASK, "--seeds", 1, "--time-limit", 5, "--backends")
    with dask.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        address = f"dask:{cluster.scheduler_address}"
        ran = run(*arguments, f"{mine('Naive', 'Crashing')},greedy", "--on", address, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["outcomes"] == {"done": 2, "crashed": 1}
    assert run(*arguments, mine("Naive"), "--out", "here.jsonl").code == 0
    [here] = read_results(["here.jsonl"]).runs
    there = next(each for each in read_results(["results.jsonl"]).runs if each.key == here.key)
    assert without_times(there) == without_times(here)
    monkeypatch.setattr("qubo_prune.bench.cluster._CONNECT_SECONDS", 1)
    refused = run(*arguments, "greedy", "--on", "dask:tcp://127.0.0.1:9", "--out", "no.jsonl")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "no Dask scheduler with workers answers at" in refused.err


def test_an_interrupted_benchmark_keeps_what_is_done(run: Any, place: Path) -> None:
    command = [sys.executable, "-m", "qubo_prune", "bench", "run", *map(str, TASK)]
    process = subprocess.Popen(
        [*command, "--seeds", "1", "--backends", mine("Naive", "Endless"), "--time-limit", "60"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    pid = place / "pid"
    while not (pid.exists() and pid.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to all of them
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"solvers.py:Naive" in out
    assert ended(int(pid.read_text()))
    assert [each.backend for each in read_results(["results.jsonl"]).runs] == ["solvers.py:Naive"]


def test_a_file_has_one_writer_and_more_knowledge_is_worth_a_run(run: Any, place: Path) -> None:
    import fcntl

    arguments = ("bench", "run", "wishart-17", "--remove", 4, "--states", 5, "--seeds", 1)
    arguments += ("--time-limit", 5, "--backends", "greedy", "--json")
    with Path("results.jsonl").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        refused = run(*arguments, "--reference-limit", 0)
    assert refused.code == 2
    assert "another bench run is writing to results.jsonl" in refused.err
    counts = [
        json.loads(run(*arguments, "--reference-limit", limit).out)["runs"] for limit in (0, 0, 20)
    ]
    assert counts == [1, 0, 1]
    [last] = read_results(["results.jsonl"]).runs
    assert last.reference_kind is ReferenceKind.CERTIFIED


def a_job(backend: str, limit: float) -> Job:
    from qubo_prune.bench.references import NOTHING
    from qubo_prune.bench.runner import Plan
    from qubo_prune.bench.suites import Solver
    from qubo_prune.bench.tasks import Task

    plan = Plan((Task("wishart-16", 4, 20),), (Solver(backend),), (limit,), 1)
    job = next(plan.jobs(lambda _: NOTHING))
    return Job.from_line(job.to_line())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["smoek"],
            "there is no file 'smoek', and there is no instance or suite of that name; did you mean 'smoke'?",
        ),
        (["wishart-16"], "does not say how many blocks to remove; give it by --remove M"),
        (["smoke", "--remove", 3], "--remove is for instances"),
        (["smoke", "--backends", "tabuu"], "there is no backend 'tabuu'"),
        (["smoke", "--backends", "no.py:X"], "there is no file 'no.py'"),
        (["smoke", "--option", "walks=3"], "--option takes NAME:KEY=VALUE"),
        (["smoke", "--option", "tabu:walk=3"], "backend 'tabu' has no option 'walk'"),
        (["smoke", "--option", "scip:x=3"], "names no backend of this benchmark"),
        (["smoke", "--time-limit", "1,x"], "--time-limit takes seconds, not 'x'"),
        (["smoke", "--states", 0], "--states must be at least 1"),
        (["smoke", "--on", "ray:x"], "--on takes dask:ADDRESS"),
        (["qplib"], "none of the 8 files of qplib is there; get the .lp files"),
        (["smoke", "--out", "solvers.py"], "solvers.py is not a valid run of a benchmark"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_runs(
    run: Any, place: Path, arguments: list[object], words: str
) -> None:
    ran = run("bench", "run", *arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert words in ran.err
    assert not (place / "results.jsonl").exists()


def test_lists_say_what_there_is(run: Any, place: Path) -> None:
    every = json.loads(run("bench", "list", "--json").out)["suites"]
    assert [each["name"] for each in every] == ["smoke", "bundled", "paper", "families", "qplib"]
    smoke = json.loads(run("bench", "list", "smoke", "--json").out)
    assert [row[-1] for row in smoke["tasks"]] == ["certified", "certified"]
    assert "3 moe" in run("bench", "list", "smoke").out


def test_a_line_that_was_changed_is_found(run: Any, place: Path) -> None:
    job = a_job(backend="solvers.py:Naive", limit=5)
    done = execute(job)
    assert done is not None
    energies = (done.energies[0] - 1.0, *done.energies[1:])
    append_run("r.jsonl", replace(done, energies=energies))
    ran = run("bench", "check", "r.jsonl")
    assert ran.code == 1
    assert "WRONG: solvers.py:Naive on wishart-16, seed 0: 1 of " in ran.out
    Path("r.jsonl").unlink()
    run("bench", "run", *TASK, "--seeds", 1, "--backends", mine("anneal"), "--out", "r.jsonl")
    [repaired] = read_results(["r.jsonl"]).runs
    assert repaired.repaired_energies == repaired.reference_energies
    measures = {**repaired.measures, "recall_20_repaired": 0.5}
    lower = (repaired.repaired_energies[0] - 1.0, *repaired.repaired_energies[1:])
    for changed, words in (
        ({"measures": measures}, "recall_20_repaired is 1.0, not 0.5"),
        ({"repaired_energies": lower}, "after repair, 1 of 20 energies are not those"),
        ({"repaired_states": repaired.repaired_states[1:]}, "after repair, it has 19 states"),
        ({"repaired_states": (), "repaired_energies": ()}, "its repaired states were not kept"),
        ({}, "1 run, 1 without a contradiction, 0 wrong"),
    ):
        append_run("r.jsonl", replace(repaired, **changed))
        ran = run("bench", "check", "r.jsonl")
        assert words in " ".join(ran.out.split())
    Path("r.jsonl").unlink()
    append_run("r.jsonl", replace(done, task={}))
    ran = run("bench", "check", "r.jsonl", "--json")
    [unchecked] = json.loads(ran.out)["unchecked"]
    assert (ran.code, unchecked["reason"]) == (0, "its line does not say what it is made of")
    for option in ("--csv", "--parquet"):
        refused = run("bench", "export", "r.jsonl", option, "solvers.py")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert "another kind of file" in refused.err


def test_a_suite_of_budgets_from_run_to_page(run: Any, place: Path) -> None:
    """Who takes budgets is measured by those that reach it, and who does not is told."""
    (place / "budgets.toml").write_text(
        """
        summary = "budgets"
        states = [10]
        time_limits = [10]
        seeds = 1
        backends = ["tabu", "lqa"]

        [[tasks]]
        instance = "wishart-12"
        remove = 4
        at_least = "50%"
        weights = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        """
    )
    dry = run("bench", "run", "budgets.toml", "--dry-run", "--json")
    assert json.loads(dry.out)["runs"] == 2
    ran = run("bench", "run", "budgets.toml")
    assert ran.code == 0, ran.err
    assert "lqa on wishart-12: backend 'lqa' takes no budget" in " ".join(ran.out.split())
    runs = read_results(["results.jsonl"]).runs
    assert Counter(each.outcome for each in runs) == {Outcome.DONE: 1, Outcome.REFUSED: 1}
    for each in runs:
        assert each.task["at_least"] == "50%"
        if each.outcome is Outcome.DONE:
            assert each.measure("recall_20") == 1.0
    assert run("bench", "check", "results.jsonl").code == 0
    page = place / "page.html"
    assert run("bench", "report", "results.jsonl", "--html", page).code == 0
    assert "wishart-12" in page.read_text()
