"""Tables as comma-separated values, with all digits, that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

__all__ = ["csv_text", "harmless"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a line of headings; None is an empty cell.

    Examples
    --------
    >>> print(csv_text(["block", "energy"], [["=1+1", -0.1], [None, 0.25]]), end="")
    block,energy
    '=1+1,-0.1
    ,0.25
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(harmless, columns))
    writer.writerows(
        [harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return stream.getvalue()


def harmless(text: str) -> str:
    """Return a text that a spreadsheet takes for a text: with an apostrophe if it looks like a
    formula.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
