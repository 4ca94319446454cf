"""Metropolis chains of random swaps under exact counts: simulated annealing and parallel tempering.

A swap is proposed by drawing a variable and then a partner among those of its group that are on the
other side. Counts never change, so a swap and its reversal are proposed equally often, and
accepting with ``min(1, exp(-beta change))`` samples the Boltzmann distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.landscape import (
    ANCHOR_INTERVAL,
    Landscape,
    below,
    start_fields,
    start_word,
    swap,
    swap_weight,
    uniform,
)
from qubo_prune.search.kernels.swap_pool import SwapPool, offer_neighbour

_PROPOSALS_PER_LOOK = 1024


class Chains(NamedTuple):
    """Markov chains; row r of each array belongs to chain r."""

    y: NDArray[np.bool_]
    fields: NDArray[np.float64]
    words: NDArray[np.uint64]
    places: NDArray[np.int64]
    """Variables, group by group, ones before zeros."""
    positions: NDArray[np.int64]
    """Where in `places` a variable is."""
    energies: NDArray[np.float64]
    moves: NDArray[np.int64]
    """Swaps since the fields were computed afresh."""
    neighbour: NDArray[np.uint64]


@kernel
def start_chain(landscape: Landscape, chains: Chains, r: int) -> None:
    """Compute what depends on ``chains.y[r]``."""
    y = chains.y[r]
    start_word(landscape, y, chains.words[r])
    chains.energies[r] = start_fields(landscape, y, chains.fields[r])
    chains.moves[r] = 0
    for g in range(landscape.counts.shape[0]):
        one = landscape.group_start[g]
        zero = one + landscape.counts[g]
        for i in range(landscape.group_start[g], landscape.group_stop[g]):
            at = one if y[i] else zero
            one += np.int64(y[i])
            zero += np.int64(not y[i])
            chains.places[r, at] = i
            chains.positions[r, i] = at


@kernel
def propose(
    landscape: Landscape, chains: Chains, r: int, random: NDArray[np.uint64]
) -> tuple[int, int, float]:
    """Draw a swap; return what goes out, what goes in and the change of the energy."""
    i = below(random, landscape.group_of.shape[0])
    g = landscape.group_of[i]
    start = landscape.group_start[g]
    ones = landscape.counts[g]
    if chains.y[r, i]:
        zeros = landscape.group_stop[g] - start - ones
        out, into = i, chains.places[r, start + ones + below(random, zeros)]
    else:
        out, into = chains.places[r, start + below(random, ones)], i
    change = chains.fields[r, into] - chains.fields[r, out] - 2.0 * landscape.matrix[out, into]
    return out, into, change


@kernel
def metropolis(
    landscape: Landscape,
    pool: SwapPool,
    known: NDArray[np.uint64],
    chains: Chains,
    r: int,
    beta: float,
    proposals: int,
    random: NDArray[np.uint64],
    evaluated: NDArray[np.int64],
    halt: NDArray[np.bool_],
) -> None:
    """Make `proposals` steps of chain r at the inverse temperature `beta`; every state proposed is
    offered to the pool.
    """
    y, fields, word = chains.y[r], chains.fields[r], chains.words[r]
    for proposal in range(proposals):
        if proposal % _PROPOSALS_PER_LOOK == 0 and halt[0]:
            return
        out, into, change = propose(landscape, chains, r, random)
        evaluated[0] += 1
        energy = chains.energies[r] + change
        if energy < pool.cut[0]:
            offer_neighbour(landscape, pool, known, word, chains.neighbour, out, into, energy)
        if change > 0.0 and uniform(random) >= np.exp(-beta * change):
            continue
        swap(landscape, y, word, fields, out, into)
        swap_weight(landscape, word, out, into)
        left, entered = chains.positions[r, out], chains.positions[r, into]
        chains.places[r, left], chains.places[r, entered] = into, out
        chains.positions[r, out], chains.positions[r, into] = entered, left
        chains.energies[r] = energy
        chains.moves[r] += 1
        if chains.moves[r] == ANCHOR_INTERVAL:
            chains.energies[r] = start_fields(landscape, y, fields)
            chains.moves[r] = 0


@kernel
def anneal(
    landscape_: Landscape,
    pool_: SwapPool,
    known: NDArray[np.uint64],
    chains_: Chains,
    betas: NDArray[np.float64],
    budget: int,
    random: NDArray[np.uint64],
    evaluated: NDArray[np.int64],
    halt: NDArray[np.bool_],
) -> None:
    """Make a sweep of chain 0, one proposal for each variable, at each inverse temperature
    in turn.
    """
    landscape, pool, chains = borrowed(landscape_), borrowed(pool_), borrowed(chains_)
    n = landscape.group_of.shape[0]
    last = evaluated[0] + budget
    start_chain(landscape, chains, 0)
    for beta in betas:
        sweep = min(n, last - evaluated[0])
        metropolis(landscape, pool, known, chains, 0, beta, sweep, random, evaluated, halt)
        if halt[0] or evaluated[0] >= last:
            return


@kernel
def temper(
    landscape_: Landscape,
    pool_: SwapPool,
    known: NDArray[np.uint64],
    chains_: Chains,
    betas: NDArray[np.float64],
    holders: NDArray[np.int64],
    sweeps: int,
    budget: int,
    random: NDArray[np.uint64],
    evaluated: NDArray[np.int64],
    halt: NDArray[np.bool_],
) -> None:
    """Make `sweeps` sweeps of every chain; after each, chains at neighbouring temperatures may
    exchange them.

    ``holders[t]`` is the chain that is at ``betas[t]``. Chains at t and t + 1 exchange with
    probability ``min(1, exp((beta_t - beta_t+1) (E_t - E_t+1)))``, for even and odd t in turn
    (Swendsen, Wang 1986; Hukushima, Nemoto 1996).
    """
    landscape, pool, chains = borrowed(landscape_), borrowed(pool_), borrowed(chains_)
    n = landscape.group_of.shape[0]
    last = evaluated[0] + budget
    for sweep in range(sweeps):
        for t in range(betas.shape[0]):
            size = min(n, last - evaluated[0])
            r = holders[t]
            metropolis(landscape, pool, known, chains, r, betas[t], size, random, evaluated, halt)
            if halt[0] or evaluated[0] >= last:
                return
        for t in range(sweep % 2, betas.shape[0] - 1, 2):
            lower, upper = chains.energies[holders[t]], chains.energies[holders[t + 1]]
            exponent = (betas[t] - betas[t + 1]) * (lower - upper)
            if exponent >= 0.0 or uniform(random) < np.exp(exponent):
                holders[t], holders[t + 1] = holders[t + 1], holders[t]


@kernel
def sample_changes(
    landscape: Landscape,
    chains: Chains,
    random: NDArray[np.uint64],
    changes: NDArray[np.float64],
) -> None:
    """Fill `changes` with what random swaps of chain 0 would change."""
    for s in range(changes.shape[0]):
        changes[s] = propose(landscape, chains, 0, random)[2]
