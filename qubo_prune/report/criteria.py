"""What criteria think of the blocks, as a heat map."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qubo_prune.report.figures import require_format, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qubo_prune.pruning.criteria.table import ScoreTable

__all__ = ["draw_criteria", "plot_criteria"]

_MOST_TICKS = 40


def plot_criteria(table: ScoreTable, path: str | os.PathLike[str]) -> None:
    """Draw the heat map and write it to a ``.png``, ``.pdf`` or ``.svg``.

    Parameters
    ----------
    table : ScoreTable
        Of `qubo_prune.pruning.criteria.score_table`.
    path : str or path
        An existing file is replaced.

    Raises
    ------
    InputError
        If the format is unknown or the file cannot be written.
    """
    require_format(Path(path))
    save_figure(draw_criteria(table), Path(path))


def draw_criteria(table: ScoreTable) -> Figure:
    """Return a figure of the blocks' places in the order of each criterion.

    Scores of different criteria have different units; what can be compared is the order. Where the
    table has removals, they are marked.
    """
    from matplotlib.figure import Figure

    num_criteria, size = table.scores.shape
    width = min(24.0, 4.0 + 0.22 * size)
    figure = Figure(figsize=(width, 1.8 + 0.32 * max(1, num_criteria)), layout="constrained")
    axes = figure.add_subplot()
    places = table.ranks() + 1
    image = axes.imshow(places, cmap="viridis", aspect="auto", vmin=1, vmax=max(2, size))
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("goes as number")
    bar.ax.invert_yaxis()
    axes.set_yticks(range(num_criteria), [each.name for each in table.criteria])
    step = -(-size // _MOST_TICKS)
    axes.set_xticks(range(0, size, step))
    marked = [(block, row) for row, removed in enumerate(table.removals) for block in removed or ()]
    if marked:
        columns, rows = zip(*marked, strict=True)
        axes.scatter(columns, rows, marker="x", color="red", linewidths=1.2, s=22)
    figure.suptitle("blocks in the order of each criterion" + ("; x: removed" if marked else ""))
    axes.set_xlabel("block")
    return figure
