"""What a spectrum looks like: a map of what its states remove, and their energies beside it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qubo_prune.core.spectrum.spectrum import Spectrum

__all__ = ["plot_spectrum", "spectrum_figure"]

_MOST_STATES = 1000
_ENERGIES = 3.0
"""Inches that the energies are wide."""
_MARGINS = 1.4
_LARGEST, _SMALLEST = 8.0, 5.0
"""Points of a name above a block."""
_LONGEST_NAME = 24
_POINTS = 72.0
_LETTERS = 13.0
"""Of a title, that fit into an inch."""


def plot_spectrum(
    spectrum: Spectrum,
    path: str | os.PathLike[str],
    *,
    kinds: Sequence[str] | None = None,
    dark: bool = False,
) -> None:
    """Write the figure of a spectrum; a plot that is there is replaced, another file is not.

    Parameters
    ----------
    spectrum : Spectrum
        What to draw.
    path : str or path
        The file, a ``.png``, ``.pdf`` or ``.svg``.
    kinds : sequence of str, optional
        The kind of each block, as `Problem.kinds`; by default what the names end in, as
        ``layers.3.mlp``.
    dark : bool, optional
        Light on dark.

    Raises
    ------
    InputError
        If the format is unknown, the file cannot be written, or matplotlib is not installed.
    """
    path = Path(path)
    require_format(path)
    save_figure(spectrum_figure(spectrum, kinds=kinds, dark=dark), path)


def spectrum_figure(
    spectrum: Spectrum, *, kinds: Sequence[str] | None = None, dark: bool = False
) -> Figure:
    """Return a figure of a spectrum.

    A row is a state, the lowest on top, and a column a block, coloured where the state removes it.
    Above are the kinds of the blocks and the names of those that some state removes; beside each
    row is its energy above the lowest, filled where the state is proven to have its place. Of more
    than 1000 states, the lowest 1000 are drawn.

    Parameters
    ----------
    spectrum, kinds, dark : as for plot_spectrum

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> figure = spectrum_figure(solve(Problem.load("bytelm-40-branch", remove=8), num_states=30))
    >>> [axes.get_label() for axes in figure.axes]
    ['removed blocks', 'energies', 'kinds']
    """
    shown = spectrum[:_MOST_STATES] if len(spectrum) > _MOST_STATES else spectrum
    strips = _strips(spectrum.names if kinds is None else kinds, by_name=kinds is None)
    width = min(16.0, max(7.5, 0.075 * spectrum.num_blocks + _MARGINS + _ENERGIES))
    height = 2.9 + min(8.0, max(1.2, 0.16 * min(len(shown), 20) + 0.03 * len(shown)))
    with drawing(width, height, dark=dark) as (figure, theme):
        ratios = (width - _MARGINS - _ENERGIES, _ENERGIES)
        rows = (0.14 * len(strips), height - 2.4) if strips else (height - 2.4,)
        cells = figure.add_gridspec(len(rows), 2, width_ratios=ratios, height_ratios=rows)
        axes = figure.add_subplot(cells[-1, 0], label="removed blocks")
        energies = figure.add_subplot(cells[-1, 1], label="energies", sharey=axes)
        _draw_map(shown, axes, theme)
        _draw_energies(shown, energies, theme)
        top = axes
        if strips:
            top = figure.add_subplot(cells[0, 0], label="kinds", sharex=axes)
            _draw_strips(strips, top, theme)
        _name_blocks(shown, top, _POINTS * ratios[0] / spectrum.num_blocks)
        more = len(spectrum) - len(shown)
        said = plain(spectrum.summary()) + (f"; the lowest {len(shown)} are drawn" if more else "")
        figure.suptitle("\n".join(textwrap.wrap(said, int(_LETTERS * width))), **LEFT)
        handles, labels = energies.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower right", ncols=3, fontsize="small")
    return figure


def _strips(labels: Sequence[str], *, by_name: bool) -> dict[str, NDArray[np.bool_]]:
    """Return for each kind which blocks are of it; nothing if all are of one, or if the names do
    not tell.

    >>> list(_strips(["0.attention", "0.mlp"], by_name=True)), _strips(["a", "b"], by_name=True)
    (['attention', 'mlp'], {})
    """
    if by_name:
        ends = [name.rpartition(".")[2] for name in labels]
        told = all(
            end.isidentifier() and end != name for end, name in zip(ends, labels, strict=True)
        )
        labels = ends if told else ()
    found = dict.fromkeys(labels)
    if not 1 < len(found) <= max(4, len(labels) // 4):
        return {}
    return {kind: np.array([label == kind for label in labels]) for kind in found}


def _draw_map(spectrum: Spectrum, axes: Axes, theme: Theme) -> None:
    """Draw the states as rows of blocks."""
    from matplotlib.colors import ListedColormap

    size = spectrum.num_blocks
    if len(spectrum):
        axes.imshow(
            spectrum.states.astype(np.uint8),
            aspect="auto",
            cmap=ListedColormap([theme.kept, theme.removed]),
            vmin=0,
            vmax=1,
            interpolation="none",  # as many pixels in the file as there are blocks and states
        )
        part_cells(axes, theme, size, len(spectrum))
    else:
        axes.text(0.5, 0.5, "no state was found", transform=axes.transAxes, ha="center")
        axes.set(xlim=(-0.5, size - 0.5), ylim=(0.5, -0.5))
    integer_ticks(axes.xaxis, 16)
    integer_ticks(axes.yaxis)
    axes.set(xlabel="block, coloured where it is removed", ylabel="state, the lowest first")
    axes.spines[:].set_visible(False)


def _draw_energies(spectrum: Spectrum, axes: Axes, theme: Theme) -> None:
    """Draw how far every state lies above the lowest, and from where on others may lie."""
    above = spectrum.energies - spectrum.energies[:1] if len(spectrum) else np.zeros(0)
    ranks = np.arange(len(above))
    proven = ranks < spectrum.num_proven
    size = 5.0 if len(above) <= 60 else 3.0
    for chosen, face, label in (
        (proven, theme.colour(0), "proven to be in its place"),
        (~proven, "none", "not proven"),
    ):
        if chosen.any():
            axes.plot(
                above[chosen],
                ranks[chosen],
                "o",
                markersize=size,
                markeredgecolor=theme.colour(0),
                markerfacecolor=face,
                label=label,
            )
    largest = float(above.max(initial=0.0))
    bound = spectrum.lower_bound - float(spectrum.energies[0]) if len(spectrum) else np.inf
    start, end = 0.0, largest or 1.0
    if -0.5 * largest <= bound <= 1.5 * largest:
        start, end = min(start, bound), max(end, bound)
        axes.axvline(
            bound, color=theme.soft, linestyle="--", linewidth=1, label="no other state lies below"
        )
    axes.set_xlim(start - 0.05 * end, 1.08 * end)
    scaled_ticks(axes.xaxis, [end], "energy above the lowest")
    if largest:
        few_ticks(axes.xaxis)
    else:  # what one step is would be made up
        axes.set_xticks([0.0])
    axes.tick_params(axis="y", labelleft=False)
    grid(axes, theme)


def _draw_strips(strips: dict[str, NDArray[np.bool_]], axes: Axes, theme: Theme) -> None:
    """Draw a line for each kind, dark where a block is of it."""
    from matplotlib.colors import ListedColormap

    axes.imshow(
        np.array(list(strips.values()), np.uint8),
        aspect="auto",
        cmap=ListedColormap([theme.background, theme.soft]),
        vmin=0,
        vmax=1,
        interpolation="none",
    )
    axes.set_yticks(range(len(strips)), [plain(kind) for kind in strips], fontsize="small")
    axes.tick_params(axis="both", length=0)
    axes.tick_params(axis="x", labelbottom=False)
    axes.spines[:].set_visible(False)


def _name_blocks(spectrum: Spectrum, axes: Axes, points: float) -> None:
    """Write names above the blocks that some state removes, where they say more than the numbers
    below; a column is so many points wide.
    """
    names = _short(spectrum.names)
    if names == [str(block) for block in range(spectrum.num_blocks)]:
        return
    size = min(_LARGEST, max(_SMALLEST, 0.95 * points))
    often = spectrum.states.sum(axis=0)
    placed: list[int] = []
    # Those that most states remove come first; the rest as far as there is room.
    for block in sorted(np.flatnonzero(often).tolist(), key=lambda each: -often[each]):
        if all(abs(block - other) * points >= 1.02 * size for other in placed):
            placed.append(block)
    placed.sort()
    above = axes.secondary_xaxis("top")
    above.set_xticks(
        placed, [plain(_cut(names[block])) for block in placed], rotation=90, fontsize=size
    )
    above.tick_params(length=0)
    above.spines[:].set_visible(False)


def _cut(name: str) -> str:
    """Return the end of a long name, which is what tells it apart."""
    return name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]


def _short(names: Sequence[str]) -> list[str]:
    """Return names without the parts that all of them begin with.

    >>> _short(["model.layers.0.mlp", "model.layers.1.mlp"])
    ['0.mlp', '1.mlp']
    """
    parts = [name.split(".") for name in names]
    common = 0
    for level in zip(*(each[:-1] for each in parts)):  # noqa: B905 - as far as the shortest goes
        if len(set(level)) > 1:
            break
        common += 1
    return [".".join(each[common:]) for each in parts]
