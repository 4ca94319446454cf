"""The best states that a search has seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.search.kernels.pool import num_words, unpack


class Best:
    """The best distinct states seen, whatever the order in which they come.

    Parameters
    ----------
    capacity : int
        How many are kept.
    num_blocks : int
        N.
    """

    def __init__(self, capacity: int, num_blocks: int) -> None:
        self._capacity = capacity
        self._num_blocks = num_blocks
        self._energies = [np.zeros(0)]
        self._words = [np.zeros((0, num_words(num_blocks)), np.uint64)]
        self._new = 0

    def add(self, energies: NDArray[np.float64], words: NDArray[np.uint64]) -> None:
        """Offer states, packed, with their canonical energies."""
        if len(energies):
            self._energies.append(energies)
            self._words.append(words)
            self._new += len(energies)
            # Sorting costs as much as the states that it covers, so it waits for its share of new
            # ones.
            if self._new > self._capacity // 4:
                self._settle()

    def threshold(self) -> float:
        """Return an upper bound on the energy of the last state wanted."""
        energies = self._energies[0]
        return float(energies[-1]) if len(energies) == self._capacity else np.inf

    def last(self) -> tuple[float, NDArray[np.uint64]] | None:
        """Return the last of the wanted states and its energy, once there are so many."""
        self._settle()
        if len(self._energies[0]) < self._capacity:
            return None
        return float(self._energies[0][-1]), self._words[0][-1]

    def energies(self) -> NDArray[np.float64]:
        """Return the energies of the best states, ascending."""
        self._settle()
        return self._energies[0]

    def words(self) -> NDArray[np.uint64]:
        """Return the best states, packed, in the order of a spectrum."""
        self._settle()
        return self._words[0]

    def states(self) -> NDArray[np.bool_]:
        """Return the best states (K, N) in the order of a spectrum."""
        return unpack(self.words(), self._num_blocks)

    def _settle(self) -> None:
        if not self._new:
            return
        energies, words = np.concatenate(self._energies), np.concatenate(self._words)
        order = lexicographic_order(unpack(words, self._num_blocks), energies)
        energies, words = energies[order], words[order]
        # A state that was found twice has the same energy and list, so the two are neighbours.
        distinct = np.append(True, (words[1:] != words[:-1]).any(axis=1))
        self._energies = [energies[distinct][: self._capacity]]
        self._words = [words[distinct][: self._capacity]]
        self._new = 0
