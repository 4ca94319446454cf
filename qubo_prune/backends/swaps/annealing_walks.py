"""Chains of Metropolis swaps, in rounds: cooled one by one, or in ladders of temperatures."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.search.arrays import make_chains
from qubo_prune.search.kernels.annealing import (
    anneal,
    metropolis,
    sample_changes,
    start_chain,
    temper,
)
from qubo_prune.search.kernels.landscape import random_state
from qubo_prune.search.swap_search import Lane, SwapSearch

_OPERATIONS_PER_WALK = 1e9
"""Above some n a sweep of n swaps, each of n operations, is so dear that walks make fewer of them.
"""
_CHANGES_PER_VARIABLE = 10
_QUENCH_SWEEPS = 20
_HOT = 0.25
"""Part of what random swaps change, on average: at higher temperatures chains are lost among states
that are no use.
"""
_COLD = 0.3
"""Part of what the easiest uphill swaps change, so that at the end few of them are made."""
_EASIEST = 0.01


def temperature_range(search: SwapSearch) -> tuple[float, float]:
    """Return a temperature at which chains of `search` move freely and one at which they rest, from
    changes of energy sampled in every lane.

    What the samples pass on their way down is offered to the pool; changes alone do not count as
    evaluations.
    """
    n = search.num_variables
    high = np.zeros(len(search.lanes))
    low = np.zeros(len(search.lanes))

    def sample(lane: Lane) -> None:
        landscape = lane.landscape
        chains = make_chains(1, n, weighed=search.weighed)
        changes = np.empty(_CHANGES_PER_VARIABLE * n)
        random_state(landscape, lane.random, chains.y[0])
        start_chain(landscape, chains, 0)
        sample_changes(landscape, chains, lane.random, changes)
        high[lane.index] = np.abs(changes).mean()
        metropolis(
            landscape,
            lane.pool,
            search.known,
            chains,
            0,
            np.inf,
            min(_QUENCH_SWEEPS * n, search.lane_budget),
            lane.random,
            lane.evaluated,
            search.halt,
        )
        sample_changes(landscape, chains, lane.random, changes)
        uphill = changes[changes > landscape.tolerance]
        if len(uphill):
            low[lane.index] = np.quantile(uphill, _EASIEST)

    search.run(sample)
    # Without any slope, one temperature is as good as another.
    hot = _HOT * float(high.mean()) or search.landscape.tolerance or 1.0
    low = low[low > 0]
    cold = _COLD * float(np.median(low)) if len(low) else hot
    return hot, min(hot, cold)


class _Walks:
    """The walks of a run: what they have in common; where it is not given, a walk has `_SWEEPS`,
    and no less than `_FEWEST_SWEEPS` where they are dear.
    """

    _SWEEPS: ClassVar[int]
    _FEWEST_SWEEPS: ClassVar[int]

    def __init__(
        self, search: SwapSearch, sweeps: int | None, hot: float | None, cold: float | None
    ) -> None:
        affordable = _OPERATIONS_PER_WALK / search.num_variables**2
        self._search = search
        self._sweeps = sweeps or int(np.clip(affordable, self._FEWEST_SWEEPS, self._SWEEPS))
        self._hot, self._cold = _temperatures(search, hot, cold)

    def after_round(self) -> None:
        """Nothing to prepare."""

    def _betas(self, count: int) -> NDArray[np.float64]:
        # The coldest of temperatures have no finite inverse; chains then only go down.
        with np.errstate(over="ignore"):
            return 1.0 / np.geomspace(self._hot, self._cold, count)


def _temperatures(search: SwapSearch, hot: float | None, cold: float | None) -> tuple[float, float]:
    if hot is not None and cold is not None:
        return float(hot), float(cold)
    found_hot, found_cold = temperature_range(search)
    if hot is not None:
        return float(hot), min(found_cold, float(hot))
    if cold is not None:
        return max(found_hot, float(cold)), float(cold)
    return found_hot, found_cold


class Anneals(_Walks):
    """Each lane cools a chain from a random state in each round."""

    _SWEEPS = 500
    _FEWEST_SWEEPS = 100

    def work(self, _number: int, lane: Lane) -> None:
        """Cool once."""
        search = self._search
        chains = make_chains(1, search.num_variables, weighed=search.weighed)
        random_state(lane.landscape, lane.random, chains.y[0])
        anneal(
            lane.landscape,
            lane.pool,
            search.known,
            chains,
            self._betas(self._sweeps),
            search.lane_budget,
            lane.random,
            lane.evaluated,
            search.halt,
        )


class Ladders(_Walks):
    """Each lane has a ladder of chains, which goes on from round to round."""

    _SWEEPS = 30
    _FEWEST_SWEEPS = 6

    def __init__(
        self,
        search: SwapSearch,
        sweeps: int | None,
        hot: float | None,
        cold: float | None,
        replicas: int,
        known: NDArray[np.bool_],
    ) -> None:
        super().__init__(search, sweeps, hot, cold)
        self._replicas = replicas
        self._known = known
        self._chains = [
            make_chains(replicas, search.num_variables, weighed=search.weighed)
            for _ in search.lanes
        ]
        self._holders = [np.arange(replicas) for _ in search.lanes]

    def work(self, number: int, lane: Lane) -> None:
        """Go on with a ladder."""
        search = self._search
        if number == 0:
            self._start(lane)
        temper(
            lane.landscape,
            lane.pool,
            search.known,
            self._chains[lane.index],
            self._betas(self._replicas),
            self._holders[lane.index],
            self._sweeps,
            search.lane_budget,
            lane.random,
            lane.evaluated,
            search.halt,
        )

    def _start(self, lane: Lane) -> None:
        """Start from random states; where some are known, one of them is the coldest."""
        landscape, chains = lane.landscape, self._chains[lane.index]
        for r in range(self._replicas):
            if self._search.halt[0]:
                return
            random_state(landscape, lane.random, chains.y[r])
            if r == self._replicas - 1 and len(self._known):
                chains.y[r] = self._known[lane.index % len(self._known)]
            start_chain(landscape, chains, r)
