"""The public names: complete, lazy, and not hidden by submodules of the same name."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qubo_prune


def test_every_public_name_resolves() -> None:
    for name in qubo_prune.__all__:
        assert getattr(qubo_prune, name) is not None
    assert set(qubo_prune.__all__) <= set(dir(qubo_prune))


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(qubo_prune.__file__)).read_text())
    declared = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("qubo_prune")
        for alias in node.names
    }
    homes = {name: f"qubo_prune.{home}" for name, home in qubo_prune._HOME.items()}
    assert declared == homes


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'slove'"):
        getattr(qubo_prune, "slove")  # noqa: B009


@pytest.mark.parametrize(
    "code",
    [
        "import qubo_prune.solve, qubo_prune; assert callable(qubo_prune.solve)",
        "from qubo_prune.solve import sweep; from qubo_prune import solve; assert callable(solve)",
        "import qubo_prune; qubo_prune.sweep; assert callable(qubo_prune.solve)",
    ],
)
def test_the_submodule_does_not_hide_the_function(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_loads_no_library() -> None:
    code = "import sys, qubo_prune; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"dimod", "matplotlib", "numba", "numpy", "rich", "scipy", "typer"}
    assert not heavy & set(done.stdout.split())
