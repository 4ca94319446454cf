"""The space of states cut into tasks: deterministic, of bounded size, in a fixed order, and never
listed.

A task is a prefix of picks and a range for the next pick. The tasks are disjoint and cover the
whole space, whoever runs them in whatever order; their position in the sequence identifies them.
How a node is cut depends on its depth and its last pick alone, so counts are kept for each such
pair, and any task, or the one that holds any state, is found without those before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import comb

from qubo_prune.backends.enumeration.space.layout import Layout


@dataclass(frozen=True, slots=True)
class Task:
    """The states below `prefix` whose next pick lies in [first, stop), and the node's own rows if
    `with_node`.
    """

    prefix: tuple[int, ...]
    first: int
    stop: int
    with_node: bool
    num_states: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a node: one task, or the tasks of the child at `first` if `last` is that child's
    range.
    """

    first: int
    stop: int
    with_node: bool
    num_states: int
    last: int | None = None


@dataclass(slots=True)
class _Level:
    """How the nodes of one depth are cut.

    The pieces of a node whose picks end at `last` are the first `closed[last]`, then `open[last]`
    if that holds any state. The cumulative lists start with 0.
    """

    pieces: list[_Piece] = field(default_factory=list)
    tasks: list[int] = field(default_factory=lambda: [0])
    states: list[int] = field(default_factory=lambda: [0])
    largest: list[int] = field(default_factory=lambda: [0])
    closed: dict[int, int] = field(default_factory=dict)
    open: dict[int, _Piece] = field(default_factory=dict)

    def add(self, piece: _Piece, num_tasks: int, largest: int) -> None:
        self.pieces.append(piece)
        self.tasks.append(self.tasks[-1] + num_tasks)
        self.states.append(self.states[-1] + piece.num_states)
        self.largest.append(max(self.largest[-1], largest))

    def num_tasks(self, last: int) -> int:
        return self.tasks[self.closed[last]] + (self.open[last].num_states > 0)

    def largest_task(self, last: int) -> int:
        return max(self.largest[self.closed[last]], self.open[last].num_states)


class Partition:
    """The tasks of a layout.

    Parameters
    ----------
    layout : Layout
        The problem as the kernels see it.
    target : int
        No task holds more states than this, unless the rows of a single node do.

    Attributes
    ----------
    num_tasks : int
        Tasks are numbered from 0 up to this, which may be any size.
    num_states : int
        States in all tasks.
    largest_task : int
        States in the largest one.
    """

    def __init__(self, layout: Layout, target: int) -> None:
        self._tile = layout.tile_size
        self._floor = layout.floor.tolist()
        self._ceiling = layout.ceiling.tolist()
        self._remaining = layout.remaining.tolist()
        self._target = target
        self._highest, self._group_start, self._picks_left, self._rest = self._describe_levels()
        self._levels: list[_Level] = [_Level() for _ in self._floor]
        for depth in reversed(range(len(self._levels))):
            self._cut(depth)
        self._last = self._ceiling[0]
        root = self._levels[0]
        self.num_tasks = root.num_tasks(self._last)
        self.num_states = root.states[root.closed[self._last]] + root.open[self._last].num_states
        self.largest_task = root.largest_task(self._last)

    def __iter__(self) -> Iterator[Task]:
        return self.tasks(0, self.num_tasks)

    def tasks(self, first: int, stop: int) -> Iterator[Task]:
        """Yield the tasks numbered [first, stop)."""
        while first < stop:
            yield self._find(first, by_states=False)[0]
            first += 1

    def states_before(self, number: int) -> int:
        """Return how many states the tasks before this one hold."""
        if number >= self.num_tasks:
            return self.num_states
        return self._find(number, by_states=False)[2]

    def task_at(self, state: int) -> int:
        """Return the number of the task that holds this state, counted in the order of tasks;
        `num_tasks` beyond the last.
        """
        if state >= self.num_states:
            return self.num_tasks
        return self._find(state, by_states=True)[1]

    def _describe_levels(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """Per pick: end of its group, first position of its group, picks left in the group,
        completions by later groups.
        """
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
        highest, ends = 0, []
        for ceiling in self._ceiling:
            highest = ceiling if ceiling >= 0 else highest
            ends.append(highest)
        return ends, start, left, rest

    def _child_last(self, depth: int, pick: int) -> int:
        """One past the highest next pick of a child of a node at `depth`."""
        ceiling = int(self._ceiling[depth + 1])
        return ceiling if ceiling >= 0 else pick

    def _cut(self, depth: int) -> None:
        """Cut all nodes of a depth in one pass: those with fewer picks have the first of the
        pieces.
        """
        level = self._levels[depth]
        first, last = self._floor[depth], self._highest[depth]
        k = self._remaining[depth]
        if first < 0:  # never cut; a task only where the root is such a node
            level.closed[last] = 0
            level.open[last] = _Piece(0, 0, True, comb(last, k))
            return
        start, left, rest = self._group_start[depth], self._picks_left[depth], self._rest[depth]
        has_leaf_children = self._floor[depth + 1] < 0 if depth + 1 < len(self._floor) else True
        begin, with_node = first, True
        states = comb(self._tile, k) if k else 0
        for i in range(first, last + 1):
            level.closed[i] = len(level.pieces)
            level.open[i] = _Piece(begin, i, with_node, states)
            child = comb(i - start, left - 1) * rest
            if states + child > self._target:
                if states:
                    level.add(_Piece(begin, i, with_node, states), 1, states)
                begin, states, with_node = i, 0, False
            if child > self._target and not has_leaf_children:
                below, child_last = self._levels[depth + 1], self._child_last(depth, i)
                level.add(
                    _Piece(i, i + 1, False, child, child_last),
                    below.num_tasks(child_last),
                    below.largest_task(child_last),
                )
                begin = i + 1
            else:
                states += child

    def _find(self, value: int, by_states: bool) -> tuple[Task, int, int]:
        """Return the task with this number, or holding this state, its number and the states before
        it.
        """
        prefix: tuple[int, ...] = ()
        last, number, before = self._last, 0, 0
        for level in self._levels:
            closed = level.closed[last]
            cumulative = level.states if by_states else level.tasks
            at = bisect_right(cumulative, value, 0, closed + 1) - 1
            value -= cumulative[at]
            number += level.tasks[at]
            before += level.states[at]
            piece = level.pieces[at] if at < closed else level.open[last]
            if piece.last is None:
                task = Task(prefix, piece.first, piece.stop, piece.with_node, piece.num_states)
                return task, number, before
            prefix = (*prefix, piece.first)
            last = piece.last
        raise AssertionError("a child without a level")  # pragma: no cover - leaves are not cut
