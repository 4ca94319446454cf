"""Removals that keep the same first layers share the work of running them.

What enters layer k depends on the layers before it alone. So removals are put into a tree: from
the root, every removal runs down one path, and two of them part at the first layer of which they
remove different blocks. The tree is walked depth first; a state is kept where paths part, and goes
to the largest subtree last. A subtree that is not the last holds at most half of its parent's
removals, so that never more than log2(R) states are kept for R removals, nor more than there are
layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

_Value_co = TypeVar("_Value_co", covariant=True)
_State = TypeVar("_State")


class Work(Protocol[_State, _Value_co]):
    """What there is to do on the way; a state is a list, one entry per batch of samples."""

    def start(self) -> list[_State]:
        """Return the state before the first layer."""
        ...

    def advance(self, state: list[_State], first: int, last: int, removed: tuple[int, ...]) -> None:
        """Turn what enters layer `first`, entry by entry, into what enters layer `last`."""
        ...

    def finish(self, state: list[_State], first: int, removed: tuple[int, ...]) -> _Value_co:
        """Run layer `first` and all after it, and return what is to be known."""
        ...


class Walk:
    """The way through all removals.

    Parameters
    ----------
    layer_of : sequence of int
        The layer of each block, ascending.

    Attributes
    ----------
    kept_states, most_kept_states : int
        States kept for later now, and at most so far.
    """

    def __init__(self, layer_of: Sequence[int]) -> None:
        self._layer_of = tuple(layer_of)
        self._num_layers = max(layer_of) + 1
        self._whole = [self._layer_of.count(layer) for layer in range(self._num_layers)]
        self.kept_states = 0
        self.most_kept_states = 0

    def through(
        self, removals: Sequence[tuple[int, ...]], work: Work[_State, _Value_co]
    ) -> Iterator[tuple[tuple[int, ...], _Value_co]]:
        """Yield every removal once, with what is known at its end.

        Parameters
        ----------
        removals : sequence of tuple of int
            Distinct, each of ascending blocks.
        work : Work
            What to do.
        """
        if removals:
            yield from self._below(list(removals), 0, 0, work.start(), work)

    def layers_run(self, removals: Sequence[tuple[int, ...]]) -> int:
        """Return how many layers are run for `removals` in all, those kept in part included."""
        counter = _Counter()
        for _ in Walk(self._layer_of).through(removals, _Counting(self, counter)):
            pass
        return counter.layers

    def runs(self, removed: tuple[int, ...], first: int, last: int) -> list[int]:
        """Return which layers from `first` to before `last` are not skipped."""
        return [
            layer
            for layer in range(first, last)
            if len(self._at(removed, layer)) < self._whole[layer]
        ]

    def _at(self, removed: tuple[int, ...], layer: int) -> tuple[int, ...]:
        return tuple(block for block in removed if self._layer_of[block] == layer)

    def _below(
        self,
        group: list[tuple[int, ...]],
        first: int,
        layer: int,
        state: list[_State],
        work: Work[_State, _Value_co],
    ) -> Iterator[tuple[tuple[int, ...], _Value_co]]:
        """Go on with removals that agree before `layer`, from what enters layer `first`."""
        if len(group) == 1:
            [removed] = group
            yield removed, work.finish(state, first, self._from(removed, first))
            return
        parts = self._parts(group, layer)
        while len(parts) == 1:
            layer += 1
            parts = self._parts(group, layer)
        common = tuple(b for b in self._from(group[0], first) if self._layer_of[b] < layer)
        if self.runs(common, first, layer):
            work.advance(state, first, layer, common)
            first = layer
        *others, largest = sorted(parts.values(), key=len)
        self.kept_states += 1
        self.most_kept_states = max(self.most_kept_states, self.kept_states)
        for part in others:
            yield from self._below(part, first, layer + 1, list(state), work)
        self.kept_states -= 1
        # Nobody else needs the state now: it goes on in place.
        yield from self._below(largest, first, layer + 1, state, work)

    def _parts(
        self, group: list[tuple[int, ...]], layer: int
    ) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
        parts: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for removed in group:
            parts.setdefault(self._at(removed, layer), []).append(removed)
        return parts

    def _from(self, removed: tuple[int, ...], layer: int) -> tuple[int, ...]:
        return tuple(block for block in removed if self._layer_of[block] >= layer)


class _Counter:
    layers = 0


class _Counting:
    """Runs nothing and counts layers."""

    def __init__(self, walk: Walk, counter: _Counter) -> None:
        self._walk = walk
        self._counter = counter

    def start(self) -> list[None]:
        return [None]

    def advance(self, _: list[None], first: int, last: int, removed: tuple[int, ...]) -> None:
        self._counter.layers += len(self._walk.runs(removed, first, last))

    def finish(self, state: list[None], first: int, removed: tuple[int, ...]) -> None:
        self.advance(state, first, self._walk._num_layers, removed)
