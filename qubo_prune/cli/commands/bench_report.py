"""`qubo-prune bench report`: what files of results say, in the terminal and on a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files
from qubo_prune.cli.output import (
    EXIT_DONE,
    EXIT_OUTPUT,
    print_json,
    print_table,
    print_text,
    tell,
)
from qubo_prune.core.text import plural

if TYPE_CHECKING:
    from qubo_prune.report.benchmark.comparison import Comparison, Study

Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULTS",
        help="Files of results, of one machine or several; or CSV files of `bench export`, which"
        " lack states and what was found when.",
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write the page to FILE, a .html that works alone."
    ),
]

_COLUMNS = (0, 1, 2, 4, 5, 6, 9)
"""Of the leader board, those that a terminal has room for."""


def report(
    results: Inputs,
    html: Html = None,
    title: options.PageTitle = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Compare the solvers of a benchmark.

    Shows the leader board of each time limit, who is left out and why, and who claimed what is not
    true. With --html also a page with tables, plots and their data. Runs nothing.
    """
    files = Files()
    files.reads(*results)
    if html is not None:
        files.writes_page(html)

    from qubo_prune.bench.export import read_csv
    from qubo_prune.bench.results import read_results
    from qubo_prune.report.benchmark.comparison import Study

    found = read_results(path for path in results if path.suffix != ".csv")
    tables = [run for path in results if path.suffix == ".csv" for run in read_csv(path)]
    found = found._replace(runs=(*found.runs, *tables))
    for path in found.truncated:
        tell(f"warning: the last line of {path} was cut off and is left out.")
    study = Study(found)
    if html is not None:
        from qubo_prune.report.benchmark.page import benchmark_page
        from qubo_prune.report.html import save_page

        page = benchmark_page(found, title or ", ".join(path.stem for path in results))
        files.write(html, lambda path: save_page(page, path))
    if not quiet:
        files.tell_written()
    if json:
        print_json(board_document(study))
    elif not quiet:
        for comparison in study.comparisons:
            print_board(comparison)
        for solver in study.liars:
            lie = next(
                lie
                for run in study.runs
                if study.solver_of(run) == solver
                for lie in run.violations
            )
            print_text(f"Not to be believed: {solver} ({lie.kind}): {lie.message}")
    return EXIT_OUTPUT if files.failed else EXIT_DONE


def board_document(study: Study) -> dict[str, object]:
    """Return what `bench report --json` prints."""
    from qubo_prune.report.benchmark.leader_board import leader_table

    boards = []
    for comparison in study.comparisons:
        table = leader_table(comparison)
        boards.append(
            {
                "time_limit": comparison.limit,
                "tasks": [comparison.study.task_names[task] for task in comparison.tasks],
                "columns": list(table.columns),
                "rows": table.to_json(),
                "left_out": [each._asdict() for each in comparison.left_out],
            }
        )
    return {
        "runs": len(study.runs),
        "repeated": study.results.repeated,
        "truncated": list(study.results.truncated),
        "wrong": list(study.liars),
        "leader_boards": boards,
    }


def print_board(comparison: Comparison) -> None:
    """Print the leader board of a time limit, and who is left out."""
    from qubo_prune.report.benchmark.leader_board import leader_table
    from qubo_prune.report.tables import format_cell

    table = leader_table(comparison)
    if table.rows:
        print_table(
            [table.columns[column] for column in _COLUMNS],
            [[format_cell(row[column]) for column in _COLUMNS] for row in table.rows],
            keys=2,
        )
    print_text(f"Time limit {comparison.label}, over {plural(len(comparison.tasks), 'task')}.")
    for each in comparison.left_out:
        print_text(f"Left out: {each.what}, for {each.why}", indent="  ")
