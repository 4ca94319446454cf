"""Swap tabu search from many starts, and completion of the spectrum: the heuristic of choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.common.preparation import warm_up
from qubo_prune.backends.swaps.heuristic import SwapHeuristic
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.backends.swaps.rounds import Work
    from qubo_prune.search.swap_search import SwapSearch


@dataclass(frozen=True)
class Tabu(SwapHeuristic):
    """The K lowest states that a swap tabu search finds; fast, and without proof.

    A walk makes the best swap of a removed and a kept block (of the same group) that is not tabu,
    so it never leaves the constraint. Every neighbour that it evaluates is a candidate for the
    spectrum. Walks run in rounds, on all cores: one in two starts at a random state, the others at
    a cross of two of the best states that walks ended with, shaken. After each round the spectrum
    is completed: the swap neighbourhoods of the lowest states are expanded, lowest first, until
    those of all states listed are.

    The search ends when some rounds in a row bring nothing new, or at a limit. The same seed gives
    the same spectrum on any number of threads, also with ``max_evaluations``; where a time limit
    ends the search, the spectrum depends on the speed of the machine.

    Parameters
    ----------
    threads : int, optional
        Number of threads, of which at most `walks` are used; all available cores by default. The
        answer does not depend on it.
    walks : int
        Walks in a round.
    steps : int, optional
        Swaps in a walk; by default 5 for each of up to 2,000 free blocks, and fewer for more.
    tenure : int
        Steps for which a block that was swapped out of the removed ones stays out, up to twice as
        many at random; one that was swapped in stays in half as long. A third of the walks each
        take one, two and three times as many: short ones look closely, long ones get away.
    rounds : int
        Most rounds.
    patience : int
        Rounds in a row without a new state after which the search ends.
    completion : bool
        Whether the spectrum is completed.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> spectrum = solve(Problem.load("bytelm-40-branch", remove=8), num_states=3, backend="tabu")
    >>> spectrum.status.value, spectrum.removed(0)
    ('heuristic', [3, 10, 23, 33, 37, 46, 47, 61])
    """

    steps: int | None = None
    tenure: int = 4

    name: ClassVar[str] = "tabu"
    summary: ClassVar[str] = "finds the K lowest states fast by swap tabu search, without proof"

    def __post_init__(self) -> None:
        super().__post_init__()
        as_count(self.tenure, "tenure", least=1)
        if self.steps is not None:
            as_count(self.steps, "steps", least=1)

    def prepare(self) -> None:
        """Load the kernels, or compile them the first time."""
        warm_up(Tabu)

    def make_work(self, search: SwapSearch, known: NDArray[np.bool_]) -> Work:
        """Return the walks of a run; see `SwapHeuristic.make_work`."""
        from qubo_prune.search.tabu_walks import TabuWalks

        return TabuWalks(search, known, self.steps, self.tenure)
