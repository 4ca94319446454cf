"""Evaluations for people and programs: terminal, Markdown, CSV; a line for each number."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from qubo_prune.core.text import format_bytes
from qubo_prune.pruning.evaluation.comparison import Comparison
from qubo_prune.pruning.evaluation.metrics import Kind, Metric

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Row", "csv_table", "detectable", "markdown_table", "notes", "terminal_table"]

CSV_COLUMNS = (
    *("model", "measure", "kind", "value", "standard_error", "unit", "samples", "higher_is_better"),
    *("change", "is_ratio", "low", "high", "test", "p_value", "detectable"),
)


class Row(NamedTuple):
    """A number of a model, and how it compares with that of the original, if it does."""

    model: str
    metric: Metric
    comparison: Comparison | None


def terminal_table(rows: Sequence[Row]) -> Table:
    """Return a rich table that fits into 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    compared = any(row.comparison for row in rows)
    table.add_column("measure", overflow="fold")
    table.add_column("model", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    if compared:
        table.add_column("against the original", justify="right", no_wrap=True)
        table.add_column("p", justify="right", no_wrap=True)
    for _, group in groupby(rows, key=lambda row: row.metric.name):
        for position, row in enumerate(group):
            label = format_name(row.metric) if position == 0 else ""
            cells = [label, row.model, format_metric(row.metric)]
            if compared:
                cells += [format_change(row), format_p_value(row.comparison)]
            table.add_row(*map(Text, cells))
    return table


def markdown_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table, with the smallest differences that could have been seen."""
    compared = any(row.comparison for row in rows)
    columns = ["measure", "model", "value"]
    if compared:
        columns += ["against the original (95 %)", "p", "detectable"]
    lines = [columns, ["---", "---", *["---:"] * (len(columns) - 2)]]
    for row in rows:
        cells = [format_name(row.metric), row.model, format_metric(row.metric)]
        if compared:
            cells += [format_change(row), format_p_value(row.comparison), format_detectable(row)]
        lines.append(cells)
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def csv_table(rows: Sequence[Row]) -> str:
    """Return a CSV table with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for model, metric, comparison in rows:
        told = [getattr(comparison, name, None) for name in CSV_COLUMNS[8:]]
        writer.writerow(
            [
                *(model, metric.name, metric.kind.value, metric.value, metric.standard_error),
                *(metric.unit, len(metric.samples) or None, metric.higher_is_better, *told),
            ]
        )
    return text.getvalue()


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what a reader has to know of the tests of a table, a sentence each."""
    tests = {row.comparison.test for row in rows if row.comparison}
    said = {
        "paired t": "Samples, and blocks of 256 tokens of texts, are compared one by one"
        " (paired t test).",
        "McNemar": "Items are compared one by one (exact McNemar test).",
        "sign": "Times are medians; model and original took turns, so compare ratios (sign test).",
        "z": "What could not be paired is compared by its errors alone (z test).",
    }
    told = [sentence for test, sentence in said.items() if test in tests]
    if told:
        told.append("p is two-sided, and not corrected for the number of comparisons.")
    return told


def detectable(rows: Sequence[Row]) -> str:
    """Return a sentence on the smallest differences that would have been found, for tables that
    have no column for them.
    """
    found: dict[str, Row] = {}
    largest: dict[str, float] = {}
    for row in rows:
        seen = row.comparison.detectable if row.comparison else None
        if seen is not None and seen > largest.get(row.metric.name, 0.0):
            found[row.metric.name], largest[row.metric.name] = row, seen
    told = ", ".join(f"{name} {format_detectable(row)}" for name, row in found.items())
    return f"A difference of this size is found four times of five: {told}." if told else ""


def format_name(metric: Metric) -> str:
    """Return what was measured, with the examples that a prompt of a task shows.

    Examples
    --------
    >>> format_name(Metric("gsm8k exact_match", Kind.PROPORTION, 0.3, facts={"shots": 5}))
    'gsm8k exact_match, 5-shot'
    """
    shots = metric.facts.get("shots")
    return metric.name if shots is None else f"{metric.name}, {shots}-shot"


def format_metric(metric: Metric) -> str:
    """Return the value of a metric with its standard error, in units for people.

    Examples
    --------
    >>> format_metric(Metric("loss", Kind.MEAN, 2.73145, 0.0612))
    '2.731 ± 0.061'
    >>> format_metric(Metric.size("weights", 269e6, "bytes"))
    '269 MB'
    >>> format_metric(Metric.time("prefill", [0.0123, 0.0125, 0.0129]))
    '12.5 ms'
    """
    value, error = metric.value, metric.standard_error
    if math.isinf(value):
        return "diverged"
    if metric.unit == "bytes":
        return format_bytes(round(value)) if value >= 10**6 else f"{value:,.0f} bytes"
    if metric.kind is Kind.SIZE:
        return f"{value:,.0f}"
    if metric.kind is Kind.TIME:
        return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"
    if not error or not math.isfinite(error):
        return f"{value:.4g}"
    digits = _digits(error)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def format_change(row: Row) -> str:
    """Return how a number differs from the original's, with a 95 % interval.

    Examples
    --------
    >>> metric = Metric("loss", Kind.MEAN, 3.4, 0.06)
    >>> format_change(Row("cut", metric, Comparison(0.7314, 0.6712, 0.7913)))
    '+0.731 (+0.671, +0.791)'
    >>> format_change(Row("cut", metric, Comparison(1.853, 1.801, 1.9, is_ratio=True)))
    'x1.853 (1.801, 1.900)'
    """
    found = row.comparison
    if found is None:
        return ""
    if not math.isfinite(found.change):
        return "diverged" if found.change > 0 else "original diverged"
    if found.is_ratio:
        if found.low is None or found.high is None or row.metric.kind is Kind.SIZE:
            return f"x{found.change:.3f}"
        digits = 3 if found.change < 100 else 0
        return f"x{found.change:.{digits}f} ({found.low:.{digits}f}, {found.high:.{digits}f})"
    if found.low is None or found.high is None:
        return f"{found.change:+.4g}"
    digits = _digits((found.high - found.low) / 4)
    interval = f"{found.low:+.{digits}f}, {found.high:+.{digits}f}"
    return f"{found.change:+.{digits}f} ({interval})"


def format_p_value(found: Comparison | None) -> str:
    """Return a p value as one writes it.

    Examples
    --------
    >>> format_p_value(Comparison(0.1, p_value=0.0123)), format_p_value(Comparison(1, p_value=1e-9))
    ('0.012', '<0.0001')
    """
    if found is None or found.p_value is None:
        return ""
    return "<0.0001" if found.p_value < 1e-4 else f"{found.p_value:.2g}"


def format_detectable(row: Row) -> str:
    """Return the smallest difference that would have been seen."""
    found = row.comparison
    if found is None or found.detectable is None:
        return ""
    return f"x{found.detectable:.3f}" if found.is_ratio else f"{found.detectable:.2g}"


def _digits(error: float) -> int:
    """Return the decimals that show two digits of an error."""
    if not error > 0:
        return 3
    return min(8, max(0, 1 - math.floor(math.log10(error))))


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split())
