"""Without any extra everything else works, and what is missing is said with the command that
installs it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from qubo_prune.backends import backend_names

ROOT = Path(__file__).resolve().parent.parent

OPTIONAL = [
    *("accelerate", "cupy", "dask", "datasets", "distributed", "gurobipy", "lm_eval", "peft"),
    *("pyscipopt", "qiskit", "qiskit_aer", "qiskit_optimization", "safetensors", "scipy"),
    *("torch", "transformers"),
]
"""The modules that extras install."""

WITHOUT = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(OPTIONAL)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from qubo_prune.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def run_without(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, object]]:
    done = run_without("backends", "--json")
    assert done.returncode == 0, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["backends"]}


def test_backends_are_listed_without_their_libraries(listed: dict[str, dict[str, object]]) -> None:
    assert list(listed) == list(backend_names())
    assert {"branch-and-bound", "enumeration"} <= {
        n for n, each in listed.items() if each["usable"]
    }
    assert {"gurobi", "scip"} <= {n for n, each in listed.items() if not each["installed"]}


def test_what_is_missing_is_said_with_the_command_that_installs_it(
    listed: dict[str, dict[str, object]],
) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = run_without("backends").stdout
    for name, each in listed.items():
        if each["installed"]:
            continue
        assert str(each["detail"]).endswith("is not installed"), name
        command = str(each["install"])
        extra = re.fullmatch(r"pip install 'qubo-prune\[(\w+)\]'", command)
        assert extra is not None, name
        assert extra[1] in extras["optional-dependencies"]
        assert command in text
        done = run_without("solve", "bytelm-40-block", "--remove", "2", "--backend", name)
        assert done.returncode != 0
        assert command in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_main_job_needs_no_extra() -> None:
    done = run_without("solve", "bytelm-40-block", "--remove", "3", "--states", "5", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "proven"
