"""Tables of a page: the same cells on it and in the CSV that it offers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from urllib.parse import quote

from qubo_prune.core.csv_text import harmless

__all__ = ["Cell", "Table", "format_cell", "link_to_csv"]

Cell = str | float | int | None

_DIGITS = 4


def format_cell(cell: Cell, digits: int = _DIGITS, infinite: str = "never") -> str:
    """Return a cell as a page has it; nothing for what is not known.

    Examples
    --------
    >>> [format_cell(cell) for cell in (0.123456, 1234567.0, 12, None, "tabu", float("inf"))]
    ['0.1235', '1.235e+06', '12', '', 'tabu', 'never']
    """
    if cell is None:
        return ""
    if isinstance(cell, float):
        if math.isinf(cell):
            return infinite
        return "" if math.isnan(cell) else f"{cell:.{digits}g}"
    return str(cell)


@dataclass(frozen=True)
class Table:
    """Rows under headings.

    Attributes
    ----------
    columns : tuple of str
        Headings.
    rows : tuple of sequences of (str, float, int or None)
        Cells.
    classes : mapping of (int, int) to str
        CSS classes of some cells, by row and column.
    hints : mapping of (int, int) to str
        What shows where the pointer rests on a cell.
    about : dict of str to str
        What each heading means, where its words do not say it.
    digits : dict of str to int
        How many digits numbers of a column have on the page, where 4 are not enough.
    exact : bool
        Whether the CSV has all digits; else it has those of the page.
    infinite : str
        What an infinite number is called: ``never`` of times, ``diverged`` of losses.
    """

    columns: tuple[str, ...]
    rows: tuple[Sequence[Cell], ...]
    classes: dict[tuple[int, int], str] = field(default_factory=dict)
    hints: dict[tuple[int, int], str] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    digits: dict[str, int] = field(default_factory=dict)
    exact: bool = False
    infinite: str = "never"

    def to_csv(self) -> str:
        """Return it as comma-separated values.

        A text that a spreadsheet would take for a formula gets an apostrophe before it.
        """
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(map(harmless, self.columns))
        writer.writerows([self._plain(cell) for cell in row] for row in self.rows)
        return stream.getvalue()

    def _plain(self, cell: Cell) -> str:
        if self.exact and isinstance(cell, float) and math.isfinite(cell):
            return repr(float(cell))
        text = format_cell(cell, infinite=self.infinite)
        return harmless(text) if isinstance(cell, str) else text

    def to_json(self) -> list[list[str | float | int | None]]:
        """Return the rows as JSON has them: exact numbers, an infinite one as the page says it."""
        return [
            [
                format_cell(cell, infinite=self.infinite)
                if isinstance(cell, float) and not math.isfinite(cell)
                else cell
                for cell in row
            ]
            for row in self.rows
        ]

    def to_html(
        self,
        caption: str,
        *,
        identifier: str = "",
        filters: Sequence[str] = (),
    ) -> str:
        """Return it as a table that the page's script can sort.

        Parameters
        ----------
        caption : str
            What it is, for who cannot see it.
        identifier : str
            What the page's address calls it; one without it cannot be sorted.
        filters : sequence of str
            Columns whose values can be chosen from.
        """
        sortable = f' data-sort="{escape(identifier, quote=True)}"' if identifier else ""
        head = "".join(
            self._heading(name, bool(identifier), name in filters) for name in self.columns
        )
        body = "".join(
            f"<tr{self._series(r)}>" + "".join(self._cell(r, c) for c in range(len(row)))
            for r, row in enumerate(self.rows)
        )
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
            f"<table{sortable}{self._number_columns()}><caption>{escape(caption)}</caption>"
            f"<thead><tr>{head}</thead><tbody>{body}</tbody></table></div>"
        )

    def _heading(self, name: str, sortable: bool, filtered: bool) -> str:
        about = f' title="{escape(self.about[name])}"' if name in self.about else ""
        choice = ' data-filter="1"' if filtered else ""
        text = escape(name)
        if sortable:
            return f'<th scope="col"{about}{choice}><button type="button">{text}</button>'
        return f'<th scope="col"{about}{choice}>{text}'

    def _series(self, row: int) -> str:
        backend = self.columns.index("backend") if "backend" in self.columns else None
        if backend is None:
            return ""
        return f' data-backend="{escape(str(self.rows[row][backend]), quote=True)}"'

    def _number_columns(self) -> str:
        """Return the classes of a table that set its columns of numbers flush right."""
        names = [
            f"number-{column + 1}"
            for column in range(len(self.columns))
            if all(isinstance(row[column], int | float | None) for row in self.rows)
        ]
        return f' class="{" ".join(names)}"' if names else ""

    def _cell(self, row: int, column: int) -> str:
        # A page may have ten thousands of cells: no end tags, and quotes only where needed.
        attributes = ""
        if classes := self.classes.get((row, column)):
            attributes += (
                f" class={classes}" if classes.isalnum() else f' class="{escape(classes)}"'
            )
        if hint := self.hints.get((row, column)):
            attributes += f' title="{escape(hint)}"'
        digits = self.digits.get(self.columns[column], _DIGITS)
        cell = self.rows[row][column]
        is_count = isinstance(cell, int) and not isinstance(cell, bool)
        text = f"{cell:,}" if is_count else format_cell(cell, digits, self.infinite)
        return f"<td{attributes}>{escape(text)}"


def link_to_csv(table: Table, name: str) -> str:
    """Return a link that saves a table, which is in the link itself, under a file name."""
    address = "data:text/csv;charset=utf-8," + quote(table.to_csv(), safe=" ,;:()'*+-./=@_")
    return (
        f'<a class="csv" download="{escape(name)}.csv" href="{escape(address, quote=True)}"'
        f' aria-label="data of {escape(name)} as CSV">CSV</a>'
    )
