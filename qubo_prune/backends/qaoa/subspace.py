"""The feasible states as a vector space: one amplitude per state, ranked by combinadics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.qaoa.kernels.mixing import Space, all_energies
from qubo_prune.backends.qaoa.limits import MAX_AMPLITUDES, check_size
from qubo_prune.backends.qaoa.mixers import ordered_pairs
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.problem.reduced import ReducedProblem


@dataclass(frozen=True, eq=False)
class Subspace:
    """The feasible states of a problem, in the order of the amplitudes.

    Parameters
    ----------
    problem : Problem
        Any; no more than `max_amplitudes` states.
    max_amplitudes : int
        See `check_size`.

    Raises
    ------
    InputError
        If there are more states.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> subspace = Subspace(Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], 2))
    >>> subspace.states(np.arange(3)).astype(int).tolist()
    [[1, 1, 0], [1, 0, 1], [0, 1, 1]]
    >>> subspace.energies().tolist()
    [7.0, 4.5, 3.5]
    """

    problem: Problem
    max_amplitudes: int = MAX_AMPLITUDES

    def __post_init__(self) -> None:
        check_size(self.problem, self.max_amplitudes)

    @property
    def dimension(self) -> int:
        """Number of amplitudes, D."""
        return self.problem.num_states

    @cached_property
    def reduced(self) -> ReducedProblem:
        """The problem over its free blocks."""
        return self.problem.reduced()

    @cached_property
    def sizes(self) -> list[int]:
        """Number of variables of each group."""
        return [len(group.indices) for group in self.problem.groups]

    @cached_property
    def counts(self) -> list[int]:
        """Number of ones of each group."""
        return [group.count for group in self.problem.groups]

    @cached_property
    def strides(self) -> list[int]:
        """Distance of states whose ranks in a group differ by one."""
        dimensions = [comb(*shape) for shape in zip(self.sizes, self.counts, strict=True)]
        return [prod(dimensions[group + 1 :]) for group in range(len(dimensions))]

    @cached_property
    def binomials(self) -> NDArray[np.int64]:
        """C(n, k) up to the largest size and count; what no rank can reach is cut off."""
        table = np.zeros(
            (max(self.sizes, default=0) + 1, max(self.counts, default=0) + 1), np.int64
        )
        table[:, 0] = 1
        for n in range(1, len(table)):
            table[n, 1:] = np.minimum(table[n - 1, 1:] + table[n - 1, :-1], 2**62)
        return table

    def space(self, mixer: str) -> Space:
        """Return what the kernels take."""
        pairs = [
            (group, i, j)
            for group, size in enumerate(self.sizes)
            for i, j in ordered_pairs(mixer, size)
        ]
        return Space(
            np.array(self.sizes, np.int64),
            np.array(self.counts, np.int64),
            np.array(self.strides, np.int64),
            self.binomials,
            np.array(pairs, np.int64).reshape(-1, 3),
        )

    def energies(self) -> NDArray[np.float64]:
        """Return the energy of each state, (D,), less that of the blocks removed in all; rounded
        otherwise than by `Problem.energies`.
        """
        order = np.argsort(self.reduced.group_of, kind="stable")
        matrix = np.ascontiguousarray(self.reduced.matrix[np.ix_(order, order)])
        energies = np.empty(self.dimension)
        all_energies(self.space("ring"), matrix, energies)
        return energies

    def states(self, ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the states (K, N) of ranks (K,)."""
        states = np.zeros((len(ranks), self.problem.num_blocks), np.bool_)
        states[:, self.problem.fixed_removed] = True
        rest = np.array(ranks, np.int64)
        for group, stride in zip(self.problem.groups, self.strides, strict=True):
            rank, rest = np.divmod(rest, stride)
            left = np.full(len(rest), group.count)
            for position in range(len(group.indices) - 1, -1, -1):
                below = self.binomials[position, left]
                removed = (left > 0) & (rank >= below)
                states[:, group.indices[position]] = removed
                rank -= np.where(removed, below, 0)
                left -= removed
        return states

    def ranks(self, states: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the ranks (K,) of feasible states (K, N)."""
        ranks = np.zeros(len(states), np.int64)
        for group, stride in zip(self.problem.groups, self.strides, strict=True):
            chosen = states[:, group.indices]
            removed_so_far = np.cumsum(chosen, axis=1)
            positions = np.arange(len(group.indices))
            ranks += stride * (self.binomials[positions, removed_so_far] * chosen).sum(axis=1)
        return ranks
