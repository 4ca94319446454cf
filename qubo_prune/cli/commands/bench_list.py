"""`qubo-prune bench list`: suites, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import EXIT_DONE, print_footer, print_json, print_table, print_text, tell
from qubo_prune.core.text import plural

if TYPE_CHECKING:
    from qubo_prune.bench.suites import Suite
    from qubo_prune.bench.tasks import Task

Name = Annotated[
    str | None,
    typer.Argument(metavar="SUITE", help="Show the tasks of this suite, a name or a .toml file."),
]
Data = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the files of the suite are.")
]

_FEW_KINDS = 3


def list_(suite: Name = None, data: Data = None, json: options.Json = False) -> int:
    """List the suites, or the tasks of one and what is known of them."""
    from qubo_prune.bench.suite_names import suite_names
    from qubo_prune.bench.suites import load_suite

    if suite is not None:
        return _show(load_suite(suite, data), json)
    suites = [load_suite(name) for name in suite_names()]
    if json:
        print_json(
            {
                "suites": [
                    {"name": each.name, "summary": each.summary, "tasks": _size(each)}
                    for each in suites
                ]
            }
        )
        return EXIT_DONE
    print_table(
        ["suite", "tasks", "what it is"],
        [[each.name, str(_size(each)), each.summary] for each in suites],
    )
    print_text("Run one with: qubo-prune bench run SUITE --out results.jsonl")
    return EXIT_DONE


def _counts(task: Task) -> str:
    if isinstance(task.remove, dict) and len(task.remove) <= _FEW_KINDS:
        return ", ".join(f"{count} {kind}" for kind, count in task.remove.items())
    return str(task.problem.num_removed)


def _size(suite: Suite) -> int:
    return len(suite.tasks) + len(suite.missing)


def _show(suite: Suite, json: bool) -> int:
    from qubo_prune.bench.references import known_reference
    from qubo_prune.core.text import format_count

    rows = []
    for task in suite.tasks:
        problem = task.problem
        known = known_reference(task)
        kind = "none yet" if known is None else known.kind.value
        if task.published is not None and kind == "none yet":
            kind = f"published {task.published.value:.10g}"
        states = format_count(problem.num_states)
        rows.append([task.name, problem.num_blocks, _counts(task), states, task.wanted, kind])
    columns = ["instance", "N", "M", "states", "K", "reference"]
    if json:
        print_json(
            {
                "name": suite.name,
                "summary": suite.summary,
                "needs": suite.needs,
                "missing": list(suite.missing),
                "backends": [each.backend for each in suite.solvers],
                "time_limits": list(suite.time_limits),
                "seeds": suite.seeds,
                "columns": columns,
                "tasks": rows,
            }
        )
        return EXIT_DONE
    for name in suite.missing:
        tell(f"warning: {name} is not there.")
    print_table(columns, [[str(cell) for cell in row] for row in rows])
    limits = ", ".join(f"{limit:g}" for limit in suite.time_limits)
    print_footer(
        f"{plural(len(rows), 'task')}; {', '.join(each.backend for each in suite.solvers)};"
        f" {plural(suite.seeds, 'seed')}; {limits} s"
    )
    return EXIT_DONE
