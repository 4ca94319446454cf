"""What a criterion is: a cheap score per block, and the removal that the scores ask for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.text import format_value
from qubo_prune.pruning.criteria.evidence import Evidence, Need
from qubo_prune.solving.solve import solve

if TYPE_CHECKING:
    from qubo_prune.pruning.statistics import BlockStatistics

__all__ = ["Criterion", "lowest"]


class Criterion(ABC):
    """Base of the criteria: frozen options, no state of their own.

    The blocks with the *lowest* scores go first, for every criterion.

    Attributes
    ----------
    name : str
        What the criterion is called.
    summary : str
        What a score is, in a sentence.
    citation : str
        Where it comes from.
    needs : frozenset of Need
        What of an `Evidence` is looked at.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    citation: ClassVar[str]
    needs: ClassVar[frozenset[Need]]

    @property
    def cost(self) -> int:
        """How much the dearest part of the evidence takes, to be compared with other criteria."""
        return max((1 + list(Need).index(need) for need in self.needs), default=0)

    @abstractmethod
    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the score of each block, (N,); lower goes first, inf never if it can be helped."""

    def removal(self, problem: Problem, evidence: Evidence) -> tuple[int, ...]:
        """Return the removal that the criterion asks for.

        Parameters
        ----------
        problem : Problem
            Says how many blocks to remove, of which kinds, and what to keep; its Hessian is not
            looked at.
        evidence : Evidence
            What is known of the blocks.

        Returns
        -------
        tuple of int
            Ascending block indices.

        Raises
        ------
        InputError
            If the criterion cannot satisfy the constraint, or the evidence lacks what it needs.
        """
        require_blocks(problem, evidence)
        return lowest(problem, self.scores(evidence))


def lowest(problem: Problem, scores: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the allowed removal with the smallest sum of scores; of equal blocks the first go.

    Counts are exact and groups disjoint, so the lowest of each group are the proven minimum. With
    a budget and no count, the blocks go by their scores, the lowest first, until it is reached.

    Parameters
    ----------
    problem : Problem
        Says what is allowed.
    scores : (N,) float64
        One per block; inf is legal, NaN is not.

    Raises
    ------
    InputError
        If there is not one score for each block.

    Examples
    --------
    >>> problem = Problem(np.zeros((5, 5)), remove=3, keep=[0], force=[4])
    >>> lowest(problem, np.array([0.0, 3.0, 1.0, 1.0, 9.0]))
    (2, 3, 4)
    """
    scores = np.asarray(scores, np.float64)
    if scores.shape != (problem.num_blocks,):
        raise InputError(
            f"scores must have shape ({problem.num_blocks},), one per block, not {scores.shape}; "
            "score the blocks of the same model."
        )
    if np.isnan(scores).any():
        raise InputError(
            f"the score of block {int(np.isnan(scores).argmax())} is not a number; measure it "
            "again, in float32 if need be."
        )
    if problem.budget is not None:
        return _lowest_with_budget(problem, scores)
    removed = problem.fixed_removed.tolist()
    for group in problem.groups:
        order = np.argsort(scores[group.indices], kind="stable")
        removed += group.indices[order[: group.count]].tolist()
    return tuple(sorted(removed))


def _lowest_with_budget(problem: Problem, scores: NDArray[np.float64]) -> tuple[int, ...]:
    """Return what goes where the removed blocks have to weigh something: with a count the smallest
    sum of scores, proven; else block by block, the lowest score first, until it is enough.
    """
    if problem.remove is not None:
        finite = scores[np.isfinite(scores)]
        most = 1.0 + np.ptp(finite) * len(scores) if len(finite) else 1.0
        lowest_score = finite.min() if len(finite) else 0.0
        # The same for all blocks changes nothing where their number is given.
        costs = np.clip(scores - lowest_score, 0.0, most)
        spectrum = solve(problem.with_hessian(np.diag(costs)), num_states=1)
        return tuple(spectrum.removed(0))
    removed = np.zeros(problem.num_blocks, np.bool_)
    removed[problem.fixed_removed] = True
    free = [int(block) for group in problem.groups for block in group.indices]
    for block in sorted(free, key=lambda block: (scores[block], block)):
        if problem.is_feasible(removed)[0]:
            break
        removed[block] = True
    return tuple(np.flatnonzero(removed).tolist())


def require_blocks(problem: Problem, evidence: Evidence) -> None:
    """Refuse evidence of another number of blocks."""
    if problem.num_blocks != evidence.num_blocks:
        raise InputError(
            f"the evidence is of {evidence.num_blocks} blocks and the problem has "
            f"{problem.num_blocks}; both must be of the same model."
        )


def require_choice(value: object, choices: tuple[str, ...], what: str) -> None:
    """Refuse an option that is not one of its choices."""
    if value not in choices:
        listed = " or ".join(map(repr, choices))
        raise InputError(f"{what} must be {listed}, not {format_value(value)}; choose one.")


def require_final_states(statistics: BlockStatistics) -> None:
    """Refuse statistics without the final hidden states."""
    if not statistics.final_similarity:
        raise InputError(
            "after_norm needs the final hidden states, which are not known of this model; leave it "
            "out to take the states at the blocks."
        )
