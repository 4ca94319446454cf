"""Task by solver: one figure a cell, as colour and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from qubo_prune.bench.results import Run
from qubo_prune.bench.statistics_profiles import RESOLUTION, median_time
from qubo_prune.report.benchmark.comparison import Comparison, Task, is_wrong
from qubo_prune.report.html import Choice, Figure, choose
from qubo_prune.report.tables import Cell, Table

__all__ = ["matrices"]


class _Shown(NamedTuple):
    """A measure of a matrix; where `is_time`, less is better."""

    label: str
    measure: str
    is_time: bool


_SHOWN = (
    _Shown("recall@20, bare", "recall_20", False),
    _Shown("recall@100, bare", "recall_100", False),
    _Shown("recall@100, repaired", "recall_100_repaired", False),
    _Shown("recall@1000, bare", "recall_1000", False),
    _Shown("seconds to the ground state", "seconds_to_ground_state", True),
    _Shown("TTS99 of the ground state, seconds", "TTS99", True),
    _Shown("seconds to recall@100", "seconds_to_recall_100", True),
    _Shown("seconds to the proof", "seconds_to_proof", True),
)
_HEATS = 5


def matrices(comparison: Comparison) -> str:
    """Return the matrices of a time limit, one for each measure that is known."""
    study = comparison.study
    first = study.headline
    shown = [each for each in _SHOWN if _is_known(comparison, each)]
    shown.sort(key=lambda each: each.measure != first)
    choices = [Choice(each.label, _matrix(comparison, each).to_html()) for each in shown]
    return choose("matrix", "Measure", choices) if choices else ""


def _is_known(comparison: Comparison, shown: _Shown) -> bool:
    measure = "seconds_to_ground_state" if shown.measure == "TTS99" else shown.measure
    return any(run.measure(measure) is not None for run in comparison.runs)


def _matrix(comparison: Comparison, shown: _Shown) -> Figure:
    study = comparison.study
    solvers = [each for each in study.solvers if any(cell[1] == each for cell in comparison.cells)]
    rows: list[list[Cell]] = []
    classes: dict[tuple[int, int], str] = {}
    hints: dict[tuple[int, int], str] = {}
    for r, task in enumerate(comparison.all_tasks):
        runs = {each: comparison.cells.get((task, each), ()) for each in solvers}
        reference = next(each for each in runs.values() if each)[0].reference_kind.value
        cells = {each: _cell(comparison, shown, task, each) for each in solvers}
        numbers = {
            each: cell
            for each, cell in cells.items()
            if isinstance(cell, float) and each not in study.liars
        }
        for c, solver in enumerate(solvers, 1):
            if solver in numbers:
                classes[r, c] = _heat(shown, numbers[solver], list(numbers.values()))
            else:
                classes[r, c] = "bad" if is_wrong(runs[solver]) else "none"
            if hint := _hint(runs[solver]):
                hints[r, c] = hint
        rows.append([study.task_names[task], *cells.values(), reference])
    columns = ("task", *solvers, "reference")
    table = Table(columns, tuple(rows), classes, hints)
    name = f"matrix-{shown.measure.replace('_', '-')}{comparison.suffix}"
    html = table.to_html(shown.label, identifier=name)
    what = "the median over seeds" if shown.is_time else "the mean over seeds"
    if shown.measure == "TTS99":
        what = "of all seeds together"
    caption = (
        f"{shown.label[0].upper()}{shown.label[1:]}: {what}; the darker, the better, and the best"
        " of a row in bold. A solver that lied anywhere has no colours. The reference is what the"
        " states are held against."
    )
    return Figure(name, "", f'<div class="matrix">{html}</div>', caption, table)


def _cell(comparison: Comparison, shown: _Shown, task: Task, solver: str) -> Cell:
    """Return a number, or in a word why there is none."""
    runs = comparison.cells.get((task, solver), ())
    if not runs:
        return "no run"
    if is_wrong(runs):
        return "wrong"
    if shown.measure == "TTS99":
        value: float | None = comparison.time_to_ground_state(task, solver).seconds
    elif shown.is_time:
        value = median_time([run.measure(shown.measure) for run in runs])
    else:
        values = [run.measure(shown.measure) for run in runs]
        known = [each for each in values if each is not None]
        value = sum(known) / len(values) if known else None
    if value is not None and math.isfinite(value):
        return value
    outcomes = {run.outcome.value for run in runs} - {"done", "limit"}
    if outcomes:
        return ", ".join(sorted(outcomes))
    return "not reached" if shown.is_time else "not known"


def _heat(shown: _Shown, value: float, others: Sequence[float]) -> str:
    """Return the class of a cell: how good it is among the others of its row."""
    if shown.is_time:
        best = max(min(others), RESOLUTION)
        steps = _HEATS - 1 - math.log(max(value, RESOLUTION) / best, 3)
        is_best = max(value, RESOLUTION) <= best
    else:
        steps = value * (_HEATS - 1)
        is_best = value >= max(others)
    return f"heat{_HEATS}" if is_best else f"heat{min(_HEATS - 1, max(0, round(steps)))}"


def _hint(runs: Sequence[Run]) -> str:
    lies = [lie.message for run in runs for lie in run.violations]
    messages = [run.message for run in runs if run.message]
    return " ".join(dict.fromkeys([*lies, *messages]))
