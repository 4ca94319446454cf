"""Angular distance of consecutive runs: the window of M blocks that turns the stream least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.pruning.criteria.base import (
    Criterion,
    require_blocks,
    require_choice,
    require_final_states,
)
from qubo_prune.pruning.criteria.evidence import Evidence, Need

if TYPE_CHECKING:
    from qubo_prune.pruning.statistics import Tokens

__all__ = ["AngularDistance"]


@dataclass(frozen=True)
class AngularDistance(Criterion):
    """``arccos(cos(h_l, h_{l+M})) / pi`` of the run of blocks l...l+M-1, averaged over samples.

    The removal is the best run for exactly this M, found by trying every start; a run that breaks
    a count, takes a block to keep or leaves out one to remove is passed over. The score of a single
    block is the distance over that block alone.

    Parameters
    ----------
    tokens : {"last", "all"}
        At which tokens the angle is taken. The paper takes the last one of a sample.
    after_norm : bool
        Take the state after the last block from behind the final norm, as programs do that read the
        library's own list of hidden states.
    """

    tokens: Tokens = "last"
    after_norm: bool = False

    name: ClassVar[str] = "angular-distance"
    summary: ClassVar[str] = "Angle over pi between the stream before and after a run of blocks."
    citation: ClassVar[str] = "Gromov et al. 2024, arXiv:2403.17887"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.STATISTICS})

    def __post_init__(self) -> None:
        require_choice(self.tokens, ("last", "all"), "tokens")

    def scores(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the distance over each single block."""
        return np.diagonal(self._distances(evidence), offset=1).copy()

    def removal(self, problem: Problem, evidence: Evidence) -> tuple[int, ...]:
        """Return the best run of M consecutive blocks that the problem allows; the shortest that
        are long enough, where any number may go.
        """
        require_blocks(problem, evidence)
        if problem.num_removed == 0:
            return ()
        for count in problem.counts:
            allowed = _runs_allowed(problem, count)
            if allowed.size:
                break
        else:
            raise InputError(
                f"no run of {problem.num_removed} consecutive blocks satisfies"
                f" remove={problem.remove} with {len(problem.keep)} blocks kept and"
                f" {len(problem.force)} forced; change them or use a criterion that chooses single"
                " blocks."
            )
        distances = self._distances(evidence)[allowed, allowed + count]
        start = int(allowed[np.argmin(distances)])
        return tuple(range(start, start + count))

    def _distances(self, evidence: Evidence) -> NDArray[np.float64]:
        statistics = evidence.statistics()
        distances = np.asarray(statistics.angular[self.tokens].mean(axis=0))
        if self.after_norm:
            require_final_states(statistics)
            distances[:-1, -1] = statistics.final_angular[self.tokens].mean(axis=0)[:-1]
        return distances


def _runs_allowed(problem: Problem, count: int) -> NDArray[np.int64]:
    """Return where the runs of so many blocks begin that the problem allows."""
    starts = np.arange(problem.num_blocks - count + 1)
    blocks = np.arange(problem.num_blocks)
    runs = (blocks >= starts[:, np.newaxis]) & (blocks < starts[:, np.newaxis] + count)
    return starts[problem.is_feasible(runs)]
