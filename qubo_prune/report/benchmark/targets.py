"""How many targets are reached by when, over tasks and seeds."""

from __future__ import annotations

from qubo_prune.bench.statistics_profiles import target_distribution
from qubo_prune.report.benchmark.comparison import Comparison
from qubo_prune.report.benchmark.profile import draw_steps, steps_table
from qubo_prune.report.html import Figure
from qubo_prune.report.svg import Axis, Plot, axis_of

__all__ = ["targets"]


def targets(comparison: Comparison, measure: str, target: str) -> Figure | None:
    """Return the distribution of the time to a target, None where nobody has a time."""
    if not comparison.tasks_with(measure):
        return None
    distributions = {
        solver: target_distribution(comparison.values(solver, measure))
        for solver in comparison.solvers
    }
    times = [at for steps in distributions.values() for at in steps.at]
    x = axis_of("seconds", [*times, comparison.counted_limit], logarithmic=True)
    plot = Plot(x, Axis("share of the runs", 0, 1))
    for solver, steps in distributions.items():
        draw_steps(plot, steps, comparison.series(solver))
    levels = ", ".join(f"{solver} {steps.level:.0%}" for solver, steps in distributions.items())
    caption = (
        f"Share of the runs that have {target} by a time, over tasks and seeds, every task alike."
        f" In the end: {levels}."
    )
    name = f"ecdf-{target.replace(' ', '-').replace('@', '-')}{comparison.suffix}"
    title = f"Distribution of the time: {target}"
    svg = plot.to_svg(title, f"In the end: {levels}.")
    return Figure(name, title, svg, caption, steps_table(distributions, "seconds"))
