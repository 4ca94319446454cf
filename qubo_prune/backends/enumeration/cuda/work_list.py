"""Tasks as the GPU kernel takes them: nodes by depth, in strips, without listing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.enumeration.cuda.tables import WARP, Tables
from qubo_prune.backends.enumeration.space.layout import Layout
from qubo_prune.backends.enumeration.space.tasks import Task

_STRIP = 5
_SEGMENT = 4
_NO_LIMIT = 2**31 - 1
_END = 2**62


@dataclass(frozen=True, eq=False)
class Sheet:
    """Tasks in units of work for warps."""

    bases: NDArray[np.float32]
    """(T, stride) energies of the columns of F after each task's prefix."""
    base_energies: NDArray[np.float32]
    """(T,) energy of each prefix."""
    prefixes: NDArray[np.int64]
    """(T, most picks) positions picked by each prefix, filled up with -1."""
    sections: NDArray[np.int64]
    """(sections + 1, 6) see `Section` in kernel.cu; the last ends the list."""
    strips: NDArray[np.int64]
    """(strips, 5 + 4 segments) see `Strip` and `Segment` in kernel.cu."""
    max_picks: int
    """Most picks of a node below its task's prefix, at least 1."""
    num_units: int
    num_states: int

    def unit_after(self, first: int, states: int) -> int:
        """Return the unit, after `first`, between which and `first` lie about so many states."""
        starts, per_node = self.strips[:, 0], self.strips[:, 4]
        at = int(np.searchsorted(starts, first * WARP, "right")) - 1
        target = int(self._states_before[at] + (first * WARP - starts[at]) * per_node[at]) + states
        at = int(np.searchsorted(self._states_before, target, "right")) - 1
        if at == len(starts):
            return self.num_units
        node = int(starts[at]) + (target - int(self._states_before[at])) // int(per_node[at])
        return min(max(first + 1, node // WARP), self.num_units)

    @cached_property
    def _states_before(self) -> NDArray[np.int64]:
        """States before each strip, and of all; roughly, since the gap after a section counts as
        nodes of its last strip.
        """
        starts = np.append(self.strips[:, 0], self.num_units * WARP)
        return np.append(0, np.cumsum(np.diff(starts) * self.strips[:, 4]))


class SheetMaker:
    """Makes sheets of the tasks of one layout."""

    def __init__(self, layout: Layout, tables: Tables) -> None:
        self._tables = tables
        self._floor = layout.floor.tolist()
        self._remaining = layout.remaining.tolist()
        self._binomials = tables.binomials
        *self._outer, self._inner = _groups(layout)
        self._fields = tables.tables[: tables.stride * tables.num_positions].reshape(
            -1, tables.stride
        )

    def make(self, tasks: Sequence[Task]) -> Sheet:
        """Return the sheet of these tasks, at least one."""
        by_depth: dict[int, list[NDArray[np.int64]]] = {}
        for number, task in enumerate(tasks):
            for depth in range(len(task.prefix), len(self._floor)):
                if self._remaining[depth] and (task.with_node or depth > len(task.prefix)):
                    found = self._strips(number, task, depth)
                    if len(found):
                        by_depth.setdefault(depth, []).append(found)
                if self._floor[depth] < 0:
                    break
        merged = {depth: np.concatenate(parts) for depth, parts in by_depth.items()}
        # The largest nodes come first, so that what is left for the end is small.
        depths = sorted(merged, key=lambda depth: -int(merged[depth][:, 4].max()))
        sections, strips = [], []
        unit, num_strips = 0, 0
        for depth in depths:
            part = merged[depth]
            # Nodes side by side should have equally many rows.
            part = part[np.argsort(-part[:, 3], kind="stable")]
            stops = unit * WARP + np.cumsum(part[:, 0])
            part[:, 0] = stops - part[:, 0]
            panels = self._tables.panel_range[self._remaining[depth]]
            sections.append((unit, stops[-1], num_strips, num_strips + len(part), *panels))
            strips.append(part)
            unit = -(-int(stops[-1]) // WARP)
            num_strips += len(part)
        sections.append((_END, 0, 0, 0, 0, 0))
        all_strips = np.concatenate(strips)
        bases, energies, prefixes = self._prefixes(tasks)
        return Sheet(
            bases=bases,
            base_energies=energies,
            prefixes=prefixes,
            sections=np.array(sections, np.int64),
            strips=all_strips,
            max_picks=max(1, int(all_strips[:, 2].max())),
            num_units=unit,
            num_states=sum(task.num_states for task in tasks),
        )

    def _prefixes(
        self, tasks: Sequence[Task]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Return `bases`, `base_energies` and `prefixes` of a sheet; rounded to float32 once all is
        added.
        """
        start = self._tables.start.astype(np.float64)
        bases = np.empty((len(tasks), len(start)), np.float32)
        energies = np.empty(len(tasks), np.float32)
        longest = max(len(task.prefix) for task in tasks)
        prefixes = np.full((len(tasks), max(1, longest)), -1, np.int64)
        known: dict[tuple[int, ...], int] = {}
        for number, task in enumerate(tasks):
            prefix = task.prefix
            prefixes[number, : len(prefix)] = prefix
            if prefix in known:
                bases[number], energies[number] = bases[known[prefix]], energies[known[prefix]]
                continue
            known[prefix] = number
            base, energy = start.copy(), 0.0
            for pick in prefix:
                energy += base[pick]
                base += self._fields[pick]
            bases[number], energies[number] = base, energy
        return bases, energies, prefixes

    def _strips(self, number: int, task: Task, depth: int) -> NDArray[np.int64]:
        """Return the strips of a task's nodes at a depth, with their number of nodes in place of
        their first one.
        """
        root = len(task.prefix)
        segments = [self._segment(task, group) for group in self._outer if root < group.stop_depth]
        others = prod(count for *_, count in segments)
        inner = self._inner
        picks = depth - max(root, inner.first_depth)
        if picks:
            last, upper = self._upper_picks(task, depth, picks)
            nodes = upper[:, 3]
        else:
            last = np.array([task.prefix[-1] if root > inner.first_depth else inner.stop])
            nodes = np.ones(1, np.int64)
        states = self._tables.states_of_node(self._remaining[depth], last)
        keep = np.flatnonzero((nodes > 0) & (states > 0))
        num_segments = len(self._outer) + 2
        strips = np.zeros((len(keep), _STRIP + _SEGMENT * num_segments), np.int64)
        strips[:, 0] = nodes[keep] * others
        strips[:, 1] = number
        strips[:, 2] = depth - root
        strips[:, 3] = last[keep] if self._remaining[depth] == self._tables.leaf else _NO_LIMIT
        strips[:, 4] = states[keep]
        body = strips[:, _STRIP:].reshape(len(keep), num_segments, _SEGMENT)
        body[:, :, 3] = 1
        for at, segment in enumerate(segments):
            body[:, at] = segment
        if picks:
            body[:, -2] = upper[keep]
            body[:, -1, 0] = last[keep]
            body[:, -1, 1] = 1
        return strips

    def _segment(self, task: Task, group: _Group) -> tuple[int, int, int, int]:
        """Return the segment of what a task still picks in an outer group."""
        root = len(task.prefix)
        if root < group.first_depth:
            picks = group.stop_depth - group.first_depth
            return group.start, picks, 0, int(self._binomials[picks, group.stop - group.start])
        picks = group.stop_depth - root
        base, stop = self._binomials[picks, [task.first - group.start, task.stop - group.start]]
        return group.start, picks, int(base), int(stop - base)

    def _upper_picks(
        self, task: Task, depth: int, picks: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the possible last picks of nodes with so many inner picks below the prefix, and a
        segment for the others of each.
        """
        is_root = len(task.prefix) >= self._inner.first_depth
        first, stop = (task.first, task.stop) if is_root else (0, self._inner.stop)
        floor = self._floor[depth - 1]
        upper = picks - 1
        if not upper:
            last = np.arange(max(floor, first), stop)
            base, count = np.zeros_like(last), np.ones_like(last)
        else:
            last = np.arange(floor, stop - upper)
            # In colexicographic order, the subsets of the positions from last + 1 on whose highest
            # is below `first` come first.
            base = self._binomials[upper, np.maximum(first - last - 1, 0)]
            count = self._binomials[upper, stop - last - 1] - base
        return last, np.stack([last + 1, np.full_like(last, upper), base, count], axis=1)


@dataclass(frozen=True)
class _Group:
    """Picks [first_depth, stop_depth) choose among the positions [start, stop)."""

    first_depth: int
    stop_depth: int
    start: int
    stop: int


def _groups(layout: Layout) -> list[_Group]:
    """Return the groups in the order of the picks; the inner one is the last."""
    depths = np.flatnonzero(layout.ceiling >= 0).tolist()
    groups = []
    for first, stop in pairwise([*depths, len(layout.ceiling)]):
        inner = layout.remaining[first] > 0
        start = 0 if inner else int(layout.floor[stop - 1])
        groups.append(_Group(first, stop, start, int(layout.ceiling[first])))
    return groups
