"""Simulated annealing and parallel tempering with swaps, and completion of the spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.swaps.heuristic import SwapHeuristic
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count, as_finite_float

if TYPE_CHECKING:
    from qubo_prune.backends.swaps.rounds import Work
    from qubo_prune.search.swap_search import Lane, SwapSearch

METHODS = ("annealing", "tempering")

_SWEEPS = {"annealing": 500, "tempering": 30}
_FEWEST_SWEEPS = {"annealing": 100, "tempering": 6}
_OPERATIONS_PER_WALK = 1e9
"""Above some n a sweep of n swaps, each of n operations, is so dear that walks make fewer of them.
"""
_CHANGES_PER_VARIABLE = 10
_QUENCH_SWEEPS = 20
_HOT = 0.25
"""Part of what random swaps change, on average: at higher temperatures chains are lost among states
that are no use.
"""
_COLD = 0.3
"""Part of what the easiest uphill swaps change, so that at the end few of them are made."""
_EASIEST = 0.01


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
        from qubo_prune.backends.common.preparation import warm_up

        warm_up(Annealing, method=self.method)

    def make_work(self, search: SwapSearch, known: NDArray[np.bool_]) -> Work:
        """Return the walks of a run; see `SwapHeuristic.make_work`."""
        return (_Anneals if self.method == "annealing" else _Ladders)(self, search, known)


def _check_temperature(value: float | None, what: str) -> None:
    if value is not None and as_finite_float(value, what) <= 0:
        raise InputError(
            f"{what} must be above 0, not {format_value(value)}; leave it out for the default."
        )


def temperature_range(search: SwapSearch) -> tuple[float, float]:
    """Return a temperature at which chains of `search` move freely and one at which they rest, from
    changes of energy sampled in every lane.

    What the samples pass on their way down is offered to the pool; changes alone do not count as
    evaluations.
    """
    from qubo_prune.search.arrays import make_chains
    from qubo_prune.search.kernels.annealing import metropolis, sample_changes, start_chain
    from qubo_prune.search.kernels.landscape import random_state

    n = search.num_variables
    landscape = search.landscape
    high = np.zeros(len(search.lanes))
    low = np.zeros(len(search.lanes))

    def sample(lane: Lane) -> None:
        chains = make_chains(1, n)
        changes = np.empty(_CHANGES_PER_VARIABLE * n)
        random_state(landscape, lane.random, chains.y[0])
        start_chain(landscape, chains, 0)
        sample_changes(landscape, chains, lane.random, changes)
        high[lane.index] = np.abs(changes).mean()
        metropolis(
            landscape,
            lane.pool,
            search.known,
            chains,
            0,
            np.inf,
            min(_QUENCH_SWEEPS * n, search.lane_budget),
            lane.random,
            lane.evaluated,
            search.halt,
        )
        sample_changes(landscape, chains, lane.random, changes)
        uphill = changes[changes > landscape.tolerance]
        if len(uphill):
            low[lane.index] = np.quantile(uphill, _EASIEST)

    search.run(sample)
    # Without any slope, one temperature is as good as another.
    hot = _HOT * float(high.mean()) or landscape.tolerance or 1.0
    low = low[low > 0]
    cold = _COLD * float(np.median(low)) if len(low) else hot
    return hot, min(hot, cold)


class _Walks:
    """The walks of a run: what they have in common."""

    def __init__(self, options: Annealing, search: SwapSearch, known: NDArray[np.bool_]) -> None:
        n = search.num_variables
        self._search = search
        self._known = known
        self._replicas = options.replicas
        self._sweeps = options.sweeps or int(
            np.clip(
                _OPERATIONS_PER_WALK / n**2,
                _FEWEST_SWEEPS[options.method],
                _SWEEPS[options.method],
            )
        )
        self._hot, self._cold = _temperatures(options, search)

    def after_round(self) -> None:
        """Nothing to prepare."""

    def _betas(self, count: int) -> NDArray[np.float64]:
        # The coldest of temperatures have no finite inverse; chains then only go down.
        with np.errstate(over="ignore"):
            return 1.0 / np.geomspace(self._hot, self._cold, count)


def _temperatures(options: Annealing, search: SwapSearch) -> tuple[float, float]:
    if options.hot is not None and options.cold is not None:
        return float(options.hot), float(options.cold)
    hot, cold = temperature_range(search)
    if options.hot is not None:
        return float(options.hot), min(cold, float(options.hot))
    if options.cold is not None:
        return max(hot, float(options.cold)), float(options.cold)
    return hot, cold


class _Anneals(_Walks):
    """Each lane cools a chain from a random state in each round."""

    def work(self, _number: int, lane: Lane) -> None:
        """Cool once."""
        from qubo_prune.search.arrays import make_chains
        from qubo_prune.search.kernels.annealing import anneal
        from qubo_prune.search.kernels.landscape import random_state

        search = self._search
        chains = make_chains(1, search.num_variables)
        random_state(search.landscape, lane.random, chains.y[0])
        anneal(
            search.landscape,
            lane.pool,
            search.known,
            chains,
            self._betas(self._sweeps),
            search.lane_budget,
            lane.random,
            lane.evaluated,
            search.halt,
        )


class _Ladders(_Walks):
    """Each lane has a ladder of chains, which goes on from round to round."""

    def __init__(self, options: Annealing, search: SwapSearch, known: NDArray[np.bool_]) -> None:
        from qubo_prune.search.arrays import make_chains

        super().__init__(options, search, known)
        count = self._replicas
        self._chains = [make_chains(count, search.num_variables) for _ in search.lanes]
        self._holders = [np.arange(count) for _ in search.lanes]

    def work(self, number: int, lane: Lane) -> None:
        """Go on with a ladder."""
        from qubo_prune.search.kernels.annealing import temper

        search = self._search
        if number == 0:
            self._start(lane)
        temper(
            search.landscape,
            lane.pool,
            search.known,
            self._chains[lane.index],
            self._betas(self._replicas),
            self._holders[lane.index],
            self._sweeps,
            search.lane_budget,
            lane.random,
            lane.evaluated,
            search.halt,
        )

    def _start(self, lane: Lane) -> None:
        """Start from random states; where some are known, one of them is the coldest."""
        from qubo_prune.search.kernels.annealing import start_chain
        from qubo_prune.search.kernels.landscape import random_state

        landscape, chains = self._search.landscape, self._chains[lane.index]
        for r in range(self._replicas):
            if self._search.halt[0]:
                return
            random_state(landscape, lane.random, chains.y[r])
            if r == self._replicas - 1 and len(self._known):
                chains.y[r] = self._known[lane.index % len(self._known)]
            start_chain(landscape, chains, r)
