"""What is not to be believed, what is left out and why, and what was measured on which machine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

from qubo_prune.bench.results import Run
from qubo_prune.report.benchmark.comparison import Study
from qubo_prune.report.html import Figure, description_list
from qubo_prune.report.tables import Cell, Table

__all__ = ["failures", "left_out", "lies", "machines"]

_MOST_LIES = 200


def lies(study: Study) -> str:
    """Return who claimed what is not true, nothing where nobody did."""
    rows: list[list[Cell]] = [
        [
            study.solver_of(run),
            run.instance,
            run.remove,
            run.seed,
            run.time_limit,
            lie.kind,
            lie.message,
        ]
        for run in study.runs
        for lie in run.violations
    ]
    if not rows:
        return ""
    columns = ("backend", "instance", "M", "seed", "limit s", "lie", "what is true")
    shown = rows[:_MOST_LIES]
    classes = {(r, c): "bad" for r in range(len(shown)) for c in (0, 5)}
    classes |= {(r, 6): "wrap" for r in range(len(shown))}
    table = Table(columns, tuple(shown), classes)
    everything = Table(columns, tuple(rows))
    counts = Counter(str(row[0]) for row in rows)
    told = ", ".join(f"{escape(solver)} ({count})" for solver, count in counts.items())
    figure = Figure(
        "claims",
        "",
        table.to_html("Claims that are not true"),
        f"{len(shown)} of {len(rows)} claims.",
        everything,
    )
    return (
        f'<div class="warning" role="alert"><p class="bad">Not to be believed: {told}.</p>'
        "<p>They returned wrong energies, infeasible states or false proofs. They are in no mean,"
        f" no rank and no curve.</p>{figure.to_html()}</div>"
    )


def left_out(study: Study) -> str:
    """Return what is in no mean, and why."""
    rows: list[list[Cell]] = [
        [comparison.label, each.what, each.why]
        for comparison in study.comparisons
        for each in comparison.left_out
    ]
    notes = [
        f"The last line of {path} was cut off and is left out." for path in study.results.truncated
    ]
    if study.results.repeated:
        notes.append(
            f"{study.results.repeated} lines are left out, for a later one is of the same run."
        )
    body = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    if not rows:
        return f"<p>No solver and no task.</p>{body}"
    classes = {(r, 2): "wrap" for r in range(len(rows))}
    table = Table(("limit", "what", "why"), tuple(rows), classes)
    figure = Figure(
        "what-is-left-out", "", table.to_html("Left out"), "What is in no mean, and why.", table
    )
    return figure.to_html() + body


def failures(study: Study) -> Figure:
    """Return how the runs of each solver ended."""
    counts = Counter((study.solver_of(run), run.outcome.value) for run in study.runs)
    outcomes = list(dict.fromkeys(outcome for _, outcome in counts))
    rows: tuple[list[Cell], ...] = tuple(
        [solver, *(counts[solver, outcome] for outcome in outcomes)] for solver in study.solvers
    )
    table = Table(("backend", *outcomes), rows)
    caption = "How the runs ended: what is not done or at its limit is a failure of that kind."
    return Figure("failures", "", table.to_html("Ends", identifier="failures"), caption, table)


def machines(study: Study) -> str:
    """Return each machine and its versions, with how many runs are of it."""
    told: dict[str, tuple[Mapping[str, Any], list[Run]]] = {}
    for run in study.runs:
        facts: Mapping[str, Any] = {
            name: value for name, value in run.machine.items() if name != "date"
        }
        key = json.dumps(facts, sort_keys=True, default=str)
        told.setdefault(key, (facts, []))[1].append(run)
    parts = []
    for facts, runs in told.values():
        dates = sorted({str(run.machine["date"]) for run in runs if "date" in run.machine})
        shown = {name: _in_words(value) for name, value in facts.items()}
        if dates:
            shown["measured"] = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        shown["runs"] = str(len(runs))
        threads = sorted({run.threads for run in runs if run.threads is not None})
        if threads:
            shown["threads of a run"] = ", ".join(map(str, threads))
        parts.append(description_list(shown))
    warning = (
        '<p class="bad">Times are of several machines: compare them with care.</p>'
        if len(told) > 1
        else ""
    )
    return warning + "".join(parts)


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)
