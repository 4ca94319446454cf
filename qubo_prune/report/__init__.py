"""Plots for people; each returns a matplotlib figure and draws nothing by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.report.diagnosis import plot_diagnosis as plot_diagnosis

_HOMES = {
    "plot_diagnosis": "qubo_prune.report.diagnosis",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
