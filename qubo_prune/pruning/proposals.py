"""What is measured next: of the lowest states of a quadratic, proven by `solve`, the one that is
expected to gain most.

The lowest prediction of all is often a state of which nothing is known that could contradict it,
or one so well known that it cannot surprise. The expected gain over the best measured value weighs
both; it is no quadratic, so that it is compared over a list of lowest states.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.pruning.loop_settings import LoopSettings
from qubo_prune.pruning.surrogate import Posterior
from qubo_prune.solving.good_counts import good_states
from qubo_prune.solving.solve import solve

__all__ = ["Proposal", "expected_gain", "lowest_states", "propose"]

_LONGEST_SOLVE = 60.0
"""Seconds after which a proposal need not be the proven lowest: the best found is measured."""


class Proposal(NamedTuple):
    """A removal to measure, who proposes it and what is expected of it, if anything is."""

    removed: tuple[int, ...]
    proposed_by: str
    predicted: float | None = None
    gain: float = math.inf


def propose(
    problem: Problem,
    posterior: Posterior,
    best: float,
    taken: Collection[tuple[int, ...]],
    count: int,
    *,
    settings: LoopSettings,
    random: np.random.Generator,
    stop: Stop,
) -> list[Proposal]:
    """Return what to measure next, best first; nothing where all is taken.

    Parameters
    ----------
    problem : Problem
        Says which removals count.
    posterior : Posterior
        What is believed.
    best : float
        The lowest value so far; inf for none.
    taken : collection of tuple of int
        Removals that are not asked for again.
    count : int
        How many to propose.
    settings : LoopSettings
        How many candidates are compared, and how often a draw proposes.
    random : numpy.random.Generator
        Of the draws.
    stop : Stop
        Ends it early, with nothing.
    """
    batch: list[Proposal] = []
    taken = set(taken)
    ahead: list[Proposal] | None = None
    for _ in range(count):
        if len(posterior.values) > 1 and random.random() < settings.draws:
            found = lowest_states(problem, posterior.sample(random), taken, 1, stop)
            proposals = _judged(problem, posterior, best, found, "draw")
        else:
            if ahead is None:
                wanted = max(settings.candidates, count)
                found = lowest_states(problem, posterior.matrix, taken, wanted, stop)
                ahead = _judged(problem, posterior, best, found, "surrogate")
                if settings.candidates > 1 and math.isfinite(best):
                    ahead.sort(key=lambda each: -each.gain)
            proposals = [each for each in ahead if each.removed not in taken][:1]
        if not proposals or stop.should_stop():
            break
        batch += proposals
        taken.add(proposals[0].removed)
    return batch


def lowest_states(
    problem: Problem,
    matrix: NDArray[np.float64],
    taken: Collection[tuple[int, ...]],
    count: int,
    stop: Stop,
) -> list[tuple[int, ...]]:
    """Return the lowest states of a quadratic that are not taken, proven where time allows; those
    of any number of blocks as a tabu search finds them, since a proof for every number takes longer
    than a measurement.

    Examples
    --------
    >>> problem = Problem(np.zeros((4, 4)), remove=2)
    >>> lowest_states(problem, np.diag([1.0, 2.0, 4.0, 8.0]), {(0, 1)}, 2, Stop())
    [(0, 2), (1, 2)]
    """
    problem = problem.with_hessian(matrix)
    num_states = count + 3
    while True:
        num_states = min(num_states, problem.num_states)
        states = _lowest(problem, num_states, taken, stop)
        if stop.should_stop():
            return []
        removals = (tuple(np.flatnonzero(state).tolist()) for state in states)
        found = [removed for removed in removals if removed not in taken][:count]
        if len(found) == count or len(states) < num_states or num_states >= problem.num_states:
            return found
        num_states *= 4


def _lowest(
    problem: Problem, num_states: int, taken: Collection[tuple[int, ...]], stop: Stop
) -> NDArray[np.bool_]:
    """Return the lowest states of a problem, as many as asked for if there are."""
    limit = Stop(min(_LONGEST_SOLVE, max(stop.remaining, 1e-3)), logged=False)
    if problem.remove is None:
        known = np.array([problem.state(removed) for removed in taken], np.bool_)
        known = known.reshape(-1, problem.num_blocks)
        known = known[problem.is_feasible(known)]
        with limit.interruptible():
            states = good_states(problem, num_states, known=known, stop=limit)
        interrupted = limit.reason is StopReason.INTERRUPTED
    else:
        spectrum = solve(problem, num_states=num_states, stop=limit)
        states = spectrum.states
        interrupted = spectrum.stop_reason is StopReason.INTERRUPTED
    if interrupted:
        stop.cancel()
    return states


def _judged(
    problem: Problem,
    posterior: Posterior,
    best: float,
    found: list[tuple[int, ...]],
    by: str,
) -> list[Proposal]:
    """Return removals with what is expected of them."""
    if not found:
        return []
    means, deviations = posterior.predict(
        np.array([problem.state(removed) for removed in found], np.bool_)
    )
    return [
        Proposal(removed, by, float(mean), expected_gain(best - mean, deviation))
        for removed, mean, deviation in zip(found, means, deviations, strict=True)
    ]


def expected_gain(ahead: float, deviation: float) -> float:
    """Return the mean of ``max(0, g)`` for a Gaussian gain g.

    Parameters
    ----------
    ahead : float
        The mean of g.
    deviation : float
        Its standard deviation.

    Examples
    --------
    >>> round(expected_gain(0.0, 1.0), 4), expected_gain(2.0, 0.0), expected_gain(-2.0, 0.0)
    (0.3989, 2.0, 0.0)
    """
    if deviation <= 0 or math.isinf(ahead):
        return max(0.0, ahead)
    score = ahead / deviation
    density = math.exp(-0.5 * score * score) / math.sqrt(2 * math.pi)
    return ahead * 0.5 * math.erfc(-score / math.sqrt(2)) + deviation * density
