"""How runs of a benchmark came nearer: the best energy and what was proven, along time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import plural
from qubo_prune.report.figures import require_format, save_figure
from qubo_prune.report.theme import (
    DASHES,
    LEFT,
    Theme,
    drawing,
    few_ticks,
    grid,
    plain,
    scaled_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qubo_prune.bench.results import Run

__all__ = ["convergence_figure", "plot_convergence"]

_MOST_PANELS = 9
_COLUMNS = 3
_SOON = 1e-3
"""Seconds before which nothing is told apart."""

_Task = tuple[str, str, int, int]


def plot_convergence(
    runs: Iterable[Run], path: str | os.PathLike[str], *, dark: bool = False
) -> None:
    """Write the figure of runs; a plot that is there is replaced, another file is not.

    Parameters
    ----------
    runs : iterable of Run
        What to draw, as `qubo_prune.bench.read_results(["results.jsonl"]).runs`.
    path : str or path
        The file, a ``.png``, ``.pdf`` or ``.svg``.
    dark : bool, optional
        Light on dark.

    Raises
    ------
    InputError
        If no run has a trace, the format is unknown, the file cannot be written, or matplotlib is
        not installed.
    """
    path = Path(path)
    require_format(path)
    save_figure(convergence_figure(runs, dark=dark), path)


def convergence_figure(runs: Iterable[Run], *, dark: bool = False) -> Figure:
    """Return a figure of how runs converge, a panel for each problem.

    A solver has a colour, a mark and a kind of line. A faint line of the same colour is its bound,
    where the trace has one: no state that it did not know by then lies below. The grey line is the
    lowest energy that is known. Runs without a trace are not drawn, and of more than nine problems
    the first nine are.

    Parameters
    ----------
    runs, dark : as for plot_convergence

    Examples
    --------
    >>> from qubo_prune.bench.results import Run, TracePoint
    >>> points = (TracePoint(0.01, best=2.0, bound=0.5), TracePoint(0.1, best=1.0, bound=1.0))
    >>> figure = convergence_figure([Run("toy", "toy", "0", 40, 8, 1, "tabu", trace=points)])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['toy, M = 8, K = 1']
    """
    traced = [each for each in runs if any(point.best is not None for point in each.trace)]
    if not traced:
        raise InputError(
            "none of these runs has a trace of energies, and a trace is what is drawn; let"
            " `bench run` measure them again, or look at `bench report`."
        )
    tasks: dict[_Task, list[Run]] = {}
    for run in traced:
        key = (run.instance, run.problem, run.remove, run.num_states)
        tasks.setdefault(key, []).append(run)
    solvers = {name: number for number, name in enumerate(dict.fromkeys(r.backend for r in traced))}
    shown = list(tasks.values())[:_MOST_PANELS]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    size = (max(7.0, 4.4 * columns), 0.9 + 3.2 * rows)
    with drawing(*size, dark=dark) as (figure, theme):
        for number, each in enumerate(shown, 1):
            _draw_task(each, solvers, figure.add_subplot(rows, columns, number), theme)
        hidden = len(tasks) - len(shown)
        title = plural(len(traced), "run")
        if hidden:
            title += f"; the first {len(shown)} of {len(tasks)} problems are drawn"
        figure.suptitle(title, **LEFT)
        labelled = {
            label: handle
            for axes in figure.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            labelled.values(),
            labelled.keys(),
            loc="outside lower left",
            ncols=max(2, int(size[0] / 2.4)),
            fontsize="small",
        )
    return figure


def _draw_task(runs: Sequence[Run], solvers: Mapping[str, int], axes: Axes, theme: Theme) -> None:
    """Draw the runs of one problem."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    energies: list[float] = []
    known = [run.reference_energies[0] for run in runs if run.reference_energies]
    ends = [max(_SOON, run.trace[-1].seconds) for run in runs]
    for run in runs:
        energies += _draw_run(run, solvers[run.backend], axes, theme)
    if known:
        energies.append(min(known))
        axes.axhline(min(known), color=theme.soft, linewidth=0.8, label="lowest that is known")
    first = runs[0]
    name = plain(first.instance)
    axes.set_title(f"{name}, M = {first.remove}, K = {first.num_states}", loc="left")
    axes.set_xscale("log")
    axes.set_xlim(_first_second(runs) / 1.3, 1.3 * max(ends))
    axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds")
    few_ticks(axes.yaxis)
    scaled_ticks(axes.yaxis, energies, "energy")
    grid(axes, theme)


def _first_second(runs: Sequence[Run]) -> float:
    return max(_SOON, min(point.seconds for run in runs for point in run.trace))


def _draw_run(run: Run, number: int, axes: Axes, theme: Theme) -> list[float]:
    """Draw a run, and return the energies that its axis has to hold."""
    best = [(point.seconds, point.best) for point in run.trace if point.best is not None]
    bound = [(point.seconds, point.bound) for point in run.trace if point.bound is not None]
    look: dict[str, Any] = {
        "color": theme.colour(number),
        "linestyle": DASHES[number // len(theme.colours) % len(DASHES)],
        "drawstyle": "steps-post",
    }
    times, values = zip(*best, strict=True)
    axes.plot(
        [max(_SOON, each) for each in times],
        values,
        **look,
        marker=theme.marker(number),
        markersize=4,
        linewidth=1.4,
        label=plain(run.backend),
    )
    if bound:
        times, bounds = zip(*bound, strict=True)
        axes.plot(
            [max(_SOON, each) for each in times],
            bounds,
            **look,
            marker="_",
            markersize=8,
            linewidth=1,
            alpha=0.6,
            label=f"bound of {plain(run.backend)}",
        )
    return list(values)
