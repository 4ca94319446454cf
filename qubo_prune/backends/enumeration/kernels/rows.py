"""Rows of states: extend a prefix's tables by one pick, and screen a whole row against a threshold.

These are the hot loops. They take bare arrays and have no cold branches, so that LLVM vectorises
them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.jit import kernel


@kernel
def extend_row(
    fields: NDArray[np.float32], couplings: NDArray[np.float32], depth: int, i: int
) -> None:
    """c[depth + 1] = c[depth] + C[i] for the positions below i (+inf from i on)."""
    padded = (i + 15) // 16 * 16
    old = fields[depth, :padded]
    row = couplings[i, :padded]
    new = fields[depth + 1, :padded]
    for j in range(padded):
        new[j] = old[j] + row[j]


@kernel
def extend_pairs(
    pairs: NDArray[np.float32],
    pair_couplings: NDArray[np.float32],
    depth: int,
    i: int,
) -> None:
    """p[depth + 1] = p[depth] + P[i] for the pairs of inner positions below i."""
    count = min(pairs.shape[1], (i * (i - 1) // 2 + 15) // 16 * 16)
    old = pairs[depth, :count]
    row = pair_couplings[i, :count]
    new = pairs[depth + 1, :count]
    for q in range(count):
        new[q] = old[q] + row[q]


@kernel
def extend_tile(
    tile: NDArray[np.float32],
    table: NDArray[np.float32],
    depth: int,
    i: int,
    stop: int,
    own: np.float32,
) -> None:
    """t[depth + 1] = t[depth] + (own + L[i]) for the first `stop` patterns of one half."""
    old = tile[depth, :stop]
    row = table[i, :stop]
    new = tile[depth + 1, :stop]
    for p in range(stop):
        new[p] = old[p] + (own + row[p])


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
    best: NDArray[np.float32],
    depth: int,
    last: int,
    threshold: np.float32,
) -> bool:
    """Whether any c[i] + C[i, j] + c[j], j < i < last, is below the threshold: four rows i at a
    time into a minimum over i.
    """
    padded = (last + 15) // 16 * 16
    row = fields[depth, :padded]
    for j in range(padded):
        best[j] = np.inf
    i = 0
    while i + 4 <= last:
        width = (i + 18) // 16 * 16
        e0, e1, e2, e3 = row[i], row[i + 1], row[i + 2], row[i + 3]
        x0 = couplings[i, :width]
        x1 = couplings[i + 1, :width]
        x2 = couplings[i + 2, :width]
        x3 = couplings[i + 3, :width]
        for j in range(width):
            v0 = e0 + x0[j]
            v1 = e1 + x1[j]
            v2 = e2 + x2[j]
            v3 = e3 + x3[j]
            v0 = v0 if v0 < v1 else v1
            v2 = v2 if v2 < v3 else v3
            v0 = v0 if v0 < v2 else v2
            best[j] = v0 if v0 < best[j] else best[j]
        i += 4
    while i < last:
        width = (i + 15) // 16 * 16
        e0 = row[i]
        x0 = couplings[i, :width]
        for j in range(width):
            v0 = e0 + x0[j]
            best[j] = v0 if v0 < best[j] else best[j]
        i += 1
    hits = 0
    for j in range(padded):
        hits += np.int64(best[j] + row[j] < threshold)
    return hits > 0


@kernel
def screen_triples(
    fields: NDArray[np.float32],
    pairs: NDArray[np.float32],
    pair_couplings: NDArray[np.float32],
    best: NDArray[np.float32],
    depth: int,
    last: int,
    threshold: np.float32,
) -> bool:
    """Whether any c[i] + P[i, q] + p[q], q over the pairs below i < last, is below the
    threshold.
    """
    padded = ((last - 1) * (last - 2) // 2 + 15) // 16 * 16
    row = fields[depth, :last]
    pair = pairs[depth, :padded]
    for q in range(padded):
        best[q] = np.inf
    i = 2
    while i + 4 <= last:
        width = ((i + 3) * (i + 2) // 2 + 15) // 16 * 16
        e0, e1, e2, e3 = row[i], row[i + 1], row[i + 2], row[i + 3]
        x0 = pair_couplings[i, :width]
        x1 = pair_couplings[i + 1, :width]
        x2 = pair_couplings[i + 2, :width]
        x3 = pair_couplings[i + 3, :width]
        for q in range(width):
            v0 = e0 + x0[q]
            v1 = e1 + x1[q]
            v2 = e2 + x2[q]
            v3 = e3 + x3[q]
            v0 = v0 if v0 < v1 else v1
            v2 = v2 if v2 < v3 else v3
            v0 = v0 if v0 < v2 else v2
            best[q] = v0 if v0 < best[q] else best[q]
        i += 4
    while i < last:
        width = (i * (i - 1) // 2 + 15) // 16 * 16
        e0 = row[i]
        x0 = pair_couplings[i, :width]
        for q in range(width):
            v0 = e0 + x0[q]
            best[q] = v0 if v0 < best[q] else best[q]
        i += 1
    hits = 0
    for q in range(padded):
        hits += np.int64(best[q] + pair[q] < threshold)
    return hits > 0


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
    best: NDArray[np.float32],
    depth: int,
    threshold: np.float32,
) -> bool:
    """Whether any t_row[r] + X[r, w] + t_column[w] is below the threshold."""
    for w in range(width):
        best[w] = np.inf
    row = rows[depth, first_row : first_row + count]
    column = columns[depth, first_column : first_column + width]
    block = cross_table[start : start + count * width]
    r = 0
    while r + 4 <= count:
        e0, e1, e2, e3 = row[r], row[r + 1], row[r + 2], row[r + 3]
        x0 = block[r * width : (r + 1) * width]
        x1 = block[(r + 1) * width : (r + 2) * width]
        x2 = block[(r + 2) * width : (r + 3) * width]
        x3 = block[(r + 3) * width : (r + 4) * width]
        for w in range(width):
            v0 = e0 + x0[w]
            v1 = e1 + x1[w]
            v2 = e2 + x2[w]
            v3 = e3 + x3[w]
            v0 = v0 if v0 < v1 else v1
            v2 = v2 if v2 < v3 else v3
            v0 = v0 if v0 < v2 else v2
            best[w] = v0 if v0 < best[w] else best[w]
        r += 4
    while r < count:
        e0 = row[r]
        x0 = block[r * width : (r + 1) * width]
        for w in range(width):
            v0 = e0 + x0[w]
            best[w] = v0 if v0 < best[w] else best[w]
        r += 1
    hits = 0
    for w in range(width):
        hits += np.int64(best[w] + column[w] < threshold)
    return hits > 0
