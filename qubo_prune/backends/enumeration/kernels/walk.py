"""The enumeration kernels: walk prefixes, screen whole rows in float32, look again at the few rows
that can matter.

Four node shapes, by the number k of inner picks still to make (`last` is one past the highest
position still allowed):

- k = 1: one row, ``E + c_i`` for i < last;
- k = 2: the triangle of pairs j < i < last, ``(E + c_i) + (c_j + C_ij)``, one padded row per i;
- k = 3: the triples, ``(E + c_i) + (p_q + P_iq)`` with q running over the pairs below i, ``p_q =
  c_j + c_m + C_jm`` kept like c and
  ``P_iq = C_ij + C_im`` a constant: long rows even where few variables are left;
- k > 3: the tile, ``t1[a] + t2[b] + X[a, b]``, and one child per i in [tile, last).

Every state is visited exactly once and counted; nothing is pruned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.enumeration.kernels.rows import (
    extend,
    screen_block,
    screen_pairs,
    screen_row,
    screen_triples,
)
from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import inlined, kernel
from qubo_prune.search.kernels.budget import reaches
from qubo_prune.search.kernels.pool import packed_energy, precedes, push

_F32 = np.float32


class Tables(NamedTuple):
    """The constant arrays of a `Layout`, as kernels take them; `weights` are empty without a
    budget.
    """

    block_of: NDArray[np.int64]
    base_words: NDArray[np.uint64]
    floor: NDArray[np.int64]
    ceiling: NDArray[np.int64]
    remaining: NDArray[np.int64]
    half_width: int
    couplings: NDArray[np.float32]
    pair_couplings: NDArray[np.float32]
    field_a: NDArray[np.float32]
    field_b: NDArray[np.float32]
    patterns_a: NDArray[np.int64]
    patterns_b: NDArray[np.int64]
    tile_stop: NDArray[np.int64]
    cross_table: NDArray[np.float32]
    blocks: NDArray[np.int64]
    block_range: NDArray[np.int64]
    constant: float
    scale: float
    margin: float
    allowance: float
    hessian: NDArray[np.float64]
    linear: NDArray[np.float64]
    decimals: float
    weights: NDArray[np.int64]
    at_least: int


class Workspace(NamedTuple):
    """One thread's scratch: a level per pick, the pool of its best states and its counters."""

    energy: NDArray[np.float32]
    fields: NDArray[np.float32]
    pairs: NDArray[np.float32]
    tile_a: NDArray[np.float32]
    tile_b: NDArray[np.float32]
    picks: NDArray[np.int64]
    cursor: NDArray[np.int64]
    limit: NDArray[np.int64]
    word: NDArray[np.uint64]
    removed: NDArray[np.int64]
    pool_energies: NDArray[np.float64]
    pool_words: NDArray[np.uint64]
    pool_size: NDArray[np.int64]
    visited: NDArray[np.int64]


class Shared(NamedTuple):
    """What all threads see: the upper bound on the last wanted energy, and the request to stop."""

    threshold: NDArray[np.float64]
    stop: NDArray[np.bool_]


@kernel
def walk(
    tables: Tables,
    work: Workspace,
    shared: Shared,
    prefix: NDArray[np.int64],
    first: int,
    stop: int,
    with_node: bool,
) -> bool:
    """Visit the states below `prefix` whose next pick lies in [first, stop), and the node's own
    rows if `with_node`.

    Returns False if stopped early; `work.visited[0]` counts the states in any case.
    """
    tables = borrowed(tables)
    work = borrowed(work)
    shared = borrowed(shared)
    root = prefix.shape[0]
    for depth in range(root):
        pick(tables, work, depth, prefix[depth])
    if with_node:
        visit_node(tables, work, shared, root)
    depth = root
    work.cursor[root] = first
    work.limit[root] = stop
    while True:
        i = work.cursor[depth]
        if i >= work.limit[depth]:
            if depth == root:
                return True
            depth -= 1
            continue
        work.cursor[depth] = i + 1
        if shared.stop[0]:
            return False
        pick(tables, work, depth, i)
        depth += 1
        if tables.remaining[depth] > 0:
            visit_node(tables, work, shared, depth)
        work.cursor[depth] = 0
        work.limit[depth] = 0
        if tables.floor[depth] >= 0:
            work.cursor[depth] = tables.floor[depth]
            work.limit[depth] = last_at(tables, work, depth)


@inlined
def pick(tables: Tables, work: Workspace, depth: int, i: int) -> None:
    """Extend the prefix and its tables by position i."""
    own = work.fields[depth, i]
    work.picks[depth] = i
    work.energy[depth + 1] = work.energy[depth] + own
    # Positions, and pairs of them, below i.
    extend(work.fields, tables.couplings, depth, i, _F32(0.0), i)
    pairs = min(work.pairs.shape[1], i * (i - 1) // 2)
    extend(work.pairs, tables.pair_couplings, depth, i, _F32(0.0), pairs)
    stop_a, stop_b = tables.tile_stop[depth + 1, 0], tables.tile_stop[depth + 1, 1]
    if stop_a > 0:
        extend(work.tile_a, tables.field_a, depth, i, own, stop_a)
        extend(work.tile_b, tables.field_b, depth, i, _F32(0.0), stop_b)


@inlined
def last_at(tables: Tables, work: Workspace, depth: int) -> int:
    """Return one past the highest position that a pick may have at this depth."""
    ceiling = tables.ceiling[depth]
    return ceiling if ceiling >= 0 else work.picks[depth - 1]


@inlined
def visit_node(tables: Tables, work: Workspace, shared: Shared, depth: int) -> None:
    """Count and screen a node's own states, by its shape, and look again if any passes."""
    fields, visited = work.fields, work.visited
    k = tables.remaining[depth]
    last = last_at(tables, work, depth)
    level = current_level(tables, shared)
    room = level - work.energy[depth]
    if k == 1:
        visited[0] += last
        if screen_row(fields, depth, last, room):
            collect_row(tables, work, shared, depth, last)
    elif k == 2:
        visited[0] += last * (last - 1) // 2
        if screen_pairs(fields, tables.couplings, depth, last, room):
            collect_pairs(tables, work, shared, depth, last)
    elif k == 3 and tables.floor[depth] < 0:
        visited[0] += last * (last - 1) * (last - 2) // 6
        if screen_triples(fields, work.pairs, tables.pair_couplings, depth, last, room):
            collect_triples(tables, work, shared, depth, last)
    else:
        visit_tile(tables, work, shared, depth, level)


@inlined
def visit_tile(
    tables: Tables, work: Workspace, shared: Shared, depth: int, level: np.float32
) -> None:
    """Count and screen the blocks of a node's tile, and look again at those with a state that
    passes.
    """
    k = tables.remaining[depth]
    for b in range(tables.block_range[k], tables.block_range[k + 1]):
        start, rows_are_b = tables.blocks[b, 0], tables.blocks[b, 1]
        first_row, count = tables.blocks[b, 2], tables.blocks[b, 3]
        first_column, width = tables.blocks[b, 4], tables.blocks[b, 5]
        work.visited[0] += tables.blocks[b, 6]
        rows, columns = work.tile_a, work.tile_b
        if rows_are_b == 1:
            rows, columns = work.tile_b, work.tile_a
        if screen_block(
            tables.cross_table,
            start,
            rows,
            first_row,
            count,
            columns,
            first_column,
            width,
            depth,
            level,
        ):
            collect_block(tables, work, shared, depth, b)


@kernel
def screen_level(
    threshold: float, constant: float, allowance: float, scale: float, margin: float
) -> np.float32:
    """Return what a screened energy has to be below: the threshold less the constant, scaled, with
    room for all rounding.
    """
    return _F32((threshold - constant + allowance) * scale + margin)


@kernel
def current_level(tables: Tables, shared: Shared) -> np.float32:
    """Return the screen level at this moment."""
    return screen_level(
        shared.threshold[0], tables.constant, tables.allowance, tables.scale, tables.margin
    )


@kernel
def collect_row(tables: Tables, work: Workspace, shared: Shared, depth: int, last: int) -> None:
    """Offer the states of a row that pass the screen."""
    level = current_level(tables, shared)
    for j in range(last):
        if work.energy[depth] + work.fields[depth, j] < level:
            start_candidate(tables, work, depth)
            toggle(work.word, tables.block_of[j])
            offer(tables, work, shared)
            level = current_level(tables, shared)


@kernel
def collect_pairs(tables: Tables, work: Workspace, shared: Shared, depth: int, last: int) -> None:
    """Offer the pairs that pass the screen."""
    level = current_level(tables, shared)
    energy = work.energy[depth]
    row = work.fields[depth]
    for i in range(1, last):
        for j in range(i):
            pair = energy + (row[i] + tables.couplings[i, j] + row[j])
            if pair < level:
                start_candidate(tables, work, depth)
                toggle(work.word, tables.block_of[i])
                toggle(work.word, tables.block_of[j])
                offer(tables, work, shared)
                level = current_level(tables, shared)


@kernel
def collect_triples(tables: Tables, work: Workspace, shared: Shared, depth: int, last: int) -> None:
    """Offer the triples that pass the screen."""
    level = current_level(tables, shared)
    energy = work.energy[depth]
    for i in range(2, last):
        own = work.fields[depth, i]
        q = 0
        for j in range(1, i):
            for m in range(j):
                triple = energy + (own + tables.pair_couplings[i, q] + work.pairs[depth, q])
                q += 1
                if triple < level:
                    start_candidate(tables, work, depth)
                    toggle(work.word, tables.block_of[i])
                    toggle(work.word, tables.block_of[j])
                    toggle(work.word, tables.block_of[m])
                    offer(tables, work, shared)
                level = current_level(tables, shared)


@kernel
def collect_block(tables: Tables, work: Workspace, shared: Shared, depth: int, b: int) -> None:
    """Offer the states of a tile block that pass the screen."""
    level = current_level(tables, shared)
    rows_are_b = tables.blocks[b, 1] == 1
    rows, columns = work.tile_a, work.tile_b
    row_patterns, column_patterns = tables.patterns_a, tables.patterns_b
    row_shift, column_shift = np.int64(0), tables.half_width
    if rows_are_b:
        rows, columns = work.tile_b, work.tile_a
        row_patterns, column_patterns = tables.patterns_b, tables.patterns_a
        row_shift, column_shift = tables.half_width, np.int64(0)
    at = tables.blocks[b, 0]
    for r in range(tables.blocks[b, 2], tables.blocks[b, 2] + tables.blocks[b, 3]):
        for w in range(tables.blocks[b, 4], tables.blocks[b, 4] + tables.blocks[b, 5]):
            energy = rows[depth, r] + tables.cross_table[at] + columns[depth, w]
            at += 1
            if energy < level:
                start_candidate(tables, work, depth)
                toggle_pattern(tables, work, row_patterns[r], row_shift)
                toggle_pattern(tables, work, column_patterns[w], column_shift)
                offer(tables, work, shared)
                level = current_level(tables, shared)


@kernel
def start_candidate(tables: Tables, work: Workspace, depth: int) -> None:
    """Pack the state of the prefix into `work.word`."""
    work.word[:] = tables.base_words
    for d in range(depth):
        toggle(work.word, tables.block_of[work.picks[d]])


@kernel
def toggle(word: NDArray[np.uint64], block: int) -> None:
    """Flip one block of a packed state."""
    word[block // 64] ^= np.uint64(1) << np.uint64(block % 64)


@kernel
def toggle_pattern(tables: Tables, work: Workspace, pattern: int, first: int) -> None:
    """Flip the blocks of a half tile's bit pattern."""
    position = first
    while pattern > 0:
        if pattern & 1:
            toggle(work.word, tables.block_of[position])
        pattern >>= 1
        position += 1


@kernel
def offer(tables: Tables, work: Workspace, shared: Shared) -> None:
    """Evaluate the packed candidate in float64, if it reaches the budget; keep it if it belongs to
    the best, and tighten the shared threshold.
    """
    if not reaches(tables.weights, tables.at_least, work.word):
        return
    energy = packed_energy(tables.hessian, tables.linear, work.word, work.removed, tables.decimals)
    full = work.pool_size[0] == work.pool_energies.shape[0]
    if full and not precedes(energy, work.word, work.pool_energies[0], work.pool_words[0]):
        return
    push(work.pool_energies, work.pool_words, work.pool_size, energy, work.word)
    if work.pool_size[0] == work.pool_energies.shape[0]:
        if work.pool_energies[0] < shared.threshold[0]:
            shared.threshold[0] = work.pool_energies[0]
