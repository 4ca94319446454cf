"""Sliding-window merging's choice of layers, with removal in place of merging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count
from qubo_prune.pruning.searches.base import Record, Search

__all__ = ["SlidingWindow"]

_BISECTIONS = 40


@dataclass(frozen=True)
class SlidingWindow(Search):
    """Merge windows of layers into one, from the top, while the model's output stays alike.

    From the top, a window of layers grows downwards as long as the final hidden states of the model
    with one layer in its place stay more similar to the original's than a threshold; where they do
    not, a new window begins at the layer that failed. The threshold, which the official program
    takes from its user, is bisected until exactly M layers go; where none gives that, the walk of
    the nearest one below ends when M are gone.

    The official program puts one layer in a window's place, whose weights are the lowest layer's
    and the differences of the others to it, added one after the other; with its weight factor of 1
    that leaves the linear weights of the *highest* layer with the norms of the lowest. Here no
    weight is changed, as in all removals: the highest layer stays, or if so asked the lowest, and
    the others of the window go. A window that reaches the first layer counts, too; the official
    program leaves it as it was.

    Parameters
    ----------
    similarity : callable
        Takes a removal, as a tuple of ascending block indices, and returns the mean cosine of the
        final hidden states with the original's (`FinalSimilarity` for a model).
    threshold : float, optional
        Where a merge is accepted; bisected unless given.
    stays : {"highest", "lowest"}
        Which layer of a window.
    spared : int
        How many of the last layers are in no window; 1 in the official program.

    Examples
    --------
    >>> search = SlidingWindow(lambda removed: 1 - 0.1 * len(removed) - 0.2 * (3 in removed))
    >>> from qubo_prune import Problem
    >>> search.choose(Problem(np.zeros((6, 6)), remove=2))[0]
    (2, 3)
    """

    similarity: Callable[[tuple[int, ...]], float]
    threshold: float | None = None
    stays: Literal["highest", "lowest"] = "highest"
    spared: int = 1

    name: ClassVar[str] = "sliding-window"
    summary: ClassVar[str] = "Leave out windows of layers while the final hidden states stay alike."
    citation: ClassVar[str] = "Ding et al. 2025, arXiv:2502.19159"

    def __post_init__(self) -> None:
        if as_count(self.spared, "spared") < 0:
            raise InputError(f"spared must be at least 0, not {self.spared}; use 0 to spare none.")
        if self.stays not in {"highest", "lowest"}:
            raise InputError(
                f"stays must be 'highest' or 'lowest', not {format_value(self.stays)}; choose one."
            )

    def choose(self, problem: Problem) -> tuple[tuple[int, ...], float, int]:
        """Return the removal, its threshold and how many similarities were computed.

        Raises
        ------
        InputError
            If the problem counts kinds apart, or no threshold removes M blocks.
        """
        if len(problem.groups) > 1:
            raise InputError(
                f"sliding windows cannot keep {len(problem.groups)} counts apart, because a window "
                "takes whatever stands in it; ask for one number of blocks."
            )
        known: dict[tuple[int, ...], float] = {}

        def similarity(removed: tuple[int, ...]) -> float:
            if removed not in known:
                known[removed] = float(self.similarity(removed))
            return known[removed]

        wanted = problem.num_removed
        threshold = -np.inf if self.threshold is None else self.threshold
        found = self._walk(problem, similarity, threshold)
        if len(found) < wanted:
            limit = (
                "even any similarity" if self.threshold is None else f"the threshold {threshold}"
            )
            raise InputError(
                f"{limit} lets windows remove only {len(found)} blocks of the {wanted} wanted; "
                "remove fewer, keep fewer or lower the threshold."
            )
        if self.threshold is None:
            low, high = -1.0, 1.0  # as cosines are
            for _ in range(_BISECTIONS):
                if len(found) == wanted:
                    break
                middle = (low + high) / 2
                trial = self._walk(problem, similarity, middle)
                if len(trial) >= wanted:
                    low, threshold, found = middle, middle, trial
                else:
                    high = middle
        return tuple(sorted(found[:wanted])), float(threshold), len(known)

    def _search(self, record: Record, problem: Problem) -> None:
        removed, _, record.other_passes = self.choose(problem)
        record.measure([removed])

    def _walk(
        self, problem: Problem, similarity: Callable[[tuple[int, ...]], float], threshold: float
    ) -> list[int]:
        """Return the blocks in the order in which they go: forced ones, then window by window.

        The walk ends early where it is clear that more than wanted go.
        """
        gone = dict.fromkeys(problem.fixed_removed.tolist())
        removable = {block for group in problem.groups for block in group.indices.tolist()}
        high = problem.num_blocks - 1 - self.spared
        for low in range(high - 1, -1, -1):
            # All of the window but the layer that stays, in the order in which they joined.
            span = range(high - 1, low - 1, -1) if self.stays == "highest" else range(high, low, -1)
            window = [block for block in span if block not in gone]
            trial = tuple(sorted((*gone, *window)))
            if len(gone) > problem.num_removed:
                break
            if removable.issuperset(window) and (
                threshold == -np.inf or similarity(trial) > threshold
            ):
                gone |= dict.fromkeys(window)
            else:
                high = low
        return list(gone)
