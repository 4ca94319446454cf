"""The cut: what is known of the last wanted state, and which nodes hold none that is wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.bounds import FREE
from qubo_prune.backends.branch_and_bound.kernels.tables import Shared, Tables, Workspace
from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.pool import copy_word, precedes


@kernel
def last_but_one(energies: NDArray[np.float64], size: int) -> float:
    """Return the energy of the last but one state of a full pool; inf where it lacks two or more.

    >>> last_but_one(np.array([5.0, 2.0, 4.0]), 3), last_but_one(np.array([5.0, 2.0, np.inf]), 2)
    (4.0, 5.0)
    """
    capacity = energies.shape[0]
    if capacity == 1 or size < capacity - 1:
        return np.inf
    if size < capacity:
        return energies[0]
    return max(energies[1], energies[min(2, capacity - 1)])  # children of the root of a heap


@kernel
def highest_wanted(tables: Tables, shared: Shared) -> float:
    """Return the bound above which no node has a state that is wanted.

    Where the last wanted state is the first of its energy, others of the same are of no use: it is
    only wanted for its energy, to tell whether a tie is cut off, and that is known.
    """
    last = shared.threshold[0]
    if tables.quantum > 0.0 and shared.before.shape[0] > 0 and shared.before[0] < last:
        last -= tables.quantum
    return last + tables.epsilon


@kernel
def lower_cut(
    cut_energy: NDArray[np.float64],
    cut_word: NDArray[np.uint64],
    energy: float,
    word: NDArray[np.uint64],
) -> None:
    """Keep the lower of two upper bounds on the last wanted state, in the order of a spectrum."""
    if precedes(energy, word, cut_energy[0], cut_word):
        cut_energy[0] = energy
        copy_word(cut_word, word)


@kernel
def only_later_ties(tables: Tables, work: Workspace, level: int, bound: float) -> bool:
    """Whether the node holds at best states that tie with the cut and come after it in a spectrum.

    Energies that are multiples of a quantum cannot lie strictly between the cut's and the next one
    below.
    """
    if tables.quantum == 0.0 or not bound > work.cut_energy[0] - tables.quantum + tables.epsilon:
        return False
    fixed = work.fixed[level]
    remaining = work.remaining[level].copy()
    word = work.word
    copy_word(word, tables.base_word)
    for p in tables.by_block:
        g = tables.group_of[p]
        take = fixed[p] == 1
        if fixed[p] == FREE and remaining[g] > 0:
            remaining[g] -= 1
            take = True
        if take:
            block = tables.block_of[p]
            word[block // 64] |= np.uint64(1) << np.uint64(block % 64)
    energy = work.cut_energy[0]
    # The cut itself may come from the heuristic start, in no pool yet: the node that holds it
    # stays.
    return precedes(energy, work.cut_word, energy, word)
