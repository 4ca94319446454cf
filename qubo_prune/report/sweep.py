"""What a sweep looks like: energy, gap and time against the number of removed blocks."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qubo_prune.core.spectrum.tables import removal
from qubo_prune.core.text import plural
from qubo_prune.report.figures import require_format, save_figure
from qubo_prune.report.theme import (
    LEFT,
    Theme,
    drawing,
    few_ticks,
    grid,
    integer_ticks,
    plain,
    scaled_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qubo_prune.core.spectrum.spectrum import Spectrum

__all__ = ["Knee", "find_knee", "plot_sweep", "sweep_figure"]

_STEEPER = 1.25
"""How many times more a block has to cost for a knee."""
_FEWEST = 5
_MOST_NAMED = 40


class Knee(NamedTuple):
    """Where removal starts to hurt.

    Attributes
    ----------
    remove : int
        M.
    before, after : float
        By how much one more block raises the energy, on average, up to there and from there on.
    """

    remove: int
    before: float
    after: float


def find_knee(removes: Sequence[int], energies: Sequence[float]) -> Knee | None:
    """Return where removal starts to hurt.

    That is where the lowest energy lies deepest below the straight line from the first M to that of
    the highest energy. Until there a block costs less than the average, from there on more. There
    is none among less than five M, or where a block costs less than 1.25 times as much after as
    before.

    Parameters
    ----------
    removes : sequence of int
        Ascending.
    energies : sequence of float
        The lowest of each.

    Examples
    --------
    >>> find_knee([1, 2, 3, 4, 5, 6], [1.0, 2.0, 3.0, 4.0, 9.0, 14.0])
    Knee(remove=4, before=1.0, after=5.0)
    >>> find_knee([1, 2, 3, 4, 5, 6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    """
    end = int(np.argmax(energies)) + 1 if len(energies) else 0
    if end < _FEWEST:
        return None
    places = np.asarray(removes[:end], np.float64)
    heights = np.asarray(energies[:end], np.float64)
    slope = (heights[-1] - heights[0]) / (places[-1] - places[0])
    sag = heights[0] + slope * (places - places[0]) - heights
    at = int(sag.argmax())
    if not 0 < at < len(places) - 1:
        return None
    before = float((heights[at] - heights[0]) / (places[at] - places[0]))
    after = float((heights[-1] - heights[at]) / (places[-1] - places[at]))
    if after < _STEEPER * before:
        return None
    return Knee(int(removes[at]), before, after)


def plot_sweep(
    spectra: Iterable[Spectrum], path: str | os.PathLike[str], *, dark: bool = False
) -> None:
    """Write the figure of a sweep; a plot that is there is replaced, another file is not.

    Parameters
    ----------
    spectra : iterable of Spectrum
        What to draw, as the values of what `sweep` returns.
    path : str or path
        The file, a ``.png``, ``.pdf`` or ``.svg``.
    dark : bool, optional
        Light on dark.

    Raises
    ------
    InputError
        If the format is unknown, the file cannot be written, or matplotlib is not installed.
    """
    path = Path(path)
    require_format(path)
    save_figure(sweep_figure(spectra, dark=dark), path)


def sweep_figure(spectra: Iterable[Spectrum], *, dark: bool = False) -> Figure:
    """Return a figure of a sweep, three panels over the number of removed blocks M: the lowest
    energy, the gap to the next state, and the time it took.

    Filled marks are proven: the energy as the lowest, the gap as that of the two lowest.
    `find_knee` says where removal starts to hurt. Spectra without states have a time only.

    Parameters
    ----------
    spectra, dark : as for plot_sweep

    Examples
    --------
    >>> from qubo_prune import Problem, sweep
    >>> problem = Problem.load("bytelm-40-block", remove=1)
    >>> figure = sweep_figure(sweep(problem, range(1, 6), num_states=2).values())
    >>> [axes.get_label() for axes in figure.axes]
    ['energy', 'gap', 'time']
    """
    found = list(spectra)
    counts = {id(each): each.remove for each in found if isinstance(each.remove, int)}
    by_count = len(counts) == len(found)
    if by_count:
        found.sort(key=lambda each: counts[id(each)])
    places = [counts[id(each)] for each in found] if by_count else list(range(len(found)))
    with drawing(8.0, 7.5, dark=dark) as (figure, theme):
        cells = figure.add_gridspec(3, 1, height_ratios=(2.2, 1.2, 1.2))
        energy = figure.add_subplot(cells[0], label="energy")
        gap = figure.add_subplot(cells[1], label="gap", sharex=energy)
        time = figure.add_subplot(cells[2], label="time", sharex=energy)
        has = [k for k, each in enumerate(found) if len(each)]
        lowest = [float(found[k].energies[0]) for k in has]
        proven = [found[k].num_proven > 0 for k in has]
        _draw_series(energy, theme, [places[k] for k in has], lowest, proven, 0)
        scaled_ticks(energy.yaxis, lowest, "lowest energy")
        pairs = [k for k in has if len(found[k]) > 1]
        gaps = [float(found[k].energies[1] - found[k].energies[0]) for k in pairs]
        sure = [found[k].num_proven > 1 for k in pairs]
        _draw_series(gap, theme, [places[k] for k in pairs], gaps, sure, 2)
        scaled_ticks(gap.yaxis, gaps, "gap to state 1")
        gap.set_ylim(bottom=-0.05 * (max(gaps, default=0.0) or 1.0))
        _draw_times(time, theme, places, found)
        for axes in (energy, gap):
            few_ticks(axes.yaxis)
            axes.tick_params(axis="x", labelbottom=False)
        knee = find_knee([places[k] for k in has], lowest) if by_count else None
        if knee is not None:
            _mark(knee, (energy, gap, time), theme)
        _label(time, found, places, by_count)
        said = [_title(found), *([_about(knee)] if by_count and len(has) >= _FEWEST else [])]
        figure.suptitle(
            "\n".join(line for each in said for line in textwrap.wrap(each, 95)), **LEFT
        )
        _explain(figure, theme)
    return figure


def _draw_series(
    axes: Axes,
    theme: Theme,
    places: Sequence[int],
    values: Sequence[float],
    proven: Sequence[bool],
    colour: int,
) -> None:
    """Draw a line with a mark for each M, filled where it is proven."""
    axes.plot(places, values, color=theme.colour(colour), linewidth=1, alpha=0.5)
    for filled, label in ((True, "proven"), (False, "not proven")):
        chosen = [k for k, each in enumerate(proven) if each is filled]
        if chosen:
            axes.plot(
                [places[k] for k in chosen],
                [values[k] for k in chosen],
                "o",
                markersize=4.5,
                markeredgecolor=theme.colour(colour),
                markerfacecolor=theme.colour(colour) if filled else theme.background,
                label=label,
            )
    grid(axes, theme)


def _draw_times(axes: Axes, theme: Theme, places: Sequence[int], found: Sequence[Spectrum]) -> None:
    """Draw how long each took, on a logarithmic scale."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    timed = [k for k, each in enumerate(found) if each.timings.get("total", 0.0) > 0]
    times = [found[k].timings["total"] for k in timed]
    proven = [found[k].num_proven == len(found[k]) > 0 for k in timed]
    _draw_series(axes, theme, [places[k] for k in timed], times, proven, 1)
    if times:
        low, high = min(times), max(times)
        axes.set_yscale("log")
        axes.set_ylim(
            10.0 ** math.floor(math.log10(low / 1.2)), 10.0 ** math.ceil(math.log10(high * 1.2))
        )
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("seconds")


def _explain(figure: Figure, theme: Theme) -> None:
    """Say below what filled and hollow marks are, in no panel's colour."""
    from matplotlib.lines import Line2D

    drawn = {line.get_label() for axes in figure.axes for line in axes.lines}
    faces = {"proven": theme.ink, "not proven": theme.background}
    handles = [
        Line2D([], [], linestyle="none", marker="o", color=theme.ink, mfc=face, label=label)
        for label, face in faces.items()
        if label in drawn
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower right", ncols=2, fontsize="small")


def _mark(knee: Knee, panels: Sequence[Axes], theme: Theme) -> None:
    """Mark where removal starts to hurt."""
    for axes in panels:
        axes.axvline(knee.remove, color=theme.soft, linestyle="--", linewidth=1, zorder=0)
    panels[0].annotate(
        f"M = {knee.remove}",
        (knee.remove, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -4),
        textcoords="offset points",
        va="top",
        color=theme.soft,
    )


def _label(axes: Axes, found: Sequence[Spectrum], places: Sequence[int], by_count: bool) -> None:
    """Label the common axis with M, or with the counts of each kind where these were asked for."""
    if by_count:
        integer_ticks(axes.xaxis, 16)
        axes.set_xlabel("number of removed blocks, M")
        if len(places) == 1:
            axes.set_xlim(places[0] - 1, places[0] + 1)
        return
    step = -(-len(found) // _MOST_NAMED)
    names = [plain(removal(each)) for each in found[::step]]
    axes.set_xticks(places[::step], names, rotation=90, fontsize="small")
    axes.set_xlabel("removed blocks")


def _title(found: Sequence[Spectrum]) -> str:
    title = plural(len(found), "spectrum", "spectra")
    backends = list(dict.fromkeys(plain(each.backend) for each in found))
    if backends:
        title += f" by {' and '.join(backends)}"
    return f"{title}, of {plural(found[0].num_blocks, 'block')}" if found else title


def _about(knee: Knee | None) -> str:
    """Explain the mark, or why there is none."""
    if knee is None:
        return "There is no M beyond which a block costs clearly more than before."
    return (
        f"Removal starts to hurt at M = {knee.remove}: beyond, a block costs {knee.after:.2g}"
        f" on average, before {knee.before:.2g}."
    )
