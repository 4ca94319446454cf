"""When to stop: time limit, state budget, cancellation and progress in one object."""

from __future__ import annotations

import enum
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from qubo_prune.core.errors import InputError
from qubo_prune.core.progress import Progress, ProgressLog, Standing
from qubo_prune.core.validation import as_count, as_finite_float

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Progress", "Standing", "Stop", "StopReason"]

_REPORT_INTERVAL = 0.1
"""Seconds between two calls of a progress callback, at least."""


class StopReason(enum.Enum):
    """Why a run ended."""

    COMPLETED = "completed"
    TIME_LIMIT = "time limit"
    EVALUATION_LIMIT = "evaluation limit"
    INTERRUPTED = "interrupted"


class Stop:
    """Decides when a run has to end; backends ask it, users and signals set it.

    Parameters
    ----------
    time_limit : float, optional
        Seconds from construction or the last `start`.
    max_evaluations : int, optional
        Number of states that may be evaluated.
    progress : callable, optional
        Called with a `Progress` at most every 0.1 s. An exception that it raises stops the run, and
        `solve` raises it again once the backend has put away what it has.
    logged : bool
        Whether the logger ``qubo_prune`` tells of the run; False where it is a step of many.

    Raises
    ------
    InputError
        If a limit is not a positive finite number.

    Examples
    --------
    >>> stop = Stop(max_evaluations=1000)
    >>> stop.should_stop(999), stop.should_stop(1000)
    (False, True)
    >>> stop.reason
    <StopReason.EVALUATION_LIMIT: 'evaluation limit'>
    """

    def __init__(
        self,
        time_limit: float | None = None,
        max_evaluations: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        *,
        logged: bool = True,
    ) -> None:
        if time_limit is not None:
            time_limit = as_finite_float(time_limit, "time_limit")
            if time_limit <= 0:
                raise InputError(
                    f"time_limit must be more than 0 seconds, not {time_limit!r}; "
                    "leave it out for no limit."
                )
        if max_evaluations is not None:
            remedy = "leave it out for no limit"
            max_evaluations = as_count(max_evaluations, "max_evaluations", least=1, remedy=remedy)
        if progress is not None and not callable(progress):
            raise InputError(
                f"progress must be callable, not {type(progress).__name__}; "
                "pass a function of one Progress."
            )
        self.time_limit = time_limit
        self.max_evaluations = max_evaluations
        self._progress = progress
        self._logged = logged
        self._cancelled: StopReason | None = None
        self._signalled = False
        self._report_lock = threading.Lock()
        self.start()

    def start(self) -> None:
        """Reset the clock and forget a limit that was reached and a callback that failed; a
        cancellation stays.
        """
        self._limit_reached: StopReason | None = None
        self._failure: Exception | None = None
        self._reserved = 0.0
        self._started = time.monotonic()
        self._last_report = -math.inf
        self._log = ProgressLog()

    @property
    def is_logged(self) -> bool:
        """Whether somebody reads what the logger tells of the run."""
        return self._logged and ProgressLog.is_read()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def remaining(self) -> float:
        """Seconds left for the search, at least 0; inf without a time limit."""
        if self.time_limit is None:
            return math.inf
        return max(0.0, self.time_limit - self._reserved - self.elapsed)

    def reserve(self, seconds: float) -> None:
        """Keep so many seconds of the time limit, until the next `start`, for what comes after the
        search: checks and sorting.
        """
        self._reserved = seconds

    @property
    def reason(self) -> StopReason | None:
        """Why the run has to stop; None while it may go on."""
        failed = None if self._failure is None else StopReason.INTERRUPTED
        return self._cancelled or self._limit_reached or failed

    def cancel(self, reason: StopReason = StopReason.INTERRUPTED) -> None:
        """Ask the run to stop, from any thread or a signal handler; the first reason stays."""
        # No lock: a signal handler could interrupt its holder in the same thread and wait for ever.
        if self._cancelled is None:
            self._cancelled = reason

    def should_stop(self, num_evaluated: int = 0) -> bool:
        """Whether the run has to stop now, `num_evaluated` states after its start."""
        if self.reason is not None:
            return True
        if self.max_evaluations is not None and num_evaluated >= self.max_evaluations:
            self._limit_reached = StopReason.EVALUATION_LIMIT
        elif self.remaining == 0.0:
            self._limit_reached = StopReason.TIME_LIMIT
        return self._limit_reached is not None

    def report(
        self,
        num_evaluated: int,
        fraction: float | None = None,
        message: str = "",
        *,
        standing: Callable[[], Standing] | None = None,
        unit: str = "",
    ) -> None:
        """Tell the progress callback how far the run is; most calls return at once.

        Parameters
        ----------
        num_evaluated : int
            States evaluated so far.
        fraction : float, optional
            Part of the work done; clipped to 0...1.
        message : str
            What is being done.
        standing : callable, optional
            Returns what is known of the energies; only called where somebody wants it.
        unit : str
            One of what is counted, where it is no states: "sample", say.
        """
        logged = self.is_logged
        if (
            (self._progress is None and not logged)
            or self._failure is not None
            or not self._report_lock.acquire(blocking=False)
        ):
            return
        try:
            now = time.monotonic()
            if now - self._last_report < _REPORT_INTERVAL:
                return
            self._last_report = now
            elapsed = now - self._started
            eta = None
            if fraction is not None:
                fraction = min(1.0, max(0.0, fraction))
                if fraction > 0:
                    eta = elapsed * (1 - fraction) / fraction
            rate = num_evaluated / elapsed if elapsed > 0 else 0.0
            known = None if standing is None else standing()
            progress = Progress(
                fraction, num_evaluated, rate, eta, message, elapsed, self.remaining, known, unit
            )
            # Not through the backend, which may be anywhere, in foreign code even, and could not
            # say whose fault it is.
            try:
                if logged:
                    self._log.add(progress)
                if self._progress is not None:
                    self._progress(progress)
            except Exception as error:  # noqa: BLE001 - raised by raise_failure
                self._failure = error
        finally:
            self._report_lock.release()

    def offer(self, num_evaluated: int, states: Callable[[], NDArray[np.bool_]]) -> None:
        """Tell what was found so far; nothing becomes of it here, and `qubo_prune.bench` records
        it. A backend may call this as often as it likes.

        Parameters
        ----------
        num_evaluated : int
            States evaluated so far.
        states : callable
            Returns feasible states of the solver's own, (K', N), the best that it has in any order;
            only called where somebody wants them.
        """

    def raise_failure(self) -> None:
        """Raise what the progress callback raised since the start, if it did."""
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turn the first Ctrl-C, or SIGTERM as a job scheduler sends it, into `cancel` and the
        second into KeyboardInterrupt.

        Does nothing outside the main thread, where Python allows no signal handlers. Ctrl-C is left
        alone where it is ignored or not handled by Python, SIGTERM where somebody handles it. The
        former handlers are restored at the end.
        """
        former = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        if threading.current_thread() is not threading.main_thread():
            former.clear()
        elif former[signal.SIGTERM] is not signal.SIG_DFL:
            del former[signal.SIGTERM]
        if former and former[signal.SIGINT] in (None, signal.SIG_IGN):
            del former[signal.SIGINT]
        for each in former:
            signal.signal(each, self._on_signal)
        try:
            yield
        finally:
            for each, handler in former.items():
                signal.signal(each, handler)

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
        self.cancel()
