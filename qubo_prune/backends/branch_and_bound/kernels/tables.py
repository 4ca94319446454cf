"""What the kernels of branch and bound read and write, and pass on to one another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tables(NamedTuple):
    """What does not change during a search.

    With a budget that binds, `matrix` and `offset` have a price on weight; without, `weights` and
    `by_weight` are empty.

    Two free variables meet with `relaxed`, which is nowhere above `matrix`, others with `matrix`;
    `is_relaxed` says whether they differ at all.
    """

    matrix: NDArray[np.float64]
    relaxed: NDArray[np.float64]
    is_relaxed: bool
    shifts: NDArray[np.float64]
    stride: int
    group_of: NDArray[np.int64]
    outside: NDArray[np.float64]
    counts: NDArray[np.int64]
    block_of: NDArray[np.int64]
    by_block: NDArray[np.int64]
    base_word: NDArray[np.uint64]
    offset: float
    epsilon: float
    quantum: float
    max_steps: int
    anchor_interval: int
    hessian: NDArray[np.float64]
    linear: NDArray[np.float64]
    decimals: float
    weights: NDArray[np.int64]
    by_weight: NDArray[np.int64]
    at_least: int
    price: float


class Workspace(NamedTuple):
    """One thread's scratch: a level per branching decision, the pool of its best states and its
    counters.

    At a level, `fields` holds h from the level's first free position on and `energy` holds x'Qx
    plus the offset, both with the relaxed entries between variables that are not `settled`.
    """

    x: NDArray[np.float64]
    fields: NDArray[np.float64]
    energy: NDArray[np.float64]
    fixed: NDArray[np.int8]
    settled: NDArray[np.bool_]
    first: NDArray[np.int64]
    updates: NDArray[np.int64]
    bound: NDArray[np.float64]
    pending: NDArray[np.int8]
    remaining: NDArray[np.int64]
    free: NDArray[np.int64]
    gradient: NDArray[np.float64]
    up_bar: NDArray[np.float64]
    down_bar: NDArray[np.float64]
    scratch: NDArray[np.float64]
    positions: NDArray[np.int64]
    cut: NDArray[np.float64]
    groups: NDArray[np.int64]
    word: NDArray[np.uint64]
    removed: NDArray[np.int64]
    cut_energy: NDArray[np.float64]
    cut_word: NDArray[np.uint64]
    pool_energies: NDArray[np.float64]
    pool_words: NDArray[np.uint64]
    pool_size: NDArray[np.int64]
    nodes: NDArray[np.int64]


class Shared(NamedTuple):
    """What all threads see: the upper bounds on the energy of the last wanted state and of the one
    before it, and the request to stop.

    `before` is empty where somebody else keeps the states behind the threshold.
    """

    threshold: NDArray[np.float64]
    before: NDArray[np.float64]
    stop: NDArray[np.bool_]


class OpenNodes(NamedTuple):
    """Nodes to be searched: positions fixed to 0 or 1 (2 = free), (m, n); points to start from,
    (m, n); and valid lower bounds, (m,).
    """

    fixed: NDArray[np.int8]
    x: NDArray[np.float64]
    bound: NDArray[np.float64]
