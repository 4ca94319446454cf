"""The spectrum as a ladder: the exact levels, and beside them what each solver found."""

from __future__ import annotations

from qubo_prune.bench.results import Run
from qubo_prune.report.benchmark.comparison import Comparison, Task, is_wrong
from qubo_prune.report.html import Choice, Figure, choose, plain_name
from qubo_prune.report.svg import Axis, Plot, axis_of
from qubo_prune.report.tables import Cell, Table

__all__ = ["ladders"]

_LEVELS = 60
"""The lowest; more could not be told apart."""

_HEAD_ROOM = 1.08
_SAME = 1e-9


def ladders(comparison: Comparison, most: int) -> str:
    """Return the ladders of a time limit, one for each of the largest tasks, to choose from."""
    drawn = [
        task
        for task in comparison.all_tasks
        if any(
            run.reference_energies and run.energies
            for solver in comparison.solvers
            for run in comparison.cells.get((task, solver), ())
        )
    ]
    names = comparison.study.task_names
    shown = drawn[-most:]
    choices = [Choice(names[task], _ladder(comparison, task).to_html()) for task in shown]
    left = len(drawn) - len(shown)
    note = f'<p class="note">The {left} smaller tasks are not drawn.</p>' if left else ""
    return choose("ladder", "Task", choices) + note if choices else ""


def _ladder(comparison: Comparison, task: Task) -> Figure:
    study = comparison.study
    runs = {
        solver: _middle_run(comparison.cells[task, solver], study.headline)
        for solver in comparison.solvers
        if (task, solver) in comparison.cells and not is_wrong(comparison.cells[task, solver])
    }
    [first, *_] = (run for run in runs.values() if run.reference_energies)
    exact = first.reference_energies[:_LEVELS]
    ground, top = exact[0], exact[-1]
    tolerance = _SAME * max(1.0, abs(top))
    heights = [[energy - ground for energy in exact]]
    columns = ("exact", *runs)
    x = Axis("", -0.6, len(columns) - 0.4, names=columns)
    y = axis_of("energy above the ground state", [(top - ground) * _HEAD_ROOM], low=0)
    plot = Plot(x, y)
    plot.levels(0, 0.7, heights[0], None)
    counts = []
    for place, (solver, run) in enumerate(runs.items(), 1):
        found = [energy for energy in run.energies if energy <= top + tolerance][:_LEVELS]
        heights.append([energy - ground for energy in found])
        plot.levels(place, 0.7, heights[-1], comparison.series(solver))
        counts.append(f"{solver} {len(found)}")
    what = (
        f"The lowest {len(exact)} levels, {first.reference_kind.value}, beside those that each"
        " solver found (of its seeds the one in the middle by recall; states that tie lie on each"
        f" other). The numbers are energies above"
        f" the ground state. Found of {len(exact)}: {', '.join(counts)}."
    )
    name = plain_name(study.task_names[task])
    svg = plot.to_svg(f"Spectrum of {study.task_names[task]}", f"Found: {', '.join(counts)}.")
    rows: list[list[Cell]] = [
        [state, *(each[state] if state < len(each) else None for each in heights)]
        for state in range(len(exact))
    ]
    table = Table(("state", *columns), tuple(rows))
    return Figure(f"spectrum-{name}{comparison.suffix}", "", svg, what, table)


def _middle_run(runs: tuple[Run, ...], headline: str) -> Run:
    """Return the run with the lower median of the recall."""
    ordered = sorted(runs, key=lambda run: run.measure(headline) or 0.0)
    return ordered[(len(ordered) - 1) // 2]
