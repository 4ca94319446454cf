"""Walks of a swap tabu search, in rounds: from random states, and from crosses of the best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.search.kernels.landscape import below, crossed_state, random_state, shake
from qubo_prune.search.swap_search import Lane, SwapSearch, default_steps


class TabuWalks:
    """The walks of a run, and the best states that they ended with."""

    def __init__(
        self, search: SwapSearch, known: NDArray[np.bool_], steps: int | None, tenure: int
    ) -> None:
        n, walks = search.num_variables, len(search.lanes)
        self._search = search
        self._tenure = tenure
        self._steps = default_steps(n) if steps is None else steps
        self._starts = np.concatenate([search.greedy_state[None], known])
        landscape = search.landscape
        sizes = landscape.group_stop - landscape.group_start
        self._most_swaps = int(np.minimum(landscape.counts, sizes - landscape.counts).sum())
        self._ends = np.full(walks, np.inf)
        self._elite = np.zeros((walks, n), np.bool_)
        self._elite_energies = np.full(walks, np.inf)

    def work(self, number: int, lane: Lane) -> None:
        """Walk once."""
        self._start(lane, number)
        self._ends[lane.index] = self._search.walk(lane, self._steps, self._tenure)

    def after_round(self) -> None:
        """Remember the best state of each walk, each state once."""
        for lane in self._search.lanes:
            end, best = self._ends[lane.index], lane.walker.best
            if end < self._elite_energies[lane.index] and not (self._elite == best).all(1).any():
                self._elite_energies[lane.index] = end
                self._elite[lane.index] = best

    def _start(self, lane: Lane, number: int) -> None:
        landscape, random, y = self._search.landscape, lane.random, lane.walker.y
        if number == 0 and lane.index < len(self._starts):
            y[:] = self._starts[lane.index]
        elif number == 0 or lane.index % 2:
            random_state(landscape, random, y)
        else:
            elite = np.flatnonzero(self._elite_energies < np.inf)
            first, second = (self._elite[elite[below(random, len(elite))]] for _ in range(2))
            crossed_state(landscape, random, first, second, y)
            shake(landscape, random, y, 1 + below(random, max(1, self._most_swaps // 4)))
