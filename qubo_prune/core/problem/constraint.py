"""Which states are allowed: every way to say it becomes disjoint groups with exact counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_count, format_value
from qubo_prune.core.validation import check_kind, frozen


@dataclass(frozen=True, eq=False)
class Group:
    """Exactly `count` of the blocks `indices` are removed.

    Attributes
    ----------
    indices : (n,) int64
        Ascending block indices.
    count : int
        0 < count < n; a group without a choice is folded into the fixed blocks.
    """

    indices: NDArray[np.int64]
    count: int


@dataclass(frozen=True, eq=False)
class Constraint:
    """Groups over the free blocks, and the fixed ones; all indices ascend.

    Where `any_count` is true, a group says how many of its blocks go at least; it may be all of
    them or none, and no solver sees it.
    """

    groups: tuple[Group, ...]
    fixed_removed: NDArray[np.int64]
    fixed_kept: NDArray[np.int64]
    any_count: bool = False

    @property
    def num_removed(self) -> int:
        """Blocks removed in every allowed state, M; at least so many where any count is allowed."""
        return len(self.fixed_removed) + sum(group.count for group in self.groups)

    @property
    def num_states(self) -> int:
        """Exact number of allowed states, a budget aside."""
        return prod(
            sum(
                comb(len(group.indices), count)
                for count in range(
                    group.count, (len(group.indices) if self.any_count else group.count) + 1
                )
            )
            for group in self.groups
        )

    def allows(self, states: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell for each row of `states` (K, N) whether it is allowed."""
        allowed = np.ones(len(states), np.bool_)
        allowed &= states[:, self.fixed_removed].all(axis=1)
        allowed &= ~states[:, self.fixed_kept].any(axis=1)
        for group in self.groups:
            removed = np.count_nonzero(states[:, group.indices], axis=1)
            allowed &= removed >= group.count if self.any_count else removed == group.count
        return allowed


def make_constraint(
    remove: int | Mapping[str, int] | None,
    kinds: Sequence[str] | None,
    keep: NDArray[np.int64],
    force: NDArray[np.int64],
    only: str | None,
    num_blocks: int,
) -> Constraint:
    """Normalise checked inputs; raise `InputError` where they contradict each other.

    Parameters
    ----------
    remove : int, mapping or None
        Blocks to remove in all, or of each kind, forced ones included; None for any number.
    kinds : sequence of str or None
        Kind of each block.
    keep, force : (k,) int64
        Blocks that stay, blocks that go.
    only : str or None
        The only kind that may be removed.
    num_blocks : int
        N.
    """
    both = np.intersect1d(keep, force)
    if both.size:
        raise InputError(
            f"block {both[0]} is in keep and in force, but it cannot be both; "
            "take it out of one of them."
        )
    candidate = np.ones(num_blocks, np.bool_)
    if only is not None:
        candidate &= _is_kind(only, kinds, "only")
        outside = force[~candidate[force]]
        if outside.size:
            raise InputError(
                f"force holds block {outside[0]}, which is not of the kind that only={only!r} "
                "allows to remove; drop it from force or drop only."
            )
    free = candidate.copy()
    free[keep] = False
    free[force] = False
    forced = np.zeros(num_blocks, np.bool_)
    forced[force] = True

    members: list[tuple[NDArray[np.int64], int]] = []
    if isinstance(remove, Mapping):
        mentioned = np.zeros(num_blocks, np.bool_)
        for kind, count in remove.items():
            of_kind = _is_kind(kind, kinds, "remove")
            mentioned |= of_kind
            members.append(
                _choice(free & of_kind, forced & of_kind, count, f"remove[{format_value(kind)}]")
            )
        outside = force[~mentioned[force]]
        if outside.size:
            raise InputError(
                f"force holds block {outside[0]}, whose kind remove={format_value(remove)} does "
                "not mention and so keeps; add the kind to remove or drop the block from force."
            )
    elif remove is not None:
        members.append(_choice(free, forced, remove, "remove"))
    else:
        members.append((np.flatnonzero(free), 0))

    removed = forced
    groups = []
    for indices, count in members:
        if remove is None and len(indices):
            groups.append(Group(frozen(indices), count))
        elif count == len(indices):
            removed[indices] = True
        elif count > 0:
            groups.append(Group(frozen(indices), count))
    groups.sort(key=lambda group: int(group.indices[0]))
    kept = ~removed
    for group in groups:
        kept[group.indices] = False
    return Constraint(tuple(groups), _indices(removed), _indices(kept), any_count=remove is None)


def _choice(
    free: NDArray[np.bool_], forced: NDArray[np.bool_], count: int, what: str
) -> tuple[NDArray[np.int64], int]:
    indices = np.flatnonzero(free)
    num_forced = int(np.count_nonzero(forced))
    if not num_forced <= count <= num_forced + len(indices):
        raise InputError(
            f"{what} must be between {num_forced} (blocks forced) and {num_forced + len(indices)} "
            f"(blocks that may be removed), not {format_count(count)}; "
            "change it, or keep, force and only."
        )
    return indices, count - num_forced


def _is_kind(kind: str, kinds: Sequence[str] | None, what: str) -> NDArray[np.bool_]:
    if kinds is None:
        raise InputError(
            f"{what} names the kind {format_value(kind)}, but the problem has no kinds; "
            "pass kinds=[...], one per block, or a file whose sidecar has them."
        )
    check_kind(kind, kinds, what)
    return np.array([entry == kind for entry in kinds], np.bool_)


def _indices(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return frozen(np.flatnonzero(mask))
