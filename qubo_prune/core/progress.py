"""How far a run is, as callbacks, bars and logs tell it."""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

from qubo_prune.core.text import format_count, format_duration, plural

__all__ = ["Progress", "Standing"]

_LOG = logging.getLogger("qubo_prune")
_LOG_INTERVAL = 1.0
"""Seconds between two lines of the log of a run, at least."""

_LOG_ROW = "{:1}{:>11} {:>7} {:>11} {:>11} {:>11} {:>6} {:>8} {:>6}"
_COLUMNS = ("time", "nodes/s", "best", "up to", "bound", "gap", "proven", "left")
_LARGEST_GAP = 9.99
_ELLIPSIS = "..."


class Standing(NamedTuple):
    """What a search for a proof knows so far.

    Attributes
    ----------
    best : float
        The lowest energy found; inf if there is none.
    last : float
        The states that are asked for lie at or below this energy; inf while too few are found.
    bound : float
        No state that is still to be found lies below it; -inf if nothing is known.
    num_proven : int or None
        How many of the states found are proven to be the lowest; None where it cannot be known.
    num_wanted : int
        How many states are asked for.

    Examples
    --------
    >>> Standing(0.01, 0.0125, 0.012, 37, 100).gap
    0.04
    """

    best: float
    last: float
    bound: float
    num_proven: int | None
    num_wanted: int

    @property
    def gap(self) -> float:
        """How far the bound is from the last energy, or from the best where the last is unknown, as
        a part of that; inf if there is nothing to compare.
        """
        goal = self.last if math.isfinite(self.last) else self.best
        if not (math.isfinite(goal) and math.isfinite(self.bound)):
            return math.inf
        distance = max(0.0, goal - self.bound)
        if goal:
            return round(distance / abs(goal), 12)
        return math.inf if distance else 0.0


class Progress(NamedTuple):
    """A snapshot of a run, handed to progress callbacks.

    Attributes
    ----------
    fraction : float or None
        Part of the work done, 0 to 1; None where it cannot be known.
    num_evaluated : int
        States evaluated so far.
    rate : float
        States per second since the start.
    eta : float or None
        Seconds left if the rate holds; None where it cannot be known.
    message : str
        What is being done.
    elapsed : float
        Seconds since the start.
    remaining : float
        Seconds until the time limit; inf without one.
    standing : Standing or None
        What is known of the energies, where the backend says it.
    unit : str
        One of what is counted, as "sample"; empty for states, which are evaluated.
    """

    fraction: float | None
    num_evaluated: int
    rate: float
    eta: float | None
    message: str
    elapsed: float = 0.0
    remaining: float = math.inf
    standing: Standing | None = None
    unit: str = ""

    def line(self, width: int | None = None) -> str:
        """Return it as one line for people; what matters least is left out where it is longer than
        `width`.

        Examples
        --------
        >>> progress = Progress(0.25, 1000, 500.0, 6.0, "walking", 2.0, 8.0)
        >>> progress.line()
        '2.0 s: walking, 25.0 %, 1,000 evaluated, 500/s, 6.0 s left, limit in 8.0 s'
        >>> progress.line(50)
        '2.0 s: walking, 25.0 %, 500/s, 6.0 s left'
        >>> standing = Standing(0.01, 0.0125, 0.012, 37, 100)
        >>> Progress(None, 24_000, 2000.0, None, "proving", 12.0, standing=standing).line()
        '12.0 s: proving, 2,000 nodes/s, best 0.01, bound 0.012, gap 4.0 %, 37 of 100 proven'
        """
        parts = self._parts()
        while True:
            text = f"{_clock(self.elapsed)}: {', '.join(part for _, part in parts)}"
            if width is None or len(text) <= width or len(parts) == 1:
                return text if width is None or len(text) <= width else _cut(text, width)
            parts.remove(max(parts))

    def _parts(self) -> list[tuple[int, str]]:
        """Return what there is to say, each with how early it may be left out."""
        known = self.standing
        parts = [(7 if known else 0, self.message or "searching")]
        if self.fraction is not None:
            parts.append((1, f"{100 * self.fraction:.1f} %"))
        if known is None and self.num_evaluated:
            parts += [(6, self._count()), (3, f"{format_rate(self.rate)}/s")]
        if known is not None:
            if not self.unit:
                parts.append((5, f"{format_rate(self.rate)} nodes/s"))
            if math.isfinite(known.best):
                parts.append((4, f"best {known.best:.5g}"))
            if math.isfinite(known.bound):
                parts.append((6, f"bound {known.bound:.5g}"))
            if math.isfinite(known.gap):
                parts.append((2, f"gap {_percent(known.gap)}"))
            if known.num_proven is not None:
                parts.append((1, f"{known.num_proven:,} of {known.num_wanted:,} proven"))
        if self.eta:
            parts.append((2, f"{_clock(self.eta)} left"))
        if math.isfinite(self.remaining):
            parts.append((3, f"limit in {_clock(self.remaining)}"))
        return parts

    def _count(self) -> str:
        if self.unit:
            return plural(self.num_evaluated, self.unit)
        return f"{self.num_evaluated:,} evaluated"

    def log_row(self, improved: bool = False) -> str:
        """Return what is known of the energies as a row below `log_header`, marked where the best
        energy has `improved`.
        """
        known = self.standing
        if known is None:
            return self.line()
        proven = ""
        if known.num_proven is not None:
            proven = f"{known.num_proven}/{known.num_wanted}"
        return _LOG_ROW.format(
            "*" if improved else "",
            _clock(self.elapsed),
            format_rate(self.rate),
            *(f"{x:.5g}" if math.isfinite(x) else "-" for x in known[:3]),
            _percent(known.gap) if math.isfinite(known.gap) else "-",
            proven,
            _roughly(self.remaining) if math.isfinite(self.remaining) else "",
        ).rstrip()


class ProgressLog:
    """The log of one run under the name of the package: a line a second, and one whenever a lower
    energy was found.
    """

    def __init__(self) -> None:
        self._last_line = -math.inf
        self._best = math.inf
        self._headed = False

    @staticmethod
    def is_read() -> bool:
        """Whether anybody asked for it."""
        return _LOG.isEnabledFor(logging.INFO)

    def add(self, progress: Progress) -> None:
        """Log how far the run is, if it is time."""
        known = progress.standing
        improved = known is not None and known.best < self._best
        if progress.elapsed - self._last_line < _LOG_INTERVAL and not improved:
            return
        self._last_line = progress.elapsed
        if known is None:
            _LOG.info("%s", progress.line())
            return
        if not self._headed:
            self._headed = True
            _LOG.info("%s", log_header())
        self._best = min(self._best, known.best)
        _LOG.info("%s", progress.log_row(improved))


def log_header() -> str:
    """Return the headings of `Progress.log_row`.

    >>> log_header().split()[:4]
    ['time', 'nodes/s', 'best', 'up']
    """
    return _LOG_ROW.format("", *_COLUMNS)


def format_rate(rate: float) -> str:
    """Return how many a second, for people.

    >>> format_rate(0.1234), format_rate(24_153.2), format_rate(2.5e9)
    ('0.12', '24,153', '2.50e9')
    """
    return format_count(round(rate)) if rate >= 10 else f"{rate:.2g}"


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if round(seconds, 1) < 60 else format_duration(seconds)


def _roughly(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for unit, word in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {word}"
    return f"{seconds:.1f} s"


def _percent(part: float) -> str:
    if part >= _LARGEST_GAP:
        return f">{100 * _LARGEST_GAP:.0f} %"
    return f"{100 * part:.1f} %" if part < 1 else f"{100 * part:.0f} %"


def _cut(text: str, width: int) -> str:
    return text[: max(0, width - len(_ELLIPSIS))] + _ELLIPSIS
