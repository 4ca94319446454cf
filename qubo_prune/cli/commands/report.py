"""`qubo-prune report`: what files say, in words and on a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files
from qubo_prune.cli.output import EXIT_DONE, EXIT_OUTPUT, print_json, print_line, print_text
from qubo_prune.core.errors import InputError

if TYPE_CHECKING:
    from qubo_prune.report.results.answers import Answer
    from qubo_prune.report.saved import Saved

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help=(
            "Whatever `show` takes, in any mixture: spectra, selections, evaluations, certificates,"
            " Hessians, results of a benchmark, folders that `sweep` or `compress` wrote."
        ),
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="PAGE", help="Write the page to PAGE, a .html that works alone."
    ),
]


def report(
    files: Inputs,
    html: Html = None,
    title: options.PageTitle = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Say what files hold, what is proven, and what to do next.

    With --html also a page with figures, tables that sort and filter, and all data. Runs nothing.
    """
    if title is not None and html is None:
        raise InputError("--title is of the page, which --html writes; give both.")
    outputs = Files()
    _declare(outputs, files, html)

    from qubo_prune.report.results.page import answers_of, results_page
    from qubo_prune.report.saved import read_saved

    saved = [read_saved(each) for each in files]
    answers = answers_of(saved)
    if html is not None:
        from qubo_prune.report.html import save_page

        page = results_page(saved, title)
        outputs.write(html, lambda path: save_page(page, path))
    if not quiet:
        outputs.tell_written()
    if json:
        print_json({"files": [_document(*each) for each in answers]})
    elif not quiet:
        for place, (each, answer) in enumerate(answers):
            if place:
                print_line("")
            _print(each, answer)
    return EXIT_OUTPUT if outputs.failed else EXIT_DONE


def _declare(outputs: Files, files: list[str], html: Path | None) -> None:
    """Compare the page with what is read, before any work."""
    for each in files:
        outputs.reads(Path(each))
    if html is not None:
        outputs.writes_page(html)


def _document(saved: Saved, answer: Answer) -> dict[str, str]:
    return {"file": saved.source, "kind": saved.what, **answer.told()}


def _print(saved: Saved, answer: Answer) -> None:
    print_line(f"{saved.source} ({saved.what})")
    for name, text in answer.told().items():
        print_text(f"{name}: {text}", indent="  ")
