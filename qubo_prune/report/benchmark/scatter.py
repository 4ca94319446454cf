"""Two solvers against each other, a dot a task."""

from __future__ import annotations

from itertools import combinations

from qubo_prune.bench.statistics_profiles import RESOLUTION, median_time
from qubo_prune.report.benchmark.comparison import Comparison
from qubo_prune.report.html import Choice, Figure, choose
from qubo_prune.report.svg import Axis, Plot, axis_of
from qubo_prune.report.tables import Cell, Table

__all__ = ["scatters"]

_MOST_SOLVERS = 6


def scatters(comparison: Comparison, measure: str, target: str) -> str:
    """Return a scatter of each two of the first solvers, to choose from."""
    tasks = comparison.tasks_with(measure)
    if not tasks:
        return ""
    solvers = [
        solver
        for solver in comparison.solvers
        if any(
            time is not None
            for each in comparison.values(solver, measure).values()
            for time in each
        )
    ][:_MOST_SOLVERS]
    choices = [
        Choice(f"{second} against {first}", figure.to_html())
        for first, second in combinations(solvers, 2)
        if (figure := _scatter(comparison, measure, target, first, second))
    ]
    return choose("scatter", "Two solvers", choices) if choices else ""


def _scatter(
    comparison: Comparison, measure: str, target: str, first: str, second: str
) -> Figure | None:
    across, up = (
        {task: median_time(each) for task, each in comparison.values(solver, measure).items()}
        for solver in (first, second)
    )
    limit = comparison.counted_limit
    rows: list[list[Cell]] = [
        [task, *(float("inf") if time is None else time for time in (across[task], up[task]))]
        for task in across
    ]
    points = [
        tuple(max(limit if time is None else time, RESOLUTION) for time in (across[task], up[task]))
        for task in across
    ]
    span = axis_of("", [limit, *(time for point in points for time in point)], logarithmic=True)
    plot = Plot(
        Axis(f"{first}, seconds", span.low, span.high, True),
        Axis(f"{second}, seconds", span.low, span.high, True),
    )
    plot.diagonal()
    plot.dots([(x, y) for x, y in points], comparison.series(second), [f"{row[0]}" for row in rows])
    won = sum(y < x for x, y in points)
    caption = (
        f"Time to {target}, a dot a task, by the median over seeds; below the line, {second} is"
        f" faster ({won} of {len(points)}). Not reached is drawn at the limit, {limit:.4g} s."
    )
    table = Table(("task", first, second), tuple(rows))
    pair = f"{comparison.series(first)}-{comparison.series(second)}"
    svg = plot.to_svg(f"{second} against {first}", f"{second} faster: {won} of {len(points)}.")
    return Figure(f"scatter-{pair}{comparison.suffix}", "", svg, caption, table)
