"""The study of searches: how its rows are summed up, drawn and looked up."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks import selection, selection_plot, selection_tables

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def row(method: str, seed: int, held_out: float | None, above: float, **other: Any) -> Any:
    return {
        "seed": seed,
        "remove": 3,
        "method": method,
        "measurements": 40,
        "removed": [0, 1, 2],
        "chosen": 0.5,
        "held_out": held_out,
        "held_out_error": 0.1,
        "above_loop": above,
        "above_loop_error": 0.1,
        "curve": [None, 2.0, 1.0],
    } | other


ROWS = [
    row("loop", 0, 1.0, 0.0),
    row("loop", 1, 2.0, 0.0),
    row("EvoPress", 0, 1.5, 0.5, curve=[None, None, None, 4.0]),
    row("EvoPress", 1, 1.9, -0.1),
    row("block-influence", 0, 1.25, 0.25),
    row("taylor", 0, None, 0.0),
    row("norm-ratio", 1, 2.75, 0.75),
]


def test_differences_are_paired_over_the_seeds_and_criteria_are_one() -> None:
    found = {each["method"]: each for each in selection.compared(ROWS)}
    assert list(found) == ["loop", "EvoPress", "best criterion"]
    assert found["EvoPress"]["above"] == pytest.approx(0.2)
    assert found["EvoPress"]["error"] == pytest.approx(0.3)  # of 0.5 and -0.1
    assert found["best criterion"]["held_out"] == pytest.approx(2.0)
    assert found["best criterion"]["range"] == (1.25, 2.75)
    assert math.isinf(selection.compared(ROWS[:1])[0]["error"])
    assert "| 3 | EvoPress | 40 | 0.500 | 1.700 | 1.500 to 1.900 | +0.200 ± 0.300 | 2 |" in (
        selection.table(ROWS)
    )


def test_a_mean_curve_begins_where_every_seed_has_a_value() -> None:
    mean = selection_plot.mean_curve(ROWS[2:4])
    assert np.isnan(mean[:3]).all()
    assert mean[3] == pytest.approx(2.5)


def test_the_study_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "selection.json").write_text(json.dumps({"rows": [{"results": ROWS}]}))
    monkeypatch.setattr(selection_plot, "RESULTS", tmp_path)
    monkeypatch.setattr(selection_plot, "PLOT", tmp_path / "plot.svg")
    selection_plot.main()
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")


def test_ranks_are_those_of_the_best_so_far() -> None:
    pairs = list(itertools.combinations(range(4), 2))
    changes = {"1": [0.0] * 4, "2": [float(k) for k in range(len(pairs))]}
    table = selection_tables.Table(changes, 4, 2)
    order = [(0,), pairs[4], pairs[5], pairs[1], pairs[2]]
    assert table.ranks(order, [2, 3, 4, 9]) == [5, 5, 2, 2]


def test_the_page_shows_the_figures() -> None:
    results = Path(selection.__file__).parent / "results"
    [study] = json.loads((results / "selection.json").read_text())["rows"]
    assert selection.table(study["results"]) in PAGE.read_text("utf-8")
    tables = json.loads((results / "selection_tables.json").read_text())["rows"]
    assert selection_tables.told(tables) in PAGE.read_text("utf-8")
