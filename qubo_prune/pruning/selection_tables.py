"""Selections for people: one line, a terminal table, a notebook table."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import TYPE_CHECKING

from qubo_prune.core.csv_text import csv_text
from qubo_prune.core.text import format_blocks, plural, printable

if TYPE_CHECKING:
    from rich.table import Table

    from qubo_prune.pruning.selection_data import Candidate, SelectionData

__all__ = [
    "format_value_with_error",
    "notebook_table",
    "selection_csv",
    "summary",
    "terminal_table",
]

_LEFT = ("removed blocks", "proposed by")


def format_value_with_error(value: float | None, error: float | None) -> str:
    """Return a value with its standard error.

    Examples
    --------
    >>> format_value_with_error(0.7412, 0.0312), format_value_with_error(float("inf"), None)
    ('0.741 ± 0.031', 'diverged')
    """
    if value is None:
        return ""
    if not math.isfinite(value):
        return "diverged"
    if error is None or not math.isfinite(error) or error == 0:
        return f"{value:.3g}"
    return f"{value:.3g} ± {error:.2g}"


def summary(selection: SelectionData) -> str:
    """Return one line: the best removal, its value with error, and what is tied with it."""
    effort = plural(selection.num_evaluations, "measurement")
    if not len(selection):
        return f"no removal was measured; {effort}"
    best = selection.best
    label = f"{selection.objective} "
    value, error = best.objective, best.standard_error
    on = ""
    if best.held_out is not None:
        value, error, on = best.held_out, best.held_out_error or 0.0, " on held-out samples"
    ties = len(selection.ties)
    tied = ""
    if ties:
        tied = f"; {ties} other{'s' if ties > 1 else ''} cannot be told apart"
    names = ", ".join(selection.removed_names(0)) or "nothing"
    return f"remove {names}: {label}{format_value_with_error(value, error)}{on}{tied}; {effort}"


def selection_csv(selection: SelectionData) -> str:
    """Return all removals as comma-separated values; lists in a cell are separated by spaces."""
    measured = (
        *("objective", "standard_error", "above_best", "above_best_error", "tied_with_best"),
        *("held_out", "held_out_error", "predicted", "energy", "rank_in_spectrum", "proposed_by"),
    )
    return csv_text(
        ("removal", *measured, "removed", "names"),
        (
            (
                index,
                *(_plain(getattr(each, name)) for name in measured),
                " ".join(map(str, each.removed)),
                " ".join(selection.removed_names(index)),
            )
            for index, each in enumerate(selection)
        ),
    )


def terminal_table(selection: SelectionData, max_rows: int, names: bool) -> Table:
    """Return a rich table of the best `max_rows` removals, with the names of blocks if asked."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(summary(selection)), caption=escape(_caption(selection, max_rows)))
    for column in _columns(selection):
        table.add_column(
            column,
            justify="left" if column in _LEFT else "right",
            overflow="fold",
            no_wrap=column != "removed blocks",
        )
    for index, each in enumerate(selection.removals[:max_rows]):
        cells = _row(selection, index, each)
        if names:
            cells[-1] = printable(", ".join(selection.removed_names(index)))
        table.add_row(*map(escape, cells))
    return table


def notebook_table(selection: SelectionData, max_rows: int) -> str:
    """Return an HTML table of the best `max_rows` removals; everything is escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in _columns(selection))
    body = []
    for index, each in enumerate(selection.removals[:max_rows]):
        hint = html.escape(", ".join(selection.removed_names(index)))
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in _row(selection, index, each))
        body.append(f'<tr title="{hint}">{cells}</tr>')
    return (
        f"<table><caption>{html.escape(summary(selection))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f"<p>{html.escape(_caption(selection, max_rows))}</p>"
    )


def _plain(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _columns(selection: SelectionData) -> list[str]:
    columns = ["#", selection.objective, "held out", "above best", "tied", "predicted", "energy"]
    if all(each.held_out is None for each in selection):
        columns.remove("held out")
    if all(each.energy is None for each in selection):
        columns.remove("energy")
    shares = [] if selection.parameter_counts is None else ["parameters"]
    if selection.weights not in (None, selection.parameter_counts):
        shares.append(_weight_name(selection) or "weight")
    return [*columns, *shares, "proposed by", "removed blocks"]


def _weight_name(selection: SelectionData) -> str:
    """Return what blocks weigh, in a word; of a file its name, wherever it is."""
    return Path(selection.weights_of or "").name


def _row(selection: SelectionData, index: int, each: Candidate) -> list[str]:
    energy = ""
    if each.energy is not None:
        rank = "" if each.rank_in_spectrum is None else f" (#{each.rank_in_spectrum})"
        energy = f"{each.energy:.4g}{rank}"
    parameters = selection.parameters_removed(index)
    weight = selection.weight_removed(index)
    cells = {
        "#": str(index),
        _weight_name(selection) or "weight": "" if weight is None else f"-{weight[1]:.1%}",
        "parameters": "" if parameters is None else f"-{parameters[1]:.1%}",
        selection.objective: format_value_with_error(each.objective, each.standard_error),
        "held out": format_value_with_error(each.held_out, each.held_out_error),
        "above best": ""
        if index == 0
        else format_value_with_error(each.above_best, each.above_best_error),
        "tied": "" if index == 0 else ("yes" if each.tied_with_best else "no"),
        "predicted": "" if each.predicted is None else f"{each.predicted:.3g}",
        "energy": energy,
        "proposed by": each.proposed_by,
        "removed blocks": format_blocks(each.removed),
    }
    return [cells[column] for column in _columns(selection)]


def _caption(selection: SelectionData, max_rows: int) -> str:
    hidden = len(selection) - max_rows
    more = f"{hidden} more removals are not shown. " if hidden > 0 else ""
    if selection.at_least is not None:
        what = _weight_name(selection) or "the weight"
        more += f"All remove at least {selection.at_least} of {what}. "
    held_out = (
        f"Chosen on one part of the samples; {selection.num_held_out} measured on the held-out one."
        if selection.num_held_out
        else "Measured on the samples of the choice only, so the best looks a little too good."
    )
    return f"{more}{held_out} Differences are paired, sample by sample."
