"""What a person is told while something is measured, and how it is ended."""

from __future__ import annotations

from qubo_prune.core.stopping import Stop
from qubo_prune.pruning.measuring.work import StoppedError

__all__ = ["UNWATCHED", "StoppedError", "Watch"]


class Watch:
    """Ends what is measured when a `Stop` says so, and tells how far it is.

    Parameters
    ----------
    stop : Stop, optional
        Who is asked and told.
    what : str
        What is being measured.
    """

    def __init__(self, stop: Stop | None = None, what: str = "") -> None:
        self._stop = stop
        self._what = what

    def __call__(self, done: int, total: int | None = None) -> None:
        """Say that so many steps are done; raise StoppedError if that is enough."""
        if self._stop is None:
            return
        if self._stop.should_stop():
            raise StoppedError
        self._stop.report(done, None if total is None else done / total, self._what, unit="step")


UNWATCHED = Watch()
"""Nobody waits."""
