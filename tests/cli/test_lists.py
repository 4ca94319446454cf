"""`backends`, `hessians`, `--help`, `--version`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import qubo_prune
from qubo_prune.backends import backend_names
from qubo_prune.core.files.gradients import save_gradients
from qubo_prune.hessians import save_hessian
from tests.cli.conftest import Run


def test_backends(run: Run) -> None:
    code, out, err = run("backends")
    assert (code, err) == (0, "")
    assert all(name in out for name in backend_names())
    listed = json.loads(run("backends", "--json").out)["backends"]
    assert [entry["name"] for entry in listed] == list(backend_names())
    assert {"exact", "proves", "native_constraint"} <= set(listed[0]["capabilities"])
    assert listed[0]["usable"] is True


def test_hessians(run: Run) -> None:
    code, out, err = run("hessians")
    assert (code, err) == (0, "")
    assert "bytelm-40-branch" in out
    assert "40 attention, 40 mlp" in out
    assert "2,048" in out
    listed = json.loads(run("hessians", "--json").out)["hessians"]
    sizes = {entry["name"]: entry["num_blocks"] for entry in listed}
    assert list(sizes) == sorted(sizes)
    assert sizes["bytelm-40-branch"] == 80


def test_hessian_facts(run: Run, tmp_path: Path) -> None:
    code, out, err = run("hessians", "show", "bytelm-40-branch")
    assert (code, err) == (0, "")
    assert "2048" in out
    np.save(tmp_path / "rank.npy", np.diag([4.0, 4.0, 0.0]))
    facts = json.loads(run("hessians", "show", tmp_path / "rank.npy", "--json").out)
    assert facts["num_blocks"] == 3
    assert facts["smallest_eigenvalue"] == 0
    assert facts["effective_rank"] == pytest.approx(2)
    np.save(tmp_path / "zero.npy", np.zeros((2, 2)))
    assert json.loads(run("hessians", "show", tmp_path / "zero.npy", "--json").out)["kinds"] == {}


def test_version_and_help(run: Run) -> None:
    assert run("--version") == (0, f"qubo-prune {qubo_prune.__version__}\n", "")
    assert run() == run("--help") == run("-h")
    for command in ("solve", "sweep", "plan", "verify", "backends", "merge", "hessians"):
        assert command in run("--help").out
        assert "Usage" in run(command, "--help").out


def test_help_loads_no_library() -> None:
    code = "import sys; from qubo_prune.cli.main import main; main(['--help']); print(*sys.modules)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(f"--help took {time.perf_counter() - start:.2f} s")
    assert not {"dimod", "numba", "numpy", "rich", "scipy"} & set(done.stdout.split())


def test_hessian_with_gradients(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "toy.npy"
    gradients = np.random.default_rng(0).standard_normal((64, 5))
    save_hessian(path, gradients.T @ gradients / 64, samples=64, names=list("abcde"))
    save_gradients(tmp_path / "elsewhere.npy", gradients)
    assert "error bars need" in run("hessians", "show", path, "--remove", 2).err
    options = ("--samples", tmp_path / "elsewhere.npy", "--remove", 2)
    code, out, err = run("hessians", "show", path, *options, "--plot", tmp_path / "plot.png")
    assert (code, err) == (0, "")
    assert "among the 10 lowest states, of which 10 are proven" in " ".join(out.split())
    assert (tmp_path / "plot.png").exists()
    found = json.loads(run("hessians", "show", path, *options, "--json").out)
    assert [each["samples"] for each in found["convergence"]] == [8, 16, 32]
    assert found["gradients_of_samples"] == 64
    assert len(found["states"]) == 10
    assert found["states"][0]["gap_error"] == 0
    assert sum(each["ground_share"] for each in found["states"]) == pytest.approx(1)
    bare = json.loads(run("hessians", "show", path, "--json").out)
    assert (bare["states"], bare["convergence"]) == (None, None)
    assert "must end in .png" in run("hessians", "show", path, "--plot", tmp_path / "p.gif").err
    assert "--plot cannot write" in run("hessians", "show", path, "--plot", "no/p.png").err
