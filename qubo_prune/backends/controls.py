"""Controls: what chance finds, and what the simplest rule finds. A solver that does not beat both
has learnt nothing of the problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.backends.common.preparation import warm_up
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.validation import as_count
from qubo_prune.search.sampling import random_states

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

_BATCH = 10_000

_CONTROL = Capability.SEEDED | Capability.NATIVE_CONSTRAINT | Capability.LIMITED | Capability.BUDGET


@dataclass(frozen=True)
class RandomStates(Backend):
    """The lowest of uniformly random feasible states; of random ones where few reach a budget.

    Parameters
    ----------
    num_samples : int
        States to draw unless a limit ends the run before.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> problem = Problem.load("bytelm-40-block", remove=8)
    >>> solve(problem, num_states=3, backend="random").status.value
    'heuristic'
    """

    num_samples: int = 100_000

    name: ClassVar[str] = "random"
    summary: ClassVar[str] = "the lowest of random states; a control"
    capabilities: ClassVar[Capability] = _CONTROL

    def __post_init__(self) -> None:
        as_count(self.num_samples, "num_samples", least=1)

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,  # noqa: ARG002 - chance knows no start
    ) -> RawResult:
        """Draw states until there are enough or `stop` says so; see `Backend.run`."""
        rng = np.random.default_rng(seed)
        kept = np.zeros((0, problem.num_blocks), np.bool_)
        highest = np.inf
        drawn = 0
        while drawn < self.num_samples and not stop.should_stop(drawn):
            count = min(_BATCH, self.num_samples - drawn, _allowed(stop, drawn))
            for states in random_states(problem, count, rng):
                energies = problem.energies(states)
                kept = np.unique(np.concatenate([kept, states[energies <= highest]]), axis=0)
                energies = problem.energies(kept)
                order = lexicographic_order(kept, energies)[:num_states]
                kept = kept[order]
                highest = energies[order[-1]] if len(order) == num_states else np.inf
                drawn += len(states)
                if stop.should_stop(drawn):
                    break
            stop.offer(drawn, kept.copy)
            stop.report(drawn, drawn / self.num_samples, "drawing")
        return RawResult(kept, num_evaluated=drawn, native_status=f"{drawn} random states")


@dataclass(frozen=True)
class Greedy(Backend):
    """Add the cheapest block until there are enough; then, with `polish`, make the best swap until
    none helps.

    Parameters
    ----------
    polish : bool
        Whether to go on by swaps. All the neighbours evaluated on the way compete for the spectrum;
        without, it is one state.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> problem = Problem.load("bytelm-40-block", remove=8)
    >>> bare = solve(problem, num_states=100, backend="greedy", options={"polish": False})
    >>> len(bare), len(solve(problem, num_states=100, backend="greedy"))
    (1, 100)
    """

    polish: bool = True

    name: ClassVar[str] = "greedy"
    summary: ClassVar[str] = "adds the cheapest block M times, then swaps; a control"
    capabilities: ClassVar[Capability] = _CONTROL

    def prepare(self) -> None:
        """Load the kernels of the swaps, or compile them the first time."""
        warm_up(Greedy)

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,  # noqa: ARG002 - nothing is left to chance
        warm_start: NDArray[np.bool_] | None = None,  # noqa: ARG002 - it starts afresh
    ) -> RawResult:
        """Build one state and improve it; see `Backend.run`."""
        from qubo_prune.search.repair import Harvest, nearest_feasible

        nothing = problem.state(problem.fixed_removed)[None]
        states = nearest_feasible(problem, nothing)
        if self.polish and problem.groups:
            harvest = Harvest(problem, num_states)
            harvest.add(states, stop)
            states = harvest.states()
        stop.report(len(states), None, "swapping")
        return RawResult(
            states,
            num_evaluated=len(states),
            native_status="a local minimum of swaps" if self.polish else "as built",
        )


def _allowed(stop: Stop, drawn: int) -> int:
    """Return how many more states `stop` allows."""
    return _BATCH if stop.max_evaluations is None else max(1, stop.max_evaluations - drawn)
