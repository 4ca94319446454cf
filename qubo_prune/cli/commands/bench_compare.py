"""`qubo-prune bench compare`: two solvers, or one before and after, on the same tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import EXIT_DONE, print_json, print_line, print_table, print_text
from qubo_prune.core.errors import InputError

if TYPE_CHECKING:
    from qubo_prune.report.benchmark.comparison import Study
    from qubo_prune.report.benchmark.versus import Versus

First = Annotated[
    str, typer.Argument(metavar="A", help="A solver of RESULTS; without these, a file of results.")
]
Second = Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")]
Inputs = Annotated[list[Path] | None, typer.Argument(metavar="[RESULTS]...")]


def compare(
    first: First, second: Second, results: Inputs = None, json: options.Json = False
) -> int:
    """Compare two solvers task by task, by sign tests.

    With files of results after them, A and B are solvers. Without, they are files, and each solver
    that both have is compared with itself, as before and after a change.
    """
    pairs = _solvers(first, second, results) if results else _files(first, second)
    if json:
        print_json({"comparisons": [_document(*each) for each in pairs]})
        return EXIT_DONE
    for a, b, tests in pairs:
        print_line(f"{a} against {b}")
        _show(tests)
    print_text(
        "A wins a task where its bare recall is higher, or where it is sooner there (within 5 % is"
        " a tie, not there loses); the interval is of A's share of the tasks that are no ties."
    )
    return EXIT_DONE


def _study(paths: list[Path]) -> Study:
    from qubo_prune.bench.results import read_results
    from qubo_prune.report.benchmark.comparison import Study

    return Study(read_results(paths))


def _solvers(first: str, second: str, results: list[Path]) -> list[tuple[str, str, list[Versus]]]:
    from qubo_prune.report.benchmark.versus import versus

    study = _study(results)
    for name in (first, second):
        if name not in study.solvers:
            raise InputError(
                f"there is no solver {name!r} in the results; they have {', '.join(study.solvers)}."
            )
    a, b = ([run for run in study.runs if study.solver_of(run) == name] for name in (first, second))
    return [(first, second, versus(a, b))]


def _files(first: str, second: str) -> list[tuple[str, str, list[Versus]]]:
    from qubo_prune.report.benchmark.versus import versus

    studies = _study([Path(first)]), _study([Path(second)])
    common = [name for name in studies[0].solvers if name in studies[1].solvers]
    if not common:
        raise InputError(
            f"{first} and {second} have no solver in common; to compare two solvers, name them"
            " before the files."
        )
    found = []
    for name in common:
        a, b = ([run for run in each.runs if each.solver_of(run) == name] for each in studies)
        found.append((f"{name} of {first}", f"{name} of {second}", versus(a, b)))
    return found


def _document(a: str, b: str, tests: list[Versus]) -> dict[str, object]:
    return {
        "first": a,
        "second": b,
        "measures": {
            each.measure: {
                "first": each.first,
                "second": each.second,
                **each.test._asdict(),
                "interval": list(each.test.interval),
            }
            for each in tests
        },
    }


def _show(tests: list[Versus]) -> None:
    rows = []
    for each in tests:
        test = each.test
        means = ("" if mean is None else f"{mean:.3f}" for mean in (each.first, each.second))
        rows.append(
            [
                each.measure.replace("_", " ", 1).replace("_", " "),
                *means,
                *map(str, test[:3]),
                f"{test.p_value:.3g}",
                f"{test.interval.low:.2f} to {test.interval.high:.2f}",
            ]
        )
    print_table(["measure", "A", "B", "wins", "ties", "losses", "p", "95 %"], rows)
