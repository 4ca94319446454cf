"""The solver of the docs: the page shows its very files, and what the project says of itself for
citations is true.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qubo_prune import Problem, get_backend, solve
from qubo_prune.core.version import __version__

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "my-solver"
PAGE = (ROOT / "docs" / "how-to" / "benchmark-a-solver.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["my_solver.py", "my_suite.toml"])
def test_the_page_shows_the_files_of_the_example(name: str) -> None:
    assert f' title="{name}"\n' + (EXAMPLE / name).read_text("utf-8") + "```" in PAGE


def test_its_spins_keep_the_count_and_its_list_is_better_than_its_last_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(EXAMPLE)
    problem = Problem.load("bytelm-40-block", remove=10)
    exact = {state.removed for state in solve(problem, num_states=100)}
    found = {}
    for name, num_reads in (("anneal", 100), ("keep_all", 5000)):  # 100 walks each, more or less
        backend = get_backend(f"my_solver.py:{name}", repair=False, num_reads=num_reads)
        spectrum = solve(problem, num_states=100, backend=backend)
        assert spectrum.statistics["feasible_fraction"] == 1.0
        found[name] = len(exact & {state.removed for state in spectrum})
    assert 0 < found["anneal"] < 20
    assert found["keep_all"] > 80


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (.*)$", text, re.MULTILINE) == [__version__]
    for key in ("cff-version: 1.2.0", "authors:", "2602.00161"):
        assert key in text
