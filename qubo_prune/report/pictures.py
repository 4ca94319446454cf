"""The picture of any file of ours that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from qubo_prune.report.saved import Saved

__all__ = ["saved_figure"]


def saved_figure(saved: Saved, *, dark: bool = False) -> Figure:
    """Return the figure of a file of ours.

    Parameters
    ----------
    saved : Saved
        Of `read_saved`.
    dark : bool, optional
        Light on dark.

    Raises
    ------
    InputError
        If it has none.

    Examples
    --------
    >>> from qubo_prune.report import read_saved
    >>> saved_figure(read_saved("llama-32-block")).get_suptitle()
    'llama-32-block: 32 blocks'
    """
    draw = _DRAWN.get(saved.what)
    if draw is None:
        what = _NOT_DRAWN.get(saved.what, saved.what)
        raise InputError(
            f"{saved.source} is {what}, which has no picture; name a spectrum, a certificate, a"
            " folder of sweep, a selection, an evaluation, a Hessian or results of a benchmark,"
            " which have one."
        )
    figure: Figure = draw(saved.content, dark=dark)
    return figure


def _spectrum(content: Any, *, dark: bool) -> Figure:
    from qubo_prune.report.spectrum import spectrum_figure

    return spectrum_figure(content, dark=dark)


def _certificate(content: Any, *, dark: bool) -> Figure:
    return _spectrum(content.spectrum, dark=dark)


def _sweep(content: Any, *, dark: bool) -> Figure:
    from qubo_prune.report.sweep import sweep_figure

    return sweep_figure(content.values(), dark=dark)


def _selection(content: Any, *, dark: bool) -> Figure:
    from qubo_prune.report.selection import selection_figure

    return selection_figure(content, dark=dark)


def _evaluation(content: Any, *, dark: bool) -> Figure:
    from qubo_prune.report.evaluation import evaluation_figure

    return evaluation_figure(content, dark=dark)


def _hessian(content: Any, *, dark: bool) -> Figure:
    from qubo_prune.report.diagnosis import diagnosis_figure

    return diagnosis_figure(content, dark=dark)


def _benchmark(content: Any, *, dark: bool) -> Figure:
    from qubo_prune.report.convergence import convergence_figure

    return convergence_figure(content.runs, dark=dark)


_DRAWN: dict[str, Callable[..., Figure]] = {
    "spectrum": _spectrum,
    "certificate": _certificate,
    "sweep": _sweep,
    "selection": _selection,
    "evaluation": _evaluation,
    "Hessian": _hessian,
    "benchmark": _benchmark,
}

_NOT_DRAWN = {
    "checkpoint": "a checkpoint",
    "compression": "a folder of compress",
    "gradients": "a table of gradients",
}
