"""Figures of README and docs: from stored results, or said why not."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

pytest.importorskip("torch")  # studies of models make their own tables

from benchmarks.figures import pages as pages_module
from benchmarks.figures import stored
from benchmarks.figures.claims import CLAIMS, TABLES
from benchmarks.figures.elsewhere import OTHERS
from benchmarks.figures.pages import (
    ROOT,
    Claim,
    MadeTable,
    figures_of,
    pages,
    places_of,
    uncovered,
)


@pytest.mark.parametrize("name", pages())
def test_no_figure_is_typed(name: str) -> None:
    page = (ROOT / name).read_text("utf-8")
    pieces = [each.text for each in (*CLAIMS, *OTHERS) if each.page == name]
    spans = [each.place(page) for each in TABLES if each.page == name]
    left = uncovered(page, pieces, spans)
    assert not left, (
        f"{name} has figures from nowhere; add them to benchmarks/figures/claims.py, or say in"
        f" elsewhere.py why they are right:\n" + "\n".join(left)
    )


@pytest.mark.parametrize("name", sorted({each.page for each in (*CLAIMS, *TABLES)}))
def test_figures_are_those_of_stored_results(name: str) -> None:
    page = (ROOT / name).read_text("utf-8")
    written = page
    for each in (*CLAIMS, *TABLES):
        if each.page == name:
            written = each.written_into(written)
    assert written == page, "write them with: python -m benchmarks.figures"


def test_what_is_from_elsewhere_is_there() -> None:
    for each in OTHERS:
        page = (ROOT / each.page).read_text("utf-8")
        found = places_of(page, each.text)
        assert found, f"{each.page} no longer says {each.text!r}"
        figures = list(figures_of(page))
        assert any(a <= low and high <= b for a, b in found for low, high in figures), each.text
        assert each.why.endswith(".")


@pytest.mark.parametrize("module", [pages_module, stored])
def test_examples_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It took 3.1 s, at 5e9 states/s.", ["3.1 s", "5e9 states/s"]),
        (
            "40 % more, or 12 nodes, in 7\nprocessor seconds",
            ["40 %", "12 nodes", "7\nprocessor seconds"],
        ),
        ("| 0.741 | +0.2 ± 0.03 |", ["0.741", "+0.2", "0.03"]),
        ("a loss of -0.279 nats, 1.94 GB", ["-0.279 nats", "1.94 GB"]),
        ("Python 3.11.7 of `0.5 s`, arXiv:2602.00161, [0.5](a-0.5.md)", ["0.5"]),
        ("M = 8 of 40, 100 states, seed 3, layers 3-5", []),
        ("```python\nx = 0.5\n```\n```output\n0.25\n```\n```text\n0.75\n```\n", ["0.75"]),
    ],
)
def test_what_counts_as_a_figure(text: str, found: list[str]) -> None:
    assert [text[slice(*span)] for span in figures_of(text)] == found


def test_figures_are_written_where_the_piece_is_and_nowhere_else() -> None:
    claim = Claim("p", "it took {} s for {} ± 0.1, or {}.", lambda: ("2.5", "7", "1,234"))
    page = "In 3.0 s. Here it took 3.0\n  s for 8.5 ± 0.1,\n  or 1,000.5. The end."
    assert claim.written_into(page) == (
        "In 3.0 s. Here it took 2.5\n  s for 7 ± 0.1,\n  or 1,234. The end."
    )
    assert claim.written_into(claim.text) == claim.text
    with pytest.raises(LookupError, match="is there 0 times"):
        claim.written_into("It took long.")
    with pytest.raises(LookupError, match="is there 2 times"):
        claim.written_into(f"{claim.text} And {claim.text}")


def test_a_table_is_written_over_the_one_like_it() -> None:
    def make() -> str:
        return "| a | b |\n| --- | --- |\n| x | 1.5 |\n| y | 2.5 |"

    table = MadeTable("p", make)
    page = "A\n\n  | a | b |\n  |---|--:|\n  | x | 9 |\n\n| a | b |\n|---|---|\n| z | 3 |\n"
    assert table.written_into(page) == (
        "A\n\n  | a | b |\n  |---|--:|\n  | x | 1.5 |\n  | y | 2.5 |\n\n| a | b |\n|---|---|\n"
        "| z | 3 |\n"
    )
    with pytest.raises(LookupError, match="has 0 tables with the header"):
        table.written_into("| c |\n|---|\n| 1 |\n")
    with pytest.raises(LookupError, match="has 2 tables"):
        table.written_into(page.replace("| z |", "| x |"))
