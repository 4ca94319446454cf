"""The backend of the docs: its package is built, installed, found and used, and the page shows its
very files.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qubo_prune.testing import CHECKS

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "descent-backend"
PAGE = (ROOT / "docs" / "how-to" / "write-a-backend.md").read_text("utf-8")

LISTED = "descent (descent-backend 1.0): swap descent from random states"


@pytest.mark.parametrize("name", ["pyproject.toml", "descent_backend.py"])
def test_the_page_shows_the_files_of_the_example(name: str) -> None:
    assert (EXAMPLE / name).read_text("utf-8") in PAGE


def test_the_page_lists_every_check() -> None:
    rows = [
        f"| {check.name} | {f'`{check.requires.name}`' if check.requires else 'every backend'} |"
        f" {check.summary} |"
        for check in CHECKS
    ]
    assert "\n".join(rows) in PAGE


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the example into a folder of its own, without a network; return the environment that
    sees it.
    """
    for needed in ("pip", "hatchling"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    folder = tmp_path_factory.mktemp("example")
    source, target = folder / "source", folder / "target"
    shutil.copytree(EXAMPLE, source)  # building leaves files behind
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    paths = [str(target), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "100"}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_is_listed_with_its_distribution(installed: dict[str, str]) -> None:
    done = run(installed, "qubo_prune", "backends")
    assert done.returncode == 0, done.stderr
    assert LISTED in done.stdout
    assert LISTED in PAGE
    listed = json.loads(run(installed, "qubo_prune", "backends", "--json").stdout)["backends"]
    (ours,) = (each for each in listed if each["name"] == "descent")
    assert ours["distribution"] == "descent-backend 1.0"
    assert ours["capabilities"] == ["seeded", "native_constraint", "cancel"]
    assert ours["options"] == ["starts"]
    assert ours["usable"] is True
    assert [each["name"] for each in listed if each["distribution"]] == ["descent"]


def test_it_solves_by_name(installed: dict[str, str]) -> None:
    command = "qubo_prune solve bytelm-40-block --remove 8 --backend descent --option starts=20"
    done = run(installed, *command.split())
    assert done.returncode == 0, done.stderr
    first = "2 states by descent, not proven, of 7.69e7 that remove 8 of 40 blocks; lowest energy"
    assert first in " ".join(done.stdout.split())
    assert first in PAGE
    done = run(installed, *command.replace("starts", "start").split())
    assert done.returncode == 2
    assert "no option 'start'" in done.stderr


def test_its_own_tests_pass(installed: dict[str, str]) -> None:
    done = run(installed, "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE))
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
