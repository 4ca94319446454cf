"""The arrays that the enumeration kernels work on: constant tables and one thread's scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qubo_prune.backends.enumeration.kernels.walk import Tables, Workspace
from qubo_prune.backends.enumeration.space.layout import Layout
from qubo_prune.core.kernels.energy import read_only, rounding_bound
from qubo_prune.core.problem.problem import Problem
from qubo_prune.search.kernels.pool import new_pool, num_words

_ALIGNMENT = 64
"""Bytes of a cache line. NumPy aligns to 16, and rows that straddle two lines cost up to a third
more, by luck from one process to the next.
"""


def make_tables(layout: Layout, problem: Problem, magnitude: float = 0.0) -> Tables:
    """Return the constant arrays of a layout in the order that kernels take them; `magnitude` is as
    for `rounding_allowance`.
    """
    budget = problem.budget
    return Tables(
        block_of=layout.block_of,
        base_words=layout.base_words,
        floor=layout.floor,
        ceiling=layout.ceiling,
        remaining=layout.remaining,
        half_width=layout.tile_size // 2,
        couplings=aligned(layout.couplings),
        pair_couplings=aligned(layout.pair_couplings),
        field_a=aligned(layout.half_tables[0]),
        field_b=aligned(layout.half_tables[1]),
        patterns_a=layout.half_patterns[0],
        patterns_b=layout.half_patterns[1],
        tile_stop=layout.tile_stop,
        cross_table=aligned(layout.cross_table),
        blocks=layout.blocks,
        block_range=layout.block_range,
        constant=layout.constant,
        scale=layout.scale,
        margin=layout.margin,
        allowance=rounding_allowance(layout, problem, magnitude),
        hessian=read_only(problem.hessian),
        linear=read_only(problem.linear),
        decimals=problem.decimals,
        weights=read_only(np.zeros(0, np.int64) if budget is None else budget.weights),
        at_least=0 if budget is None else budget.at_least,
    )


def rounding_allowance(layout: Layout, problem: Problem, magnitude: float = 0.0) -> float:
    """Bound the float64 error between a canonical energy and the exact value of the transformed
    objective.

    The transformation sums entries of the same matrix, so the bound for a canonical energy covers
    it once more. Terms that the price of a budget adds, of `magnitude` in all, pass through as many
    additions.
    """
    active = np.concatenate([problem.fixed_removed, layout.block_of])
    additions = 4 * len(active) + 64
    return 4.0 * (
        rounding_bound(problem.hessian, problem.linear, active) + additions * 2.0**-53 * magnitude
    )


def make_workspace(layout: Layout, num_states: int, num_blocks: int) -> Workspace:
    """Return one thread's scratch, with the root level filled in."""
    levels = len(layout.floor) + 1
    padded = len(layout.diagonal)
    pool_energies, pool_words, pool_size = new_pool(num_states, num_blocks)
    work = Workspace(
        energy=np.zeros(levels, np.float32),
        fields=aligned(np.inf, (levels, padded), np.float32),
        pairs=aligned(np.inf, (levels, len(layout.pair_start)), np.float32),
        tile_a=aligned(0.0, (levels, len(layout.half_start[0])), np.float32),
        tile_b=aligned(0.0, (levels, len(layout.half_start[1])), np.float32),
        picks=np.zeros(levels, np.int64),
        cursor=np.zeros(levels, np.int64),
        limit=np.zeros(levels, np.int64),
        word=np.zeros(num_words(num_blocks), np.uint64),
        removed=np.zeros(num_blocks, np.int64),
        pool_energies=pool_energies,
        pool_words=pool_words,
        pool_size=pool_size,
        visited=np.zeros(1, np.int64),
    )
    work.fields[0] = layout.diagonal
    work.pairs[0] = layout.pair_start
    work.tile_a[0] = layout.half_start[0]
    work.tile_b[0] = layout.half_start[1]
    return work


def aligned(
    values: ArrayLike, shape: tuple[int, ...] | None = None, dtype: DTypeLike | None = None
) -> NDArray[Any]:
    """Return a copy of an array, or an array filled with a number, that begins at a cache line.

    Examples
    --------
    >>> aligned(np.eye(3, dtype=np.float32)).ctypes.data % 64, aligned(0.0, (5,), np.float32).sum()
    (0, np.float32(0.0))
    """
    given = np.asarray(values, dtype)
    shape = given.shape if shape is None else shape
    size = int(np.prod(shape)) * given.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    array = memory[first : first + size].view(given.dtype).reshape(shape)
    array[...] = given
    return array
