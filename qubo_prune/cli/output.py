"""What commands print, write and return."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from qubo_prune.core.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from qubo_prune.core.stopping import StopReason

EXIT_DONE = 0
EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2
EXIT_LIMIT = 3
EXIT_OUTPUT = 4
EXIT_INTERRUPTED = 130

CERTIFICATE_SUFFIX = ".certificate.json"
"""Ends the names of the certificates that `sweep` writes into a folder, where `verify` finds them
by it.
"""

_PROSE_WIDTH = 100
_NARROWEST_LIST = 30
_INDENT = 6
_LONGEST_WORD = 20
_PADDING = 3
"""Columns of a terminal between the cells of two columns."""
_LAST_STANDARD_DESCRIPTOR = 2


def exit_code(reason: StopReason) -> int:
    """Return the exit code that tells why a search ended."""
    from qubo_prune.core.stopping import StopReason

    if reason is StopReason.COMPLETED:
        return EXIT_DONE
    return EXIT_INTERRUPTED if reason is StopReason.INTERRUPTED else EXIT_LIMIT


class StdoutError(Exception):
    """Nothing more can be printed.

    Attributes
    ----------
    reader_left : bool
        Whether that is because who reads has seen enough.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.reader_left = isinstance(error, BrokenPipeError)


class Stdout(io.TextIOBase):
    """A stream that raises `StdoutError` where another is full or closed, or its reader gone, and
    that writes every character in some way.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        with self._told_apart() as stream:
            encoding = stream.encoding or "utf-8"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        if self.stream is not None:
            with self._told_apart() as stream:
                stream.flush()

    def isatty(self) -> bool:
        """Whether a person reads."""
        return self.stream is not None and not self.stream.closed and self.stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor below."""
        with self._told_apart() as stream:
            return stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How characters become bytes."""
        return "utf-8" if self.stream is None else self.stream.encoding

    @contextmanager
    def _told_apart(self) -> Iterator[TextIO]:
        if self.stream is None or self.stream.closed:
            raise StdoutError(OSError(errno.EBADF, "it is closed"))
        try:
            yield self.stream
        except OSError as error:
            raise StdoutError(error) from error


@contextmanager
def guarded_stdout() -> Iterator[None]:
    """Let `StdoutError` tell, within the context, that stdout is full, closed or left by its
    reader.
    """
    former = sys.stdout
    if former is None or sys.stderr is None:
        _occupy_standard_descriptors()
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - to the end
    sys.stdout = Stdout(former)
    try:
        yield
        sys.stdout.flush()
    except StdoutError:
        # Or Python, when it ends, would try again to write what is held back, and say so.
        with contextlib.suppress(OSError, StdoutError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
    finally:
        sys.stdout = former


def _occupy_standard_descriptors() -> None:
    """Open nothing where stdin, stdout or stderr are closed, so that no file takes their place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD_DESCRIPTOR:
        pass
    os.close(descriptor)


def tell(message: str) -> None:
    """Say something in one line on stderr, if anybody is there to read it."""
    say(" ".join(f"qubo-prune: {message}".split()))


def say(line: str) -> None:
    """Write a line to stderr as it is, but what could steer a terminal, if anybody is there to read
    it.
    """
    if sys.stderr is None:
        return
    line = printable(line)
    with contextlib.suppress(OSError, ValueError):
        encoding = sys.stderr.encoding or "utf-8"
        shown = line.encode(encoding, "backslashreplace").decode(encoding)
        print(shown, file=sys.stderr, flush=True)


@contextmanager
def told_warnings() -> Iterator[None]:
    """Say warnings in one line within the context, as errors are."""
    former = warnings.showwarning
    warnings.showwarning = lambda message, *_, **__: tell(f"warning: {message}")
    try:
        yield
    finally:
        warnings.showwarning = former


def print_line(text: str) -> None:
    """Print a line at once; what somebody else wrote in it cannot steer the terminal."""
    print(printable(text), flush=True)


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
    lines = textwrap.wrap(
        printable(" ".join(text.split())),
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    print("\n".join(lines))


def print_footer(text: str) -> None:
    """Print a line of figures, which is wrapped on a terminal only."""
    if sys.stdout.isatty():
        print_text(text)
    else:
        print_line(text)


def print_hanging(head: str, text: str) -> None:
    """Print the figures of a row and the list that ends it; on a terminal the list is wrapped
    beside them, or below where there is little room.
    """
    if not sys.stdout.isatty():
        print_line(f"{head}  {text}")
        return
    width = shutil.get_terminal_size().columns
    beside = width - len(head) - 2 >= min(_NARROWEST_LIST, len(text))
    indent = " " * (len(head) + 2 if beside else _INDENT)
    lines = textwrap.wrap(
        printable(text), max(1, width - len(indent)), break_long_words=False, break_on_hyphens=False
    )
    print_line(head + ("  " + (lines or [""])[0] if beside else ""))
    for line in lines[1 if beside else 0 :]:
        print_line(indent + line)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1) -> None:
    """Print a table whose cells are plain text.

    Where there is little room, texts are wrapped and long words folded, but figures never: columns
    that do not fit are printed below, beside the first `keys` columns once more.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    console = stdout_console()
    cells = [[printable(row[number]) for row in rows] for number in range(len(columns))]
    for numbers in _groups(columns, cells, keys, console.width):
        table = Table(box=SIMPLE_HEAD)
        for number in numbers:
            table.add_column(columns[number], overflow="fold", no_wrap=_are_figures(cells[number]))
        for place in range(len(rows)):
            table.add_row(*(Text(cells[number][place]) for number in numbers))
        console.print(table)


def _are_figures(cells: Sequence[str]) -> bool:
    return all(len(cell) <= _LONGEST_WORD and " " not in cell.strip() for cell in cells)


def _groups(
    columns: Sequence[str], cells: Sequence[Sequence[str]], keys: int, width: int
) -> list[list[int]]:
    """Return which columns stand beside each other so that no figure is folded."""
    needed = [
        max(len(name), *map(len, each), 0)
        if _are_figures(each)
        else min(_LONGEST_WORD, max(len(word) for cell in each for word in cell.split()))
        for name, each in zip(columns, cells, strict=True)
    ]
    first = list(range(keys))
    groups = [first.copy()]
    for number in range(keys, len(columns)):
        group = [*groups[-1], number]
        fits = sum(needed[each] + _PADDING for each in group) + 1 <= width
        if fits or groups[-1] == first:
            groups[-1] = group
        else:
            groups.append([*first, number])
    return groups


def print_states(table: Table, lists: str, *, spare: Sequence[str]) -> None:
    """Print a table of states, whose column `lists` is wrapped between blocks; where the terminal
    leaves no room for the longest name, `spare` columns are left out, the first one first.
    """
    console = stdout_console()
    for name in ("", *spare):
        table.columns[:] = [each for each in table.columns if each.header != name or not name]
        column = next(each for each in table.columns if each.header == lists)
        words = (word for cell in column.cells for word in str(cell).split())
        longest = max(map(len, words), default=0)
        others = sum(
            max(len(str(cell)) for cell in (each.header, *each.cells)) + _PADDING
            for each in table.columns
            if each is not column
        )
        if others + max(longest, len(lists)) + _PADDING + 1 <= console.width:
            break
    console.print(table)
