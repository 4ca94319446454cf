"""The benchmarks run, and what they compare with is right."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import enumeration, gpu, published, solves
from benchmarks.plain_walker import walk
from qubo_prune import Problem, Progress, StopReason, solve
from qubo_prune.backends.enumeration.cuda.host import compiler
from qubo_prune.bench import Instance

ROOT = Path(__file__).resolve().parents[2]
NEEDS = {
    "extraction": ("torch", "transformers"),
    "measurement": ("torch", "transformers"),
    "sharing": ("distributed",),
}


@pytest.mark.parametrize(("n", "count"), [(12, 3), (14, 6), (16, 5)])
def test_the_plain_walker_visits_every_state_and_finds_the_lowest(n: int, count: int) -> None:
    hessian = Instance.load(f"wishart-{n}").hessian
    problem = Problem(hessian, count)
    best, visited = walk(hessian.astype(np.float32), count, 0, n)
    assert visited == problem.num_states
    lowest = solve(problem, num_states=1, backend="enumeration").energies[0]
    assert best == pytest.approx(lowest, rel=1e-5)


def test_memory_does_not_grow_with_the_number_of_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    few, many = (enumeration.peak_of(40, count, 2) for count in (5, 9))
    assert many - few < 50e6  # of 400 times as many states
    assert 20e6 < many < 500e6


def page_of_benchmarks() -> str:
    return (ROOT / "docs" / "benchmarks.md").read_text("utf-8")


def test_the_documentation_shows_the_evaluated_models() -> None:
    pytest.importorskip("torch")
    from benchmarks import evaluation

    stored = json.loads((ROOT / "benchmarks" / "results" / "evaluation.json").read_text("utf-8"))
    assert evaluation.table(stored["rows"]) in page_of_benchmarks()


@pytest.mark.parametrize(
    "words",
    [
        "bounds",
        "branching",
        "budgets",
        "choices",
        "counts",
        "enumeration",
        "extraction",
        "floor",
        "versions .",
        "large_bounds",
        "limits",
        "measurement",
        "thousands",
        "products",
        "published",
        "qaoa",
        "sharing --workers 1",
    ],
)
def test_smoke_mode(words: str) -> None:
    module, *options = words.split()
    for library in NEEDS.get(module, ()):
        pytest.importorskip(library)
    command = [sys.executable, "-m", f"benchmarks.{module}", "--smoke", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("|") > 10


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
def test_smoke_mode_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--smoke"])
    gpu.main()
    out = capsys.readouterr().out
    assert out.count("the same as on the processor") == len(gpu.cases(smoke=True))
    assert out.count("|") > 10


def test_a_different_answer_is_an_error() -> None:
    problem = Problem(np.diag(np.arange(8.0)), 3)
    found = solve(problem, num_states=5, backend="enumeration")
    with pytest.raises(RuntimeError, match="the GPU's answer differs from the processor's: what"):
        gpu.compare(found, solve(problem, num_states=4, backend="enumeration"), "what")


def test_published_energies_are_those_of_our_problems(tmp_path: Path) -> None:
    """Of a square with a diagonal, the densest three vertices are a triangle, either one."""
    rows, columns = [0, 1, 2, 3, 0], [1, 2, 3, 0, 2]
    entries = {"shape": [4, 4], "row": rows + columns, "col": columns + rows, "data": [1] * 10}
    graph = {"instance": "square", "optimum": 3, "target_cardinality": 3, "A": entries}
    (tmp_path / "kcluster4.json").write_text(json.dumps(graph))
    [found] = published.instances(tmp_path)
    row = published.measure(found, 60.0)
    assert (row["instance"], row["N"], row["M"], row["proven"]) == ("square", 4, 3, True)
    assert row["lowest"] == row["published"] == -6.0
    facts = {"remove": 2, "published": 0.25, "sign": 1, "scale": 4.0}
    (tmp_path / "values.json").write_text(json.dumps({"few": facts}))
    np.save(tmp_path / "few.npy", np.diag([1.0, 0.5, 0.5, 2.0]))
    [few] = published.instances(tmp_path)
    assert published.measure(few, 60.0)["lowest"] == few.energy == 1.0
    assert "| few | 4 | 2 | 1 | 1 |" in published.table([published.measure(few, 60.0)])


def test_ctrl_c_ends_a_study_and_not_only_a_solve() -> None:
    problem = Problem.load("bytelm-40-branch", remove=40)

    def interrupt(_: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    options = {"num_states": 2, "backend": "enumeration", "progress": interrupt}
    assert solve(problem, **options).stop_reason is StopReason.INTERRUPTED
    with pytest.raises(KeyboardInterrupt):
        solves.solve(problem, **options)
