"""`qubo-prune solve` and `sweep`: what they print, write and return."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.solving.solve import solve
from tests.cli.conftest import Run

BRANCH = "bytelm-40-branch"
KEYS = {
    *("backend", "status", "num_proven", "lower_bound", "ties_truncated", "num_blocks", "remove"),
    *("num_states_total", "energies", "removed", "names", "num_evaluated", "timings", "seed"),
    *("hessian_sha256", "stop_reason", "native_status", "format_version"),
    "proof",
}


def strict(text: str) -> dict:
    """Parse JSON as a strict reader does."""
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


def assert_same(given: dict, expected: Spectrum) -> None:
    varying = {"timings", "num_evaluated", "native_status", "proof"}
    wanted = strict(json.dumps(expected.to_dict()))
    assert {key: given[key] for key in KEYS - varying} == {
        key: wanted[key] for key in KEYS - varying
    }


def test_table_and_verdict(run: Run) -> None:
    code, out, err = run("solve", BRANCH, "--remove", 8, "--states", 20, "--rows", 3)
    assert (code, err) == (0, "")
    spectrum = solve(Problem.load(BRANCH, remove=8), num_states=20)
    for k in range(3):
        assert ", ".join(map(str, spectrum.removed(k))) in out
    assert ", ".join(map(str, spectrum.removed(3))) not in out
    assert spectrum.advice in " ".join(out.split())
    assert out.splitlines()[-1].startswith("20 of 20 states proven, ")
    assert "; 17 not shown" in out


def test_json_is_one_object_and_nothing_else(run: Run) -> None:
    code, out, err = run("solve", BRANCH, "--remove", 8, "--states", 20, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert strict(out).keys() == KEYS
    assert_same(strict(out), solve(Problem.load(BRANCH, remove=8), num_states=20))


def test_infinity_is_strict_json(run: Run) -> None:
    out = run("solve", BRANCH, "--remove", 1, "--json").out
    assert strict(out)["lower_bound"] == "Infinity"
    assert strict(out)["num_proven"] == 80


@pytest.mark.parametrize("name", ["out.json", "out.npz", "OUT.JSON"])
def test_out(name: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / name
    assert run("solve", BRANCH, "--remove", 4, "--states", 5, "--out", path, "--quiet").out == ""
    spectrum = Spectrum.load(path)
    spectrum.check(Problem.load(BRANCH, remove=4))
    assert len(spectrum) == 5
    assert list(tmp_path.iterdir()) == [path]


def test_every_option_of_the_problem_arrives(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(10, 10))
    kinds = ["attention", "mlp"] * 5
    names = [f"block.{i}" for i in range(10)]
    gradient = rng.normal(size=10).tolist()
    path = tmp_path / "hessian.npy"
    np.save(path, matrix)
    sidecar = {"kinds": kinds, "names": names, "mean_gradient": gradient}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    ran = run(
        *("solve", path, "--remove", "attention=2", "--remove", "mlp=3", "--symmetrize"),
        *("--keep", "0-1,block.2", "--keep", 4, "--force", "block.5", "--beta", "-0.5"),
        *("--states", 4, "--backend", "enumeration", "--threads", 1, "--seed", 7, "--json"),
        *("--option", "task-states=64", "--max-evaluations", 1000, "--time-limit", 60),
    )
    expected = solve(
        Problem(
            matrix,
            {"attention": 2, "mlp": 3},
            kinds=kinds,
            names=names,
            keep=[0, 1, 2, 4],
            force=[5],
            gradient=gradient,
            beta=-0.5,
            symmetrize=True,
        ),
        num_states=4,
        backend="enumeration",
        seed=7,
    )
    assert ran.code == 0
    assert_same(strict(ran.out), expected)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_the_executor_arrives(executor: str, run: Run) -> None:
    named = ("--backend", "enumeration", "--executor", executor, "--threads", 1, "--states", 2)
    found = strict(run("solve", "bytelm-40-block", "--remove", 4, *named, "--json").out)
    assert (found["proof"]["executor"], found["proof"]["threads"]) == (executor, 1)
    swept = strict(run("sweep", "bytelm-40-block", "--remove", 4, *named, "--json").out)
    assert swept["spectra"][0]["removed"] == found["removed"]
    assert swept["spectra"][0]["proof"] == found["proof"]


def test_only(run: Run) -> None:
    out = run("solve", BRANCH, "--remove", 3, "--only", "attention", "--states", 9, "--json").out
    assert all(block % 2 == 0 for state in strict(out)["removed"] for block in state)


@pytest.mark.parametrize("count", [0, 80])
def test_nothing_to_choose(count: int, run: Run) -> None:
    code, out, _ = run("solve", BRANCH, "--remove", count)
    assert code == 0
    assert "1 of 1 state proven" in out


def test_more_states_than_exist(run: Run) -> None:
    assert len(strict(run("solve", BRANCH, "--remove", 79, "--json").out)["removed"]) == 80


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (["--time-limit", "0.3"], "time limit"),
        (["--max-evaluations", "100000"], "evaluation limit"),
    ],
)
def test_a_limit_keeps_what_was_found(
    limit: list[str], reason: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "out.json"
    long = ("solve", BRANCH, "--remove", 40, "--backend", "enumeration", "--states", 5)
    code, out, err = run(*long, *limit, "--json", "--out", path)
    assert (code, err) == (3, f"qubo-prune: wrote {path}\n")
    assert strict(out)["stop_reason"] == reason
    assert strict(out)["status"] == "partial"
    assert len(strict(out)["removed"]) == 5
    Spectrum.load(path).check(Problem.load(BRANCH, remove=40))


def test_names_with_markup_are_printed_as_they_are(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "hessian.npy"
    np.save(path, np.eye(3))
    path.with_suffix(".json").write_text(json.dumps({"kinds": ["[red]a[/red]"] * 3}))
    assert "[red]a[/red]" in run("solve", path, "--remove", "[red]a[/red]=2").out


def test_sweep(run: Run, tmp_path: Path) -> None:
    code, out, err = run(
        "sweep",
        BRANCH,
        "--remove",
        "4,8",
        "--remove",
        "2-3",
        "--states",
        5,
        "--out",
        tmp_path / "s",
    )
    files = [tmp_path / "s" / f"remove-{count}.json" for count in (4, 8, 2, 3)]
    assert (code, err) == (
        0,
        f"qubo-prune: wrote {', '.join(map(str, files[:-1]))} and {files[-1]}\n",
    )
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows] == ["M", "4", "8", "2", "3"]
    for count in (2, 3, 4, 8):
        problem = Problem.load(BRANCH, remove=count)
        spectrum = Spectrum.load(tmp_path / "s" / f"remove-{count}.json")
        spectrum.check(problem)
        assert spectrum.energies.tolist() == solve(problem, num_states=5).energies.tolist()
    assert len(list((tmp_path / "s").iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [1, 2, 3, 4, 5]),
        (["--from", 3], [3, 4, 5]),
        (["--to", 2], [1, 2]),
        (["--from", 0, "--to", 6], [0, 1, 2, 3, 4, 5, 6]),
        (["--keep", 0, "--force", "1-2"], [2, 3, 4, 5]),
        (["--only", "a"], [1, 2]),
    ],
)
def test_sweep_covers_what_the_problem_allows(
    arguments: list[object], expected: list[int], run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "hessian.npy"
    np.save(path, np.diag(np.arange(1.0, 7.0)))
    path.with_suffix(".json").write_text(json.dumps({"kinds": ["a", "a", "b", "b", "b", "b"]}))
    code, out, _ = run("sweep", path, *arguments, "--json")
    assert code == 0
    assert [spectrum["remove"] for spectrum in strict(out)["spectra"]] == expected


def test_sweep_with_a_limit(run: Run) -> None:
    long = ("sweep", BRANCH, "--remove", "1,40", "--backend", "enumeration")
    code, out, _ = run(*long, "--time-limit", 0.3, "--states", 5)
    assert code == 3
    assert len(out.splitlines()) == 3
