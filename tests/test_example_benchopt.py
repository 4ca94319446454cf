"""The example for benchopt runs under it, and its figures are what they should be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOLVERS = (
    "my-annealing[keep=True]",
    "qubo-prune[backend=branch-and-bound]",
    "qubo-prune[backend=ocean-annealing]",
    "qubo-prune[backend='../my-solver/my_solver.py:anneal']",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("benchopt")
    copy = tmp_path_factory.mktemp("benchopt") / "examples"
    shutil.copytree(ROOT / "examples", copy)
    return copy / "benchopt-spectra"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # Its tests are run by the first `python` there is.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [sys.executable, "-m", "benchopt", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "PATH": programs},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs_and_measures_bare_states(folder: Path) -> None:
    chosen = [part for solver in SOLVERS for part in ("-s", solver)]
    data = ["-d", "bundled[remove=4]", "-n", "4", "-r", "1", "--output", "spectra"]
    done = run(folder, "run", ".", *chosen, *data, "--no-display", "--no-plot")
    assert done.returncode == 0, done.stdout + done.stderr
    import pandas as pd

    rows = pd.read_parquet(next((folder / "outputs").glob("spectra*.parquet")))
    recall = rows.groupby("solver_name")["objective_recall"].max().to_dict()
    proven = recall.pop("qubo-prune[backend=branch-and-bound]")
    assert proven == 1.0
    assert len(recall) == 3
    assert all(0 < each < 1 for each in recall.values()), "shown bare, none has them all"
    kept = recall["my-annealing[keep=True]"]
    assert kept > recall["qubo-prune[backend=ocean-annealing]"]
    assert (rows["objective_value"] == 1 - rows["objective_recall"]).all()
    assert rows["objective_feasible_share"].between(0, 1).all()


def test_benchopts_own_tests_pass(folder: Path) -> None:
    """Besides those that install packages; a shell takes the quotes away."""
    done = run(folder, "test", ".", "-k", "'not install'")
    assert done.returncode == 0, done.stdout + done.stderr
