"""The tile that suits a GPU: a count of the instructions that a warp issues."""

from __future__ import annotations

from functools import cache
from math import comb

from qubo_prune.backends.enumeration.cuda.tables import (
    COLUMNS_PER_LANE,
    WARP,
    first_row,
    lanes_along,
)
from qubo_prune.backends.enumeration.space.layout import MAX_TILE_FLOATS

_NODES = 8
_PICKS = 5
"""Picks of a node below its task's prefix, a typical number."""

_OWN_PICKS = 2
"""Those among them in which the nodes of a group differ."""

# Counted in machine code for sm_90.
_ROW = 73
"""For a row of four columns in each lane and eight nodes: half of the loop over two rows, 145."""

_COLUMNS = 270 + 72 * _OWN_PICKS + 15 * (_PICKS - _OWN_PICKS)
"""Around that loop: the fields of the columns, and the comparison."""

_FILL = 100 + 48 * _OWN_PICKS + 12 * (_PICKS - _OWN_PICKS)
"""For the fields of 32 rows of eight nodes."""

_UNRANK = 250 + 300 * _PICKS
"""For 32 nodes."""

_GROUP = 100 + 25 * _PICKS
"""For eight nodes."""

_CROSS_ENTRY = 10_000
"""What an entry of the cross table counts: less than the instructions that a GPU could issue while
the processor computes it, since such tables take a fraction of a second, and runs of a fraction of
a second are not what a GPU is for.
"""


def choose_tile_size(inner_size: int, inner_count: int, leaf: int) -> int:
    """Return the even tile size that is expected to take the least time; 0 where none is needed."""
    if inner_count <= leaf:
        return 0
    best, lowest = 0, float("inf")
    for tile in range(0, min(inner_size, 32) + 1, 2):
        entries = sum(comb(tile, k) for k in range(inner_count + 1))
        if entries > MAX_TILE_FLOATS:
            break
        cost = instructions(inner_size, inner_count, tile, leaf) + _CROSS_ENTRY * entries
        if cost < lowest:
            best, lowest = tile, cost
    return best


def instructions(size: int, count: int, tile: int, leaf: int = 3) -> float:
    """Return how many instructions warps issue for C(size, count) states with this tile, roughly.

    Examples
    --------
    >>> per_state = [instructions(80, 8, tile) / comb(80, 8) for tile in (0, 20)]
    >>> per_state[1] < per_state[0]
    True
    """
    total = 0.0
    for k in range(leaf + 1, count + 1):
        total += comb(size - tile, count - k) * _tile_node(tile, k)
    upper = count - leaf
    for last in range(max(tile, leaf), size - upper + 1):
        total += comb(size - last - 1, upper - 1) * _leaf_node(last, leaf)
    return total


@cache
def _tile_node(tile: int, k: int) -> float:
    half = tile // 2
    classes = range(max(0, k - half), min(k, half) + 1)
    panels = (sorted((comb(half, a), comb(half, k - a))) for a in classes)
    return _node(sum(_panel(rows, columns) for rows, columns in panels))


@cache
def _leaf_node(last: int, leaf: int) -> float:
    return _node(_panel(last, comb(last - 1, leaf - 1), leaf))


def _node(panels: float) -> float:
    return _UNRANK / WARP + (_GROUP + panels) / _NODES


def _panel(rows: int, columns: int, leaf: int | None = None) -> float:
    """Return the instructions for the nodes that are screened together."""
    lanes = lanes_along(columns) if leaf is None else WARP
    total = float(-(-rows // WARP) * _FILL)
    for column in range(0, columns, lanes * COLUMNS_PER_LANE):
        steps = rows - (0 if leaf is None else first_row(leaf, column))
        total += -(-steps * lanes // WARP) * _ROW + _COLUMNS
    return total
