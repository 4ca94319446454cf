"""Swap tabu search from many starts, and completion of the spectrum: the heuristic of choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.swaps.heuristic import SwapHeuristic
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.backends.swaps.rounds import Work
    from qubo_prune.search.swap_search import Lane, SwapSearch


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
        from qubo_prune.backends.common.preparation import warm_up

        warm_up(Tabu)

    def make_work(self, search: SwapSearch, known: NDArray[np.bool_]) -> Work:
        """Return the walks of a run; see `SwapHeuristic.make_work`."""
        return _Walks(self, search, known)


class _Walks:
    """The walks of a run, and the best states that they ended with."""

    def __init__(self, options: Tabu, search: SwapSearch, known: NDArray[np.bool_]) -> None:
        from qubo_prune.search.swap_search import default_steps

        n = search.num_variables
        self._search = search
        self._tenure = options.tenure
        self._steps = default_steps(n) if options.steps is None else options.steps
        self._starts = np.concatenate([search.greedy_state[None], known])
        landscape = search.landscape
        sizes = landscape.group_stop - landscape.group_start
        self._most_swaps = int(np.minimum(landscape.counts, sizes - landscape.counts).sum())
        self._ends = np.full(options.walks, np.inf)
        self._elite = np.zeros((options.walks, n), np.bool_)
        self._elite_energies = np.full(options.walks, np.inf)

    def work(self, number: int, lane: Lane) -> None:
        """Walk once."""
        self._start(lane, number)
        self._ends[lane.index] = self._search.walk(lane, self._steps, self._tenure)

    def after_round(self) -> None:
        """Remember the best state of each walk, each state once."""
        for lane in self._search.lanes:
            end, best = self._ends[lane.index], lane.walker.best
            if end < self._elite_energies[lane.index] and not (self._elite == best).all(1).any():
                self._elite_energies[lane.index] = end
                self._elite[lane.index] = best

    def _start(self, lane: Lane, number: int) -> None:
        from qubo_prune.search.kernels.landscape import below, crossed_state, random_state, shake

        landscape, random, y = self._search.landscape, lane.random, lane.walker.y
        if number == 0 and lane.index < len(self._starts):
            y[:] = self._starts[lane.index]
        elif number == 0 or lane.index % 2:
            random_state(landscape, random, y)
        else:
            elite = np.flatnonzero(self._elite_energies < np.inf)
            first, second = (self._elite[elite[below(random, len(elite))]] for _ in range(2))
            crossed_state(landscape, random, first, second, y)
            shake(landscape, random, y, 1 + below(random, max(1, self._most_swaps // 4)))
