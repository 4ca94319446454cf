"""Spectra for people: one line, a terminal table, a notebook table."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from qubo_prune.core.csv_text import csv_text
from qubo_prune.core.errors import InputError
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.text import format_blocks, format_count, plural, printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from qubo_prune.core.spectrum.view import SpectrumView

STATE_COLUMNS = ("state", "energy", "above_lowest", "proven", "removed", "names")
_COLUMNS = ("#", "energy", "above lowest", "removed blocks", "proven")


def summary(spectrum: SpectrumView) -> str:
    """Return one line: how many states of what, by whom, how much of it is proven."""
    if spectrum.status is Status.PROVEN:
        proof = "proven to be the lowest"
    elif spectrum.num_proven:
        proof = f"the first {spectrum.num_proven} proven to be the lowest"
    else:
        proof = "none proven yet" if spectrum.status is Status.PARTIAL else "not proven"
    lowest = f"; lowest energy {spectrum.energies[0]:.9g}" if len(spectrum) else ""
    return printable(
        f"{plural(len(spectrum), 'state')} by {spectrum.backend}, {proof}, "
        f"of {_choice(spectrum)} of {plural(spectrum.num_blocks, 'block')}"
        f"{budget_text(spectrum)}{lowest}"
    )


def listing(spectrum: SpectrumView, max_rows: int) -> str:
    """Return the summary and the first `max_rows` states, a line each."""
    rows = [_COLUMNS, *_rows(spectrum, max_rows, names=False)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = [summary(spectrum)]
    for index, energy, above, removed, proven in rows if len(rows) > 1 else ():
        numbers = zip((index, energy, above, proven), (*widths[:3], widths[4]), strict=True)
        lines.append("  ".join([*(cell.rjust(width) for cell, width in numbers), removed]))
    hidden = len(spectrum) - max_rows
    return "\n".join(lines + ([f"... and {format_count(hidden)} more"] if hidden > 0 else []))


def data_frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a DataFrame.

    Raises
    ------
    InputError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise InputError(
            "a DataFrame needs pandas, which is not installed; install it with: pip install pandas."
        ) from error
    return pd.DataFrame(rows, columns=list(columns))


def spectrum_rows(spectrum: SpectrumView) -> list[dict[str, Any]]:
    """Return the states, a row each."""
    lowest = spectrum.energies[0] if len(spectrum) else 0.0
    return [
        {
            "state": index,
            "energy": float(spectrum.energies[index]),
            "above_lowest": float(spectrum.energies[index] - lowest),
            "proven": index < spectrum.num_proven,
            "removed": spectrum.removed(index),
            "names": spectrum.removed_names(index),
        }
        for index in range(len(spectrum))
    ]


def spectrum_csv(spectrum: SpectrumView) -> str:
    """Return all states as comma-separated values; lists in a cell are separated by spaces."""
    return csv_text(
        STATE_COLUMNS,
        (
            (
                *(row["state"], row["energy"], row["above_lowest"]),
                "yes" if row["proven"] else "no",
                *(" ".join(map(str, row["removed"])), " ".join(row["names"])),
            )
            for row in spectrum_rows(spectrum)
        ),
    )


def parameters_removed(spectrum: SpectrumView) -> tuple[list[int], list[float]] | None:
    """Return for each state how many parameters its blocks have, and which share of those of all
    blocks that is; None where nobody knows.
    """
    counts = spectrum.parameter_counts
    if counts is None:
        return None
    removed = [sum(counts[block] for block in spectrum.removed(k)) for k in range(len(spectrum))]
    total = sum(counts)
    return removed, [count / total if total else 0.0 for count in removed]


def weight_removed(spectrum: SpectrumView) -> tuple[list[float], list[float]] | None:
    """Return for each state what its blocks weigh, and which share of the sum of all weights that
    is; None without a budget.
    """
    budget = spectrum.budget
    if budget is None:
        return None
    removed = budget.removed(spectrum.states).tolist()
    return [budget.amount(each) for each in removed], [
        each / (budget.total or 1) for each in removed
    ]


def budget_text(spectrum: SpectrumView) -> str:
    """Return what has to go besides the count, as ``, at least 20% of their weight``; nothing
    without a budget.
    """
    if spectrum.at_least is None:
        return ""
    what = "parameters" if spectrum.weights == spectrum.parameter_counts else "weight"
    if isinstance(spectrum.at_least, str):
        return f", at least {spectrum.at_least} of their {what}"
    return f", at least {spectrum.at_least:,} of their {what}"


def terminal_table(spectrum: SpectrumView, max_rows: int, *, names: bool = False) -> Table:
    """Return a rich table of the first `max_rows` states, with the names of the blocks if asked,
    and the share of parameters where their numbers are known.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(summary(spectrum)), caption=escape(_caption(spectrum, max_rows)))
    parameters = parameters_removed(spectrum)
    weight = None if spectrum.weights == spectrum.parameter_counts else weight_removed(spectrum)
    counts = ["M"] if spectrum.remove is None else []
    columns = [*_COLUMNS, *(["parameters"] if parameters else []), *(["weight"] if weight else [])]
    columns += counts
    for column in columns:
        table.add_column(
            column,
            justify="left" if column == "removed blocks" else "right",
            overflow="fold",
            no_wrap=column != "removed blocks",
        )
    for index, row in enumerate(_rows(spectrum, max_rows, names)):
        shares = [f"-{each[1][index]:.1%}" for each in (parameters, weight) if each]
        count = [str(len(spectrum.removed(index)))] if counts else []
        table.add_row(*map(escape, row), *shares, *count)
    return table


def notebook_table(spectrum: SpectrumView, max_rows: int) -> str:
    """Return an HTML table of the first `max_rows` states; everything is escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in _COLUMNS)
    body = []
    for index, row in enumerate(_rows(spectrum, max_rows, names=False)):
        hint = html.escape(printable(", ".join(spectrum.removed_names(index))))
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        body.append(f'<tr title="{hint}">{cells}</tr>')
    return (
        f"<table><caption>{html.escape(summary(spectrum))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f"<p>{html.escape(_caption(spectrum, max_rows))}</p>"
    )


class _Asked(Protocol):
    """Whatever says how many blocks were to be removed."""

    @property
    def remove(self) -> int | dict[str, int] | None: ...


def removal(asked: _Asked) -> str:
    """Return what was asked to be removed, as ``8`` or ``2 attention + 3 mlp``."""
    if asked.remove is None:
        return "any number"
    if isinstance(asked.remove, int):
        return str(asked.remove)
    return " + ".join(f"{count} {kind}" for kind, count in asked.remove.items()) or "0"


def _choice(spectrum: SpectrumView) -> str:
    """Return of how many states, as ``29e9 that remove 8``."""
    up_to = "" if spectrum.at_least is None else "up to "
    return f"{up_to}{format_count(spectrum.num_states_total)} that remove {removal(spectrum)}"


def _rows(spectrum: SpectrumView, max_rows: int, names: bool) -> list[tuple[str, ...]]:
    shown = min(len(spectrum), max_rows)
    return [
        (
            str(index),
            f"{spectrum.energies[index]:.9g}",
            f"{spectrum.energies[index] - spectrum.energies[0]:.3g}",
            _removed(spectrum, index, names),
            "yes" if index < spectrum.num_proven else "no",
        )
        for index in range(shown)
    ]


def _removed(spectrum: SpectrumView, index: int, names: bool) -> str:
    if names:
        return printable(", ".join(spectrum.removed_names(index)))
    return format_blocks(spectrum.removed(index))


def _caption(spectrum: SpectrumView, max_rows: int) -> str:
    hidden = len(spectrum) - max_rows
    more = ""
    if hidden > 0:
        more = f"{plural(hidden, 'more state is', 'more states are')} not shown. "
    has_names = spectrum.names != tuple(map(str, range(spectrum.num_blocks)))
    lowest = ""
    if has_names and len(spectrum):
        lowest = f" The lowest removes {', '.join(spectrum.removed_names(0)) or 'nothing'}."
    return printable(more + spectrum.advice + lowest)
