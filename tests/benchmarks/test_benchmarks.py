"""The benchmarks run, and what they compare with is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import Problem, solve
from qubo_prune.backends import backend_class
from qubo_prune.backends.enumeration.cuda.host import compiler

ROOT = Path(__file__).resolve().parents[2]
NEEDS = dict.fromkeys(("extraction", "measurement"), ("torch", "transformers"))
sys.path.insert(0, str(ROOT))

from benchmarks import enumeration, gpu, proofs, recall  # noqa: E402
from benchmarks.instances import FAMILIES, make_instance  # noqa: E402
from benchmarks.plain_walker import walk  # noqa: E402


@pytest.mark.parametrize("family", FAMILIES)
def test_instances_are_symmetric_and_reproducible(family: str) -> None:
    matrix = make_instance(family, 24, seed=3)
    assert matrix.shape == (24, 24)
    assert (matrix == matrix.T).all()
    assert (matrix == make_instance(family, 24, seed=3)).all()
    assert not (matrix == make_instance(family, 24, seed=4)).all()


def test_the_planted_removal_is_the_ground_state() -> None:
    spectrum = solve(Problem(make_instance("planted", 40), 8), num_states=1)
    assert spectrum.removed(0) == list(range(8))


@pytest.mark.parametrize(("n", "count"), [(12, 3), (14, 6), (16, 5)])
def test_the_plain_walker_visits_every_state_and_finds_the_lowest(n: int, count: int) -> None:
    hessian = make_instance("wishart 2N", n)
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


@pytest.mark.parametrize("case", proofs.SMOKE, ids=lambda case: case.family)
def test_proofs_are_timed_beside_the_peers_that_are_there(case: proofs.Case) -> None:
    row = proofs.measure(case, 60.0, 1, 1)
    assert row["proven"]
    for peer in ("gurobi", "scip"):
        assert (f"{peer}_seconds" in row) == backend_class(peer).availability().usable
        assert row.get(f"{peer}_proven", True)
    assert row.get("gurobi_agrees", True)


def test_recall_takes_a_tie_for_the_state_it_ties_with() -> None:
    problem = Problem(np.eye(6), 2)
    reference = solve(problem, num_states=3)
    others = solve(problem, num_states=10)[5:8]
    assert recall.recall(others, reference, 3) == 1.0
    lowest = solve(Problem(np.diag(np.arange(6.0)), 2), num_states=9)
    assert recall.recall(lowest[:2], lowest, 4) == 0.5
    assert recall.recall(lowest[2:], lowest, 4) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "words",
    [
        "enumeration",
        "everyday",
        "extraction",
        "measurement",
        "proofs",
        "qaoa",
        "recall",
        "recall --every-m",
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
