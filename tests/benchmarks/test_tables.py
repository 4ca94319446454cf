"""The tables that are made of suites: the docs show those of the stored results."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tables import STUDIES, rows_of
from qubo_prune.bench.suites import load_suite

ROOT = Path(__file__).resolve().parents[2]
SUITES = ROOT / "benchmarks" / "suites"
PAGES = ("benchmarks.md", "explanation/reference-hessians.md")


@pytest.mark.parametrize("name", STUDIES)
def test_the_documentation_shows_the_stored_results(name: str) -> None:
    pages = [(ROOT / "docs" / page).read_text("utf-8") for page in PAGES]
    [page] = [page for page in pages if STUDIES[name](rows_of(name)) in page]
    assert f"python -m benchmarks.tables {name}" in " ".join(page.split())


@pytest.mark.parametrize("name", STUDIES)
def test_the_stored_results_are_those_of_the_suite(name: str) -> None:
    own = SUITES / f"{name}.toml"
    suite = load_suite(str(own) if own.is_file() else name)
    measured = {
        (row["instance"], int(row["remove"]), int(row["num_states"]), row["backend"])
        for row in rows_of(name)
    }
    asked = {
        (task.instance, task.remove, task.wanted, solver.backend)
        for task in suite.tasks
        for solver in suite.solvers
        if solver.backend not in task.without
    }
    assert measured == asked


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_stored_is_a_lie(name: str) -> None:
    rows = rows_of(name)
    assert not [row for row in rows if row["violations"] or row["outcome"] == "wrong"]
    assert {row["reference_kind"] for row in rows} == {"certified"}


def test_exact_solvers_agree_on_what_they_have_proven() -> None:
    proven = [row for row in rows_of("proofs") if row["seconds_to_proof"]]
    assert {row["backend"] for row in proven} == {"branch-and-bound", "gurobi", "scip"}
    for row in proven:
        assert row["ground_state"] == "1.0"
        assert row["recall_100"] == ("" if row["num_states"] == "1" else "1.0")
        assert float(row["lower_bound"]) == float(row["energy"])
        assert float(row["num_evaluated"]) >= 1.0
        assert float(row["peak_bytes"]) > 1e7
