"""Families of problems for exact solvers, from easy to hopeless, each a function of size
and seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def wishart(n: int, samples: int, seed: int) -> Matrix:
    """``A'A/m`` of independent normal entries: homogeneous, so nothing tells the blocks apart."""
    a = np.random.default_rng(seed).normal(size=(samples, n))
    return a.T @ a / samples


def heterogeneous_wishart(n: int, samples: int, seed: int) -> Matrix:
    """Wishart with log-normal block scales (sigma 0.8), as the blocks of trained models have."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(samples, n)) * np.exp(0.8 * rng.normal(size=n))
    return a.T @ a / samples


def autoregressive(n: int, samples: int, seed: int) -> Matrix:
    """Wishart whose neighbouring blocks are correlated, AR(1) with coefficient 0.9."""
    a = np.random.default_rng(seed).normal(size=(samples, n))
    for j in range(1, n):
        a[:, j] = 0.9 * a[:, j - 1] + np.sqrt(1 - 0.81) * a[:, j]
    return a.T @ a / samples


def low_rank_plus_diagonal(n: int, rank: int, seed: int) -> Matrix:
    """Few common directions plus a diagonal of its own for each block."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(rank, n))
    return a.T @ a / rank + np.diag(rng.uniform(0.5, 1.5, size=n))


def k_cluster(n: int, density: float, seed: int) -> Matrix:
    """Minus the adjacency of a random graph: M blocks with the most edges between them; integers
    with massive ties.
    """
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < density, 1)
    return -(upper + upper.T).astype(np.float64)


def planted(n: int, count: int, seed: int) -> Matrix:
    """Wishart in which one removal of `count` blocks nearly cancels: blocks 0 to count - 1."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(2 * n, n))
    a[:, :count] -= 0.9 * a[:, :count].mean(axis=1, keepdims=True)
    return a.T @ a / (2 * n)


FAMILIES: dict[str, Callable[[int, int], Matrix]] = {
    "wishart N/2": lambda n, seed: wishart(n, n // 2, seed),
    "wishart 2N": lambda n, seed: wishart(n, 2 * n, seed),
    "wishart 10N": lambda n, seed: wishart(n, 10 * n, seed),
    "heterogeneous N/2": lambda n, seed: heterogeneous_wishart(n, n // 2, seed),
    "heterogeneous 2N": lambda n, seed: heterogeneous_wishart(n, 2 * n, seed),
    "heterogeneous 10N": lambda n, seed: heterogeneous_wishart(n, 10 * n, seed),
    "AR(1)": lambda n, seed: autoregressive(n, 2 * n, seed),
    "low rank + diagonal": lambda n, seed: low_rank_plus_diagonal(n, n // 8, seed),
    "k-cluster": lambda n, seed: k_cluster(n, 0.5, seed),
    "planted": lambda n, seed: planted(n, n // 5, seed),
}
"""Every family as a function of (n, seed)."""


def make_instance(family: str, n: int, seed: int = 0) -> Matrix:
    """Return the Hessian of an instance.

    Parameters
    ----------
    family : str
        A key of `FAMILIES`.
    n : int
        Number of blocks.
    seed : int
        The same seed gives the same matrix.

    Returns
    -------
    (n, n) float64
        Symmetric.

    Examples
    --------
    >>> make_instance("k-cluster", 4, seed=1).shape
    (4, 4)
    """
    matrix = FAMILIES[family](n, seed)
    return (matrix + matrix.T) / 2
