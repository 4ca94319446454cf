"""The public names: complete, lazy, and not hidden by submodules of the same name."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import qubo_prune

FACES = [
    "qubo_prune",
    "qubo_prune.backends",
    "qubo_prune.backends.ocean",
    "qubo_prune.backends.qaoa",
    "qubo_prune.bench",
    "qubo_prune.encodings",
    "qubo_prune.hessians",
    "qubo_prune.hessians.calibration",
    "qubo_prune.pruning",
    "qubo_prune.report",
]


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_resolves(face: str) -> None:
    package = importlib.import_module(face)
    for name in package.__all__:
        if package._HOMES.get(name, "").startswith(("qubo_prune.hessians", "qubo_prune.pruning")):
            pytest.importorskip("torch")
        assert getattr(package, name) is not None
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("face", FACES)
def test_type_checkers_see_the_same_names(face: str) -> None:
    package = importlib.import_module(face)
    tree = ast.parse(Path(str(package.__file__)).read_text())
    declared = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("qubo_prune")
        for alias in node.names
        if alias.asname
    }
    assert declared == package._HOMES


def test_every_face_is_tested() -> None:
    root = Path(str(qubo_prune.__file__)).parent
    faces = {
        ".".join(("qubo_prune", *path.parent.relative_to(root).parts))
        for path in root.rglob("__init__.py")
        if "lazy_names(__name__" in path.read_text()
    }
    assert faces == set(FACES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'slove'"):
        getattr(qubo_prune, "slove")  # noqa: B009


@pytest.mark.parametrize("face", FACES)
def test_no_module_hides_a_name_of_its_package(face: str) -> None:
    package = importlib.import_module(face)
    folder = Path(str(package.__file__)).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(package._HOMES)


def test_importing_loads_no_library() -> None:
    code = "import sys, qubo_prune; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"dimod", "matplotlib", "numba", "numpy", "rich", "scipy", "typer"}
    assert not heavy & set(done.stdout.split())


def test_listing_the_backends_loads_no_solver() -> None:
    code = (
        "import sys; from qubo_prune.backends import availability_of, backend_names\n"
        "for name in backend_names(): availability_of(name)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"dimod", "gurobipy", "numba", "pyscipopt", "qiskit", "scipy"}
    assert not heavy & set(done.stdout.split())
