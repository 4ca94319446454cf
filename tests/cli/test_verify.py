"""`qubo-prune solve --certificate` and `verify`: exit codes, what is printed, bad files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import Certificate, Problem, solve
from tests.cli.conftest import Run

BRANCH = "bytelm-40-branch"


@pytest.fixture
def path(run: Run, tmp_path: Path) -> Path:
    """A certificate of a bundled Hessian."""
    path = tmp_path / "c.json"
    arguments = ("--remove", 3, "--states", 8, "--certificate", path, "--quiet")
    assert run("solve", BRANCH, *arguments) == (0, "", "")
    return path


def edit(path: Path, change: Callable[[dict], object]) -> None:
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def test_a_true_certificate(path: Path, run: Run) -> None:
    code, out, err = run("verify", path)
    assert code == 0
    assert out.splitlines()[-1] == "VERIFIED, and solved anew by another engine"
    assert "completeness passed" in " ".join(out.split())
    assert err == ""  # it takes no time


def test_json(path: Path, run: Run) -> None:
    code, out, _ = run("verify", path, "--hessian", BRANCH, "--json")
    report = json.loads(out)
    assert (code, out.count("\n")) == (0, 1)
    assert report["passed"]
    assert report["complete"]
    assert {check["outcome"] for check in report["checks"]} == {"passed"}
    assert report.keys() == {
        *("passed", "complete", "num_proven", "stop_reason"),
        *("checks", "recomputed", "claimed", "only_claimed"),
    }


@pytest.mark.parametrize(
    "options", [("--backend", "tabu"), ("--max-evaluations", "1")], ids=["heuristic", "partial"]
)
def test_a_list_without_proof_is_not_called_verified(
    options: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "list.certificate.json"
    # Half of the eigenvalues are zero: no search is through with it before somebody asks it to
    # stop.
    rows = np.random.default_rng(0).normal(size=(40, 80))
    np.save(tmp_path / "hard.npy", rows.T @ rows)
    arguments = ("--remove", 16, "--states", 5, *options, "--certificate", path, "--quiet")
    run("solve", tmp_path / "hard.npy", *arguments)
    assert Certificate.load(path).spectrum.num_proven == 0
    code, out, _ = run("verify", path)
    assert code == 0
    assert "none of them is proven to be among the lowest" in " ".join(out.split())
    assert (
        out.splitlines()[-1]
        == "NOTHING PROVEN: verified are energies, constraint, order and distinctness of the list, "
        "not that any of its states is among the lowest"
    )
    assert (
        run("verify", path.parent).out.splitlines()[-1]
        == "1 certificate: 0 failed, 0 verified and solved anew, 0 verified as far as was possible,"
        " 1 with nothing proven"
    )
    report = json.loads(run("verify", path, "--json").out)
    assert (report["passed"], report["complete"], report["num_proven"]) == (True, False, 0)


def test_quiet(path: Path, run: Run) -> None:
    assert run("verify", path, "--quiet") == (0, "", "")


def test_a_failed_check(path: Path, run: Run) -> None:
    edit(path, lambda fields: fields["spectrum"]["energies"].__setitem__(0, -1.0))
    code, out, err = run("verify", path)
    assert (code, err) == (1, "")
    assert out.splitlines()[-1] == "FAILED: energies, threshold"  # the bound of the root lies above
    assert run("verify", path, "--quiet") == (1, "", "")


def test_another_hessian(path: Path, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("verify", path, "--hessian", "bytelm-40-block")
    assert code == 1
    np.save(tmp_path / "other.npy", np.eye(80))
    code, out, _ = run("verify", path, "--hessian", tmp_path / "other.npy")
    assert code == 1
    assert out.splitlines()[-1] == "FAILED: hessian"


def test_too_large(path: Path, run: Run) -> None:
    code, out, err = run("verify", path, "--max-states", "1e4")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].endswith("completeness is only claimed")


def test_a_limit(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    arguments = ("--remove", 10, "--states", 3, "--certificate", path, "--quiet")
    assert run("solve", BRANCH, *arguments).code == 0
    code, out, _ = run("verify", path, "--max-states", "1e20", "--time-limit", "0.2")
    assert code == 3
    assert "stopped (time limit)" in " ".join(out.split())


def test_a_partial_certificate(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    long = ("solve", BRANCH, "--remove", 8, "--backend", "enumeration", "--states", 5)
    assert run(*long, "--max-evaluations", 1000, "--certificate", path, "--quiet").code == 3
    assert run("verify", path).code == 0


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """The certificates of a sweep, with its spectra beside them."""
    folder = tmp_path / "proofs"
    arguments = ("--remove", "10,1-3", "--states", 4, "--out", folder, "--certificate", folder)
    assert run("sweep", BRANCH, *arguments, "--quiet") == (0, "", "")
    return folder


def test_a_sweep_writes_one_certificate_for_each_count(folder: Path, run: Run) -> None:
    counts = (1, 2, 3, 10)
    suffixes = (".json", ".certificate.json")
    expected = {f"remove-{count}{suffix}" for count in counts for suffix in suffixes}
    assert {file.name for file in folder.iterdir()} == expected
    for count in counts:
        certificate = Certificate.load(folder / f"remove-{count}.certificate.json")
        assert certificate.hessian == BRANCH
        assert certificate.statement.remove == certificate.spectrum.remove == count


def test_all_certificates_of_a_folder(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    code, out, err = run("verify", "proofs", "--max-states", "1e5")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        *(
            f"proofs/remove-{count}.certificate.json: VERIFIED, and solved anew by another engine"
            for count in (1, 2, 3)
        ),
        (
            "proofs/remove-10.certificate.json: VERIFIED as far as was possible; completeness is"
            " only claimed"
        ),
        "4 certificates: 0 failed, 3 verified and solved anew, 1 verified as far as was possible",
    ]
    assert run("verify", folder, "--max-states", 10, "--quiet") == (0, "", "")


def test_one_of_many_fails(folder: Path, path: Path, run: Run) -> None:
    wrong = folder / "remove-2.certificate.json"
    edit(wrong, lambda fields: fields["spectrum"]["energies"].__setitem__(3, 1e-3))
    arguments = ("verify", path, folder, "--max-states", 10)
    code, out, err = run(*arguments)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"{path}: VERIFIED")  # as they were named
    assert lines[2].startswith(f"{wrong}: FAILED: energies (the energy of state 3 is ")
    assert lines[-1].startswith("5 certificates: 1 failed, ")
    assert run(*arguments, "--quiet") == (1, "", "")
    code, out, err = run(*arguments, "--json")
    listed = json.loads(out)["certificates"]
    assert (code, err) == (1, "")
    assert [entry["passed"] for entry in listed] == [True, True, False, True, True]
    assert listed[2]["file"] == str(wrong)
    assert listed[2].keys() == {
        *("file", "passed", "complete", "num_proven", "stop_reason"),
        *("checks", "recomputed", "claimed", "only_claimed"),
    }


def test_a_folder_of_one_gives_a_list(folder: Path, run: Run) -> None:
    for file in folder.iterdir():
        if file.name != "remove-1.certificate.json":
            file.unlink()
    assert len(json.loads(run("verify", folder, "--json").out)["certificates"]) == 1
    assert run("verify", folder).out.endswith(
        "1 certificate: 0 failed, 1 verified and solved anew, 0 verified as far as was possible\n"
    )


def test_a_limit_on_each_of_many(folder: Path, run: Run) -> None:
    for count in (1, 2):
        (folder / f"remove-{count}.certificate.json").unlink()
    code, out, err = run("verify", folder, "--max-states", "1e13", "--time-limit", 0.2)
    assert code == 3
    assert err.endswith(
        "remove-10.certificate.json: solving it anew by enumeration and branch-and-bound: 1.65e12"
        " states, for 0.2 s at most\n"
    )
    first, second, _ = out.splitlines()
    assert first.endswith("VERIFIED, and solved anew by another engine")
    assert second.endswith(
        "VERIFIED as far as was possible (time limit); completeness is only claimed"
    )


def test_ctrl_c_leaves_the_rest(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from qubo_prune.core.stopping import StopReason
    from qubo_prune.solving.proof.verification import Verification

    stopped = Verification((), StopReason.INTERRUPTED, "", "", 1)
    monkeypatch.setattr("qubo_prune.solving.proof.verifier.verify", lambda *_, **__: stopped)
    code, out, _ = run("verify", folder)
    assert code == 130
    assert out.endswith("1 verified as far as was possible, 3 not looked at\n")


def test_a_file_that_is_no_certificate_fails_and_the_others_are_looked_at(
    folder: Path, run: Run
) -> None:
    (folder / "remove-3.certificate.json").write_text("{}")
    code, out, err = run("verify", folder, "--max-states", 10)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert "remove-3.certificate.json is not a valid certificate" in lines[2]
    assert ["FAILED" in line for line in lines[:4]] == [False, False, True, False]
    assert lines[-1].startswith("4 certificates: 1 failed, ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["."], "no file in the folder '.' ends in .certificate.json; name the certificates"),
        (["c.json", "h.npy"], "name a Hessian with --hessian"),
        (["c.json", BRANCH], "name a Hessian with --hessian"),
        ([], "FILE"),
    ],
)
def test_what_cannot_be_verified(
    arguments: list[str], words: str, path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    code, out, err = run("verify", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_every_part_of_the_problem_is_rebuilt(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(10, 10))
    np.save(tmp_path / "h.npy", matrix)
    sidecar = {
        "kinds": ["attention", "mlp"] * 5,
        "names": [f"block.{i}" for i in range(10)],
        "mean_gradient": rng.normal(size=10).tolist(),
    }
    (tmp_path / "h.json").write_text(json.dumps(sidecar))
    path = tmp_path / "c.json"
    ran = run(
        *("solve", tmp_path / "h.npy", "--remove", "attention=2,mlp=3", "--symmetrize"),
        *("--keep", "0-1", "--force", "block.5", "--beta", "-0.5", "--states", 4, "--quiet"),
        *("--certificate", path),
    )
    assert ran.code == 0
    assert json.loads(path.read_text())["hessian"] == "h.npy"
    assert run("verify", path).code == 0
    sidecar["mean_gradient"][3] += 1e-9
    (tmp_path / "h.json").write_text(json.dumps(sidecar))
    assert "FAILED: problem" in run("verify", path).out
    (tmp_path / "h.json").unlink()
    assert "FAILED: problem" in run("verify", path).out
    assert run("solve", tmp_path / "h.npy", "--remove", 2, "--symmetrize").code == 0


def test_a_hessian_without_its_sidecar(run: Run, tmp_path: Path) -> None:
    """Kinds and names are in the certificate."""
    problem = Problem.load(BRANCH, {"mlp": 2, "attention": 1})
    certificate = Certificate.of(problem, solve(problem, num_states=3), hessian="plain.npy")
    certificate.save(tmp_path / "c.json")
    np.save(tmp_path / "plain.npy", problem.hessian)
    assert run("verify", tmp_path / "c.json").code == 0


IMPOSSIBLE = {
    "unknown kind": lambda fields: fields["problem"].update(remove={"moe": 2}),
    "too many": lambda fields: fields["problem"].update(remove=10**400),
    "negative": lambda fields: fields["problem"].update(remove=-1),
    "block out of range": lambda fields: fields["problem"].update(keep=[10**30]),
    "kinds of another size": lambda fields: fields["problem"].update(only="x", kinds=["x"]),
    "beta without a gradient": lambda fields: fields["problem"].update(beta=1.0),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_problems_that_cannot_be_made(case: str, path: Path, run: Run) -> None:
    edit(path, IMPOSSIBLE[case])
    code, out, err = run("verify", path)
    assert (code, err) == (1, "")
    assert out.splitlines()[-1] == "FAILED: problem"


def test_control_characters_do_not_reach_the_terminal(path: Path, run: Run) -> None:
    def change(fields: dict) -> None:
        fields["spectrum"]["backend"] = "\x1b[2J\ud800\n"
        fields["problem"]["hessian_sha256"] = "\x1b]0;x\x07\ud800"

    edit(path, change)
    code, out, _ = run("verify", path)
    assert code == 1
    assert "\x1b" not in out
    assert "\x07" not in out


HOSTILE_NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "",
    "a\0b.npy",
    "\ud800.npy",
    "x.npy",
    None,
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_only_bundled_hessians_and_those_beside_are_opened(name: str, path: Path, run: Run) -> None:
    edit(path, lambda fields: fields.update(hessian=name))
    code, out, err = run("verify", path)
    assert (code, out) == (2, "")
    assert "give the Hessian with --hessian" in err
    assert err.count("\n") == 1


def test_files_that_are_no_certificates(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    contents = (
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"{}",
        b"[" * 10**5,
        b'{"format_version": 1, "format": 2}',
    )
    for content in contents:
        path.write_bytes(content)
        code, out, err = run("verify", path)
        assert (code, out) == (2, "")
        assert err.startswith("qubo-prune: error: ")
        assert err.count("\n") == 1
    assert run("verify", tmp_path / "none.json").code == 2
    assert run("verify", tmp_path).code == 2


def test_a_spectrum_is_no_certificate(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    assert run("solve", BRANCH, "--remove", 2, "--out", path, "--quiet").code == 0
    ran = run("verify", path)
    assert ran.code == 2
    assert "is a spectrum, not a certificate" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--certificate", "c.npz"], ".json"),
        (["--certificate", "no/c.json"], "--certificate cannot write"),
        (["--certificate", "folder.json"], "directory"),
        (["--certificate", "s.json", "--out", "s.json"], "different files"),
    ],
)
def test_certificates_that_cannot_be_written(
    arguments: list[str], words: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    code, out, err = run("solve", BRANCH, "--remove", 2, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.json"]


@pytest.mark.parametrize(
    "arguments",
    [["--max-states", "-1"], ["--max-states", "nan"], ["--seed", "-1"], ["--time-limit", "0"]],
)
def test_bad_arguments(arguments: list[str], path: Path, run: Run) -> None:
    code, out, err = run("verify", path, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
