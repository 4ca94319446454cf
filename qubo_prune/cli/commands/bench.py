"""`qubo-prune bench`: measuring solvers."""

from __future__ import annotations

import typer

from qubo_prune.cli.commands.bench_report import report
from qubo_prune.cli.output import EXIT_DONE

bench = typer.Typer(
    invoke_without_command=True, help="Compare solvers by the results of a benchmark."
)


@bench.callback()
def _group(context: typer.Context) -> int:
    """Compare solvers by the results of a benchmark."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    return EXIT_DONE


bench.command()(report)
