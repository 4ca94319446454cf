"""Names instead of indices, shares of blocks and of parameters, the version, mistyped names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import Spectrum
from qubo_prune.core.files.hessian import save_hessian
from tests.cli.conftest import Run

NAMES = ("a", "b", "c", "d", "e", "f")
COUNTS = [500, 100, 100, 200, 50, 50]


@pytest.fixture
def hessian(tmp_path: Path) -> Path:
    path = tmp_path / "h.npy"
    matrix = np.diag([6.0, 1, 5, 2, 4, 3]) + 0.5
    save_hessian(path, matrix, names=NAMES, parameter_counts=COUNTS)
    return path


def test_blocks_are_shown_by_name(run: Run, hessian: Path) -> None:
    assert "b, d" in run("solve", hessian, "--remove", 2, "--names").out
    out = run("solve", hessian, "--remove", 2, "--rows", 1).out
    assert "b, d" not in out
    assert "1, 3" in out
    assert "b, d, f" in run("sweep", hessian, "--remove", "2,3", "--names").out


def test_the_share_of_parameters_is_told(run: Run, hessian: Path, tmp_path: Path) -> None:
    asked = ("solve", hessian, "--remove", 2, "--states", 3)
    out = run(*asked).out
    assert "parameters" in out
    assert "-30.0%" in out
    found = json.loads(run(*asked, "--json").out)
    assert found["parameters_removed"] == [
        sum(COUNTS[block] for block in removed) for removed in found["removed"]
    ]
    assert found["share_removed"] == [each / 1000 for each in found["parameters_removed"]]
    (tmp_path / "printed.json").write_text(json.dumps(found))
    assert Spectrum.load(tmp_path / "printed.json").removed(0) == [1, 3]
    assert "share_removed" not in json.loads(
        run("solve", "bytelm-40-block", "--remove", 2, "--json").out
    )


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_file_tells_parameters_too(suffix: str, run: Run, hessian: Path, tmp_path: Path) -> None:
    out = tmp_path / f"spectrum{suffix}"
    solved = run("solve", hessian, "--remove", 2, "--states", 3, "--out", out, "--json")
    assert "-30.0%" in run("show", out).out
    shown = json.loads(run("show", out, "--json").out)
    assert shown["parameters_removed"] == json.loads(solved.out)["parameters_removed"]
    found = Spectrum.load(out)
    assert found.parameter_counts == tuple(COUNTS)
    assert found[1:].parameters_removed() == tuple(
        each[1:] for each in found.parameters_removed() or ()
    )
    assert "parameters_removed" not in found.to_sampleset().info


def test_a_file_with_wrong_parameters_is_refused(run: Run, hessian: Path, tmp_path: Path) -> None:
    out = tmp_path / "spectrum.json"
    fields = json.loads(run("solve", hessian, "--remove", 2, "--json").out)
    for wrong in ([1, 2], "many", [1.5] * 6, [-1] * 6):
        out.write_text(json.dumps(fields | {"parameter_counts": wrong}))
        code, _, err = run("show", out)
        assert (code, err.count("\n")) == (2, 1)
        assert "parameter_counts" in err


def test_a_sweep_takes_shares_and_tells_parameters(run: Run, hessian: Path, tmp_path: Path) -> None:
    folder = tmp_path / "swept"
    ran = run("sweep", hessian, "--remove", "1,50%", "--out", folder)
    assert [line.split()[0] for line in ran.out.splitlines()] == ["M", "1", "3"]
    assert "parameters" in ran.out.splitlines()[0]
    assert "-10.0%" in ran.out.splitlines()[1]
    shown = run("show", folder, "--names").out.splitlines()
    assert [line[:40] for line in shown[:3]] == [line[:40] for line in ran.out.splitlines()]
    swept = json.loads(run("sweep", hessian, "--remove", "50%", "--json").out)["spectra"]
    assert [each["remove"] for each in swept] == [3]
    assert swept[0]["share_removed"][0] == 0.35
    plain = run("sweep", "bytelm-40-block", "--remove", "5%").out
    assert "parameters" not in plain
    assert run("sweep", hessian, "--remove", "1,101%").code == 2


@pytest.mark.parametrize(
    ("share", "count"), [("50%", 3), ("10%", 1), ("8%", 0), ("100%", 6), ("33.4 %", 2)]
)
def test_a_share_of_the_blocks(share: str, count: int, run: Run, hessian: Path) -> None:
    found = json.loads(run("solve", hessian, "--remove", share, "--json").out)
    assert found["remove"] == count


@pytest.mark.parametrize("share", ["101%", "-5%", "%", "x%", "1e1%", "10%,20%"])
def test_what_is_no_share_is_refused(share: str, run: Run, hessian: Path) -> None:
    code, _, err = run("solve", hessian, f"--remove={share}")
    assert code == 2
    assert err.count("\n") == 1
    assert "--remove" in err


def test_a_share_below_what_is_forced_is_refused(run: Run, hessian: Path) -> None:
    forced = ("--force", "0,1,2")
    assert json.loads(run("solve", hessian, "--remove", "50%", *forced, "--json").out)["removed"]
    code, _, err = run("solve", hessian, "--remove", "10%", *forced)
    assert code == 2
    assert err.count("\n") == 1


def test_verbose_logs_a_proof(run: Run) -> None:
    asked = ("solve", "llama-32-branch", "--remove", 20, "--time-limit", 2, "--threads", 1)
    ran = run(*asked, "-v", "--json")
    lines = ran.err.splitlines()
    assert lines[0] == "100 lowest of 1.96e16 states of 64 blocks, by branch-and-bound, seed 0"
    assert lines[-1].startswith("completed after 0.")
    assert "100 of 100 states proven" in lines[-1]
    assert json.loads(ran.out)["removed"]
    assert run(*asked, "--json").err == ""


def test_the_version_and_a_mistyped_hessian(run: Run) -> None:
    assert run("-V").out == run("--version").out
    assert "did you mean 'llama-80-branch'?" in run("solve", "lama-80-branch").err
    assert "did you mean" not in run("solve", "zzz").err
