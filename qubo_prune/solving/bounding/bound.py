"""`lower_bound`: a number that no energy of a problem lies below, for thousands of blocks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.memory import check_memory
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.encodings.bounds import lower_bounds, rounding
from qubo_prune.search.budget_price import price_of
from qubo_prune.solving.arguments import as_stop, require_problem
from qubo_prune.solving.bounding.form import Form
from qubo_prune.solving.bounding.products import Products
from qubo_prune.solving.bounding.relaxed import relaxed_point
from qubo_prune.solving.bounding.shifts import Barrier

_MATRICES = 8
"""Matrices of the size of the problem that are held at a time."""
_FALL = 0.2
"""Factor of mu from stage to stage."""
_CLOSE = 1e-5
"""Part of the bound that is not worth another stage."""
_MOST_STAGES = 30
_POINT_STEPS = 100
_MOST_PRODUCTS = 600
"""Variables above which multipliers of products are not sought: a step is an eigendecomposition."""
_FIRST_STEPS, _MOST_STEPS = 100, 800
"""Steps that seek them before the bound is looked at again, doubled each time."""


@dataclass(frozen=True)
class LowerBound:
    """What is certain about all energies of a problem.

    Attributes
    ----------
    value : float
        No state has an energy below it, in floats as `Problem.energies` has them.
    stages : int
        How often the bound was tightened.
    seconds : float
        How long it took.
    stop_reason : StopReason
        COMPLETED if more time would not make it tighter.
    """

    value: float
    stages: int
    seconds: float
    stop_reason: StopReason

    def gap(self, energy: float) -> float:
        """Return how far below an energy a state can lie at most, as a part of the energy; inf
        where that is 0 and the bound is lower.

        Examples
        --------
        >>> LowerBound(1.5, 3, 0.1, StopReason.COMPLETED).gap(2.0)
        0.25
        """
        room = max(0.0, energy - self.value)
        return room / abs(energy) if energy else math.inf * room if room else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {
            "lower_bound": self.value,
            "stages": self.stages,
            "seconds": self.seconds,
            "stop_reason": self.stop_reason.value,
        }


def lower_bound(
    problem: Problem,
    *,
    time_limit: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
    enough: float = math.inf,
) -> LowerBound:
    """Return a number that no energy of the problem lies below, as tight as the semidefinite
    relaxation with an exact count is; up to 600 free blocks, about as tight as with products of
    blocks that are not negative.

    Where the list itself cannot be proven, it says how much lower the best state can be than the
    best one found. Each step takes about 3 n^3 operations for n free blocks, and there are some
    dozens of them, or hundreds where blocks differ by orders of magnitude: half a minute in all at
    1,000 blocks on one core, minutes at 2,000. Products take up to 1,500 eigendecompositions:
    seconds at 200 blocks, minutes at 600. Ctrl-C returns the bound by then. A budget counts at a
    price of weight, about the best one for the energies themselves.

    Parameters
    ----------
    problem : Problem
        Of which.
    time_limit : float, optional
        Seconds; looked at between steps.
    progress : callable, optional
        Called with a `Progress` now and then.
    stop : Stop, optional
        In place of both.
    enough : float
        A bound above it is as good as any.

    Returns
    -------
    LowerBound
        Certain, rounding included.

    Examples
    --------
    >>> from qubo_prune import Problem, lower_bound, solve
    >>> problem = Problem.load("bytelm-40-block", remove=12)
    >>> bound = lower_bound(problem)
    >>> lowest = solve(problem, num_states=1).energies[0]
    >>> bool(bound.value <= lowest), round(float(bound.gap(lowest)), 3)
    (True, 0.007)
    """
    require_problem(problem)
    stop = as_stop(stop, time_limit, None, progress)
    stop.start()
    begin = time.perf_counter()
    value, stages = _cheap(problem), 0
    if problem.groups:
        with stop.interruptible():
            value, stages = _tightened(problem, value, stop, enough)
        stop.raise_failure()
    reason = stop.reason or StopReason.COMPLETED
    return LowerBound(value, stages, time.perf_counter() - begin, reason)


def _cheap(problem: Problem) -> float:
    """Return a bound to begin with: the energy itself where there is one state."""
    if not problem.groups:
        return float(problem.energies(problem.state(problem.fixed_removed))[0])
    reduced = problem.reduced()
    cheap = float(lower_bounds(reduced, reduced.counts[None])[0])
    return reduced.offset + cheap - rounding(problem)


def _tightened(problem: Problem, value: float, stop: Stop, enough: float) -> tuple[float, int]:
    """Return a better bound and the number of stages: first those of the relaxation itself, then
    those with what its products may not be.
    """
    form = Form.of(problem, price_of(problem.reduced()))
    check_memory(_MATRICES * form.matrix.nbytes, f"a bound for {form.size:,} free blocks")
    stages = Stages(value, stop, enough)
    stages.run(form)
    if form.size > _MOST_PRODUCTS or stages.value > enough:
        return stages.value, stages.count
    products = Products(form.matrix, form.members, form.counts)
    steps = _FIRST_STEPS

    def is_stopped() -> bool:
        message = f"no energy below {stages.value:.6g}, seeking multipliers"
        stop.report(stages.count, None, message, unit="stage")
        return stop.should_stop()

    while stages.completed and steps <= _MOST_STEPS and not products.converged:
        products.run(steps, is_stopped)
        if stop.should_stop() or stages.value > enough:
            break
        stages.run(form.without(products.multipliers))
        steps *= 2
    return stages.value, stages.count


class Stages:
    """The best bound so far; each stage brings a relaxation nearer to its optimum, and turns it
    into a number that is certain.

    Parameters
    ----------
    value : float
        A bound to begin with.
    stop : Stop
        Watched.
    enough : float
        A bound above it is as good as any.
    close : float
        Part of the bound that is not worth another stage.

    Attributes
    ----------
    value : float
        The bound.
    shifts, point : (n,) float64 or None
        Certain shifts of the last relaxation, and the point that goes with them.
    count : int
        Number of stages.
    completed : bool
        Whether the last relaxation was solved, so that more time would not tighten it.
    """

    def __init__(self, value: float, stop: Stop, enough: float, close: float = _CLOSE) -> None:
        self._enough = enough
        self._close = close
        self.value = value
        self.shifts: NDArray[np.float64] | None = None
        self.point: NDArray[np.float64] | None = None
        self.count = 0
        self.completed = False
        self._stop = stop

    def run(self, form: Form) -> None:
        """Solve the relaxation of a form, unless it is stopped."""
        should_stop = self._stop.should_stop
        barrier = Barrier(form.lifted(), form.sizes, form.typical)
        self.completed, point = False, form.uniform
        for _ in range(_MOST_STAGES):
            centre = barrier.centre(should_stop)
            shifts = form.certain_shifts(barrier.shifts)
            if shifts is not None:
                start = point if centre is None else np.clip(centre, 0.0, 1.0)
                point = relaxed_point(
                    form.matrix,
                    shifts,
                    form.members,
                    form.counts,
                    start,
                    _POINT_STEPS,
                    should_stop,
                )
                self.value = max(self.value, form.bound(shifts, point))
                self.shifts, self.point = shifts, point
            self.count += 1
            self._stop.report(self.count, None, f"no energy below {self.value:.6g}", unit="stage")
            left = (form.size + 1) * barrier.mu * form.scale
            if centre is None or should_stop() or self.value > self._enough:
                return
            if left <= self._close * abs(self.value):
                break
            barrier.mu *= _FALL
        self.completed = True
