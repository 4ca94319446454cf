"""What a waiting person sees on stderr: a progress bar on a terminal, and a word before kernels are
compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qubo_prune.cli.output import tell
from qubo_prune.core.text import format_count

if TYPE_CHECKING:
    import rich.progress

    from qubo_prune.core.stopping import Progress

_DAY = 86_400
_COMPILING = "compiling the kernels for this machine, once (up to a minute) ..."


@contextmanager
def watched(quiet: bool, verbose: bool = False) -> Iterator[Watch]:
    """Show the progress of what runs within the context, and say so when kernels are compiled.

    Parameters
    ----------
    quiet : bool
        Say nothing at all.
    verbose : bool
        Log a line a second in place of the bar.
    """
    if quiet:
        yield Watch(shown=False)
        return
    from qubo_prune.core.kernels.jit import on_first_compile

    watch = Watch(shown=sys.stderr.isatty() and not verbose)
    with on_first_compile(lambda: tell(_COMPILING)), _logged(verbose):
        try:
            yield watch
        finally:
            watch.hide()


@contextmanager
def _logged(verbose: bool) -> Iterator[None]:
    """Print what is logged under the name of the package, if asked."""
    if not verbose:
        yield
        return
    import logging

    logger = logging.getLogger("qubo_prune")
    former = logger.level
    handler = logging.Handler()
    handler.emit = lambda record: tell(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(former)


class Watch:
    """A progress bar on stderr that appears with the first report and leaves no trace.

    Attributes
    ----------
    progress : callable or None
        Takes a `Progress`; None where nobody would see it.
    about : str
        What goes before each message.
    """

    def __init__(self, shown: bool) -> None:
        self.progress: Callable[[Progress], None] | None = self._update if shown else None
        self.about = ""
        self._bar: rich.progress.Progress | None = None

    def hide(self) -> None:
        """Remove the bar until the next report, so that something can be printed."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _update(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = _start_bar()
        self._bar.update(
            self._bar.task_ids[0],
            description=self.about + (progress.message or "searching"),
            completed=progress.fraction or 0.0,
            total=None if progress.fraction is None else 1.0,
            rate=f"{progress.rate:.3g}/s",
            left="" if progress.eta is None else f"{format_duration(progress.eta)} left",
        )


def _start_bar() -> rich.progress.Progress:
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TextColumn("{task.fields[left]}"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # it may be a file
        redirect_stderr=False,
    )
    bar.add_task("searching", total=None, rate="", left="")
    bar.start()
    return bar


def format_duration(seconds: float) -> str:
    """Return a duration of any length for people.

    >>> format_duration(0.4212), format_duration(65), format_duration(7200)
    ('0.42 s', '1:05', '2:00:00')
    >>> format_duration(3e5), format_duration(1e12), format_duration(1e30)
    ('3.5 days', '31,688 years', '3.17e22 years')
    """
    if round(seconds, 2) < 60:
        return f"{seconds:.2f} s"
    if seconds < _DAY:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    if seconds < 1000 * _DAY:
        return f"{seconds / _DAY:.1f} days"
    return f"{format_count(int(seconds / (365.25 * _DAY)))} years"
