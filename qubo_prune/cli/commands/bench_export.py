"""`qubo-prune bench export`: results as tables for others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files
from qubo_prune.cli.output import EXIT_DONE, EXIT_OUTPUT
from qubo_prune.core.errors import InputError

Inputs = Annotated[list[Path], typer.Argument(metavar="RESULTS", help="Files of results.")]
Csv = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write a row for each run to FILE.")
]
Parquet = Annotated[
    Path | None, typer.Option("--parquet", metavar="FILE", help="The same; needs pyarrow.")
]
Qoblib = Annotated[
    Path | None,
    typer.Option(
        "--qoblib",
        metavar="FILE",
        help="Write a row for each task and solver to FILE, in the columns of QOBLIB's template.",
    ),
]


def export(
    results: Inputs,
    csv: Csv = None,
    parquet: Parquet = None,
    qoblib: Qoblib = None,
    quiet: options.Quiet = False,
) -> int:
    """Write results as tables for other programs."""
    from qubo_prune.bench.export import require_own, write_csv, write_parquet, write_qoblib
    from qubo_prune.bench.results import read_results

    wanted = [
        (option, path, writer)
        for option, path, writer in (
            ("--csv", csv, write_csv),
            ("--parquet", parquet, write_parquet),
            ("--qoblib", qoblib, write_qoblib),
        )
        if path is not None
    ]
    if not wanted:
        raise InputError("bench export writes nothing without --csv, --parquet or --qoblib.")
    files = Files()
    files.reads(*results)
    for option, path, writer in wanted:
        files.writes(path, option, require=partial(require_own, writer=writer))
    runs = read_results(results).runs
    for _, path, writer in wanted:
        files.write(path, partial(writer, runs))
    if not quiet:
        files.tell_written()
    return EXIT_OUTPUT if files.failed else EXIT_DONE
