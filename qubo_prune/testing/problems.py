"""Problems that break solvers, and their spectra by brute force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem

Ranked = list[tuple[float, tuple[int, ...]]]
"""States in spectrum order, each as its energy and its ascending removed indices."""


def brute_force(problem: Problem) -> Ranked:
    """Return all states of a problem in spectrum order, by itertools and sums of Python floats, or
    of fractions where entries are decimals.

    Parameters
    ----------
    problem : Problem
        Of at most some 1e5 states.

    Returns
    -------
    list of (float, tuple of int)
        Energy and ascending removed indices of each state, in the order of `Spectrum`; bit for bit
        those of an exact backend.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> brute_force(Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], remove=2))
    [(3.5, (1, 2)), (4.5, (0, 2)), (7.0, (0, 1))]
    """
    exact: Callable[[float], Any] = (lambda x: Fraction(repr(x))) if problem.decimals else float
    hessian = [[exact(entry) for entry in row] for row in problem.hessian.tolist()]
    linear = [exact(term) for term in problem.linear.tolist()]
    fixed = problem.fixed_removed.tolist()
    choices = [combinations(group.indices.tolist(), group.count) for group in problem.groups]
    budget = problem.budget
    weights = [0] * problem.num_blocks if budget is None else budget.weights.tolist()
    at_least = 0 if budget is None else budget.at_least
    spectrum = []
    for picks in product(*choices):
        removed = tuple(sorted([*fixed, *(block for pick in picks for block in pick)]))
        if sum(weights[block] for block in removed) < at_least:
            continue
        energy = exact(0.0)
        for position, i in enumerate(removed):
            coupling = exact(0.0)
            for j in removed[:position]:
                coupling += hessian[i][j]
            energy += (hessian[i][i] + linear[i]) + 2 * coupling
        spectrum.append((float(energy), removed))
    return sorted(spectrum)


def hard_problem(num_blocks: int = 100) -> Problem:
    """Return a problem of which half the blocks go and that no exact backend of this package proves
    within seconds.

    Parameters
    ----------
    num_blocks : int
        N; the Hessian is a homogeneous Wishart matrix from N / 2 samples, so that half its
        eigenvalues are 0. Problems below 80 blocks or so are not hard.

    Examples
    --------
    >>> hard_problem()
    Problem(num_blocks=100, remove=50, num_states=1.01e29)
    """
    rng = np.random.default_rng(2)
    num_samples = max(1, num_blocks // 2)
    factors = rng.normal(size=(num_samples, num_blocks))
    return Problem(factors.T @ factors / num_samples, num_blocks // 2)


def swap_neighbours(problem: Problem, states: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the distinct states one swap away from `states` (K, N), those included, shape
    (K', N).
    """
    found = [states]
    for group in problem.groups:
        for state in states:
            removed = group.indices[state[group.indices]]
            kept = group.indices[~state[group.indices]]
            i, j = (grid.ravel() for grid in np.meshgrid(removed, kept))
            rows = np.tile(state, (len(i), 1))
            rows[np.arange(len(i)), i] = False
            rows[np.arange(len(i)), j] = True
            found.append(rows)
    neighbours: NDArray[np.bool_] = np.unique(np.concatenate(found), axis=0)
    return neighbours


@dataclass(frozen=True, eq=False)
class Case:
    """A named problem that brute force can solve."""

    name: str
    problem: Problem

    @cached_property
    def spectrum(self) -> Ranked:
        """All its states, in spectrum order."""
        return brute_force(self.problem)

    def sizes(self) -> list[int]:
        """Return numbers of states to ask for: one, cuts within and between ties, all, more than
        all.
        """
        energies = [energy for energy, _ in self.spectrum]
        total = len(energies)
        sizes = {1, 2, 10, total - 1, total, total + 5}
        for tied in (True, False):
            cuts = [k for k in range(1, total) if (energies[k - 1] == energies[k]) is tied]
            sizes.update(cuts[:1], cuts[-1:])
        return sorted(size for size in sizes if size > 0)


@lru_cache(maxsize=1)
def cases() -> tuple[Case, ...]:
    """Return small problems of every kind that leave a choice: constraints, signs, ties, scales."""
    rng = np.random.default_rng(1)
    kinds = ["attention", "mlp"] * 4 + ["moe"]
    gradient = rng.normal(size=9)
    ties = rng.integers(-1, 2, size=(9, 9))
    ties = np.tril(ties) + np.tril(ties, -1).T
    wishart = _wishart(9, rng)
    indefinite = rng.normal(size=(9, 9))
    indefinite += indefinite.T
    low_rank = np.outer(gradient, gradient)
    one: Mapping[str, int] = {"attention": 1, "mlp": 2}
    every: Mapping[str, int] = {"attention": 4, "mlp": 1, "moe": 1}
    return (
        Case("wishart", Problem(wishart, 4)),
        Case("more removed than kept", Problem(wishart, 7)),
        Case("one removed", Problem(indefinite, 1)),
        Case("one kept", Problem(indefinite, 8)),
        Case("negative definite", Problem(-wishart, 5)),
        Case("low rank", Problem(low_rank, 4)),
        Case("integers with ties", Problem(ties, 4)),
        Case("tenths with ties", Problem(0.1 * ties, 5)),
        Case("zero matrix", Problem(np.zeros((7, 7)), 3)),
        Case("constant matrix", Problem(np.full((7, 7), -0.3), 4)),
        Case("tiny numbers", Problem(1e-12 * indefinite, 3)),
        Case("huge numbers", Problem(1e12 * indefinite, 3)),
        Case("first-order term", Problem(wishart, 3, gradient=gradient, beta=-1)),
        Case("counts per kind", Problem(wishart, one, kinds=kinds)),
        Case("a kind removed entirely", Problem(ties, every, kinds=kinds)),
        Case("keep and force", Problem(indefinite, 4, keep=[1, 6], force=[0, 5])),
        Case("only one kind", Problem(ties, 2, kinds=kinds, only="mlp")),
        Case(
            "everything at once",
            Problem(indefinite, one, kinds=kinds, keep=[0], force=[3], gradient=gradient, beta=1),
        ),
        Case("forced blocks that cancel", Problem(_cancelling(indefinite), 5, force=[0, 8])),
        Case("two states", Problem(indefinite[:2, :2], 1)),
    )


@lru_cache(maxsize=1)
def budget_cases() -> tuple[Case, ...]:
    """Return small problems with a budget: reached by most states, by few, by one; small weights,
    and large ones where a state misses it by one unit.
    """
    rng = np.random.default_rng(4)
    kinds = ["attention", "mlp"] * 4 + ["moe"]
    one: Mapping[str, int] = {"attention": 1, "mlp": 2}
    wishart = _wishart(9, rng)
    indefinite = rng.normal(size=(9, 9))
    indefinite += indefinite.T
    ties = np.rint(indefinite)
    few = [3, 1, 4, 1, 5, 9, 2, 6, 5]
    large = [2**46 + weight for weight in few]
    heavy = Problem(indefinite, 4, weights=few, at_least=1)
    return (
        Case("a budget of half the weight", Problem(wishart, 4, weights=few, at_least="50%")),
        Case("a budget that all states reach", heavy),
        Case("a budget that one state reaches", Problem(wishart, 4, weights=few, at_least=25)),
        Case("a budget with ties", Problem(ties, 5, weights=few, at_least=22)),
        Case(
            "a budget missed by one unit of many",
            Problem(indefinite, 4, weights=large, at_least=4 * 2**46 + 19),
        ),
        Case(
            "a budget beside counts per kind",
            Problem(indefinite, one, kinds=kinds, weights=few, at_least=17),
        ),
        Case(
            "a budget beside keep and force",
            Problem(ties, 4, keep=[1, 6], force=[0], weights=few, at_least=17),
        ),
    )


@lru_cache(maxsize=4)
def medium_problem(num_blocks: int) -> Problem:
    """Return a problem that is more than a single descent, of at most 16 blocks."""
    n = min(16, num_blocks)
    return Problem(_wishart(n, np.random.default_rng(3)), n // 2)


def _wishart(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    factors = rng.normal(size=(2 * n, n))
    return np.asarray(factors.T @ factors / (2 * n))


def _cancelling(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    result = matrix.copy()
    result[0, 0], result[-1, -1] = 1e17, -1e17
    return result
