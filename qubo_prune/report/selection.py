"""What a selection looks like: what was measured of each removal, and what was expected of it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qubo_prune.core.text import plural
from qubo_prune.report.figures import require_format, save_figure
from qubo_prune.report.theme import (
    LEFT,
    Theme,
    drawing,
    few_ticks,
    grid,
    integer_ticks,
    part_cells,
    plain,
    scaled_ticks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from qubo_prune.pruning.selection import Candidate, Selection

__all__ = ["plot_selection", "selection_figure"]

_BEST_SHOWN = 12


def plot_selection(
    selection: Selection, path: str | os.PathLike[str], *, dark: bool = False
) -> None:
    """Write the figure of a selection; an existing file is replaced.

    Parameters
    ----------
    selection : Selection
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
    save_figure(selection_figure(selection, dark=dark), path)


def selection_figure(selection: Selection, *, dark: bool = False) -> Figure:
    """Return a figure of a selection.

    Three panels: measured against predicted (and against the energy, where there is one), with the
    colours and marks of who proposed; the best removals with error bars, held-out beside; and which
    blocks they remove. Removals that diverged are counted in a title, not drawn.
    """
    has_energy = any(each.energy is not None for each in selection)
    proposers = list(dict.fromkeys(each.proposed_by for each in selection))
    with drawing(13 if has_energy else 10, 8.4, dark=dark) as (figure, theme):
        cells = figure.add_gridspec(2, 3 if has_energy else 2, height_ratios=(1.3, 1))
        first = figure.add_subplot(cells[0, 0])
        _draw_against(selection, first, "predicted", "predicted before measuring", theme)
        if has_energy:
            axes = figure.add_subplot(cells[0, 1])
            _draw_against(selection, axes, "energy", "energy", theme)
        _draw_best(selection, figure.add_subplot(cells[0, -1]), theme)
        _draw_blocks(selection, figure.add_subplot(cells[1, :]), theme)
        measured = plural(selection.num_evaluations, "measurement")
        figure.suptitle(f"{plural(len(selection), 'removal')}, {measured}", **LEFT)
        if proposers:
            figure.legend(
                [_mark_of(number, theme) for number in range(len(proposers))],
                [plain(each) for each in proposers],
                title="proposed by",
                loc="outside lower center",
                ncols=6,
                fontsize="small",
            )
    return figure


def _mark_of(number: int, theme: Theme) -> Line2D:
    """Return what stands in the legend for those whom one proposed."""
    from matplotlib.lines import Line2D

    marker = theme.marker(number)
    return Line2D([], [], linestyle="none", marker=marker, markersize=5, color=theme.colour(number))


def _finite(selection: Selection) -> list[Candidate]:
    return [each for each in selection if math.isfinite(each.objective)]


def _errors(values: Sequence[float]) -> list[float]:
    """Return error bars, none where nothing is known."""
    return [value if math.isfinite(value) else 0.0 for value in values]


def _draw_against(selection: Selection, axes: Axes, what: str, label: str, theme: Theme) -> None:
    shown = [each for each in _finite(selection) if getattr(each, what) is not None]
    proposers = list(dict.fromkeys(each.proposed_by for each in selection))
    for number, proposer in enumerate(proposers):
        group = [each for each in shown if each.proposed_by == proposer]
        if not group:
            continue
        axes.errorbar(
            [getattr(each, what) for each in group],
            [each.objective for each in group],
            yerr=_errors([each.standard_error for each in group]),
            fmt=theme.marker(number),
            markersize=4,
            elinewidth=0.8,
            color=theme.colour(number),
        )
    if what == "predicted" and shown:
        start = (shown[0].objective, shown[0].objective)
        axes.axline(start, slope=1, color=theme.soft, linewidth=0.8)
    grid(axes, theme)
    few_ticks(axes.xaxis)
    scaled_ticks(axes.xaxis, [getattr(each, what) for each in shown], label)
    lost = len(selection) - len(_finite(selection))
    title = f"measured against {what}" + (f" ({lost} diverged)" if lost else "")
    axes.set(title=title, ylabel=f"{selection.objective}, measured")


def _draw_best(selection: Selection, axes: Axes, theme: Theme) -> None:
    shown = _finite(selection)[:_BEST_SHOWN]
    places = np.arange(len(shown))
    axes.errorbar(
        places - 0.1,
        [each.objective for each in shown],
        yerr=_errors([each.standard_error for each in shown]),
        fmt="o",
        markersize=4,
        capsize=2,
        color=theme.colour(0),
        label="samples of the choice",
    )
    held = [
        (place, each.held_out, each.held_out_error or 0.0)
        for place, each in zip(places, shown, strict=True)
        if each.held_out is not None and math.isfinite(each.held_out)
    ]
    if held:
        at, values, errors = zip(*held, strict=True)
        axes.errorbar(
            np.array(at) + 0.1,
            values,
            yerr=_errors(errors),
            fmt="s",
            markersize=4,
            capsize=2,
            color=theme.colour(1),
            label="held-out samples",
        )
    if shown:
        axes.legend(fontsize="small")
    axes.set_xticks(places, [str(place) for place in places])
    axes.set_title("the best, with one standard error\n(differences are paired, and sharper)")
    axes.set(xlabel="removal", ylabel=selection.objective)


def _draw_blocks(selection: Selection, axes: Axes, theme: Theme) -> None:
    """Show the best removals as rows of blocks, coloured where a block is removed."""
    from matplotlib.colors import ListedColormap

    shown = selection.removals[:_BEST_SHOWN]
    table = np.array([selection.state(k) for k in range(len(shown))], np.float64)
    if len(shown):
        axes.imshow(
            table,
            aspect="auto",
            cmap=ListedColormap([theme.kept, theme.removed]),
            vmin=0,
            vmax=1,
            interpolation="none",
        )
        part_cells(axes, theme, table.shape[1], len(shown))
    ties = [f"{k}" + (" =" if k and each.tied_with_best else "") for k, each in enumerate(shown)]
    axes.set_yticks(range(len(shown)), ties)
    integer_ticks(axes.xaxis, 20)
    axes.spines[:].set_visible(False)
    axes.set(title="removed blocks (= tied with the best)", xlabel="block", ylabel="removal")
