"""A symmetric matrix as a picture: blue below zero, orange above, in steps that both schemes of a
page can show.
"""

from __future__ import annotations

import math
from html import escape
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from qubo_prune.report.svg import Axis, ticks

__all__ = ["heat_map"]

_SIZE = 480.0
_LEFT, _TOP, _BELOW, _RIGHT = 46.0, 6.0, 40.0, 110.0
_STEPS = 5


def heat_map(values: NDArray[np.float64], limit: float, description: str) -> str:
    """Return a matrix as an element of a page; a figure's file, with a column of names before it,
    says what each cell is.

    Parameters
    ----------
    values : (N, N) array
        NaN is left blank.
    limit : float
        What has the strongest colour, and all beyond it.
    description : str
        What it shows in words, for who cannot see it.

    Examples
    --------
    >>> svg = heat_map(np.array([[np.nan, 1.0], [-1.0, np.nan]]), 1.0, "Two blocks.")
    >>> "pos-5" in svg, "neg-5" in svg, "pos-4" in svg.split("</g>")[0]
    (True, True, False)
    """
    size = len(values)
    scale = _SIZE / max(1, size)
    with np.errstate(invalid="ignore"):
        levels = np.clip(np.round(values / limit * _STEPS), -_STEPS, _STEPS)
    paths: dict[int, list[str]] = {}
    for row in range(size):
        column = 0
        for level, group in groupby(levels[row].tolist()):
            count = len(list(group))
            if not math.isnan(level):
                paths.setdefault(int(level), []).append(f"M{column},{row}.5h{count}")
            column += count
    cells = "".join(
        f'<path class="cell {_class(level)}" d="{"".join(path)}"/>'
        for level, path in sorted(paths.items())
        if level
    )
    total, height = _LEFT + _SIZE + _RIGHT, _TOP + _SIZE + _BELOW
    frame = f'x="{_LEFT:.0f}" y="{_TOP:.0f}" width="{_SIZE:.0f}" height="{_SIZE:.0f}"'
    return (
        f'<svg viewBox="0 0 {total:.0f} {height:.0f}" role="img"'
        f' aria-label="{escape(description, quote=True)}">'
        f'<g transform="translate({_LEFT:.0f},{_TOP:.0f})scale({scale:.4f})">{cells}</g>'
        f'<rect class="frame" {frame}/><rect class="over" {frame}/>{_axes(size, scale)}'
        f"{_scale(limit)}</svg>"
    )


def _class(level: int) -> str:
    return f"pos-{level}" if level > 0 else f"neg-{-level}"


def _axes(size: int, scale: float) -> str:
    parts = []
    for block in ticks(Axis("block", 0, max(1, size - 1), whole=True)):
        if block > size - 1:
            continue
        at = (block + 0.5) * scale
        parts.append(
            f'<text x="{_LEFT + at:.1f}" y="{_TOP + _SIZE + 16:.0f}" class="middle">{block:.0f}'
            f'</text><text x="{_LEFT - 6:.0f}" y="{_TOP + at:.1f}" dy="0.35em" class="end">'
            f"{block:.0f}</text>"
        )
    parts.append(
        f'<text x="{_LEFT + _SIZE / 2:.0f}" y="{_TOP + _SIZE + 34:.0f}" class="middle">block</text>'
    )
    return "".join(parts)


def _scale(limit: float) -> str:
    """Return what the colours mean, beside the matrix."""
    left, step = _LEFT + _SIZE + 16, 22.0
    parts = []
    for place, level in enumerate(range(_STEPS, -_STEPS - 1, -1)):
        y = _TOP + step * (place + 0.5)
        if level:
            line = f"M{left:.0f},{y:.0f}h22"
            parts.append(
                f'<path class="cell {_class(level)}" d="{line}" style="stroke-width:{step:.0f}"/>'
            )
        parts.append(
            f'<text x="{left + 30:.0f}" y="{y:.0f}" dy="0.35em">{level / _STEPS * limit:+.2g}'
            "</text>"
            if level
            else f'<text x="{left + 30:.0f}" y="{y:.0f}" dy="0.35em">0</text>'
        )
    return "".join(parts)
