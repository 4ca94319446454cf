"""`qubo-prune bench`: measuring solvers."""

from __future__ import annotations

import typer

from qubo_prune.cli.commands.bench_check import check
from qubo_prune.cli.commands.bench_compare import compare
from qubo_prune.cli.commands.bench_export import export
from qubo_prune.cli.commands.bench_list import list_
from qubo_prune.cli.commands.bench_report import report
from qubo_prune.cli.commands.bench_run import run
from qubo_prune.cli.config import configurable
from qubo_prune.cli.output import EXIT_DONE

bench = typer.Typer(invoke_without_command=True, help="Measure and compare solvers.")


@bench.callback()
def _group(context: typer.Context) -> int:
    """Measure and compare solvers."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    return EXIT_DONE


bench.command("list")(configurable(list_))
for _command in (run, check, report, compare, export):
    bench.command()(configurable(_command))
