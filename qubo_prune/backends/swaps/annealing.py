"""Simulated annealing and parallel tempering with swaps, and completion of the spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.common.preparation import warm_up
from qubo_prune.backends.swaps.heuristic import SwapHeuristic
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count, as_finite_float

if TYPE_CHECKING:
    from qubo_prune.backends.swaps.rounds import Work
    from qubo_prune.search.swap_search import SwapSearch

METHODS = ("annealing", "tempering")


@dataclass(frozen=True)
class Annealing(SwapHeuristic):
    """The K lowest states that simulated annealing or parallel tempering finds, without proof.

    A chain proposes to swap a random block for a random one on the other side (of the same group),
    so it never leaves the constraint, and accepts by the rule of Metropolis: at a fixed temperature
    T it samples states in proportion to exp(-energy / T). *Annealing* cools one chain, sweep by
    sweep, from `hot` to `cold`; *tempering* (Hukushima, Nemoto 1996) keeps a ladder of chains
    between the two temperatures, and neighbours exchange theirs now and then. Every state proposed
    is a candidate for the spectrum. Walks run in rounds, on all cores, and after each the spectrum
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
        Chains that are cooled, or ladders, in a round.
    rounds : int
        Most rounds. Annealing begins anew in each; ladders go on.
    patience : int
        Rounds in a row without a new state after which the search ends.
    completion : bool
        Whether the spectrum is completed.
    method : {"annealing", "tempering"}
        What a walk is.
    sweeps : int, optional
        Sweeps of a chain in a round, each of one proposal for every free block; by default 500 for
        annealing and 30 for tempering, and fewer above some 1,000 blocks.
    replicas : int
        Chains of a ladder, at least 2; for tempering.
    hot, cold : float, optional
        Highest and lowest temperature, in the unit of the energies, with geometric steps between
        them. By default a quarter of what random swaps change in a random state, on average, and
        0.3 of what the smallest one in a hundred of the uphill swaps of a local minimum change.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> problem = Problem.load("bytelm-40-branch", remove=8)
    >>> options = {"method": "tempering"}
    >>> spectrum = solve(problem, num_states=3, backend="annealing", options=options)
    >>> spectrum.status.value, spectrum.removed(0)
    ('heuristic', [3, 10, 23, 33, 37, 46, 47, 61])
    """

    method: str = "annealing"
    sweeps: int | None = None
    replicas: int = 16
    hot: float | None = None
    cold: float | None = None

    name: ClassVar[str] = "annealing"
    summary: ClassVar[str] = (
        "finds the K lowest states by simulated annealing or parallel tempering, without proof"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise InputError(
                f"method must be one of {', '.join(METHODS)}, not {format_value(self.method)}."
            )
        if self.sweeps is not None:
            as_count(self.sweeps, "sweeps", least=1)
        remedy = "use method='annealing' for one chain"
        as_count(self.replicas, "replicas", least=2, remedy=remedy)
        for what in ("hot", "cold"):
            _check_temperature(getattr(self, what), what)
        if self.hot is not None and self.cold is not None and self.hot < self.cold:
            raise InputError(
                f"hot must be at least cold={self.cold}, not {self.hot}; chains are cooled."
            )

    def prepare(self) -> None:
        """Load the kernels, or compile them the first time."""
        warm_up(Annealing, method=self.method)

    def make_work(self, search: SwapSearch, known: NDArray[np.bool_]) -> Work:
        """Return the walks of a run; see `SwapHeuristic.make_work`."""
        from qubo_prune.backends.swaps.annealing_walks import Anneals, Ladders

        if self.method == "annealing":
            return Anneals(search, self.sweeps, self.hot, self.cold)
        return Ladders(search, self.sweeps, self.hot, self.cold, self.replicas, known)


def _check_temperature(value: float | None, what: str) -> None:
    if value is not None and as_finite_float(value, what) <= 0:
        raise InputError(
            f"{what} must be above 0, not {format_value(value)}; leave it out for the default."
        )
