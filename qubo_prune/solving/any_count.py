"""A budget without a count: every count that can reach it is a problem of its own, and the lowest
of all are the answer.

Solvers know groups with exact counts only, so each count is solved, and the lists are merged. A
quick look at all counts finds good states of some of them first. A count whose relaxation lies
above the K-th of those known is left out: none of its states can be among the lowest. Shifts that
are good for the best count bound all others in milliseconds; a relaxation of its own is for what
they leave. The counts come by the lowest energies known of them, so that a limit cuts off the least
likely ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import Standing, Stop, StopReason
from qubo_prune.core.text import format_blocks
from qubo_prune.search.repair import nearest_feasible
from qubo_prune.solving.bounding.bound import lower_bound
from qubo_prune.solving.bounding.of_counts import CountBounds
from qubo_prune.solving.good_counts import GoodCounts

_LEAST_SECONDS = 1e-3
_BOUND_SECONDS = 1.0
"""How long a bound of a count may take; then it is solved."""
_LOOK_SECONDS, _LOOK_SHARE = 5.0, 8
"""How long the look at all counts, the shifts of their common bound and that bound itself may take,
each; and the part of the time left, as one over this.
"""
_MOST_BLOCKS = 2000
"""Blocks above which the common bound takes too long."""
_WORTH_A_BOUND = 10**5
"""States of a count from which on a bound may be cheaper than to solve it."""


class _SolveOne(Protocol):
    def __call__(
        self, problem: Problem, *, stop: Stop, known: NDArray[np.bool_] | None
    ) -> Spectrum: ...


def solve_all_counts(
    problem: Problem,
    solve_one: _SolveOne,
    *,
    solver: Backend,
    num_states: int,
    seed: int,
    stop: Stop,
    known: NDArray[np.bool_] | None,
) -> Spectrum:
    """Return the lowest states of all counts that reach the budget of a problem.

    Parameters
    ----------
    problem : Problem
        One whose `remove` is None.
    solve_one : callable
        Solves it with a count.
    solver : Backend
        Who does.
    num_states : int
        K.
    seed : int
        Of the run.
    stop : Stop
        Holds for all counts together.
    known : (W, N) bool, optional
        States to start from.
    """
    merged = _Merged(problem, num_states)
    stop.start()
    with stop.interruptible():
        look = _Look(problem, num_states, known, stop)
        for number, count in enumerate(look.counts):
            each = problem.with_remove(count)
            if stop.should_stop(merged.num_evaluated):
                merged.leave_open(stop.reason)
                continue
            bound = look.bound(each, min(look.highest, merged.highest), merged.num_evaluated)
            if bound > min(look.highest, merged.highest):
                merged.exclude(count, bound)
                continue
            share = 1 if number == len(look.counts) - 1 else 2
            part = _Part(stop, merged.num_evaluated, f"M = {count}: ", share)
            start = starting_states(each, np.concatenate([look.states, merged.states]))
            merged.add(count, solve_one(each, stop=part, known=start))
        if stop.reason is not None or not merged.is_full:
            merged.take(look.states)
    stop.raise_failure()
    return merged.spectrum(solver, seed, stop)


class _Look:
    """What a quick look tells of the counts, and bounds of them.

    Attributes
    ----------
    states : (K', N) bool
        Good states.
    highest : float
        An energy that the K-th lowest does not exceed.
    counts : list of int
        All counts, the likeliest to hold the lowest states first.
    """

    def __init__(
        self, problem: Problem, num_states: int, known: NDArray[np.bool_] | None, stop: Stop
    ) -> None:
        part = _Part(stop, 0, "", _LOOK_SHARE, _LOOK_SECONDS)
        good = GoodCounts(problem, min(num_states, problem.num_states), known, part)
        self.states, self.highest = good.states, good.highest
        self._stop = stop
        self._lowest = good.by_count
        self._bounds: dict[int, float] = {}
        # Of those that leave a choice.
        fewest = len(problem.fixed_removed) + 1
        most = problem.num_blocks - len(problem.fixed_kept) - 1
        best = good.best_count
        several = fewest <= most <= _MOST_BLOCKS and len(problem.counts) > 1
        if best is not None and several:
            part = _Part(stop, 0, "bounding all counts: ", _LOOK_SHARE, _LOOK_SECONDS)
            bounds = CountBounds(problem, min(max(best, fewest), most), part)
            part = _Part(stop, 0, "bounding all counts: ", _LOOK_SHARE, _LOOK_SECONDS)
            # Outwards, from each to the next: their points are near each other.
            first = problem.counts.start
            for count in (*range(best, problem.counts.stop), *range(best - 1, first - 1, -1)):
                if part.should_stop():
                    break
                self._bounds[count] = bounds.bound(count, self.highest, part)
        self.counts = sorted(
            problem.counts,
            key=lambda count: (
                self._lowest.get(count, math.inf),
                self._bounds.get(count, -math.inf),
                count,
            ),
        )

    def bound(self, problem: Problem, highest: float, num_evaluated: int) -> float:
        """Return a number that no energy of a problem with a count lies below; one of its own is
        sought where that at hand does not exceed `highest`, and no state is known that does not.
        """
        count = problem.num_removed
        value = self._bounds.get(count, -math.inf)
        if (
            value > highest
            or math.isinf(highest)
            or self._lowest.get(count, math.inf) <= highest
            or problem.num_states < _WORTH_A_BOUND
        ):
            return value
        part = _Part(self._stop, num_evaluated, f"M = {count}: ", most=_BOUND_SECONDS)
        return max(value, lower_bound(problem, stop=part, enough=highest).value)


def starting_states(problem: Problem, known: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Return states known to be good of other counts with blocks added or dropped to fit; those
    that do not reach the budget then are left out, and there may be none.
    """
    if known is None or not len(known):
        return None
    near = nearest_feasible(problem, known)
    near = near[problem.is_feasible(near)]
    return near if len(near) else None


class _Part(Stop):
    """Decides when one count of several has to end: when all have to, or its share is used up."""

    def __init__(
        self, whole: Stop, evaluated: int, about: str, share: int = 1, most: float = math.inf
    ) -> None:
        self._whole = whole
        self._evaluated = evaluated
        self._about = about
        seconds = min(whole.remaining / share, most)
        limit = whole.max_evaluations
        super().__init__(
            None if math.isinf(seconds) else max(seconds, _LEAST_SECONDS),
            None if limit is None else max(1, limit - evaluated),
        )

    @property
    def reason(self) -> StopReason | None:
        """Why the run has to stop; None while it may go on."""
        return super().reason or self._whole.reason

    def cancel(self, reason: StopReason = StopReason.INTERRUPTED) -> None:
        """Ask all counts to stop."""
        super().cancel(reason)
        self._whole.cancel(reason)

    def report(
        self,
        num_evaluated: int,
        fraction: float | None = None,  # noqa: ARG002 - of this count
        message: str = "",
        *,
        standing: Callable[[], Standing] | None = None,
        unit: str = "",
    ) -> None:
        """Tell who watches all counts; how much of them is done nobody knows."""
        self._whole.report(
            self._evaluated + num_evaluated,
            None,
            self._about + message,
            standing=standing,
            unit=unit,
        )

    def offer(self, num_evaluated: int, states: Callable[[], NDArray[np.bool_]]) -> None:
        """Tell what was found so far."""
        self._whole.offer(self._evaluated + num_evaluated, states)


class _Merged:
    """The lowest states of the counts so far, and what is certain about all others."""

    def __init__(self, problem: Problem, num_states: int) -> None:
        self._problem = problem
        self._num_states = min(num_states, problem.num_states)
        self.states = np.zeros((0, problem.num_blocks), np.bool_)
        self._energies = np.zeros(0)
        self._outside = math.inf
        self._tied_at: set[float] = set()
        self._solved: list[int] = []
        self._excluded: list[int] = []
        self._reason = StopReason.COMPLETED
        self._timings: dict[str, float] = {}
        self._words: dict[str, None] = {}
        self._rests_on: dict[str, Any] = {}
        self.num_evaluated = 0

    @property
    def is_full(self) -> bool:
        """Whether there are K states."""
        return 0 < len(self.states) == self._num_states

    @property
    def highest(self) -> float:
        """The energy of the last of them; inf where there are fewer."""
        return float(self._energies[-1]) if self.is_full else math.inf

    def leave_open(self, reason: StopReason | None) -> None:
        """Take note that nothing is known about a count, and why."""
        self._outside = -math.inf
        self._reason = reason or self._reason

    def exclude(self, count: int, bound: float) -> None:
        """Take note that no state of a count lies below a bound."""
        self._outside = min(self._outside, bound)
        self._excluded.append(count)

    def add(self, count: int, spectrum: Spectrum) -> None:
        """Merge the spectrum of a count."""
        self._solved.append(count)
        self._outside = min(self._outside, spectrum.lower_bound)
        if spectrum.stop_reason is not StopReason.COMPLETED:
            self._reason = spectrum.stop_reason
        if spectrum.ties_truncated:
            self._tied_at.add(float(spectrum.energies[-1]))
        self.num_evaluated += spectrum.num_evaluated
        for phase, seconds in spectrum.timings.items():
            self._timings[phase] = self._timings.get(phase, 0.0) + seconds
        if spectrum.native_status:
            self._words[spectrum.native_status] = None
        if "rests_on" in spectrum.proof:
            self._rests_on["rests_on"] = spectrum.proof["rests_on"]
        states = np.concatenate([self.states, spectrum.states])
        energies = np.concatenate([self._energies, spectrum.energies])
        order = lexicographic_order(states, energies)
        kept, cut = order[: self._num_states], order[self._num_states :]
        if len(cut):
            self._outside = min(self._outside, float(energies[cut[0]]))
            if energies[cut[0]] == energies[kept[-1]]:
                self._tied_at.add(float(energies[cut[0]]))
        self.states, self._energies = states[kept], energies[kept]

    def take(self, states: NDArray[np.bool_]) -> None:
        """Merge states that are good, but of which nothing is proven, where some counts were left
        open, or solved by somebody who found fewer.
        """
        listed = {state.tobytes() for state in self.states}
        new = [state for state in states if state.tobytes() not in listed]
        states = np.concatenate([self.states, np.array(new, np.bool_).reshape(-1, states.shape[1])])
        energies = self._problem.energies(states)
        order = lexicographic_order(states, energies)[: self._num_states]
        self.states, self._energies = states[order], energies[order]

    def spectrum(self, solver: Backend, seed: int, stop: Stop) -> Spectrum:
        """Return what all counts come to."""
        problem, size = self._problem, len(self.states)
        proves = Capability.PROVES in solver.capabilities
        # A list that is not full has all states of the counts, or less is known.
        proven = int(np.searchsorted(self._energies, self._outside, side="right"))
        complete = proven == size and (self.is_full or self._outside == math.inf)
        unproven = Status.PARTIAL if proves else Status.HEURISTIC
        excluded = (
            {"counts_excluded": format_blocks(sorted(self._excluded))} if self._excluded else {}
        )
        return Spectrum(
            states=self.states,
            energies=self._energies,
            num_proven=proven,
            lower_bound=self._outside,
            status=Status.PROVEN if complete else unproven,
            stop_reason=StopReason.COMPLETED if complete else self._reason,
            ties_truncated=bool(size) and float(self._energies[-1]) in self._tied_at,
            backend=solver.name,
            num_states_total=problem.num_states,
            hessian_sha256=problem.hessian_sha256,
            names=problem.block_names(),
            remove=None,
            seed=seed if Capability.SEEDED in solver.capabilities else None,
            timings={**self._timings, "total": stop.elapsed},
            num_evaluated=self.num_evaluated,
            native_status="; ".join(self._words),
            proof={
                "counts_solved": format_blocks(sorted(self._solved)),
                **excluded,
                **self._rests_on,
            },
            parameter_counts=problem.parameter_counts,
            at_least=problem.at_least,
            weights=problem.weights or problem.parameter_counts,
        )
