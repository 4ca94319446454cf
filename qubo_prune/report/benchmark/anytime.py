"""Recall along time: median and quartiles over all runs."""

from __future__ import annotations

from qubo_prune.bench.results import Run
from qubo_prune.bench.statistics_anytime import quantiles_over_time
from qubo_prune.report.benchmark.comparison import Comparison
from qubo_prune.report.html import Figure
from qubo_prune.report.svg import Axis, Plot, axis_of
from qubo_prune.report.tables import Cell, Table

__all__ = ["recall_over_time"]

_POINTS = 97


def recall_over_time(comparison: Comparison) -> Figure | None:
    """Return the figure, None where nothing is known along time."""
    headline = comparison.study.headline
    tasks = comparison.tasks_with(headline)
    traces = {
        solver: [_trace(run, headline) for task in tasks for run in comparison.cells[task, solver]]
        for solver in comparison.solvers
    }
    asked = [
        run
        for solver in comparison.solvers
        for task in tasks
        for run in comparison.cells[task, solver]
    ]
    if not any(run.trace for run in asked):
        return None
    times = [
        seconds for each in traces.values() for trace in each for seconds, _ in trace if seconds > 0
    ]
    if not times:
        return None
    number = headline.removeprefix("recall_")
    x = axis_of("seconds", [*times, comparison.counted_limit or max(times)], logarithmic=True)
    plot = Plot(x, Axis(f"recall@{number}, bare", 0, 1))
    at = [x.low * (x.high / x.low) ** (step / (_POINTS - 1)) for step in range(_POINTS)]
    rows: list[list[Cell]] = []
    ends = []
    for solver, each in traces.items():
        found = quantiles_over_time(each, at)
        series = comparison.series(solver)
        low, median, high = (list(zip(at, quartile, strict=True)) for quartile in found[1:])
        plot.band(low, high, series)
        plot.line(median, series, steps=True)
        rows += [[solver, *values] for values in zip(*found, strict=True)]
        ends.append(f"{solver} {found.median[-1]:.2f}")
    caption = (
        f"Recall@{number} of the solver's own states along time: median and quartiles over the runs"
        f" of {len(tasks)} tasks. A solver that reports nothing on its way has a step where it"
        f" ended. In the end: {', '.join(ends)}."
    )
    table = Table(("backend", "seconds", "first quartile", "median", "third quartile"), tuple(rows))
    svg = plot.to_svg(f"Recall@{number} along time", f"Median in the end: {', '.join(ends)}.")
    return Figure(f"recall-over-time{comparison.suffix}", "", svg, caption, table)


def _trace(run: Run, headline: str) -> list[tuple[float, float]]:
    """Return when the recall changed, and to what."""
    points = [
        (point.seconds, recall)
        for point in run.trace
        if (recall := getattr(point, headline)) is not None
    ]
    final, wall = run.measure(headline), run.measure("wall_seconds")
    if final is not None and wall is not None:
        points = [*(point for point in points if point[0] < wall), (wall, final)]
    return points
