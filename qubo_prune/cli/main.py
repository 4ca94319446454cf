"""The command line: `qubo-prune`, or `python -m qubo_prune`.

Exit codes: 0 done; 1 a solver or a check of a certificate failed; 2 bad input, with one line on
stderr; 3 stopped by a limit, 130 by Ctrl-C or SIGTERM, both with what was found printed and
written; 4 stdout or a file could not be written to.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from qubo_prune.cli.commands.backends import backends
from qubo_prune.cli.commands.bench import bench
from qubo_prune.cli.commands.bound import bound
from qubo_prune.cli.commands.compress import compress
from qubo_prune.cli.commands.criteria import criteria
from qubo_prune.cli.commands.evaluate import evaluate
from qubo_prune.cli.commands.exchange import export, import_
from qubo_prune.cli.commands.extract import extract
from qubo_prune.cli.commands.heal import heal
from qubo_prune.cli.commands.hessians import hessians
from qubo_prune.cli.commands.hessians import show as show_hessian
from qubo_prune.cli.commands.merge import merge
from qubo_prune.cli.commands.plan import plan
from qubo_prune.cli.commands.prune import prune
from qubo_prune.cli.commands.report import report
from qubo_prune.cli.commands.select import select
from qubo_prune.cli.commands.show import show
from qubo_prune.cli.commands.solve import solve
from qubo_prune.cli.commands.sweep import sweep
from qubo_prune.cli.commands.verify import verify
from qubo_prune.cli.commands.weigh import weigh
from qubo_prune.cli.config import configurable
from qubo_prune.cli.output import (
    EXIT_BAD_INPUT,
    EXIT_FAILURE,
    EXIT_OUTPUT,
    StdoutError,
    guarded_stdout,
    tell,
    told_warnings,
)
from qubo_prune.cli.wording import about_parameter, reworded
from qubo_prune.core.errors import BackendError, OutputError, QuboPruneError
from qubo_prune.core.version import __version__

# Help is plain text: the boxes of Rich would take a third of a second to load.
_app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_COMMANDS = (
    *(solve, sweep, show, report, bound, plan, verify, backends),
    *(extract, merge, export, criteria, weigh, select, prune, evaluate, heal, compress),
)
_BY_NAME: dict[str, Callable[..., object]] = {each.__name__: each for each in _COMMANDS}
for _command in _COMMANDS:
    _app.command()(configurable(_command))
_app.command("import")(configurable(import_))
_app.add_typer(bench, name="bench")
_app.add_typer(hessians, name="hessians")


@_app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version and exit.")
    ] = False,
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
        with guarded_stdout(), told_warnings():
            code = _app(args=argv, prog_name="qubo-prune", standalone_mode=False)
    except StdoutError as error:
        if not error.reader_left:
            tell(f"error: stdout cannot be written to ({error}); files named by options are there.")
        return EXIT_OUTPUT
    except typer.TyperException as error:
        return _fail(about_parameter(error), EXIT_BAD_INPUT)
    except QuboPruneError as error:
        given = sys.argv[1:] if argv is None else list(argv)
        code = EXIT_FAILURE if isinstance(error, BackendError) else EXIT_BAD_INPUT
        if isinstance(error, OutputError):
            code = EXIT_OUTPUT
        return _fail(reworded(str(error), _options_of(given), given), code)
    return int(code or 0)


def _options_of(given: Sequence[str]) -> list[str]:
    """Return the options of the command that was called."""
    command: Callable[..., object] | None = {**_BY_NAME, "import": import_}.get(
        next(iter(given), "")
    )
    if given[:2] == ["hessians", "show"]:
        command = show_hessian
    parameters = () if command is None else inspect.signature(command).parameters
    return [parameter.replace("_", "-") for parameter in parameters]


def _fail(message: str, code: int) -> int:
    """Say what is wrong in exactly one line."""
    tell(f"error: {message}")
    return code
