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
_DRAWS = 16
"""Of a state that misses the budget, before it is lifted."""


def random_states(
    problem: Problem, count: int, rng: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Yield `count` random feasible states in batches of shape (B, N).

    Uniformly random; with a budget as long as one draw in about 16 reaches it: where fewer do, the
    others are lifted by random swaps that raise their weight.
    """
    batch = max(1, _BATCH_BYTES // (8 * problem.num_blocks))
    for first in range(0, count, batch):
        states = _with_counts(problem, min(batch, count - first), rng)
        if problem.budget is not None:
            _reach(problem, states, rng)
        yield states


def _with_counts(problem: Problem, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return uniformly random states with the right counts."""
    states = np.zeros((count, problem.num_blocks), np.bool_)
    states[:, problem.fixed_removed] = True
    for group in problem.groups:
        keys = rng.random((len(states), len(group.indices)))
        chosen = np.argpartition(keys, group.count, axis=1)[:, : group.count]
        np.put_along_axis(states, group.indices[chosen], True, axis=1)
    return states


def _reach(problem: Problem, states: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Draw those states again that miss the budget, and lift those that always do."""
    # Kernels take a while to import, and controls are listed without them.
    from qubo_prune.search.arrays import group_order, make_landscape
    from qubo_prune.search.kernels.lifting import lift_at_random

    for _ in range(_DRAWS):
        missing = np.flatnonzero(~problem.is_feasible(states))
        if not len(missing):
            return
        states[missing] = _with_counts(problem, len(missing), rng)
    missing = np.flatnonzero(~problem.is_feasible(states))
    reduced = problem.reduced()
    columns = reduced.variables[group_order(reduced)]
    landscape = make_landscape(reduced, seed=0)
    random = rng.integers(0, 2**64, size=1, dtype=np.uint64)
    for row in missing:
        y = states[row, columns]
        lift_at_random(landscape, random, y)
        states[row, columns] = y


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
                yield rows if problem.budget is None else rows[problem.budget.allows(rows)]
