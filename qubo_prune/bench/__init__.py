"""Measuring solvers: instances to try them on, what they ran on, and what the figures say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.bench.instances import FAMILIES as FAMILIES
    from qubo_prune.bench.instances import Case as Case
    from qubo_prune.bench.instances import Family as Family
    from qubo_prune.bench.instances import Instance as Instance
    from qubo_prune.bench.machine import describe_machine as describe_machine
    from qubo_prune.bench.machine import peak_memory as peak_memory
    from qubo_prune.bench.results import Results as Results
    from qubo_prune.bench.results import Run as Run
    from qubo_prune.bench.results import append_run as append_run
    from qubo_prune.bench.results import read_results as read_results
    from qubo_prune.bench.statistics import recall as recall
    from qubo_prune.bench.statistics import shifted_geometric_mean as shifted_geometric_mean
    from qubo_prune.bench.statistics_anytime import Quantiles as Quantiles
    from qubo_prune.bench.statistics_anytime import primal_gap as primal_gap
    from qubo_prune.bench.statistics_anytime import primal_integral as primal_integral
    from qubo_prune.bench.statistics_anytime import quantiles_over_time as quantiles_over_time
    from qubo_prune.bench.statistics_intervals import Interval as Interval
    from qubo_prune.bench.statistics_intervals import TimeToSolution as TimeToSolution
    from qubo_prune.bench.statistics_intervals import bootstrap_interval as bootstrap_interval
    from qubo_prune.bench.statistics_intervals import time_to_solution as time_to_solution
    from qubo_prune.bench.statistics_intervals import wilson_interval as wilson_interval
    from qubo_prune.bench.statistics_pairs import PairedTest as PairedTest
    from qubo_prune.bench.statistics_pairs import paired_test as paired_test
    from qubo_prune.bench.statistics_pairs import sign_test as sign_test
    from qubo_prune.bench.statistics_profiles import Steps as Steps
    from qubo_prune.bench.statistics_profiles import median_time as median_time
    from qubo_prune.bench.statistics_profiles import performance_profile as performance_profile
    from qubo_prune.bench.statistics_profiles import target_distribution as target_distribution

_HOMES = {
    **dict.fromkeys(("Results", "Run", "append_run", "read_results"), "qubo_prune.bench.results"),
    "Case": "qubo_prune.bench.instances",
    "FAMILIES": "qubo_prune.bench.instances",
    "Family": "qubo_prune.bench.instances",
    "Instance": "qubo_prune.bench.instances",
    "describe_machine": "qubo_prune.bench.machine",
    "peak_memory": "qubo_prune.bench.machine",
    "recall": "qubo_prune.bench.statistics",
    "shifted_geometric_mean": "qubo_prune.bench.statistics",
    "Quantiles": "qubo_prune.bench.statistics_anytime",
    "primal_gap": "qubo_prune.bench.statistics_anytime",
    "primal_integral": "qubo_prune.bench.statistics_anytime",
    "quantiles_over_time": "qubo_prune.bench.statistics_anytime",
    "Interval": "qubo_prune.bench.statistics_intervals",
    "TimeToSolution": "qubo_prune.bench.statistics_intervals",
    "bootstrap_interval": "qubo_prune.bench.statistics_intervals",
    "time_to_solution": "qubo_prune.bench.statistics_intervals",
    "wilson_interval": "qubo_prune.bench.statistics_intervals",
    "PairedTest": "qubo_prune.bench.statistics_pairs",
    "paired_test": "qubo_prune.bench.statistics_pairs",
    "sign_test": "qubo_prune.bench.statistics_pairs",
    "Steps": "qubo_prune.bench.statistics_profiles",
    "median_time": "qubo_prune.bench.statistics_profiles",
    "performance_profile": "qubo_prune.bench.statistics_profiles",
    "target_distribution": "qubo_prune.bench.statistics_profiles",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
