"""`export` and `import`: what is written is solved again; mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import load_hessian
from tests.cli.conftest import Run

BRANCH = "bytelm-40-branch"


@pytest.mark.parametrize(
    "suffix", [".lp", ".cqm", ".bqm", ".coo", ".qubo", ".sparse", ".mc", ".mtx"]
)
def test_exported_problems_are_solved(run: Run, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"p{suffix}"
    ran = run("export", BRANCH, "--remove", 3, "--keep", "0-19", "--out", file)
    assert (ran.code, ran.err) == (0, "")
    assert "60 variables" in ran.out
    assert {path.name for path in tmp_path.iterdir()} == {file.name, f"{file.name}.json"}
    solved = json.loads(run("solve", file, "--states", 2, "--json").out)
    direct = json.loads(
        run("solve", BRANCH, "--remove", 3, "--keep", "0-19", "--states", 2, "--json").out
    )
    names = [[direct["names"][block] for block in state] for state in direct["removed"]]
    assert [[solved["names"][block] for block in state] for state in solved["removed"]] == names
    assert solved["energies"] == pytest.approx(direct["energies"], rel=1e-9)


def test_import_makes_a_hessian(run: Run, tmp_path: Path) -> None:
    run("export", BRANCH, "--remove", "mlp=2", "--force", "1", "--out", tmp_path / "p.cqm")
    ran = run("import", tmp_path / "p.cqm", "--out", tmp_path / "h.npy")
    assert ran.code == 0
    assert "39 blocks, 1 mlp to remove; energies leave out the constant" in " ".join(
        ran.out.split()
    )
    file = load_hessian(tmp_path / "h.npy")
    assert file.remove == {"mlp": 1}
    assert file.offset > 0
    assert file.names == tuple(f"layers.{i}.mlp" for i in range(1, 40))
    assert file.metadata["variables"] == list(range(3, 80, 2))
    assert run("solve", tmp_path / "h.npy", "-q").code == 0
    assert run("plan", tmp_path / "h.npy", "--rate", "1e9", "-q").code == 0


def test_a_foreign_file_needs_a_count_or_a_sweep(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "graph.mc"
    path.write_text("4 4\n1 2 1\n2 3 1\n3 4 1\n4 1 1\n")
    ran = run("solve", path)
    assert ran.code == 2
    assert "--remove M" in ran.err
    assert json.loads(run("solve", path, "--remove", 2, "--json").out)["energies"][:2] == [
        -4.0,
        -4.0,
    ]
    lowest = [
        spectrum["energies"][0]
        for spectrum in json.loads(run("sweep", path, "--json").out)["spectra"]
    ]
    assert lowest == [-2.0, -4.0, -2.0]
    ran = run("import", path, "--out", tmp_path / "h.npy")
    assert "how many to remove is not said" in ran.out
    assert load_hessian(tmp_path / "h.npy").hessian[0].tolist() == [-2, 1, 0, 1]


def test_a_certificate_finds_the_file_beside_it(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "p.lp"
    run("export", BRANCH, "--remove", 3, "--keep", "0-69", "--out", out)
    proof = tmp_path / "proof.json"
    assert run("solve", out, "--states", 5, "--certificate", proof).code == 0
    assert "VERIFIED, and solved anew" in run("verify", proof).out


def test_machines_get_json(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "p.qubo"
    facts = json.loads(
        run(
            "export",
            BRANCH,
            "--remove",
            2,
            "--only",
            "mlp",
            "--penalty",
            "safe",
            "--json",
            "--out",
            out,
        ).out
    )
    assert facts == {
        "file": str(out),
        "sidecar": f"{out}.json",
        "format": "qbsolv",
        "variables": 40,
        "penalties": json.loads((tmp_path / "p.qubo.json").read_text())["penalties"],
    }
    assert json.loads(run("import", out, "--out", tmp_path / "h.npy", "--json").out)["remove"] == 2
    assert run("export", BRANCH, "--remove", 2, "--quiet", "--out", out).out == ""


def test_penalties_on_the_command_line(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "p.coo"
    common = [
        "export",
        BRANCH,
        "--remove",
        "mlp=1,attention=2",
        "--keep",
        "10-79",
        "--json",
        "--out",
        out,
    ]
    assert json.loads(run(*common, "--penalty", "0.5").out)["penalties"] == [0.5, 0.5]
    assert json.loads(run(*common, "--penalty", "0.5,0.25").out)["penalties"] == [0.5, 0.25]
    smallest = json.loads(run(*common, "--penalty", "smallest", "--states", 5).out)["penalties"]
    safe = json.loads(run(*common, "--penalty", "safe", "--states", 5).out)["penalties"]
    assert 0 < max(smallest) < safe[0] == safe[1]
    assert json.loads(run(*common).out)["penalties"] is None


BAD = {
    "no output": (["export", BRANCH, "--remove", "2"], "--out"),
    "no count": (["export", BRANCH, "--out", "a.lp"], "--remove M"),
    "unknown suffix": (["export", BRANCH, "--remove", "2", "--out", "a.csv"], ".qubo"),
    "a Hessian": (["export", BRANCH, "--remove", "2", "--out", "a.npy"], ".qubo"),
    "unknown format": (
        ["export", BRANCH, "--remove", "2", "--out", "a.lp", "--format", "csv"],
        "qbsolv",
    ),
    "no folder": (["export", BRANCH, "--remove", "2", "--out", "no/a.lp"], "no"),
    "nothing to choose": (
        ["export", BRANCH, "--remove", "80", "--out", "a.lp"],
        "nothing to write",
    ),
    "word for a penalty": (
        ["export", BRANCH, "--remove", "2", "--out", "a.lp", "--penalty", "big"],
        "smallest",
    ),
    "negative penalty": (
        ["export", BRANCH, "--remove", "2", "--out", "a.lp", "--penalty", "-1"],
        "at least 0",
    ),
    "two penalties": (
        ["export", BRANCH, "--remove", "2", "--out", "a.lp", "--penalty", "1,2"],
        "one number or 1",
    ),
    "missing file": (["import", "a.lp", "--out", "h.npy"], "a.lp"),
    "output is no .npy": (["import", "bad.qubo", "--out", "h.json"], ".npy"),
    "bad line": (["import", "bad.qubo", "--out", "h.npy"], "line 2"),
    "bad line in solve": (["solve", "bad.qubo", "--remove", "1"], "line 2"),
    "not a known suffix": (["import", "bad.txt", "--out", "h.npy"], ".npy"),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes(case: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bad.qubo", "bad.txt"):
        Path(name).write_text("p qubo 0 2 2 0\n0 0 one\n1 1 2\n")
    before = set(tmp_path.iterdir())
    arguments, words = BAD[case]
    if case == "output is no .npy":
        Path("bad.qubo").write_text("p qubo 0 2 2 0\n0 0 1\n1 1 2\n")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("qubo-prune: error: ")
    assert err.count("\n") == 1
    assert words in err
    assert set(tmp_path.iterdir()) == before


def test_asymmetry_is_accepted_on_request(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.mtx"
    path.write_text("%%MatrixMarket matrix array real general\n2 2\n1\n2\n0\n1\n")
    assert "symmetric" in run("import", path, "--out", tmp_path / "h.npy").err
    assert run("import", path, "--symmetrize", "--out", tmp_path / "h.npy").code == 0
    assert np.load(tmp_path / "h.npy").tolist() == [[1, 1], [1, 1]]


def test_a_budget_goes_through_an_lp_file_into_a_hessian(run: Run, tmp_path: Path) -> None:
    weights = tmp_path / "w.json"
    weights.write_text(json.dumps([1, 3] * 40))
    asked = ("--remove", 3, "--keep", "0-69", "--budget", 7, "--weights", weights)
    ran = run("export", BRANCH, *asked, "--out", tmp_path / "p.lp")
    assert (ran.code, ran.err) == (0, "")
    assert "with the counts and the budget as constraints" in " ".join(ran.out.split())
    ran = run("import", tmp_path / "p.lp", "--out", tmp_path / "h.npy")
    assert "10 blocks, 3 to remove that weigh at least 7" in " ".join(ran.out.split())
    alone = run("export", BRANCH, *asked[2:], "--out", tmp_path / "alone.lp")
    assert "with the budget as a constraint" in " ".join(alone.out.split())
    direct = json.loads(run("solve", BRANCH, *asked, "--json").out)
    for file in ("p.lp", "h.npy"):
        found = json.loads(run("solve", tmp_path / file, "--json").out)
        assert found["energies"] == pytest.approx(direct["energies"], rel=1e-9)
        assert (found["at_least"], found["weights"][:2]) == (7, [1, 3])
