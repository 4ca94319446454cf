"""Pages of stored results, which the build of the documentation makes."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.site import RESULTS, page_of

ROOT = Path(__file__).resolve().parents[2]


def test_every_study_has_a_page_that_is_linked() -> None:
    studies = {path.stem for path in RESULTS.glob("*.csv")}
    linked = re.findall(r"\]\(results/([\w-]+)\.html\)", (ROOT / "docs/benchmarks.md").read_text())
    assert studies == set(linked)
    assert re.search(
        r"^hooks: .*\bbenchmarks/site\.py\b", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE
    )


def test_a_page_shows_what_is_stored() -> None:
    page = page_of(RESULTS / "everyday.csv")
    assert "<h1>everyday</h1>" in page
    assert "21 runs of 1 solvers on 21 tasks" in page
