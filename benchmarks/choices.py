"""Nodes of proofs of many small choices, one of each three blocks, without and with what is made
for them: ``python -m benchmarks.choices``.

``--folder`` adds public instances, as in `benchmarks.nodes`. Nodes do not depend on the load of the
machine; the processor seconds beside them do a little.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.nodes import Problems, Study, public, table
from qubo_prune import Problem
from qubo_prune.backends.branch_and_bound import search_at_once

CLIQUES = (30, 40, 50, 60, 70)
SMOKE = (6, 8)
PUBLIC = ("QPLIB_3714", "QPLIB_3815")


def clique(num_vertices: int) -> NDArray[np.float64]:
    """Return the distances |i - j| between vertices on a line: the graphs of QPLIB_3714 (40), 3751
    (50), 3775 (60) and 3750 (70) up to the order of the blocks.
    """
    place = np.arange(num_vertices)
    return np.asarray(np.abs(place[:, None] - place), float)


def distances(num_vertices: int) -> NDArray[np.float64]:
    """Return the distances between random points of a square."""
    points = np.random.default_rng(num_vertices).random((num_vertices, 2))
    return np.asarray(np.hypot(*(points[:, None] - points).T))


def in_three_classes(weights: NDArray[np.float64]) -> Problem:
    """Put the vertices of a graph into three classes with the least weight inside: a block for each
    vertex and class, in any order.
    """
    vertex = np.repeat(np.arange(len(weights)), 3)
    colour = np.tile(np.arange(3), len(weights))
    order = np.random.default_rng(len(weights)).permutation(len(vertex))
    vertex, colour = vertex[order], colour[order]
    kinds = [f"v{each}" for each in vertex]
    matrix = weights[np.ix_(vertex, vertex)] * (colour[:, None] == colour)
    return Problem(matrix, dict.fromkeys(kinds, 1), kinds=kinds)


def any_choices(num_groups: int) -> Problem:
    """One of each three, with entries of a normal distribution."""
    lower = np.tril(np.random.default_rng(num_groups).normal(size=(3 * num_groups,) * 2))
    kinds = [f"g{block % num_groups}" for block in range(len(lower))]
    return Problem(lower + lower.T, dict.fromkeys(kinds, 1), kinds=kinds)


def problems(smoke: bool, folder: Path | None) -> Problems:
    """Yield names and problems, the public ones last."""
    sizes = SMOKE if smoke else CLIQUES
    for size in sizes:
        yield f"clique of {size}, three classes", in_three_classes(clique(size))
    for size in sizes[:2]:
        yield f"{size} points, three classes", in_three_classes(distances(size))
        yield f"{size} random choices", any_choices(size)
    if folder is not None:
        yield from public(folder, PUBLIC)


def without() -> AbstractContextManager[Any]:
    """Return what a solve has to run within to have no tables for choices."""
    return mock.patch.object(search_at_once, "choices_after", return_value=math.inf)


STUDY = Study("choices", __doc__ or "", problems, ("without", "with"), without, 50_000, table)

if __name__ == "__main__":
    STUDY.main()
