"""Instances by name: the bundled Hessians, and families of random ones from easy to hopeless, each
a function of size and seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.bundled import bundled
from qubo_prune.core.files.hessian import load_hessian
from qubo_prune.core.problem.problem import Problem

Matrix = NDArray[np.float64]


def _gram(rows: Matrix) -> Matrix:
    """Return A'A by additions in one order: that of a matrix product depends on how many threads
    there are, and processes of a benchmark have their own numbers of them.

    >>> bool((_gram(np.eye(3)) == np.eye(3)).all())
    True
    """
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for row in rows:
        total += np.outer(row, row)
    return total


def wishart(n: int, samples: int, seed: int) -> Matrix:
    """``A'A/m`` of independent normal entries: homogeneous, so nothing tells the blocks apart."""
    a = np.random.default_rng(seed).normal(size=(samples, n))
    return _gram(a) / samples


def heterogeneous_wishart(n: int, samples: int, seed: int) -> Matrix:
    """Wishart with log-normal block scales (sigma 0.8), as the blocks of trained models have."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(samples, n)) * np.exp(0.8 * rng.normal(size=n))
    return _gram(a) / samples


def autoregressive(n: int, samples: int, seed: int) -> Matrix:
    """Wishart whose neighbouring blocks are correlated, AR(1) with coefficient 0.9."""
    a = np.random.default_rng(seed).normal(size=(samples, n))
    for j in range(1, n):
        a[:, j] = 0.9 * a[:, j - 1] + np.sqrt(1 - 0.81) * a[:, j]
    return _gram(a) / samples


def low_rank_plus_diagonal(n: int, rank: int, seed: int) -> Matrix:
    """Few common directions plus a diagonal of its own for each block."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(rank, n))
    return _gram(a) / rank + np.diag(rng.uniform(0.5, 1.5, size=n))


def k_cluster(n: int, density: float, seed: int) -> Matrix:
    """Minus the adjacency of a random graph: M blocks with the most edges between them; integers
    with massive ties.
    """
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < density, 1)
    return -(upper + upper.T).astype(np.float64)


def hard_ties(n: int, levels: int, seed: int) -> Matrix:
    """Wishart rounded to few integers: many states share each energy, so that a list ends amid ties
    and a proof has to tell all of them apart.
    """
    matrix = wishart(n, 2 * n, seed)
    rounded: Matrix = np.round(levels * matrix / np.abs(matrix).max())
    return rounded


def planted(n: int, count: int, seed: int) -> Matrix:
    """Wishart in which one removal of `count` blocks nearly cancels: blocks 0 to count - 1."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(2 * n, n))
    a[:, :count] -= 0.9 * a[:, :count].mean(axis=1, keepdims=True)
    return _gram(a) / (2 * n)


@dataclass(frozen=True)
class Family:
    """Random instances of one kind.

    Attributes
    ----------
    name : str
        What `Instance.load` knows it by, before the size.
    label : str
        What tables and stored results call it.
    summary : str
        What it is, in one line.
    generator : callable
        Size and seed to a matrix, of which the upper triangle may differ in the last bits.
    seeds : tuple of int
        Those that studies of more than one instance take; the first is the default.
    """

    name: str
    label: str
    summary: str
    generator: Callable[[int, int], Matrix]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


FAMILIES = (
    Family(
        "wishart-half",
        "wishart N/2",
        "homogeneous, from N/2 samples: half of the eigenvalues are 0",
        lambda n, seed: wishart(n, max(1, n // 2), seed),
    ),
    Family(
        "wishart",
        "wishart 2N",
        "homogeneous, from 2N samples",
        lambda n, seed: wishart(n, 2 * n, seed),
    ),
    Family(
        "wishart-tenfold",
        "wishart 10N",
        "homogeneous, from 10N samples",
        lambda n, seed: wishart(n, 10 * n, seed),
    ),
    Family(
        "heterogeneous-half",
        "heterogeneous N/2",
        "blocks of different scales, from N/2 samples",
        lambda n, seed: heterogeneous_wishart(n, max(1, n // 2), seed),
    ),
    Family(
        "heterogeneous",
        "heterogeneous 2N",
        "blocks of different scales, from 2N samples",
        lambda n, seed: heterogeneous_wishart(n, 2 * n, seed),
    ),
    Family(
        "heterogeneous-tenfold",
        "heterogeneous 10N",
        "blocks of different scales, from 10N samples",
        lambda n, seed: heterogeneous_wishart(n, 10 * n, seed),
    ),
    Family(
        "autoregressive",
        "AR(1)",
        "neighbouring blocks are correlated",
        lambda n, seed: autoregressive(n, 2 * n, seed),
    ),
    Family(
        "low-rank",
        "low rank + diagonal",
        "N/8 common directions, and a diagonal of its own for each block",
        lambda n, seed: low_rank_plus_diagonal(n, max(1, n // 8), seed),
    ),
    Family(
        "k-cluster",
        "k-cluster",
        "the most edges between M nodes of a random graph: integers with massive ties",
        lambda n, seed: k_cluster(n, 0.5, seed),
    ),
    Family(
        "hard-ties",
        "hard ties",
        "homogeneous, rounded to integers up to 4: lists end amid ties",
        lambda n, seed: hard_ties(n, 4, seed),
    ),
    Family(
        "planted",
        "planted",
        "one removal of N/5 blocks nearly cancels",
        lambda n, seed: planted(n, max(1, n // 5), seed),
    ),
)
"""All families, as their names and summaries say."""

_OF_A_FAMILY = re.compile(r"(?P<family>[a-z][a-z-]*)-(?P<size>\d+)(?:-seed-(?P<seed>\d+))?")


@dataclass(frozen=True, eq=False)
class Instance:
    """A Hessian that solvers are tried on.

    Attributes
    ----------
    name : str
        What `load` knows it by.
    label : str
        What tables and stored results call it: the name of a bundled Hessian, or the label of a
        family.
    hessian : (N, N) float64
        Symmetric.
    kinds, names : tuple of str or None
        Of the blocks, as in a bundled Hessian's sidecar.
    parameter_counts : tuple of int or None
        Of the blocks, as well.
    """

    name: str
    label: str
    hessian: Matrix
    kinds: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    parameter_counts: tuple[int, ...] | None = None

    @classmethod
    def load(cls, name: str) -> Instance:
        """Take a bundled Hessian or make an instance of a family.

        Parameters
        ----------
        name : str
            A bundled Hessian such as ``llama-80-branch``, or a family and the number of blocks,
            such as ``wishart-64``, with ``-seed-3`` for another seed than the family's first.

        Raises
        ------
        InputError
            If there is no such Hessian or family, or no block.

        Examples
        --------
        >>> Instance.load("k-cluster-12-seed-1").hessian.shape
        (12, 12)
        >>> Instance.load("llama-80-branch").problem(remove=8)
        Problem(num_blocks=160, remove=8, num_states=8.92e12)
        """
        if name in {each.name for each in bundled()}:
            file = load_hessian(name)
            counts = file.metadata.get("parameter_counts")
            return cls(name, name, file.hessian, file.kinds, file.names, counts)
        match = _OF_A_FAMILY.fullmatch(name)
        families = {family.name: family for family in FAMILIES}
        if match is None or match["family"] not in families or not int(match["size"]):
            raise InputError(
                f"there is no instance {name!r}; take a bundled Hessian, or a family with a number"
                f" of blocks, such as wishart-64. The families are {', '.join(families)}."
            )
        family = families[match["family"]]
        seed = family.seeds[0] if match["seed"] is None else int(match["seed"])
        matrix = family.generator(int(match["size"]), seed)
        return cls(name, family.label, (matrix + matrix.T) / 2)

    def problem(self, remove: int | Mapping[str, int]) -> Problem:
        """Return the problem of removing so many of its blocks."""
        return Problem(self.hessian, remove, kinds=self.kinds, names=self.names)


@dataclass(frozen=True)
class Case:
    """What a solver is asked of an instance.

    Attributes
    ----------
    instance : str
        A name for `Instance.load`.
    remove : int
        M.
    num_states : int
        K.

    Examples
    --------
    >>> Case("wishart-24", remove=6, num_states=5).problem()
    Problem(num_blocks=24, remove=6, num_states=134,596)
    """

    instance: str
    remove: int
    num_states: int = 100

    def problem(self) -> Problem:
        """Make the problem."""
        return Instance.load(self.instance).problem(self.remove)
