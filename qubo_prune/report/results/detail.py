"""How much a page shows, how its figures are named, and what else is on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qubo_prune.report.html import plain_name

if TYPE_CHECKING:
    from qubo_prune.hessians.diagnostics import Diagnosis

__all__ = ["DETAILS", "Detail", "Place", "slug"]


@dataclass(frozen=True)
class Detail:
    """How much is shown.

    Attributes
    ----------
    rows : int
        Of tables.
    map_rows : int
        Of maps.
    cells : int
        Blocks on each side of a matrix.
    """

    rows: int
    map_rows: int
    cells: int


DETAILS = (
    Detail(1000, 100, 200),
    Detail(300, 60, 160),
    Detail(100, 40, 100),
    Detail(30, 20, 60),
    Detail(10, 10, 0),
)
"""From the most to the least: what makes a page too large is left out step by step."""


@dataclass(frozen=True)
class Place:
    """What a file's part of a page goes by.

    Attributes
    ----------
    source : str
        What the user wrote.
    identifier : str
        Before the names of its figures, and what the page's address calls it.
    detail : Detail
        How much is shown.
    hessians : mapping of str to Diagnosis
        Of the page, by the hash that files made with them name.
    """

    source: str
    identifier: str
    detail: Detail
    hessians: Mapping[str, Diagnosis] = field(default_factory=dict)

    def name(self, what: str) -> str:
        """Return the name of a figure."""
        return f"{self.identifier}-{what}"

    def rest(self, count: int, what: str) -> str:
        """Return a sentence on the rows that are not shown, or nothing."""
        left = count - self.detail.rows
        if left <= 0:
            return ""
        return (
            f"The first {self.detail.rows} of {count} {what}; `qubo-prune show --csv` prints all."
        )


def slug(text: str) -> str:
    """Return a text in the letters that file names and addresses have everywhere.

    >>> slug("runs/lowest 8.json"), slug("</script>"), slug("...")
    ('lowest-8', 'script', 'file')
    """
    stem = text.rstrip("/").rpartition("/")[2]
    for suffix in (".json", ".npz", ".npy", ".jsonl", ".pt", ".checkpoint"):
        stem = stem.removesuffix(suffix)
    return plain_name(stem) or "file"
