"""Plots and pages for people, each of a result; a plot is a matplotlib figure, or written to a
file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.report.benchmark.page import benchmark_page as benchmark_page
    from qubo_prune.report.convergence import convergence_figure as convergence_figure
    from qubo_prune.report.convergence import plot_convergence as plot_convergence
    from qubo_prune.report.criteria import plot_criteria as plot_criteria
    from qubo_prune.report.diagnosis import diagnosis_figure as diagnosis_figure
    from qubo_prune.report.diagnosis import plot_diagnosis as plot_diagnosis
    from qubo_prune.report.evaluation import evaluation_figure as evaluation_figure
    from qubo_prune.report.evaluation import plot_evaluation as plot_evaluation
    from qubo_prune.report.html import save_page as save_page
    from qubo_prune.report.pictures import saved_figure as saved_figure
    from qubo_prune.report.results.page import results_page as results_page
    from qubo_prune.report.saved import Saved as Saved
    from qubo_prune.report.saved import read_saved as read_saved
    from qubo_prune.report.selection import plot_selection as plot_selection
    from qubo_prune.report.selection import selection_figure as selection_figure
    from qubo_prune.report.spectrum import plot_spectrum as plot_spectrum
    from qubo_prune.report.spectrum import spectrum_figure as spectrum_figure
    from qubo_prune.report.sweep import find_knee as find_knee
    from qubo_prune.report.sweep import plot_sweep as plot_sweep
    from qubo_prune.report.sweep import sweep_figure as sweep_figure

_HOMES = {
    "benchmark_page": "qubo_prune.report.benchmark.page",
    "convergence_figure": "qubo_prune.report.convergence",
    "diagnosis_figure": "qubo_prune.report.diagnosis",
    "evaluation_figure": "qubo_prune.report.evaluation",
    "find_knee": "qubo_prune.report.sweep",
    "plot_convergence": "qubo_prune.report.convergence",
    "plot_criteria": "qubo_prune.report.criteria",
    "plot_diagnosis": "qubo_prune.report.diagnosis",
    "plot_evaluation": "qubo_prune.report.evaluation",
    "plot_selection": "qubo_prune.report.selection",
    "plot_spectrum": "qubo_prune.report.spectrum",
    "plot_sweep": "qubo_prune.report.sweep",
    "read_saved": "qubo_prune.report.saved",
    "save_page": "qubo_prune.report.html",
    "saved_figure": "qubo_prune.report.pictures",
    "selection_figure": "qubo_prune.report.selection",
    "spectrum_figure": "qubo_prune.report.spectrum",
    "sweep_figure": "qubo_prune.report.sweep",
    "results_page": "qubo_prune.report.results.page",
    "Saved": "qubo_prune.report.saved",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
