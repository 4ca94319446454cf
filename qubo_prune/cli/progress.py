"""What a waiting person sees on stderr: one line, rewritten on a terminal and said now and then
elsewhere, or a log; and a word before kernels are compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qubo_prune.cli.output import say, tell

if TYPE_CHECKING:
    import rich.progress

    from qubo_prune.core.stopping import Progress

_COMPILING = "compiling the kernels of {} for this machine, once (up to a minute) ..."

_FIRST_WORD = 10.0
"""Seconds until something is said where stderr is no terminal."""

_LONGEST_SILENCE = 600.0
_BAR_WIDTH = 16


@contextmanager
def watched(quiet: bool, verbose: int = 0) -> Iterator[Watch]:
    """Show the progress of what runs within the context, and say so when kernels are compiled.

    Parameters
    ----------
    quiet : bool
        Say nothing at all.
    verbose : int
        1: log a line a second in place of the bar; 2: log what Gurobi and SCIP say themselves, too.
    """
    if quiet:
        yield Watch(shown=False)
        return
    from qubo_prune.core.kernels.jit import on_compile

    watch = Watch(shown=not verbose)
    with on_compile(lambda whose: tell(_COMPILING.format(whose))), _logged(verbose):
        try:
            yield watch
        finally:
            watch.hide()


@contextmanager
def _logged(verbose: int) -> Iterator[None]:
    """Print what is logged under the name of the package, if asked."""
    if not verbose:
        yield
        return
    import logging

    logger = logging.getLogger("qubo_prune")
    former = logger.level
    handler = logging.Handler()
    handler.emit = lambda record: say(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(former)


class Watch:
    """One line on stderr: on a terminal it appears with the first report and leaves no trace;
    elsewhere it is written after ten seconds, and then more and more rarely.

    Attributes
    ----------
    progress : callable or None
        Takes a `Progress`; None where nobody would see it.
    about : str
        What goes before each message.
    after : str
        What goes behind it.
    """

    def __init__(self, shown: bool) -> None:
        self._rewritten = shown and sys.stderr.isatty()
        self.progress: Callable[[Progress], None] | None = self._update if shown else None
        self.about = ""
        self.after = ""
        self._bar: rich.progress.Progress | None = None
        self._next_word = _FIRST_WORD
        self._before = 0.0

    def hide(self) -> None:
        """Remove the line until the next report, so that something can be printed."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _update(self, progress: Progress) -> None:
        if self._rewritten:
            self._rewrite(progress)
        else:
            self._write(progress)

    def _write(self, progress: Progress) -> None:
        """Say it, if it is time."""
        if progress.elapsed < self._before:  # another run
            self._next_word = _FIRST_WORD
        self._before = progress.elapsed
        if progress.elapsed >= self._next_word:
            self._next_word = progress.elapsed + min(progress.elapsed, _LONGEST_SILENCE)
            tell(self.about + progress.line() + self.after)

    def _rewrite(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = _start_bar()
        taken = len(self.about) + len(self.after)
        taken += 0 if progress.fraction is None else _BAR_WIDTH + 1
        self._bar.update(
            self._bar.task_ids[0],
            description=self.about + progress.line(_columns() - taken - 1) + self.after,
            completed=progress.fraction or 0.0,
            total=None if progress.fraction is None else 1.0,
        )


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _start_bar() -> rich.progress.Progress:
    from rich import progress
    from rich.console import Console
    from rich.table import Column
    from rich.text import Text

    class Bar(progress.BarColumn):
        """A bar, where it is known how much there is to do."""

        def render(self, task: progress.Task) -> Any:
            return Text() if task.total is None else super().render(task)

    bar = progress.Progress(
        progress.TextColumn(
            "{task.description}",
            markup=False,
            style="none",
            table_column=Column(no_wrap=True, overflow="ellipsis"),
        ),
        Bar(_BAR_WIDTH),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # it may be a file
        redirect_stderr=False,
    )
    bar.add_task("starting", total=None)
    bar.start()
    return bar
