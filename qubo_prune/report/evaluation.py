"""What an evaluation looks like: every number relative to the original's, and what it costs."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qubo_prune.core.text import plural
from qubo_prune.pruning.evaluation.metrics import Kind
from qubo_prune.report.figures import require_format, save_figure
from qubo_prune.report.theme import LEFT, Theme, drawing, grid, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qubo_prune.pruning.evaluation.evaluation import Evaluation
    from qubo_prune.pruning.evaluation.tables import Row

__all__ = ["evaluation_figure", "plot_evaluation"]


def plot_evaluation(
    evaluation: Evaluation, path: str | os.PathLike[str], *, dark: bool = False
) -> None:
    """Write the figure of an evaluation; a plot that is there is replaced.

    Parameters
    ----------
    evaluation : Evaluation
        What to draw.
    path : str or path
        The file, a ``.png``, ``.pdf`` or ``.svg``.
    dark : bool, optional
        Light on dark.

    Raises
    ------
    InputError
        If the format is unknown or the file cannot be written.
    """
    path = Path(path)
    require_format(path)
    save_figure(evaluation_figure(evaluation, dark=dark), path)


def evaluation_figure(evaluation: Evaluation, *, dark: bool = False) -> Figure:
    """Return a figure of an evaluation, one panel for each number that has an error or a spread.

    A panel shows the number of each model with one standard error, and times with all their
    repetitions; a last one, beside an original, what is left of it in sizes and times.
    """
    rows = evaluation.rows
    drawn = [row for row in rows if row.metric.kind is not Kind.SIZE]
    names = list(dict.fromkeys(row.metric.name for row in drawn))
    ratios = [row for row in rows if row.comparison and row.metric.kind in (Kind.SIZE, Kind.TIME)]
    panels = len(names) + bool(ratios)
    columns = min(3, max(1, panels))
    lines = max(1, -(-panels // columns))
    count = len(evaluation)
    with drawing(4.2 * columns, 3.0 * lines, dark=dark) as (figure, theme):
        cells = figure.add_gridspec(lines, columns)
        for position, name in enumerate(names):
            axes = figure.add_subplot(cells[position // columns, position % columns])
            these = [row for row in drawn if row.metric.name == name]
            _draw_numbers(axes, these, evaluation.names, theme)
        if ratios:
            axes = figure.add_subplot(cells[len(names) // columns, len(names) % columns])
            _draw_ratios(axes, ratios, evaluation.names, theme)
        figure.suptitle(f"{plural(count, 'model')} evaluated", **LEFT)
    return figure


def _draw_numbers(axes: Axes, rows: Sequence[Row], names: Sequence[str], theme: Theme) -> None:
    """Draw one number of every model; what diverged is counted in the title."""
    metric = rows[0].metric
    scale = 1e3 if metric.kind is Kind.TIME else 1.0
    lost = 0
    for row in rows:
        place = names.index(row.model)
        if not math.isfinite(row.metric.value):
            lost += 1
            continue
        if row.metric.kind is Kind.TIME:
            spread = np.linspace(-0.15, 0.15, len(row.metric.samples))
            axes.plot(
                place + spread, scale * row.metric.samples, ".", color=theme.soft, markersize=3
            )
        axes.errorbar(
            [place],
            [scale * row.metric.value],
            yerr=[scale * (row.metric.standard_error or 0.0)],
            fmt=theme.marker(place),
            capsize=3,
            color=theme.colour(place),
        )
    shown = [plain(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=20, ha="right", fontsize="small")
    grid(axes, theme, "y")
    axes.set_xlim(-0.5, len(names) - 0.5)
    unit = "ms" if metric.kind is Kind.TIME else metric.unit
    axes.set_title(metric.name + (f" ({lost} diverged)" if lost else ""), fontsize="medium")
    axes.set_ylabel(unit or metric.kind.value)


def _draw_ratios(axes: Axes, rows: Sequence[Row], names: Sequence[str], theme: Theme) -> None:
    """Draw what is left of the original's sizes and times, in percent, in the models' colours."""
    models = [name for name in names if any(row.model == name for row in rows)]
    measures = list(dict.fromkeys(row.metric.name for row in rows))
    height = 0.8 / len(models)
    for number, model in enumerate(models):
        these = [row for row in rows if row.model == model]
        axes.barh(
            [measures.index(row.metric.name) + (number + 0.5) * height - 0.4 for row in these],
            [100 * row.comparison.change for row in these if row.comparison],
            height=height,
            color=theme.colour(names.index(model)),
        )
    axes.axvline(100, color=theme.soft, linewidth=0.8)
    axes.set_yticks(range(len(measures)), measures, fontsize="small")
    axes.invert_yaxis()
    axes.set_title("left of the original", fontsize="medium")
    axes.set_xlabel("%")
