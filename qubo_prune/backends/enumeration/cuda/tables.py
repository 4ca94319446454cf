"""What the GPU kernel reads of a layout: one table of fields, the cross table, and the panels that
refer to them.

The *columns of F* are everything whose energy depends on the prefix in a linear way: the positions,
the pairs of inner positions, the patterns of the tile's halves, and one column that is always 0.
Row i of F is what pick i adds to each. Kernel.cu says how panels use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, isqrt

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.enumeration.kernels.screen import LANES
from qubo_prune.backends.enumeration.space.layout import Layout

WARP = 32
WARPS = 4
"""Warps of a block, as in warp.h."""

COLUMNS_PER_LANE = 4
_WARP_BYTES = 4656


@dataclass(frozen=True, eq=False)
class Tables:
    """The constant arrays of a layout as the kernel takes them."""

    tables: NDArray[np.float32]
    """F, (n + 1) rows of `stride` of which the last is 0, then the cross table and a row that is 0
    for inner positions, else +inf.
    """
    stride: int
    start: NDArray[np.float32]
    """(stride,) the columns' energies without any pick, +inf for padding."""
    members: NDArray[np.bool_]
    """(stride, n) the positions that each column picks."""
    panels: NDArray[np.int64]
    """(panels, 8) see `Panel` in kernel.cu."""
    panel_range: dict[int, tuple[int, int]]
    """The panels of a node, by the number of inner picks it has to make."""
    first_rows: NDArray[np.int32]
    leaf: int
    """Nodes with so many inner picks to make hold all states below them."""
    tile_states: dict[int, int]
    """States in the tile of a node, by the number of inner picks it has to make."""
    binomials: NDArray[np.int64]
    """(picks + 1, n + 1) binomial(p, k) at [k, p], at most 2^62."""

    @property
    def num_positions(self) -> int:
        """Number of free variables."""
        return int(self.members.shape[1])

    @property
    def max_rows(self) -> int:
        """Most rows of a panel."""
        return int(self.panels[:, 2].max(initial=1))

    @property
    def max_columns(self) -> int:
        """Most columns of a panel."""
        return int(self.panels[:, 4].max(initial=1))

    def states_of_node(self, remaining: int, last: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the states in the panels of nodes whose inner picks so far are `last` and
        above.
        """
        if remaining == self.leaf:
            states: NDArray[np.int64] = self.binomials[remaining, last]
            return states
        return np.full(len(last), self.tile_states.get(remaining, 0), np.int64)


def make_tables(layout: Layout) -> Tables:
    """Return the kernel's tables of a layout."""
    n, inner = len(layout.block_of), layout.inner_size
    leaf = int(layout.remaining[layout.floor < 0].max())
    halves = layout.half_start
    widths = [len(layout.diagonal), len(layout.pair_start), len(halves[0]), len(halves[1]), LANES]
    diagonal, pairs, half_a, half_b, zero, stride = np.cumsum([0, *widths]).tolist()
    fields = np.zeros((n + 1, stride), np.float32)
    fields[:n, diagonal:pairs] = layout.couplings
    fields[:n, pairs:half_a] = layout.pair_couplings
    fields[:n, half_a:half_b], fields[:n, half_b:zero] = layout.half_tables
    inner_only = np.zeros(_padded(inner), np.float32)
    inner_only[inner:] = np.inf
    start = np.concatenate(
        [layout.diagonal, layout.pair_start, *halves, np.zeros(LANES, np.float32)]
    )
    members = np.zeros((stride, n), np.bool_)
    members[np.arange(n), np.arange(n)] = True
    if len(layout.pair_start):
        high, low = np.tril_indices(inner, -1)
        members[pairs + np.arange(len(high)), high] = True
        members[pairs + np.arange(len(low)), low] = True
    half_width = layout.tile_size // 2
    for first, position, patterns in zip(
        (half_a, half_b), (0, half_width), layout.half_patterns, strict=True
    ):
        bits = (np.maximum(patterns, 0)[:, None] >> np.arange(half_width)) & 1 == 1
        members[first : first + len(patterns), position : position + half_width] = bits

    cross = fields.size
    first_rows: list[int] = []
    panels: list[tuple[int, ...]] = []
    if leaf == 1:
        panels.append(_panel(cross + len(layout.cross_table), 0, 1, zero, _padded(inner), 0))
    else:
        table, columns = (diagonal, _padded(inner)) if leaf == 2 else (pairs, half_a - pairs)
        panels.append(_panel(table, stride, inner, diagonal, columns, table, 0))
        tile = panels[0][-1] * COLUMNS_PER_LANE
        first_rows += [first_row(leaf, column) for column in range(0, columns, tile)]
    panel_range = {leaf: (0, 1)}
    tile_states = {}
    for k in range(leaf + 1, layout.inner_count + 1):
        begin = len(panels)
        first, stop = layout.block_range[k : k + 2].tolist()
        for offset, rows_are_b, row, count, column, width, _ in layout.blocks[first:stop].tolist():
            rows, columns = (half_b, half_a) if rows_are_b else (half_a, half_b)
            panels.append(_panel(cross + offset, width, count, rows + row, width, columns + column))
        panel_range[k] = (begin, len(panels))
        tile_states[k] = int(layout.blocks[first:stop, 6].sum())
    return Tables(
        tables=np.concatenate([fields.ravel(), layout.cross_table, inner_only]),
        stride=stride,
        start=start,
        members=members,
        panels=np.array(panels, np.int64),
        panel_range=panel_range,
        first_rows=np.array(first_rows or [0], np.int32),
        leaf=leaf,
        tile_states=tile_states,
        binomials=_binomials(n, len(layout.floor)),
    )


def warp_bytes(max_picks: int) -> int:
    """Return the shared memory that a warp needs."""
    return _WARP_BYTES + 4 * WARP * max_picks


def lanes_along(columns: int) -> int:
    """Return how many lanes of a warp stand side by side along so many columns; the rest share the
    rows.
    """
    lanes = WARP
    while lanes > 1 and lanes // 2 * COLUMNS_PER_LANE >= columns:
        lanes //= 2
    return lanes


def first_row(leaf: int, column: int) -> int:
    """Return the lowest position above a column of a leaf's panel: a position, or a pair (j, m) in
    the order of j, then m < j.
    """
    high = column if leaf == 2 else (1 + isqrt(8 * column + 1)) // 2
    return high + 1


def _panel(
    x: int, x_stride: int, rows: int, row: int, columns: int, column: int, first_rows: int = -1
) -> tuple[int, ...]:
    return (x, x_stride, rows, row, columns, column, first_rows, lanes_along(columns))


def _padded(count: int) -> int:
    return -(-count // LANES) * LANES


def _binomials(size: int, picks: int) -> NDArray[np.int64]:
    rows = [[min(comb(p, k), 1 << 62) for p in range(size + 1)] for k in range(picks + 1)]
    return np.array(rows, np.int64)
