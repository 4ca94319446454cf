"""The frame of heuristics that swap blocks on all cores: their common options, the pool that they
fill and its completion.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.core.defaults import PATIENCE, WALKS
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count
from qubo_prune.search.threads import num_threads

if TYPE_CHECKING:
    from qubo_prune.backends.swaps.rounds import Work
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop
    from qubo_prune.search.swap_search import SwapSearch


@dataclass(frozen=True)
class SwapHeuristic(Backend):
    """A heuristic whose walks swap a removed and a kept block of the same group, so that they never
    leave the constraint.

    Parameters
    ----------
    threads : int, optional
        Number of threads, of which at most `walks` are used; all available cores by default. The
        answer does not depend on it.
    walks : int
        Walks in a round.
    rounds : int
        Most rounds.
    patience : int
        Rounds in a row without a new state after which the search ends.
    completion : bool
        Whether the spectrum is completed.
    """

    threads: int | None = None
    walks: int = WALKS
    rounds: int = 100
    patience: int = PATIENCE
    completion: bool = True

    capabilities: ClassVar[Capability] = (
        Capability.WARM_START
        | Capability.SEEDED
        | Capability.NATIVE_CONSTRAINT
        | Capability.LIMITED
        | Capability.BUDGET
    )

    def __post_init__(self) -> None:
        num_threads(self.threads)
        for what in ("walks", "rounds", "patience"):
            as_count(getattr(self, what), what, least=1)
        if not isinstance(self.completion, bool):
            raise InputError(
                f"completion must be true or false, not {format_value(self.completion)}."
            )

    @abstractmethod
    def make_work(self, search: SwapSearch, known: NDArray[np.bool_]) -> Work:
        """Return what walks do.

        Parameters
        ----------
        search : SwapSearch
            With one lane for each walk.
        known : ndarray of bool, shape (W, n)
            States that the caller of `run` knows to be good, as walkers have them.
        """

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Search for the `num_states` lowest states; see `Backend.run`."""
        from qubo_prune.backends.swaps.rounds import search_in_rounds

        return search_in_rounds(self, problem, num_states, stop, seed, warm_start)
