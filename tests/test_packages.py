"""What is published holds all of this repository that its users and packagers need."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ALWAYS = {"LICENSE", "README.md", "pyproject.toml", ".gitignore"}
"""The build adds these by itself."""
FOR_CLONES = {".pre-commit-config.yaml"}


def test_the_sdist_holds_the_repository() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(
        ["git", "ls-files"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    there = {name.partition("/")[0] for name in listed.stdout.splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    include = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {name.removeprefix("/") for name in include} | ALWAYS | FOR_CLONES == there


def test_ci_uses_the_wheel_in_an_environment_of_its_own() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    last = script[script.index("-m build") :]
    assert ".whl" in last
    assert 'cd "$elsewhere"\nvenv/bin/qubo-prune solve' in last


def test_the_checklist_of_releases_names_what_is_there() -> None:
    text = (ROOT / "RELEASING.md").read_text("utf-8")
    for name in ("tests/public_api.txt", "CHANGELOG.md", "CITATION.cff", "constraints.txt"):
        assert name in text
        assert (ROOT / name).exists()
