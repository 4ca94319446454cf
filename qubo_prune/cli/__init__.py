"""The command line: `qubo-prune`, or `python -m qubo_prune`.

Exit codes: 0 done; 1 a solver or a check of a certificate failed; 2 bad input, with one line on stderr; 3 stopped by a limit, 130 by Ctrl-C, both with what was
found printed and written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from qubo_prune import __version__
from qubo_prune.cli.backends import backends
from qubo_prune.cli.criteria import criteria
from qubo_prune.cli.exchange import export, import_
from qubo_prune.cli.extract import extract
from qubo_prune.cli.hessians import hessians
from qubo_prune.cli.merge import merge
from qubo_prune.cli.output import EXIT_BAD_INPUT, EXIT_FAILURE
from qubo_prune.cli.plan import plan
from qubo_prune.cli.select import select
from qubo_prune.cli.solve import solve
from qubo_prune.cli.sweep import sweep
from qubo_prune.cli.verify import verify
from qubo_prune.errors import BackendError, QuboPruneError

# Help is plain text: the boxes of Rich would take a third of a second to load.
_app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in (solve, sweep, plan, verify, backends, extract, merge, criteria, select):
    _app.command()(_command)
_app.command()(export)
_app.command("import")(import_)
_app.add_typer(hessians, name="hessians")


@_app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Which transformer blocks to remove: the K lowest removals of a Hessian, proven complete.

    Start with: qubo-prune solve bytelm-40-branch --remove 8
    """
    if version:
        typer.echo(f"qubo-prune {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    qubo-prune ...
    0
    """
    try:
        code = _app(args=argv, prog_name="qubo-prune", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(error.format_message(), EXIT_BAD_INPUT)
    except BackendError as error:
        return _fail(str(error), EXIT_FAILURE)
    except QuboPruneError as error:
        return _fail(str(error), EXIT_BAD_INPUT)
    return int(code or 0)


def _fail(message: str, code: int) -> int:
    """Say what is wrong in exactly one line."""
    print(f"qubo-prune: error: {' '.join(message.split())}", file=sys.stderr)
    return code
