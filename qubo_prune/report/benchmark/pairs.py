"""Who beats whom: sign tests over tasks, for each two solvers."""

from __future__ import annotations

from qubo_prune.bench.statistics_pairs import SAME, paired_test
from qubo_prune.bench.statistics_profiles import RESOLUTION, median_time
from qubo_prune.report.benchmark.comparison import Comparison
from qubo_prune.report.html import Figure
from qubo_prune.report.tables import Cell, Table

__all__ = ["pairs"]

_SURE = 0.05


def pairs(comparison: Comparison, measure: str, target: str) -> Figure | None:
    """Return the paired tests of the time to a target, None where there is nothing to compare."""
    if not comparison.tasks_with(measure) or len(comparison.solvers) < 2:
        return None
    times = {
        solver: {
            task: median_time(each) for task, each in comparison.values(solver, measure).items()
        }
        for solver in comparison.solvers
    }
    rows: list[list[Cell]] = []
    classes = {}
    for first in comparison.solvers:
        for second in comparison.solvers:
            if first == second:
                continue
            test = paired_test(times[first], times[second], smallest=RESOLUTION)
            if test.p_value < _SURE:
                classes[len(rows), 5] = "best"
            interval = f"{test.interval.low:.2f} to {test.interval.high:.2f}"
            rows.append([first, second, *test[:3], test.p_value, test.share, interval])
    table = Table(
        ("backend", "against", "faster", "tied", "slower", "p", "share faster", "95 %"),
        tuple(rows),
        classes,
    )
    caption = (
        f"Sign tests of the time to {target}, paired by task, by the median over seeds: times"
        f" within {SAME:.0%} are tied, not reached loses. p is two-sided and not corrected for the"
        " number of comparisons; the share is of the tasks that are not tied, with its"
        " exact interval."
    )
    name = f"pairs{comparison.suffix}"
    return Figure(name, "", table.to_html("Paired tests", identifier=name), caption, table)
