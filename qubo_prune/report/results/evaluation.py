"""The part of a page on an evaluation: a row a measure and a column a model, every number with its
error, and all comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from qubo_prune.core.text import printable
from qubo_prune.report.html import Figure, description_list, figure_grid
from qubo_prune.report.results.detail import Place
from qubo_prune.report.svg import Axis, Plot, axis_of
from qubo_prune.report.tables import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qubo_prune.pruning.evaluation.evaluation import Evaluation
    from qubo_prune.pruning.evaluation.tables import Row

__all__ = ["evaluation_body"]

_MOST_PLOTS = 12
_MARGIN = 0.12


def evaluation_body(evaluation: Evaluation, place: Place) -> str:
    """Return the HTML of an evaluation."""
    from qubo_prune.pruning.evaluation.metrics import Kind
    from qubo_prune.pruning.evaluation.tables import detectable

    rows = evaluation.rows
    if not rows:
        return "<p>Nothing was measured.</p>"
    measured = {name: list(group) for name, group in groupby(rows, key=lambda row: row.metric.name)}
    plotted = [
        _plot(name, group, evaluation.names, place)
        for name, group in measured.items()
        if group[0].metric.kind is not Kind.SIZE and len(group) > 1
    ][:_MOST_PLOTS]
    least = detectable(rows)
    note = f'<p class="note">{escape(printable(least))}</p>' if least else ""
    return (
        _overview(measured, evaluation.names, place).to_html()
        + note
        + figure_grid(plotted)
        + _comparisons(rows, place).to_html()
        + _facts(evaluation)
    )


def _overview(measured: Mapping[str, Sequence[Row]], names: Sequence[str], place: Place) -> Figure:
    """Return the table of measures by models."""
    from qubo_prune.pruning.evaluation.tables import format_change, format_metric, format_name

    rows: list[list[Cell]] = []
    hints: dict[tuple[int, int], str] = {}
    classes: dict[tuple[int, int], str] = {}
    for r, group in enumerate(measured.values()):
        by_model = {row.model: row for row in group}
        cells: list[Cell] = [format_name(group[0].metric)]
        for name in names:
            row = by_model.get(name)
            cells.append(None if row is None else format_metric(row.metric))
            if row is not None and row.comparison is not None:
                hints[r, len(cells) - 1] = f"against the original: {format_change(row)}"
        best = _best([row for row in group if row.comparison is not None])
        if best is not None:
            classes[r, 1 + names.index(best)] = "best"
        rows.append(cells)
    table = Table(("measure", *map(printable, names)), tuple(rows), classes, hints)
    caption = (
        "Each number with one standard error; bold is the best beside the original, where better"
        " can be said. Where the pointer rests, the difference from the original."
    )
    body = table.to_html("Measures by models", identifier=place.name("measures"))
    return Figure(place.name("measures"), "Before and after", body, caption, table)


def _best(rows: Sequence[Row]) -> str | None:
    """Return which of several models is best by a measure, if that can be said of it."""
    values = [row for row in rows if math.isfinite(row.metric.value)]
    if len(values) < 2 or values[0].metric.higher_is_better is None:
        return None
    sign = -1 if values[0].metric.higher_is_better else 1
    best = min(values, key=lambda row: sign * row.metric.value)
    is_alone = sum(row.metric.value == best.metric.value for row in values) == 1
    return best.model if is_alone else None


def _plot(name: str, group: Sequence[Row], names: Sequence[str], place: Place) -> Figure | None:
    from qubo_prune.pruning.evaluation.metrics import Kind
    from qubo_prune.pruning.evaluation.tables import format_metric

    known = [row for row in group if math.isfinite(row.metric.value)]
    if not known:
        return None
    metric = known[0].metric
    scale, unit = (1e3, "ms") if metric.kind is Kind.TIME else (1.0, metric.unit)
    points = [(names.index(row.model), scale * row.metric.value) for row in known]
    errors = [scale * (row.metric.standard_error or 0.0) for row in known]
    ends = [
        y + sign * (error if math.isfinite(error) else 0.0)
        for (_, y), error in zip(points, errors, strict=True)
        for sign in (-1, 1)
    ]
    low, high = min(ends), max(ends)
    room = _MARGIN * (high - low or abs(high) or 1.0)
    x = Axis("", -0.5, len(names) - 0.5, names=tuple(map(printable, names)))
    plot = Plot(x, axis_of(unit or metric.kind.value, [high + room], low=low - room))
    for (at, y), error, row in zip(points, errors, known, strict=True):
        plot.errors([(at, y)], [error], at)
        plot.dots([(at, y)], at, [f"{row.model}: {format_metric(row.metric)}"])
    lost = len(group) - len(known)
    caption = "With one standard error." + (f" {lost} diverged." if lost else "")
    rows: tuple[list[Cell], ...] = tuple(
        [row.model, row.metric.value, row.metric.standard_error] for row in group
    )
    table = Table(("model", name, "standard error"), rows, exact=True, infinite="diverged")
    return Figure(
        place.name(f"measure-{_identifier(name)}"),
        printable(name),
        plot.to_svg(name, caption),
        caption,
        table,
    )


def _identifier(name: str) -> str:
    from qubo_prune.report.html import plain_name

    return plain_name(name) or "unnamed"


def _comparisons(rows: Sequence[Row], place: Place) -> Figure:
    """Return every number and how it compares with the original's; the CSV has all digits."""
    from qubo_prune.pruning.evaluation.tables import (
        format_change,
        format_detectable,
        format_metric,
        format_name,
        format_p_value,
        notes,
    )

    shown: tuple[list[Cell], ...] = tuple(
        [
            *(format_name(row.metric), row.model, format_metric(row.metric)),
            *(format_change(row), format_p_value(row.comparison), format_detectable(row)),
        ]
        for row in rows
    )
    columns = ("measure", "model", "value", "against the original (95 %)", "p", "detectable")
    data: tuple[list[Cell], ...] = tuple(
        [
            *(row.model, row.metric.name, row.metric.value, row.metric.standard_error),
            *(row.metric.unit, len(row.metric.samples) or None),
            *(getattr(row.comparison, each, None) for each in _COMPARED),
        ]
        for row in rows
    )
    names = ("model", "measure", "value", "standard error", "unit", "samples", *_COMPARED)
    caption = " ".join(notes(rows)) or "Every number that was measured."
    body = Table(columns, shown).to_html(
        "Comparisons", identifier=place.name("comparisons"), filters=("measure", "model")
    )
    return Figure(
        place.name("comparisons"),
        "Against the original",
        body,
        caption,
        Table(names, data, exact=True, infinite="diverged"),
    )


_COMPARED = ("change", "low", "high", "test", "p_value", "detectable")


def _facts(evaluation: Evaluation) -> str:
    facts = {
        **{
            name: ", ".join(
                str(value) for key, value in model.items() if key != "versions" and value
            )
            for name, model in evaluation.models.items()
        },
        **{
            name.replace("_", " "): str(value)
            for name, value in evaluation.settings.items()
            if isinstance(value, str | int | float) and value is not None
        },
        "seconds": f"{evaluation.seconds:.4g}",
        "why it ended": evaluation.stop_reason.value,
        "versions": ", ".join(f"{name} {each}" for name, each in evaluation.versions.items()),
    }
    return "<h3>What was evaluated</h3>" + description_list(
        {printable(name): value for name, value in facts.items() if value}
    )
