"""What a selection looks like: what was measured of each removal, and what was expected of it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qubo_prune.report.figures import require_format, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qubo_prune.pruning.selection import Candidate, Selection

__all__ = ["plot_selection", "selection_figure"]

_BEST_SHOWN = 12


def plot_selection(selection: Selection, path: str | os.PathLike[str]) -> None:
    """Write the figure of a selection; an existing file is replaced.

    Parameters
    ----------
    selection : Selection
        What to draw.
    path : str or path
        The file, a ``.png``, ``.pdf`` or ``.svg``.

    Raises
    ------
    InputError
        If the format is unknown or the file cannot be written.
    """
    path = Path(path)
    require_format(path)
    save_figure(selection_figure(selection), path)


def selection_figure(selection: Selection) -> Figure:
    """Return a figure of a selection.

    Three panels: measured against predicted (and against the energy, where there is one), coloured
    by who proposed; the best removals with error bars, held-out beside; and which blocks they
    remove. Removals that diverged are counted in a title, not drawn.
    """
    from matplotlib.figure import Figure

    has_energy = any(each.energy is not None for each in selection)
    figure = Figure(figsize=(13 if has_energy else 10, 8), layout="constrained")
    grid = figure.add_gridspec(2, 3 if has_energy else 2)
    _draw_against(
        selection, figure.add_subplot(grid[0, 0]), "predicted", "predicted before measuring"
    )
    if has_energy:
        _draw_against(selection, figure.add_subplot(grid[0, 1]), "energy", "energy")
    _draw_best(selection, figure.add_subplot(grid[0, -1]))
    _draw_blocks(selection, figure.add_subplot(grid[1, :]))
    figure.suptitle(f"{len(selection)} removals, {selection.num_evaluations} measurements")
    return figure


def _finite(selection: Selection) -> list[Candidate]:
    return [each for each in selection if math.isfinite(each.objective)]


def _errors(values: Sequence[float]) -> list[float]:
    """Return error bars, none where nothing is known."""
    return [value if math.isfinite(value) else 0.0 for value in values]


def _draw_against(selection: Selection, axes: Axes, what: str, label: str) -> None:
    shown = [each for each in _finite(selection) if getattr(each, what) is not None]
    proposers = list(dict.fromkeys(each.proposed_by for each in shown))
    for number, proposer in enumerate(proposers):
        group = [each for each in shown if each.proposed_by == proposer]
        axes.errorbar(
            [getattr(each, what) for each in group],
            [each.objective for each in group],
            yerr=_errors([each.standard_error for each in group]),
            fmt="o",
            markersize=4,
            elinewidth=0.8,
            color=f"C{number % 10}",
            label=proposer,
        )
    if what == "predicted" and shown:
        axes.axline((shown[0].objective, shown[0].objective), slope=1, color="grey", linewidth=0.8)
    if shown:
        axes.legend(title="proposed by", fontsize="small")
    lost = len(selection) - len(_finite(selection))
    title = f"measured against {what}" + (f" ({lost} diverged)" if lost else "")
    axes.set(title=title, xlabel=label, ylabel=f"{selection.objective}, measured")


def _draw_best(selection: Selection, axes: Axes) -> None:
    shown = _finite(selection)[:_BEST_SHOWN]
    places = np.arange(len(shown))
    axes.errorbar(
        places - 0.1,
        [each.objective for each in shown],
        yerr=_errors([each.standard_error for each in shown]),
        fmt="o",
        markersize=4,
        capsize=2,
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
            label="held-out samples",
        )
    if shown:
        axes.legend(fontsize="small")
    axes.set_xticks(places, [str(place) for place in places])
    axes.set_title("the best, with one standard error\n(differences are paired, and sharper)")
    axes.set(xlabel="removal", ylabel=selection.objective)


def _draw_blocks(selection: Selection, axes: Axes) -> None:
    """Show the best removals as rows of blocks, red where a block is removed."""
    from matplotlib.colors import ListedColormap

    shown = selection.removals[:_BEST_SHOWN]
    table = np.array([selection.state(k) for k in range(len(shown))], np.float64)
    if len(shown):
        axes.imshow(
            table,
            aspect="auto",
            cmap=ListedColormap(["#eeeeee", "#c0392b"]),
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )
    ties = [f"{k}" + (" =" if k and each.tied_with_best else "") for k, each in enumerate(shown)]
    axes.set_yticks(range(len(shown)), ties)
    axes.set(title="removed blocks (= tied with the best)", xlabel="block", ylabel="removal")
