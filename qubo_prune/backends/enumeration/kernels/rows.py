"""Rows of states: extend a prefix's tables by one pick, and screen a whole row against a threshold.

These are the hot loops: they take bare arrays and have no cold branches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.enumeration.kernels.screen import LANES, add_rows, make_screen
from qubo_prune.core.kernels.jit import kernel

_SEVERAL = 4
"""Vectors of columns that are screened together where there are so many: they share the rows."""

_screen_one = make_screen(vectors=1, unrolled=4)
_screen_several = make_screen(vectors=_SEVERAL, unrolled=1)


@kernel
def extend(
    levels: NDArray[np.float32],
    table: NDArray[np.float32],
    depth: int,
    i: int,
    own: np.float32,
    stop: int,
) -> None:
    """levels[depth + 1] = levels[depth] + (own + table[i]) for the first `stop` columns."""
    width = levels.shape[1]
    old = depth * width
    add_rows(levels, old + width, old, table, i * table.shape[1], own, stop)


@kernel
def screen_row(fields: NDArray[np.float32], depth: int, last: int, threshold: np.float32) -> bool:
    """Whether any c[j], j < last, is below the threshold."""
    row = fields[depth, :last]
    hits = 0
    for j in range(last):
        hits += np.int64(row[j] < threshold)
    return hits > 0


@kernel
def screen_pairs(
    fields: NDArray[np.float32],
    couplings: NDArray[np.float32],
    depth: int,
    last: int,
    threshold: np.float32,
) -> bool:
    """Whether any c[i] + C[i, j] + c[j], j < i < last, is below the threshold."""
    stride = couplings.shape[1]
    own = depth * fields.shape[1]
    hit = False
    j = 0
    while j + 1 < last:
        i = j + 1
        hit |= _screen_one(
            couplings, i * stride + j, stride, fields, own + i, last - i, fields, own + j, threshold
        )
        j += LANES
    return hit


@kernel
def screen_triples(
    fields: NDArray[np.float32],
    pairs: NDArray[np.float32],
    pair_couplings: NDArray[np.float32],
    depth: int,
    last: int,
    threshold: np.float32,
) -> bool:
    """Whether any c[i] + P[i, q] + p[q], q over the pairs below i < last, is below the
    threshold.
    """
    stride = pair_couplings.shape[1]
    own, pair = depth * fields.shape[1], depth * pairs.shape[1]
    count = (last - 1) * (last - 2) // 2
    hit = False
    q, i = 0, 2
    while q + LANES * (_SEVERAL - 1) < count:
        while i * (i - 1) // 2 <= q:
            i += 1
        hit |= _screen_several(
            pair_couplings,
            i * stride + q,
            stride,
            fields,
            own + i,
            last - i,
            pairs,
            pair + q,
            threshold,
        )
        q += LANES * _SEVERAL
    while q < count:
        while i * (i - 1) // 2 <= q:
            i += 1
        hit |= _screen_one(
            pair_couplings,
            i * stride + q,
            stride,
            fields,
            own + i,
            last - i,
            pairs,
            pair + q,
            threshold,
        )
        q += LANES
    return hit


@kernel
def screen_block(
    cross_table: NDArray[np.float32],
    start: int,
    rows: NDArray[np.float32],
    first_row: int,
    count: int,
    columns: NDArray[np.float32],
    first_column: int,
    width: int,
    depth: int,
    threshold: np.float32,
) -> bool:
    """Whether any t_row[r] + X[r, w] + t_column[w] is below the threshold."""
    row = depth * rows.shape[1] + first_row
    column = depth * columns.shape[1] + first_column
    hit = False
    w = 0
    while w + LANES * _SEVERAL <= width:
        hit |= _screen_several(
            cross_table, start + w, width, rows, row, count, columns, column + w, threshold
        )
        w += LANES * _SEVERAL
    while w < width:
        hit |= _screen_one(
            cross_table, start + w, width, rows, row, count, columns, column + w, threshold
        )
        w += LANES
    return hit
