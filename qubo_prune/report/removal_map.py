"""Which blocks removals remove, a row each, red where a block is removed; and the layers of a model
as a stack: inline SVG, coloured by the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from qubo_prune.report.svg import COLOURS, Axis, ticks

__all__ = ["MapRow", "key", "layer_stack", "removal_map"]

_WIDTH = 640.0
_LEFT, _RIGHT, _TOP = 46.0, 104.0, 22.0
_AXIS = 54.0
_BAND = 10.0
_ROOM_OF_TEXT = 15.0
"""Between lines; where a page is narrow, every other line is left out."""

_THINNEST = 1.5
"""So that what is removed of very many blocks can be seen."""

_MOST_IN_A_LINE = 16
_GAP = 4.0


class MapRow(NamedTuple):
    """A row of a map.

    Attributes
    ----------
    label : str
        On its left.
    removed : sequence of int
        Ascending indices of the removed blocks.
    text : str
        On its right.
    hint : str
        What shows where the pointer rests on it.
    """

    label: str
    removed: Sequence[int]
    text: str
    hint: str


def removal_map(
    rows: Sequence[MapRow],
    num_blocks: int,
    *,
    label: str,
    right: str,
    description: str,
    kinds: Sequence[str] | None = None,
    num_proven: int | None = None,
) -> str:
    """Return a map as an element of a page.

    Parameters
    ----------
    rows : sequence of MapRow
        From the top.
    num_blocks : int
        N.
    label, right : str
        What the labels and the texts of the rows are.
    description : str
        What it shows in words, for who cannot see it.
    kinds : sequence of str, optional
        Of each block: a band below.
    num_proven : int, optional
        After how many rows a line is drawn, below which nothing is proven.

    Examples
    --------
    >>> svg = removal_map(
    ...     [MapRow("0", [1, 2], "0.5", "removes 1, 2")], 4, label="state", right="energy",
    ...     description="A state.",
    ... )
    >>> svg.count('class="row"'), 'd="M168.5,' in svg
    (1, True)
    """
    cell = (_WIDTH - _LEFT - _RIGHT) / max(1, num_blocks)
    height = 16.0 if len(rows) <= 40 else 9.0
    bottom = _TOP + height * len(rows)
    every = max(1, math.ceil(_ROOM_OF_TEXT / height))
    parts = [
        f'<text x="0" y="14">{escape(label)}</text>'
        f'<text x="{_WIDTH - _RIGHT + 8:.0f}" y="14">{escape(right)}</text>'
    ]
    for place, row in enumerate(rows):
        top = _TOP + place * height
        marks = "".join(
            f"M{_number(_LEFT + first * cell)},{_number(top)}h{_number(width)}"
            f"v{_number(height)}h{_number(-width)}z"
            for first, count in _runs(row.removed)
            for width in [max(_THINNEST, count * cell)]
        )
        middle = f'y="{_number(top + height / 2)}" dy="0.35em"'
        texts = ""
        if place % every == 0:
            odd = " odd" if place // every % 2 else ""
            texts = (
                f'<text x="{_LEFT - 6:.0f}" {middle} class="end{odd}">{escape(row.label)}</text>'
                f'<text x="{_WIDTH - _RIGHT + 8:.0f}" {middle} class="start{odd}">'
                f"{escape(row.text)}</text>"
            )
        parts.append(
            f'<g class="row"><title>{escape(row.hint)}</title><rect class="kept" x="{_LEFT:.0f}"'
            f' y="{_number(top)}" width="{_number(_WIDTH - _LEFT - _RIGHT)}"'
            f' height="{_number(height)}"/><path class="cut" d="{marks}"/>{texts}</g>'
        )
    parts.append(_rulers(num_blocks, cell, bottom))
    if num_proven is not None and 0 < num_proven < len(rows):
        at = _number(_TOP + num_proven * height)
        parts.append(
            f'<path class="guide" d="M{_LEFT:.0f},{at}H{_WIDTH:.0f}"/>'
            f'<text x="{_WIDTH:.0f}" y="{at}" dy="-0.3em" class="end">proven</text>'
        )
    band = _band(kinds, cell, bottom + 3) if kinds is not None and len(set(kinds)) > 1 else ""
    middle_of_axis = (_LEFT + _WIDTH - _RIGHT) / 2
    total = bottom + _AXIS + (_BAND if band else 0)
    parts.append(
        f'{band}<text x="{middle_of_axis:.0f}" y="{total - 5:.0f}" class="middle">block</text>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {total:.0f}" role="img"'
        f' aria-label="{escape(description, quote=True)}">{"".join(parts)}</svg>'
    )


def key(entries: Sequence[tuple[str, int]]) -> str:
    """Return what colours mean: words, each with the number of its colour.

    Examples
    --------
    >>> key([("proven", 0)])
    '<p class="key"><span><i class="colour-0"></i>proven</span></p>'
    """
    spans = "".join(
        f'<span><i class="colour-{number % COLOURS}"></i>{escape(word)}</span>'
        for word, number in entries
    )
    return f'<p class="key">{spans}</p>'


def layer_stack(
    names: Sequence[str], removed: Sequence[int], hints: Sequence[str], description: str
) -> str:
    """Return the layers of a model, in the order of the model, those removed crossed out."""
    lines = -(-len(names) // _MOST_IN_A_LINE)
    per_line = -(-len(names) // lines) if lines else 1
    width = (_WIDTH - _GAP) / per_line
    height = 34.0
    gone = set(removed)
    parts = []
    for block in range(len(names)):
        x, y = _GAP + block % per_line * width, _GAP + block // per_line * (height + _GAP)
        box = (
            f'x="{_number(x)}" y="{_number(y)}" width="{_number(width - _GAP)}" height="34" rx="4"'
        )
        middle = f'x="{_number(x + (width - _GAP) / 2)}" y="{_number(y + 17)}" dy="0.35em"'
        is_gone = block in gone
        cross = (
            f'<path class="frame" d="M{_number(x)},{_number(y + 34)}l{_number(width - _GAP)},-34"/>'
            if is_gone
            else ""
        )
        parts.append(
            f'<g class="row"><title>{escape(hints[block])}</title>'
            f'<rect class="{"cut" if is_gone else "kept"}" {box}/>{cross}'
            f'<text {middle} class="middle{" cut-text" if is_gone else ""}">{block}</text></g>'
        )
    total = _GAP + lines * (height + _GAP)
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {total:.0f}" role="img"'
        f' aria-label="{escape(description, quote=True)}">{"".join(parts)}</svg>'
    )


def _runs(removed: Sequence[int]) -> list[tuple[int, int]]:
    """Return ascending indices as (first, how many) of those that follow each other."""
    groups = groupby(enumerate(removed), key=lambda pair: pair[1] - pair[0])
    runs = [[block for _, block in group] for _, group in groups]
    return [(run[0], len(run)) for run in runs]


def _rulers(num_blocks: int, cell: float, bottom: float) -> str:
    """Return numbers below the blocks, and lines that lead up from them."""
    parts = []
    for block in ticks(Axis("block", 0, max(1, num_blocks - 1), whole=True)):
        if block > num_blocks - 1:
            continue
        at = _number(_LEFT + (block + 0.5) * cell)
        left = _number(_LEFT + block * cell)
        parts.append(
            f'<path class="grid" d="M{left},{_TOP:.0f}V{_number(bottom)}"/>'
            f'<text x="{at}" y="{_number(bottom + 16 + _BAND)}" class="middle">{block:.0f}</text>'
        )
    return "".join(parts)


def _band(kinds: Sequence[str], cell: float, top: float) -> str:
    """Return a stripe of the blocks' kinds."""
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    parts = []
    for kind, group in groupby(range(len(kinds)), key=lambda block: kinds[block]):
        blocks = list(group)
        parts.append(
            f'<rect class="fill colour-{numbers[kind] % COLOURS}"'
            f' x="{_number(_LEFT + blocks[0] * cell)}" y="{_number(top)}"'
            f' width="{_number(len(blocks) * cell)}" height="{_BAND - 4:.0f}">'
            f"<title>{escape(kind)}</title></rect>"
        )
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
