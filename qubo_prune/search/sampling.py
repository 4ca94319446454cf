"""Feasible states to hold against a spectrum: random ones, and those one swap away from
given ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem

_BATCH_BYTES = 1 << 25
_SWAPS_PER_STATE = 10


def random_states(
    problem: Problem, count: int, rng: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Yield `count` uniformly random feasible states in batches of shape (B, N)."""
    batch = max(1, _BATCH_BYTES // (8 * problem.num_blocks))
    for first in range(0, count, batch):
        states = np.zeros((min(batch, count - first), problem.num_blocks), np.bool_)
        states[:, problem.fixed_removed] = True
        for group in problem.groups:
            keys = rng.random((len(states), len(group.indices)))
            chosen = np.argpartition(keys, group.count, axis=1)[:, : group.count]
            np.put_along_axis(states, group.indices[chosen], True, axis=1)
        yield states


def swap_neighbours(
    problem: Problem, states: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Yield states one swap away from feasible `states` (K, N), about `count` in all, in batches of
    shape (B, N).

    All neighbours if they are fewer; else random swaps of each state, or of random ones of these
    where there are many.
    """
    if not problem.groups or not len(states):
        return
    sources = max(1, count // _SWAPS_PER_STATE)
    if len(states) > sources:
        states = states[rng.choice(len(states), sources, replace=False)]
    quota = max(1, count // (len(states) * len(problem.groups)))
    batch = max(1, _BATCH_BYTES // problem.num_blocks)
    for state in states:
        for group in problem.groups:
            removed = group.indices[state[group.indices]]
            kept = group.indices[~state[group.indices]]
            num_swaps = len(removed) * len(kept)
            swaps = np.arange(num_swaps)
            if num_swaps > quota:
                swaps = rng.integers(num_swaps, size=quota)
            for first in range(0, len(swaps), batch):
                into, out_of = np.divmod(swaps[first : first + batch], len(kept))
                rows = np.repeat(state[None], len(into), axis=0)
                every = np.arange(len(into))
                rows[every, removed[into]] = False
                rows[every, kept[out_of]] = True
                yield rows
