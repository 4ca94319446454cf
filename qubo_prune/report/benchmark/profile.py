"""Performance profiles: within which factor of the fastest each solver is, and how often."""

from __future__ import annotations

from collections.abc import Mapping

from qubo_prune.bench.statistics_profiles import (
    RESOLUTION,
    Steps,
    median_time,
    performance_profile,
)
from qubo_prune.report.benchmark.comparison import Comparison
from qubo_prune.report.html import Figure
from qubo_prune.report.svg import Axis, Plot, axis_of
from qubo_prune.report.tables import Table

__all__ = ["profile", "steps_table"]


def profile(comparison: Comparison, measure: str, target: str) -> Figure | None:
    """Return the performance profile of the time to a target, None where nobody has a time."""
    seconds = {
        solver: {
            task: median_time(each) for task, each in comparison.values(solver, measure).items()
        }
        for solver in comparison.solvers
    }
    if not any(seconds.values()):
        return None
    profiles = performance_profile(seconds)
    ratios = [ratio for steps in profiles.values() for ratio in steps.at]
    x = axis_of("times the fastest", [1.0, *ratios], logarithmic=True)
    y = Axis("share of the tasks", 0, 1)
    plot = Plot(x, y)
    for solver, steps in profiles.items():
        draw_steps(plot, steps, comparison.series(solver))
    levels = ", ".join(f"{solver} {1 - steps.level:.0%}" for solver, steps in profiles.items())
    caption = (
        f"Of the time to {target}: the share of"
        f" {len(next(iter(seconds.values())))} tasks that each solves within a factor of the"
        " fastest, by the median over seeds; times below"
        f" {RESOLUTION * 1000:g} ms are alike. Failed in the end: {levels}."
    )
    name = f"profile-{target.replace(' ', '-').replace('@', '-')}{comparison.suffix}"
    title = f"Performance profile: {target}"
    svg = plot.to_svg(title, f"Failed: {levels}.")
    return Figure(name, title, svg, caption, steps_table(profiles, "times the fastest"))


def draw_steps(plot: Plot, steps: Steps, series: int) -> None:
    """Draw a distribution from the left end of a plot to its right end."""
    points = [(plot.x.low, steps.share(plot.x.low))]
    points += [(at, share) for at, share in zip(*steps, strict=True) if at > plot.x.low]
    plot.line([*points, (plot.x.high, steps.level)], series, steps=True)


def steps_table(distributions: Mapping[str, Steps], heading: str) -> Table:
    """Return the corners of distributions."""
    return Table(
        ("backend", heading, "share"),
        tuple(
            (solver, at, share)
            for solver, steps in distributions.items()
            for at, share in zip(*steps, strict=True)
        ),
    )
