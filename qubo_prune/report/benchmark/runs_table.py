"""Every run, to sort and to filter; where there are very many, one row for all seeds of a task."""

from __future__ import annotations

from collections.abc import Sequence

from qubo_prune.bench.results import Run
from qubo_prune.bench.statistics_profiles import median_time
from qubo_prune.report.benchmark.comparison import Study, is_wrong, task_of
from qubo_prune.report.html import Figure
from qubo_prune.report.tables import Cell, Table

__all__ = ["runs_table"]

_MEASURES = (
    ("recall@20 bare", "recall_20"),
    ("recall@100 bare", "recall_100"),
    ("recall@100 repaired", "recall_100_repaired"),
    ("recall@1000 bare", "recall_1000"),
    ("ground state", "ground_state"),
    ("s to ground state", "seconds_to_ground_state"),
    ("s to recall@100", "seconds_to_recall_100"),
    ("s to proof", "seconds_to_proof"),
    ("proven", "num_proven"),
    ("gap", "gap"),
    ("energy error", "energy_error"),
    ("primal integral", "primal_integral"),
    ("feasible", "feasible_share"),
    ("distinct", "distinct_share"),
    ("unrepaired", "unrepaired_share"),
    ("diversity", "diversity"),
    ("wall s", "wall_seconds"),
    ("CPU s", "cpu_seconds"),
    ("memory MB", "peak_bytes"),
)
_TIMES = {name for _, name in _MEASURES if name.startswith("seconds_to")}


def runs_table(study: Study, most: int) -> Figure | None:
    """Return the table of all runs; with a row for all seeds where it has more rows than `most`,
    and None if it has more even so.
    """
    groups: list[tuple[Run, ...]] = [(run,) for run in study.runs]
    caption = "Every run."
    if len(groups) > most:
        groups = [runs for comparison in study.comparisons for runs in comparison.cells.values()]
        caption = (
            f"A row a task and solver, with the median over its runs: the {len(study.runs)} runs"
            " are too many for a page, and all in the files of results."
        )
        if len(groups) > most:
            return None
    caption += " Nothing where it is not known, or not reached; lies are in red, without figures."
    measures = [
        (heading, name)
        for heading, name in _MEASURES
        if any(run.measure(name) is not None for run in study.runs)
    ]
    identity = ("instance", "family", "N", "M", "K", "backend", "limit s", "seed", "ended")
    columns = (*identity, *(heading for heading, _ in measures), "note")
    rows: list[list[Cell]] = []
    classes: dict[tuple[int, int], str] = {}
    for place, runs in enumerate(groups):
        wrong = is_wrong(runs)
        rows.append([*_identity(study, runs), *_measures(measures, runs, wrong), _note(runs)])
        classes[place, len(columns) - 1] = "wrap bad" if wrong else "wrap"
        if wrong:
            classes[place, identity.index("backend")] = "bad"
            classes[place, identity.index("ended")] = "bad"
    table = Table(columns, tuple(rows), classes)
    filters = ("instance", "family", "backend", "limit s", "ended")
    body = table.to_html("Runs", identifier="runs", filters=filters)
    return Figure("all-runs", "", body, caption, table)


def _identity(study: Study, runs: Sequence[Run]) -> list[Cell]:
    first = runs[0]
    task = task_of(first)
    outcomes = ", ".join(dict.fromkeys(run.outcome.value for run in runs))
    seed: Cell = first.seed if len(runs) == 1 else f"{len(runs)} seeds"
    solver = study.solver_of(first)
    size = (task.num_blocks, task.remove, task.num_states)
    return [task.instance, first.family, *size, solver, first.time_limit, seed, outcomes]


def _measures(measures: Sequence[tuple[str, str]], runs: Sequence[Run], wrong: bool) -> list[Cell]:
    return [None if wrong else _median(name, runs) for _, name in measures]


def _median(name: str, runs: Sequence[Run]) -> float | None:
    values = [run.measure(name) for run in runs]
    if name not in _TIMES:
        values = [value for value in values if value is not None]
    value = median_time(values) if values else None
    return value / 1e6 if value is not None and name == "peak_bytes" else value


def _note(runs: Sequence[Run]) -> str:
    lies = [lie.message for run in runs for lie in run.violations]
    messages = [run.message for run in runs if run.message]
    return " ".join(dict.fromkeys([*lies, *messages]))
