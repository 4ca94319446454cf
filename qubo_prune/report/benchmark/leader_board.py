"""Who is ahead: one row a solver, each figure over the same tasks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

from qubo_prune.bench.statistics import SHIFT, shifted_geometric_mean
from qubo_prune.bench.statistics_intervals import Interval, bootstrap_interval
from qubo_prune.report.benchmark.comparison import Comparison, task_mean
from qubo_prune.report.html import Figure
from qubo_prune.report.tables import Cell, Table

__all__ = ["leader_board", "leader_table"]

Values = Mapping[str, Sequence[float | None]]

_ABOUT = {
    "95 %": "interval by bootstrap over tasks and seeds",
    "TTS99 s": "seconds of repeated runs until one has the ground state with 99 %, median over"
    " tasks",
    "primal integral": "mean gap to the ground state along the time limit: 0 from the start is"
    " best, 1 is nothing found",
    "all proven": "runs that proved every state",
}


def leader_board(comparison: Comparison) -> Figure:
    """Return the leader board of a time limit with what its figures are."""
    table = leader_table(comparison)
    number = comparison.study.headline.removeprefix("recall_")
    caption = (
        f"Over {len(comparison.tasks)} tasks that all of these were given, every task alike."
        f" Sorted by recall@{number} of the solver's own states, before any repair. Seconds are"
        f" shifted geometric means (shift {SHIFT:g} s) over all runs, in which one that did not get"
        f" there counts as {comparison.counted_limit:.4g} s."
    )
    name = f"leader-board{comparison.suffix}"
    return Figure(name, "", table.to_html("Leader board", identifier=name), caption, table)


def leader_table(comparison: Comparison) -> Table:
    """Return the leader board of a time limit; no rows where nothing can be compared."""
    recall = comparison.study.headline
    number = recall.removeprefix("recall_")
    rows = []
    for solver in comparison.solvers if comparison.tasks else ():
        ground = comparison.values(solver, "seconds_to_ground_state")
        proof = comparison.values(solver, "seconds_to_proof")
        rows.append(
            [
                solver,
                *_mean_and_interval(comparison.values(solver, recall)),
                _mean(comparison.values(solver, f"{recall}_repaired")),
                _mean(_reached(ground)),
                *_time_and_interval(ground, comparison.counted_limit),
                _time(comparison.values(solver, "seconds_to_recall_100"), comparison.counted_limit),
                _mean(_reached(proof)),
                _median_time_to_solution(comparison, solver),
                _mean(comparison.values(solver, "primal_integral"), missing=1.0),
                _outcomes(comparison, solver),
            ]
        )
    rows.sort(key=_rank)
    return Table(
        (
            *("rank", "backend", f"recall@{number} bare", "95 %", f"recall@{number} repaired"),
            *("ground state", "s to ground state", "95 % of s", "s to recall@100"),
            *("all proven", "TTS99 s", "primal integral", "runs ended"),
        ),
        tuple([place, *row] for place, row in enumerate(rows, 1)),
        about={**_ABOUT, "95 % of s": _ABOUT["95 %"]},
    )


def _median_time_to_solution(comparison: Comparison, solver: str) -> float | None:
    times = [
        comparison.time_to_ground_state(task, solver).seconds
        for task in comparison.tasks_with("seconds_to_ground_state")
    ]
    return median(times) if times else None


def _reached(seconds: Values) -> Values:
    return {task: [float(time is not None) for time in each] for task, each in seconds.items()}


def _mean(values: Values, missing: float = 0.0) -> float | None:
    return task_mean(values.values(), missing) if values else None


def _mean_and_interval(values: Values) -> tuple[float | None, str]:
    if not values:
        return None, ""
    return _mean(values), _format(bootstrap_interval(values, task_mean))


def _time(seconds: Values, limit: float) -> float | None:
    if not seconds:
        return None
    return shifted_geometric_mean([time for each in seconds.values() for time in each], limit=limit)


def _time_and_interval(seconds: Values, limit: float) -> tuple[float | None, str]:
    if not seconds:
        return None, ""

    def mean(drawn: Sequence[Sequence[float | None]]) -> float:
        return shifted_geometric_mean([time for each in drawn for time in each], limit=limit)

    return _time(seconds, limit), _format(bootstrap_interval(seconds, mean))


def _format(interval: Interval) -> str:
    return f"{interval.low:.3g} to {interval.high:.3g}"


def _outcomes(comparison: Comparison, solver: str) -> str:
    counts = Counter(
        run.outcome.value for task in comparison.tasks for run in comparison.cells[task, solver]
    )
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def _rank(row: Sequence[Cell]) -> tuple[float, float, float]:
    """Sort by bare recall, then by the time to it, then by the time to the ground state."""
    recall, to_recall, to_ground = row[1], row[7], row[5]
    return (
        -recall if isinstance(recall, float) else 1.0,
        to_recall if isinstance(to_recall, float) else math.inf,
        to_ground if isinstance(to_ground, float) else math.inf,
    )
