"""Time against size: one dot a task, a line through the medians."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from qubo_prune.bench.statistics_profiles import RESOLUTION, median_time
from qubo_prune.report.benchmark.comparison import Comparison
from qubo_prune.report.html import Figure
from qubo_prune.report.svg import Plot, axis_of
from qubo_prune.report.tables import Cell, Table

__all__ = ["scaling"]

_SIZES = {"num_blocks": "blocks N", "remove": "removed blocks M"}


def scaling(comparison: Comparison, size: str, measure: str, target: str) -> Figure | None:
    """Return time to a target against N (``num_blocks``) or M (``remove``); None where there is
    one size only, or no time.
    """
    tasks = comparison.tasks_with(measure)
    if len({getattr(task, size) for task in tasks}) < 2:
        return None
    names = comparison.study.task_names
    rows: list[list[Cell]] = []
    dots: dict[str, list[tuple[float, float, str]]] = {}
    for solver in comparison.solvers:
        times = {
            task: median_time([run.measure(measure) for run in comparison.cells[task, solver]])
            for task in tasks
        }
        rows += [
            [solver, names[task], getattr(task, size), float("inf") if time is None else time]
            for task, time in times.items()
        ]
        dots[solver] = [
            (getattr(task, size), time, f"{solver}, {names[task]}: {time:.4g} s")
            for task, time in times.items()
            if time is not None
        ]
    seconds = [time for each in dots.values() for _, time, _ in each]
    x = axis_of(_SIZES[size], [getattr(task, size) for task in tasks], low=0)
    y = axis_of("seconds", seconds, logarithmic=True, least=RESOLUTION)
    plot = Plot(x, y)
    missed = []
    for solver, each in dots.items():
        series = comparison.series(solver)
        by_size: dict[float, list[float]] = defaultdict(list)
        for at, time, _ in each:
            by_size[at].append(max(time, RESOLUTION))
        plot.line([(at, median(by_size[at])) for at in sorted(by_size)], series)
        points = [(at, max(time, RESOLUTION)) for at, time, _ in each]
        plot.dots(points, series, [title for *_, title in each])
        if len(each) < len(tasks):
            missed.append(f"{solver} {len(tasks) - len(each)}")
    lost = f" Tasks not reached, so not drawn: {', '.join(missed)}." if missed else ""
    caption = (
        f"Time to {target} against {_SIZES[size]}: the median over seeds of each task, and a line"
        f" through the medians of the tasks that were reached.{lost}"
    )
    letter = _SIZES[size][-1]
    name = f"scaling-{letter}-{target.replace(' ', '-').replace('@', '-')}{comparison.suffix}"
    table = Table(("backend", "task", letter, "seconds"), tuple(rows))
    title = f"Time to {target} against {_SIZES[size]}"
    svg = plot.to_svg(title, lost.strip() or "All reached.")
    return Figure(name, title, svg, caption, table)
