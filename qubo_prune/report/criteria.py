"""What criteria think of the blocks, as a heat map."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qubo_prune.report.figures import require_format, save_figure
from qubo_prune.report.theme import HEAT, drawing, integer_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qubo_prune.pruning.criteria.table import ScoreTable

__all__ = ["draw_criteria", "plot_criteria"]

_MOST_TICKS = 40


def plot_criteria(table: ScoreTable, path: str | os.PathLike[str], *, dark: bool = False) -> None:
    """Draw the heat map and write it to a ``.png``, ``.pdf`` or ``.svg``.

    Parameters
    ----------
    table : ScoreTable
        Of `qubo_prune.pruning.criteria.score_table`.
    path : str or path
        An existing file is replaced.
    dark : bool, optional
        Light on dark.

    Raises
    ------
    InputError
        If the format is unknown or the file cannot be written.
    """
    require_format(Path(path))
    save_figure(draw_criteria(table, dark=dark), Path(path))


def draw_criteria(table: ScoreTable, *, dark: bool = False) -> Figure:
    """Return a figure of the blocks' places in the order of each criterion.

    Scores of different criteria have different units; what can be compared is the order. Where the
    table has removals, they are marked.
    """
    num_criteria, size = table.scores.shape
    width = min(24.0, 4.0 + 0.22 * size)
    with drawing(width, 1.9 + 0.32 * max(1, num_criteria), dark=dark) as (figure, _theme):
        axes = figure.add_subplot()
        places = table.ranks() + 1
        image = axes.imshow(
            places, cmap=HEAT, aspect="auto", vmin=1, vmax=max(2, size), interpolation="none"
        )
        bar = figure.colorbar(image, ax=axes, pad=0.01)
        bar.set_label("goes as number")
        bar.ax.invert_yaxis()
        integer_ticks(bar.ax.yaxis, 5)
        axes.set_yticks(range(num_criteria), [each.name for each in table.criteria])
        integer_ticks(axes.xaxis, _MOST_TICKS)
        marked = [
            (block, row) for row, removed in enumerate(table.removals) for block in removed or ()
        ]
        if marked:
            columns, rows = zip(*marked, strict=True)
            # White on black stands out against all that the heat map has.
            axes.scatter(columns, rows, marker="X", color="white", edgecolors="black", s=30)
        axes.set_title(
            "blocks in the order of each criterion" + ("; X: removed" if marked else ""),
            loc="left",
        )
        axes.set_xlabel("block")
    return figure
