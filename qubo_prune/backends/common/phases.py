"""A clock for the phases of a run."""

from __future__ import annotations

import time


class Phases:
    """How long each phase of a run takes; the first begins at once, and one that is entered several
    times is counted as a whole.

    Parameters
    ----------
    *names : str
        The phases, in the order in which they are to be told.

    Examples
    --------
    >>> clock = Phases("preparation", "search", "completion")
    >>> clock.begin("search")
    >>> timings = clock.timings()
    >>> list(timings), timings["completion"]
    (['preparation', 'search', 'completion'], 0.0)
    """

    def __init__(self, *names: str) -> None:
        self._seconds = dict.fromkeys(names, 0.0)
        self._current = names[0]
        self._since = time.perf_counter()

    def begin(self, name: str) -> None:
        """End the current phase, and begin or go on with another one."""
        now = time.perf_counter()
        self._seconds[self._current] += now - self._since
        self._current, self._since = name, now

    def timings(self) -> dict[str, float]:
        """Return the seconds of each phase so far, the current one included."""
        self.begin(self._current)
        return dict(self._seconds)
