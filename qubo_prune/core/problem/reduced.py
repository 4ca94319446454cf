"""A problem without its fixed blocks: the shape that solvers take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.problem.budget import Budget
from qubo_prune.core.validation import as_states


@dataclass(frozen=True, eq=False)
class ReducedProblem:
    """A problem over its n free blocks: minimise ``offset + y'Qy`` with exact counts per group.

    Attributes
    ----------
    variables : (n,) int64
        Block index of each free variable, ascending.
    matrix : (n, n) float64
        Q, symmetric; its diagonal holds every linear term:
        ``H_ii + linear_i + 2 sum_{j in fixed_removed} H_ij``.
    offset : float
        Energy of the blocks removed in every state.
    group_of : (n,) int64
        Group of each variable.
    counts : (num_groups,) int64
        How many variables of each group are 1.
    fixed_removed : (f,) int64
        Blocks removed in every state.
    num_blocks : int
        N, of the whole problem.
    budget : Budget or None
        What the free variables have to weigh: n weights; `at_least` is 0 or less where the fixed
        blocks reach it.
    """

    variables: NDArray[np.int64]
    matrix: NDArray[np.float64]
    offset: float
    group_of: NDArray[np.int64]
    counts: NDArray[np.int64]
    fixed_removed: NDArray[np.int64]
    num_blocks: int
    budget: Budget | None = None

    @property
    def num_groups(self) -> int:
        """Number of groups; 0 where nothing is free."""
        return len(self.counts)

    def energy(self, y: ArrayLike) -> NDArray[np.float64]:
        """Return ``offset + y'Qy`` for y of shape (K, n) or (n,), as (K,) float64.

        It differs from `Problem.energies` by rounding; results are stated with the latter.
        """
        rows = as_states(y, len(self.variables), "y").astype(np.float64)
        return np.asarray(self.offset + np.einsum("ki,ki->k", rows @ self.matrix, rows))

    def expand(self, y: ArrayLike) -> NDArray[np.bool_]:
        """Return the full states (K, N) for y of shape (K, n) or (n,), bool or 0/1."""
        rows = as_states(y, len(self.variables), "y")
        states = np.zeros((len(rows), self.num_blocks), np.bool_)
        states[:, self.fixed_removed] = True
        states[:, self.variables] = rows
        return states
