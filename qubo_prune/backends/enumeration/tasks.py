"""The space of states cut into tasks: deterministic, lazy, of bounded size, in a fixed order.

A task is a prefix of picks and a range for the next pick. The tasks are disjoint and cover the whole space, whoever runs them in whatever
order; their position in the sequence identifies them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

from qubo_prune.backends.enumeration.layout import Layout


@dataclass(frozen=True)
class Task:
    """The states below `prefix` whose next pick lies in [first, stop), and the node's own rows if `with_node`."""

    prefix: tuple[int, ...]
    first: int
    stop: int
    with_node: bool
    num_states: int


class Partition:
    """The tasks of a layout.

    Parameters
    ----------
    layout : Layout
        The problem as the kernels see it.
    target : int
        No task holds more states than this, unless the rows of a single node do.
    """

    def __init__(self, layout: Layout, target: int) -> None:
        self._tile = layout.tile_size
        self._floor = layout.floor.tolist()
        self._ceiling = layout.ceiling.tolist()
        self._remaining = layout.remaining.tolist()
        self._target = target
        self._group_start, self._picks_left, self._rest = self._describe_levels()

    def __iter__(self) -> Iterator[Task]:
        return self._split((), True)

    def _describe_levels(self) -> tuple[list[int], list[int], list[int]]:
        """Per pick: first position of its group, picks left in the group, completions by later groups."""
        levels = len(self._floor)
        start, left, rest = [0] * levels, [0] * levels, [1] * levels
        following = 1
        group_start, picks_left = 0, 0
        for d in reversed(range(levels)):
            if self._remaining[d]:
                group_start, picks_left = 0, self._remaining[d]
            elif d + 1 == levels or self._ceiling[d + 1] >= 0:
                group_start, picks_left = self._floor[d], 1
            else:
                picks_left += 1
            start[d], left[d], rest[d] = group_start, picks_left, following
            if self._ceiling[d] >= 0:
                following *= comb(self._ceiling[d] - group_start, picks_left)
        return start, left, rest

    def _children(self, prefix: tuple[int, ...]) -> tuple[int, int]:
        """Range of the next pick of a node; empty where its own rows hold all its states."""
        depth = len(prefix)
        if self._floor[depth] < 0:
            return 0, 0
        return self._floor[depth], self._last(prefix)

    def _last(self, prefix: tuple[int, ...]) -> int:
        ceiling = int(self._ceiling[len(prefix)])
        return ceiling if ceiling >= 0 else prefix[-1]

    def _own(self, prefix: tuple[int, ...]) -> int:
        """States in the node's own rows."""
        k = self._remaining[len(prefix)]
        if k == 0:
            return 0
        leaf = self._floor[len(prefix)] < 0
        return comb(self._last(prefix) if leaf else self._tile, k)

    def _split(self, prefix: tuple[int, ...], with_node: bool) -> Iterator[Task]:
        depth = len(prefix)
        first, last = self._children(prefix)
        states = self._own(prefix)
        start, left, rest = self._group_start[depth], self._picks_left[depth], self._rest[depth]
        begin = first
        for i in range(first, last):
            child = comb(i - start, left - 1) * rest
            if states + child > self._target:
                if with_node or i > begin:
                    yield Task(prefix, begin, i, with_node, states)
                begin, states, with_node = i, 0, False
            if child > self._target and self._floor[depth + 1] >= 0:
                yield from self._split((*prefix, i), True)
                begin = i + 1
            else:
                states += child
        if with_node or last > begin:
            yield Task(prefix, begin, last, with_node, states)
