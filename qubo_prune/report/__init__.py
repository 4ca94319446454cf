"""Plots and pages for people, each of a result; a plot is a matplotlib figure, or written to a
file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.report.benchmark.page import benchmark_page as benchmark_page
    from qubo_prune.report.criteria import plot_criteria as plot_criteria
    from qubo_prune.report.diagnosis import plot_diagnosis as plot_diagnosis
    from qubo_prune.report.evaluation import plot_evaluation as plot_evaluation
    from qubo_prune.report.html import save_page as save_page
    from qubo_prune.report.results.page import results_page as results_page
    from qubo_prune.report.saved import Saved as Saved
    from qubo_prune.report.saved import read_saved as read_saved
    from qubo_prune.report.selection import plot_selection as plot_selection

_HOMES = {
    "benchmark_page": "qubo_prune.report.benchmark.page",
    "plot_criteria": "qubo_prune.report.criteria",
    "plot_diagnosis": "qubo_prune.report.diagnosis",
    "plot_evaluation": "qubo_prune.report.evaluation",
    "plot_selection": "qubo_prune.report.selection",
    "read_saved": "qubo_prune.report.saved",
    "results_page": "qubo_prune.report.results.page",
    "save_page": "qubo_prune.report.html",
    "Saved": "qubo_prune.report.saved",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
