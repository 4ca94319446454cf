"""What studies have stored, by `benchmarks.record.save` and by ``qubo-prune bench export``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from benchmarks.record import RESULTS
from benchmarks.tables import Row, rows_of


@cache
def stored(name: str) -> list[dict[str, Any]]:
    """Return the rows of ``results/NAME.json``."""
    document = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = document["rows"]
    return rows


def one(name: str, **values: Any) -> dict[str, Any]:
    """Return the row that has these values."""
    found = [row for row in stored(name) if all(row.get(k) == v for k, v in values.items())]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows of {name} have {values}")
    return found[0]


def runs(name: str, **values: str) -> list[Row]:
    """Return the runs of a study, ``results/NAME.csv``, that have these values."""
    return [row for row in rows_of(name) if all(row[k] == v for k, v in values.items())]


def numbers(rows: list[Row], measure: str) -> list[float]:
    """Return a measure of runs, where it is known."""
    return [float(row[measure]) for row in rows if row[measure]]


def up_to(value: float, digits: int) -> str:
    """Return a number rounded up, for what is called *at most*.

    >>> up_to(0.2307, 1), up_to(0.2, 1)
    ('0.3', '0.2')
    """
    step = 10.0**-digits
    rounded = round(value, digits)
    return f"{rounded if rounded >= value else rounded + step:.{digits}f}"


def span(values: list[float], digits: int) -> tuple[str, str]:
    """Return the least and the largest value.

    >>> span([0.25, 1.5, 1.0], 1)
    ('0.2', '1.5')
    """
    return f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"


def percent(share: float, digits: int = 0) -> str:
    """Return a share in %.

    >>> percent(0.375), percent(0.375, 1)
    ('38', '37.5')
    """
    return f"{100 * share:.{digits}f}"


Values = Callable[[], tuple[object, ...]]
