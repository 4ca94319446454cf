"""What users build on changes only when somebody says so."""

from __future__ import annotations

import ast
from difflib import unified_diff
from pathlib import Path

import pytest

import qubo_prune
from tests.public_api import FACES, STORED, public_api, signature_of

PACKAGE = Path(str(qubo_prune.__file__)).parent

INTERNAL = {"qubo_prune.core.files.formats"}
"""What public functions of `qubo_prune.encodings` look formats up in."""


def test_public_names_and_signatures_are_those_written_down() -> None:
    for library in ("torch", "transformers", "qiskit", "gurobipy", "pyscipopt"):
        pytest.importorskip(library)
    stored, now = STORED.read_text("utf-8").splitlines(), public_api().splitlines()
    changed = "\n".join(unified_diff(stored, now, "tests/public_api.txt", "now", lineterm="", n=0))
    assert not changed, (
        f"{changed}\nIf this is meant, see CONTRIBUTING.md on what is promised, and run"
        " `python -m tests.public_api`."
    )


def test_every_package_that_lists_its_names_is_a_face() -> None:
    listing = {
        ".".join(("qubo_prune", *path.parent.relative_to(PACKAGE).parts))
        for path in PACKAGE.rglob("__init__.py")
        if any(
            isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
            for node in ast.parse(path.read_text("utf-8")).body
        )
    }
    assert listing - INTERNAL == set(FACES)


def test_a_signature_is_shown_as_written() -> None:
    def example(a: int, *, b: str = "x", c: object = print) -> list[str]:
        return []

    assert signature_of(example) == (
        "(a: int, *, b: str = 'x', c: object = <built-in function print>) -> list[str]"
    )
