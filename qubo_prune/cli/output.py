"""What commands print, write and return."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qubo_prune.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from qubo_prune.core.stopping import StopReason

EXIT_DONE = 0
EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2
EXIT_LIMIT = 3
EXIT_INTERRUPTED = 130

CERTIFICATE_SUFFIX = ".certificate.json"
"""Ends the names of the certificates that `sweep` writes into a folder, where `verify` finds them
by it.
"""

_PROSE_WIDTH = 100


def exit_code(reason: StopReason) -> int:
    """Return the exit code that tells why a search ended."""
    from qubo_prune.core.stopping import StopReason

    if reason is StopReason.COMPLETED:
        return EXIT_DONE
    return EXIT_INTERRUPTED if reason is StopReason.INTERRUPTED else EXIT_LIMIT


def require_spectrum_file(path: Path) -> None:
    """Raise InputError unless a spectrum can be written to `path`; called before hours of work."""
    from qubo_prune.core.spectrum.files import check_suffix

    check_suffix(path)
    _require_file(path, "--out")


def require_certificate_file(path: Path) -> None:
    """Raise InputError unless a certificate can be written to `path`; called before hours
    of work.
    """
    from qubo_prune.solving.proof.certificate import check_suffix

    check_suffix(path)
    _require_file(path, "--certificate")


def _require_file(path: Path, option: str) -> None:
    if path.is_dir():
        raise InputError(
            f"{option} names the directory {str(path)!r}; name a file, as result.json."
        )
    require_writable(path.parent, option)


def require_writable(folder: Path, option: str = "--out") -> None:
    """Raise InputError unless files can be made in `folder`."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{option} cannot write into {str(folder)!r} ({error.strerror}); name a folder that"
            " exists and is writable."
        ) from None


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON object, strictly standard, on a line of its own."""
    print(json.dumps(document, allow_nan=False))


def stdout_console() -> Console:
    """Return the console for tables; lines are never broken for a reader that is not a terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)


def print_text(text: str, indent: str = "") -> None:
    """Print prose, wrapped for reading; `indent` goes before every line but the first."""
    width = min(shutil.get_terminal_size().columns, _PROSE_WIDTH)
    print(
        textwrap.fill(
            text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    )


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose cells are plain text."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    stdout_console().print(table)
