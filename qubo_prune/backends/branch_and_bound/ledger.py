"""What a proof by tasks has so far."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

from qubo_prune.backends.branch_and_bound.subtrees import OpenNode
from qubo_prune.search.best_states import Best


class Ledger:
    """The account of one run, from which it can be taken up again.

    Attributes
    ----------
    open : list of OpenNode
        A heap of the nodes that nobody searches below just now.
    best : Best
        The best states below all others.
    num_nodes, num_before : int
        Nodes visited by this run and by earlier ones.
    root_bound : float
        Of the root; -inf until it is known.
    epsilon : float
        The rounding that the bounds allow for.
    """

    def __init__(self, best: Best, nodes: Iterable[OpenNode]) -> None:
        self.open = list(nodes)
        heapq.heapify(self.open)
        self.best = best
        self.num_nodes = self.num_before = 0
        self.root_bound = -np.inf
        self.epsilon = 0.0

    def begin_again(self, root: OpenNode, epsilon: float) -> None:
        """Open the root of another tree of the same problem in place of all nodes."""
        self.open = [root]
        self.epsilon = max(self.epsilon, epsilon)

    def lowest_bound(self) -> float:
        """Return the lowest bound of an open node; inf if there is none."""
        return self.open[0].bound if self.open else np.inf
