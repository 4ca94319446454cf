"""What a diagnosis of a Hessian looks like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qubo_prune.core.text import plural
from qubo_prune.report.figures import require_format, save_figure
from qubo_prune.report.theme import HEAT, LEFT, Theme, drawing, integer_ticks, plain, scaled_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qubo_prune.hessians.diagnostics import Diagnosis, Stability

__all__ = ["diagnosis_figure", "plot_diagnosis"]

_STATES_SHOWN = 40


def plot_diagnosis(
    diagnosis: Diagnosis, path: str | os.PathLike[str], *, dark: bool = False
) -> None:
    """Write the figure of a diagnosis.

    Parameters
    ----------
    diagnosis : Diagnosis
        Of `qubo_prune.hessians.diagnostics.diagnose`.
    path : str or path
        The file to write, a ``.png``, ``.pdf`` or ``.svg``. A plot that is there is
        replaced, another file is not.
    dark : bool, optional
        Light on dark.

    Raises
    ------
    InputError
        If the format is unknown or the file cannot be written.
    """
    path = Path(path)
    require_format(path)
    save_figure(diagnosis_figure(diagnosis, dark=dark), path)


def diagnosis_figure(diagnosis: Diagnosis, *, dark: bool = False) -> Figure:
    """Return a figure of the correlations, the eigenvalues and, as far as they are known, the
    convergence and the lowest states with error bars.

    Parameters
    ----------
    diagnosis, dark : as for plot_diagnosis

    Examples
    --------
    >>> from qubo_prune.hessians import diagnose
    >>> figure = diagnosis_figure(diagnose("llama-32-block"))
    >>> figure.axes[0].get_title(), figure.get_suptitle()
    ('correlations between blocks', 'llama-32-block: 32 blocks')
    """
    has_stability = diagnosis.stability is not None
    with drawing(11, 8.5 if has_stability else 5, dark=dark) as (figure, theme):
        grid = figure.add_gridspec(3 if has_stability else 2, 2, width_ratios=(1.2, 1))
        _draw_correlations(diagnosis, figure.add_subplot(grid[:2, 0]))
        lower = grid[1, 1] if diagnosis.convergence else None
        _draw_eigenvalues(diagnosis, figure.add_subplot(grid[0, 1] if lower else grid[:2, 1]))
        if lower:
            _draw_convergence(diagnosis, figure.add_subplot(lower))
        if diagnosis.stability is not None:
            _draw_states(diagnosis.stability, figure.add_subplot(grid[2, :]), theme)
        blocks = plural(diagnosis.file.num_blocks, "block")
        figure.suptitle(plain(f"{diagnosis.file.path.stem}: {blocks}"), **LEFT)
    return figure


def _draw_correlations(diagnosis: Diagnosis, axes: Axes) -> None:
    shown = diagnosis.correlations.copy()
    # A diagonal of ones would say nothing and set the scale.
    np.fill_diagonal(shown, np.nan)
    finite = np.abs(shown[np.isfinite(shown)])
    limit = float(finite.max(initial=0)) or 1.0
    image = axes.imshow(shown, cmap=HEAT, vmin=-limit, vmax=limit, interpolation="none")
    axes.figure.colorbar(image, ax=axes, label="correlation of the gradients", shrink=0.85)
    for axis in (axes.xaxis, axes.yaxis):
        integer_ticks(axis)
    axes.spines[:].set_visible(False)
    axes.set(title="correlations between blocks", xlabel="block", ylabel="block")


def _draw_eigenvalues(diagnosis: Diagnosis, axes: Axes) -> None:
    values = diagnosis.eigenvalues[::-1]
    ranks = np.arange(1, len(values) + 1)
    positive = values > 0
    axes.plot(ranks[positive], values[positive], "o", markersize=3)
    if positive.any():
        axes.set_yscale("log")
    integer_ticks(axes.xaxis)
    title = f"eigenvalues, effective rank {diagnosis.effective_rank:.1f} of {len(values)}"
    axes.set(title=title, xlabel="rank", ylabel="eigenvalue")


def _draw_convergence(diagnosis: Diagnosis, axes: Axes) -> None:
    from matplotlib.ticker import NullLocator

    counts, distances = zip(*(diagnosis.convergence or ()), strict=True)
    axes.plot(counts, np.multiply(distances, 100), "o-")
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0)
    title = f"distance of their Hessian from H (of all {diagnosis.samples:,})"
    axes.set(title=title, xlabel="first samples", ylabel="% of the norm of H")


def _draw_states(stability: Stability, axes: Axes, theme: Theme) -> None:
    shown = min(len(stability.states), _STATES_SHOWN)
    proven = np.arange(shown) < stability.num_proven
    colour = theme.colour(0)
    for chosen, face, label in (
        (proven, colour, "proven"),
        (~proven, theme.background, "not proven"),
    ):
        if chosen.any():
            axes.errorbar(
                np.flatnonzero(chosen),
                stability.gaps[:shown][chosen],
                yerr=stability.gap_errors[:shown][chosen],
                fmt="o",
                markersize=3,
                capsize=2,
                color=colour,
                markerfacecolor=face,
                label=label,
            )
    axes.axhline(0, color=theme.soft, linewidth=0.8)
    axes.legend(loc="upper left")
    integer_ticks(axes.xaxis)
    scaled_ticks(axes.yaxis, stability.gaps[:shown].tolist(), "energy above the lowest")
    title = (
        "the lowest states and what is left to chance: energy above the lowest, one standard error"
    )
    axes.set(title=title, xlabel="state")
