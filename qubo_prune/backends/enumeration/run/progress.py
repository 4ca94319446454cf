"""What a run has so far: the tasks that are finished, the states visited and the best of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from qubo_prune.backends.enumeration.engine import Result
from qubo_prune.search.best_states import Best

Range = tuple[int, int]


class Ranges:
    """A set of whole numbers as few disjoint ranges [first, stop), in order.

    Examples
    --------
    >>> ranges = Ranges([(0, 3)])
    >>> ranges.add(5, 8)
    >>> ranges.add(3, 5)
    >>> ranges.add(9, 10)
    >>> list(ranges), ranges.gaps(12)
    ([(0, 8), (9, 10)], [(8, 9), (10, 12)])
    """

    def __init__(self, ranges: list[Range] | None = None) -> None:
        self._ranges = list(ranges or [])

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def add(self, first: int, stop: int) -> None:
        """Add a range that is disjoint from the others."""
        if first == stop:
            return
        at = bisect_left(self._ranges, (first, stop))
        if at < len(self._ranges) and self._ranges[at][0] == stop:
            stop = self._ranges.pop(at)[1]
        if at and self._ranges[at - 1][1] == first:
            at -= 1
            first = self._ranges.pop(at)[0]
        self._ranges.insert(at, (first, stop))

    def gaps(self, end: int) -> list[Range]:
        """Return the ranges of [0, end) that are missing."""
        edges = [0, *(edge for pair in self._ranges for edge in pair), end]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return [(first, stop) for first, stop in pairs if first < stop]


class Ledger:
    """The account of one run, from which it can be taken up again.

    Attributes
    ----------
    finished : Ranges
        Numbers of the tasks visited completely.
    num_finished : int
        States in those tasks.
    num_visited : int
        States visited by this run, those of unfinished tasks included.
    best : Best
        The best states visited.
    """

    def __init__(self, best: Best) -> None:
        self.best = best
        self.finished = Ranges()
        self.num_finished = 0
        self.num_visited = 0

    def record(self, first: int, states: int, result: Result) -> None:
        """Enter the result of a batch from task `first` on, of which so many states are
        finished.
        """
        self.finished.add(first, result.finished)
        self.num_finished += states
        self.num_visited += result.visited
        self.best.add(result.energies, result.words)
