"""How a problem is laid out for exhaustive enumeration: gauge, variable order, float32 tables and
the rounding margin.

Write the objective as ``E(y) = e0 + sum_i D_i y_i + sum_{i<j} C_ij y_i y_j`` with ``C = 2Q`` off
the diagonal.

*Gauge.* A group of which more than half is removed is described by its kept set: ``x_i = 1 - y_i``
flips the sign of ``C_ij`` once per
flipped end and turns ``D_i`` into ``-(D_i + sum_{j flipped, j != i} C_ij)``.

*Order.* The group with the most states is the *inner* one; its ``tile_size`` lowest variables form
the tile. Prefixes choose among
all the others.

*Tile.* The tile is split into two halves A and B. With ``t1[a]`` (``t2[b]``) the energy of pattern
a of A (b of B) in the fields of the
prefix, a state costs ``t1[a] + t2[b] + X[a, b]``; ``X`` is a constant of the problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.enumeration.kernels.screen import LANES
from qubo_prune.core.problem.reduced import ReducedProblem

MAX_TILE_FLOATS = 1 << 22
"""Upper limit of the cross table X, in float32 values (16 MiB)."""

MAX_PAIR_FLOATS = 1 << 23
"""Upper limit of the table P of pair couplings, in float32 values (32 MiB); beyond it nodes end
with pairs, not triples.
"""

_CYCLES_PER_STATE = ((1 << 20, 0.134), (1 << 22, 0.167), (math.inf, 0.231))
"""Of a tile, by the most bytes of its cross table; an L2 cache holds one or two million."""

_UNIT_ROUNDOFF = 2.0**-24
_SMALLEST_FLOAT32 = 2.0**-149


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything the enumeration kernels read; positions 0...n-1 are the reordered free
    variables.
    """

    block_of: NDArray[np.int64]
    """(n,) original block index of each position."""
    base_words: NDArray[np.uint64]
    """(W,) packed state with the fixed removals and all flipped blocks set."""
    inner_size: int
    inner_count: int
    floor: NDArray[np.int64]
    """(L + 1,) lowest position for pick d; -1 where a node's own rows hold all its states."""
    ceiling: NDArray[np.int64]
    """(L + 1,) one past the highest position for pick d; -1 if that is the previous pick."""
    remaining: NDArray[np.int64]
    """(L + 1,) inner picks still to make before pick d; 0 while other groups come first."""
    tile_size: int
    couplings: NDArray[np.float32]
    """(n, P) row i holds C_ij for j < i, +inf from i on up to the padding."""
    pair_couplings: NDArray[np.float32]
    """(n, Q) row i holds P_iq = C_ij + C_im for the pairs q = (j, m) of inner positions below i,
    +inf further on; empty if not used.
    """
    pair_start: NDArray[np.float32]
    """(Q,) energy of each pair on its own."""
    diagonal: NDArray[np.float32]
    """(P,) linear coefficients D, +inf in the padding."""
    constant: float
    """Energy of the empty selection, not scaled; screened energies start from 0."""
    scale: float
    """Power of two by which couplings and diagonal were multiplied."""
    margin: float
    """Bound on the float32 error of a screened energy."""
    half_tables: tuple[NDArray[np.float32], NDArray[np.float32]]
    """For A and B: (n, patterns) field of position i on each pattern."""
    half_start: tuple[NDArray[np.float32], NDArray[np.float32]]
    """For A and B: (patterns,) energy of each pattern on its own."""
    half_patterns: tuple[NDArray[np.int64], NDArray[np.int64]]
    """For A and B: bit pattern at each slot, -1 in the padding."""
    tile_stop: NDArray[np.int64]
    """(L + 1, 2) number of slots of A and B that a node at depth d needs."""
    cross_table: NDArray[np.float32]
    """X, one dense block per pair of popcount classes, the wider class along the rows."""
    blocks: NDArray[np.int64]
    """(blocks, 7) offset in `cross_table`, 1 if the rows are B, first slot and number of rows,
    first slot and padded width of columns, states.
    """
    block_range: NDArray[np.int64]
    """(K + 2,) blocks of a node with k picks to go: block_range[k] up to block_range[k + 1]."""


TileChooser = Callable[[int, int, int], int]
"""Chooses a tile size by the size, the picks and the leaf's picks of the inner group."""


def make_layout(
    reduced: ReducedProblem,
    words: NDArray[np.uint64],
    tile_size: int | None = None,
    choose: TileChooser | None = None,
) -> Layout:
    """Lay out `reduced` (at least one group); `words` is the packed state of the fixed removals.

    `tile_size` overrides the cost model, which is `choose` or else the one for processors; answers
    do not depend on it.
    """
    order, groups = _order(reduced)
    flip_group = 2 * reduced.counts > np.bincount(reduced.group_of, minlength=reduced.num_groups)
    flipped = flip_group[reduced.group_of][order]
    couplings, diagonal, constant = _gauge(reduced.matrix[np.ix_(order, order)], flipped)
    scale = _power_of_two_scale(couplings, diagonal)
    couplings *= scale
    diagonal *= scale
    constant += reduced.offset
    inner_size, inner_count = groups[0]
    leaf = min(inner_count, 3 if len(order) * comb(inner_size, 2) <= MAX_PAIR_FLOATS else 2)
    if tile_size is None:
        tile_size = (choose or choose_tile_size)(inner_size, inner_count, leaf)
    elif tile_size > inner_size or inner_count <= leaf:
        tile_size = 0
    floor, ceiling, remaining = _levels(groups, tile_size, leaf)
    base = words.copy()
    block_of = reduced.variables[order]
    for block in block_of[flipped]:
        base[block // 64] |= np.uint64(1) << np.uint64(block % 64)
    a = _half(couplings, diagonal, 0, tile_size // 2, inner_count)
    b = _half(couplings, diagonal, tile_size // 2, tile_size, inner_count)
    cross_table, blocks, block_range = _cross_table(couplings, tile_size, inner_count, leaf, a, b)
    pair_couplings, pair_start = _pairs(couplings, diagonal, inner_size if leaf == 3 else 0)
    rows, row = _padded_rows(couplings, diagonal)
    return Layout(
        block_of=block_of,
        base_words=base,
        inner_size=inner_size,
        inner_count=inner_count,
        floor=floor,
        ceiling=ceiling,
        remaining=remaining,
        tile_size=tile_size,
        couplings=rows,
        pair_couplings=pair_couplings,
        pair_start=pair_start,
        diagonal=row,
        constant=constant,
        scale=scale,
        margin=_margin(couplings, diagonal, sum(picks for _, picks in groups)),
        half_tables=(a.table, b.table),
        half_start=(a.start, b.start),
        half_patterns=(a.patterns, b.patterns),
        tile_stop=_tile_stops(remaining, inner_count, leaf, tile_size, a, b),
        cross_table=cross_table,
        blocks=blocks,
        block_range=block_range,
    )


def choose_tile_size(inner_size: int, inner_count: int, leaf: int = 3) -> int:
    """Return the even tile size that the cost model expects to be fastest; 0 where none is needed.

    A node with k > `leaf` picks to go costs a fixed overhead, the refresh of the half tables and
    C(tile, k) states; the leaves below it share the rest of the states.
    """
    if inner_count <= leaf:
        return 0
    best, best_cost = 0, float("inf")
    for tile in range(0, min(inner_size, 32) + 1, 2):
        if tile and sum(comb(tile, k) for k in range(inner_count + 1)) > MAX_TILE_FLOATS:
            break
        cost = _tile_cost(inner_size, inner_count, tile, leaf)
        if cost < best_cost:
            best, best_cost = tile, cost
    return best


def _tile_cost(size: int, count: int, tile: int, leaf: int) -> float:
    """Rough cycles to enumerate C(size, count) with this tile, for comparison between tiles
    only.

    Fitted to 99 runs of twelve shapes with tiles of 0 to 24 (median error 5 %): what a state of the
    tile takes depends on the cache that holds the cross table, and making that takes a while.
    """
    floats = sum(comb(tile, k) for k in range(leaf + 1, count + 1))
    per_state = next(cost for most, cost in _CYCLES_PER_STATE if 4 * floats <= most)
    cost = 31.0 * floats
    leaf_states = comb(size, count)
    for k in range(leaf + 1, count + 1):
        nodes = comb(size - tile, count - k)
        states = comb(tile, k)
        blocks = min(k, tile // 2) + 1 if tile else 0
        cost += nodes * (60 * blocks + per_state * states)
        leaf_states -= nodes * states
    return cost + 130 * comb(size - tile, count - leaf) + 0.12 * leaf_states


def _order(reduced: ReducedProblem) -> tuple[NDArray[np.int64], list[tuple[int, int]]]:
    """Order the variables by group, the one with the most states first; return each group's (size,
    picks).
    """
    sizes = np.bincount(reduced.group_of, minlength=reduced.num_groups).tolist()
    # The removed variables are picked, or the kept ones where they are fewer.
    picks = [min(int(r), n - int(r)) for n, r in zip(sizes, reduced.counts, strict=True)]
    inner = max(range(reduced.num_groups), key=lambda g: comb(sizes[g], picks[g]))
    groups = [inner, *(g for g in range(reduced.num_groups) if g != inner)]
    order = np.concatenate([np.flatnonzero(reduced.group_of == g) for g in groups])
    return order.astype(np.int64), [(sizes[g], picks[g]) for g in groups]


def _levels(
    groups: list[tuple[int, int]], tile_size: int, leaf: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Range of every pick: groups from the last to the first, each from its top position down."""
    floor: list[int] = []
    ceiling: list[int] = []
    remaining: list[int] = []
    stop = sum(size for size, _ in groups)
    for size, picks in reversed(groups[1:]):
        start = stop - size
        for d in range(picks):
            floor.append(start + picks - 1 - d)
            ceiling.append(stop if d == 0 else -1)
            remaining.append(0)
        stop = start
    inner_size, inner_count = groups[0]
    for k in range(inner_count, 0, -1):
        floor.append(max(tile_size, k - 1) if k > leaf else -1)
        ceiling.append(inner_size if k == inner_count else -1)
        remaining.append(k)
    return np.array(floor, np.int64), np.array(ceiling, np.int64), np.array(remaining, np.int64)


def _tile_stops(
    remaining: NDArray[np.int64],
    inner_count: int,
    leaf: int,
    tile_size: int,
    a: _Half,
    b: _Half,
) -> NDArray[np.int64]:
    """Slots needed per depth: all classes of up to k picks; none where whole rows take over."""
    picks = np.where(remaining == 0, inner_count, remaining)
    used = (picks > leaf) & (tile_size > 0)
    stops = [
        half.class_start[np.minimum(picks + 1, len(half.class_size))] * used for half in (a, b)
    ]
    return np.ascontiguousarray(np.stack(stops, axis=1))


def _gauge(
    matrix: NDArray[np.float64], flipped: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Couplings C (zero diagonal), linear coefficients D and constant after flipping."""
    sign = np.where(flipped, -1.0, 1.0)
    couplings = 2.0 * matrix
    np.fill_diagonal(couplings, 0.0)
    linear = np.diagonal(matrix).copy()
    constant = float(linear[flipped].sum() + 0.5 * couplings[np.ix_(flipped, flipped)].sum())
    linear = sign * (linear + couplings[:, flipped].sum(axis=1))
    return couplings * np.outer(sign, sign), linear, constant


def _power_of_two_scale(couplings: NDArray[np.float64], diagonal: NDArray[np.float64]) -> float:
    largest = max(np.abs(couplings).max(initial=0.0), np.abs(diagonal).max(initial=0.0))
    if largest == 0.0:
        return 1.0
    exponent = int(np.frexp(largest)[1])
    return float(2.0 ** -min(max(exponent, -1000), 1000))


def _margin(couplings: NDArray[np.float64], diagonal: NDArray[np.float64], num_picks: int) -> float:
    """Bound the float32 error of any screened energy.

    A state's terms sum in absolute value to at most `total`: the largest `num_picks` of ``|D_i|``
    plus the largest ``num_picks - 1`` entries ``|C_ij|`` of the row. (Pairs are counted twice,
    which is safe.) Each of the values added is rounded once, and at most ``4 * num_picks + 8``
    additions lie between the tables and a screened energy, each off by one unit roundoff of a
    partial sum.
    """
    size = len(diagonal)
    keep = min(max(num_picks - 1, 0), size - 1)
    largest = -np.sort(-np.abs(couplings), axis=1)[:, :keep].sum(axis=1) + np.abs(diagonal)
    total = float(np.sort(largest)[-num_picks:].sum())
    additions = 4 * num_picks + 8
    return 2.0 * (additions + 2) * (_UNIT_ROUNDOFF * total + _SMALLEST_FLOAT32)


@dataclass(frozen=True, eq=False)
class _Half:
    width: int
    patterns: NDArray[np.int64]
    members: NDArray[np.bool_]
    class_start: NDArray[np.int64]
    class_size: NDArray[np.int64]
    table: NDArray[np.float32]
    start: NDArray[np.float32]


@lru_cache(maxsize=32)
def _patterns(width: int, classes: int) -> tuple[NDArray[np.int64], ...]:
    """Bit patterns of `width` bits sorted by popcount, each class padded to whole vectors."""
    values = np.arange(1 << width, dtype=np.int64)
    popcount = np.array([int(v).bit_count() for v in values], np.int64)
    slots, starts, sizes = [], [0], []
    for c in range(classes):
        members = values[popcount == c]
        padded = np.full(_pad(len(members)), -1, np.int64)
        padded[: len(members)] = members
        slots.append(padded)
        sizes.append(len(members))
        starts.append(starts[-1] + len(padded))
    return np.concatenate(slots), np.array(starts, np.int64), np.array(sizes, np.int64)


def _pad(count: int) -> int:
    return -(-count // LANES) * LANES


def _half(
    couplings: NDArray[np.float64],
    diagonal: NDArray[np.float64],
    first: int,
    stop: int,
    inner_count: int,
) -> _Half:
    width = stop - first
    patterns, class_start, class_size = _patterns(width, min(width, inner_count) + 1)
    members = (patterns[:, None] >> np.arange(width)) & 1 == 1
    members[patterns < 0] = False
    indicator = members.astype(np.float64)
    own = couplings[first:stop, first:stop]
    start = indicator @ diagonal[first:stop] + 0.5 * np.einsum(
        "pi,ij,pj->p", indicator, own, indicator, optimize=True
    )
    start[patterns < 0] = np.inf
    table = couplings[:, first:stop] @ indicator.T
    return _Half(
        width,
        patterns,
        members,
        class_start,
        class_size,
        np.ascontiguousarray(table, np.float32),
        start.astype(np.float32),
    )


def _cross_table(
    couplings: NDArray[np.float64],
    tile_size: int,
    inner_count: int,
    leaf: int,
    a: _Half,
    b: _Half,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """X for every pair of classes, grouped by the number of picks, the wider class (ties: B) along
    the rows.
    """
    cross = couplings[: a.width, a.width : tile_size]
    tables: list[NDArray[np.float32]] = []
    blocks: list[tuple[int, ...]] = []
    block_range = [0] * (leaf + 1)
    offset = 0
    for k in range(leaf + 1, inner_count + 1):
        block_range.append(len(blocks))
        for ka in range(max(0, k - b.width), min(k, a.width) + 1):
            rows, columns, table = (a, ka), (b, k - ka), cross
            rows_are_b = a.class_size[ka] > b.class_size[k - ka]
            if rows_are_b:
                rows, columns, table = columns, rows, cross.T
            first_row, count = rows[0].class_start[rows[1]], rows[0].class_size[rows[1]]
            first_column, last_column = columns[0].class_start[columns[1] : columns[1] + 2]
            states = count * columns[0].class_size[columns[1]]
            indicator = rows[0].members[first_row : first_row + count].astype(np.float64)
            other = columns[0].members[first_column:last_column].astype(np.float64)
            tables.append((indicator @ table @ other.T).astype(np.float32).ravel())
            width = last_column - first_column
            blocks.append((offset, int(rows_are_b), first_row, count, first_column, width, states))
            offset += len(tables[-1])
    block_range.append(len(blocks))
    return (
        np.concatenate(tables) if tables else np.zeros(0, np.float32),
        np.array(blocks, np.int64).reshape(-1, 7),
        np.array(block_range, np.int64),
    )


def _pairs(
    couplings: NDArray[np.float64], diagonal: NDArray[np.float64], inner_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """P and the pairs' own energies, pairs (j, m), m < j, in the order of j, then m."""
    high, low = np.tril_indices(inner_size, -1)
    width = _pad(len(high))
    table = np.full((len(diagonal), width), np.inf, np.float32)
    table[:, : len(high)] = couplings[:, high] + couplings[:, low]
    for i in range(inner_size):
        table[i, i * (i - 1) // 2 :] = np.inf
    start = np.full(width, np.inf, np.float32)
    start[: len(high)] = diagonal[high] + diagonal[low] + couplings[high, low]
    return table, start


def _padded_rows(
    couplings: NDArray[np.float64], diagonal: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    size = len(diagonal)
    rows = np.full((size, _pad(size)), np.inf, np.float32)
    lower = np.tril_indices(size, -1)
    rows[lower] = couplings[lower]
    row = np.full(_pad(size), np.inf, np.float32)
    row[:size] = diagonal
    return rows, row
