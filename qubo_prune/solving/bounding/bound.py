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
from qubo_prune.core.stopping import Progress, Standing, Stop, StopReason
from qubo_prune.encodings.bounds import lower_bounds, rounding
from qubo_prune.encodings.relaxation.form import Form
from qubo_prune.encodings.relaxation.products import Products
from qubo_prune.encodings.relaxation.relaxed import relaxed_point
from qubo_prune.encodings.relaxation.shifts import Barrier
from qubo_prune.search.budget_price import price_of
from qubo_prune.solving.arguments import as_stop, require_problem

_MATRICES = 12
"""Matrices of the size of the problem that are held at a time."""
_FALL = 0.2
"""Factor of mu from stage to stage."""
_CLOSE = 1e-5
"""Part of the bound that is not worth another stage."""
_MOST_STAGES = 30
_POINT_STEPS = 300
_MOST_BARRIER = 400
"""Variables above which the barrier method waits until multipliers of products are known: there its
first useful bound takes longer than theirs.
"""
_FIRST_STEPS = 10
"""Steps that seek multipliers of products before the bound is looked at, doubled each time; each
is an eigendecomposition.
"""
_MOST_STEPS = 640
"""Steps that are taken at a time, at most; they end with these."""
_GAIN = 1e-3
"""Part of the bound that twice as many steps have to bring from `_FEWEST_STEPS` on, for they begin
by losing some of what they start from.
"""
_FEWEST_STEPS = 160
_ROOM = 4.0
"""So many times what the last bound took is left for the next one, whose shifts take as long."""


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
    lowest: float = math.inf,
) -> LowerBound:
    """Return a number that no energy of the problem lies below, about as tight as the semidefinite
    relaxation with an exact count and products of blocks that are not negative.

    Where the list itself cannot be proven, it says how much lower the best state can be than the
    best one found. Up to 400 free blocks the relaxation comes first, by steps of about 3 n^3
    operations, some dozens of them; then products of blocks that cannot be negative, by some
    hundreds of eigendecompositions, after each 10, 20, 40, ... of which there is a better bound. In
    all that takes seconds at 200 blocks and minutes at 1,000 to 2,000. Ctrl-C returns the bound by
    then. A budget counts at a price of weight, about the best one for the energies themselves.

    Parameters
    ----------
    problem : Problem
        Of which.
    time_limit : float, optional
        Seconds; looked at between steps.
    progress : callable, optional
        Called with a `Progress` now and then, whose `standing` has the bound by then.
    stop : Stop, optional
        In place of both.
    enough : float
        A bound above it is as good as any.
    lowest : float
        The lowest energy that is known, for those who watch: they are told the gap to it.

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
    (True, 0.006)
    """
    require_problem(problem)
    stop = as_stop(stop, time_limit, None, progress)
    stop.start()
    begin = time.perf_counter()
    stages = Stages(_cheap(problem), stop, enough, lowest=lowest)
    if problem.groups:
        with stop.interruptible():
            _tighten(problem, stages)
        stop.raise_failure()
    done = StopReason.TIME_LIMIT if stages.is_short else StopReason.COMPLETED
    seconds = time.perf_counter() - begin
    return LowerBound(stages.value, stages.count, seconds, stop.reason or done)


def _cheap(problem: Problem) -> float:
    """Return a bound to begin with: the energy itself where there is one state."""
    if not problem.groups:
        return float(problem.energies(problem.state(problem.fixed_removed))[0])
    reduced = problem.reduced()
    cheap = float(lower_bounds(reduced, reduced.counts[None])[0])
    return reduced.offset + cheap - rounding(problem)


def _tighten(problem: Problem, stages: Stages) -> None:
    """Tighten a bound in stages: first those of the relaxation itself, then those with what its
    products may not be.
    """
    form = Form.of(problem, price_of(problem.reduced()))
    check_memory(_MATRICES * form.matrix.nbytes, f"a bound for {form.size:,} free blocks")
    if form.size <= _MOST_BARRIER:
        stages.run(form)
    if not stages.enough:
        _seek_products(form, stages)


def _seek_products(form: Form, stages: Stages) -> None:
    """Tighten the bound by what products may not be, until that gains little."""
    products = Products(form, stages.shifts)
    if stages.shifts is None:
        stages.add(form, products.shifts(form), products.point)
    steps = _FIRST_STEPS
    while steps <= _MOST_STEPS and not products.converged:
        before = stages.value
        products.run(steps, stages.is_nearly_stopped)
        if stages.enough:
            return
        less = form.without(products.multipliers)
        stages.add(less, products.shifts(less), products.point)
        gained = stages.value - before >= _GAIN * abs(stages.value)
        if stages.is_nearly_stopped() or stages.enough:
            return
        if steps >= _FEWEST_STEPS and not gained:
            break
        steps *= 2
    stages.run(form.without(products.multipliers))


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
    lowest : float
        The lowest energy that is known, for those who watch.

    Attributes
    ----------
    value : float
        The bound.
    shifts, point : (n,) float64 or None
        Certain shifts of the last relaxation, and the point that goes with them.
    count : int
        Number of stages.
    is_short : bool
        Whether the time that was left was too short for more.
    """

    def __init__(
        self,
        value: float,
        stop: Stop,
        enough: float,
        close: float = _CLOSE,
        lowest: float = math.inf,
    ) -> None:
        self._enough = enough
        self._close = close
        self._lowest = lowest
        self.value = value
        self.shifts: NDArray[np.float64] | None = None
        self.point: NDArray[np.float64] | None = None
        self.count = 0
        self.is_short = False
        self._stop = stop
        self._seconds = 0.0

    @property
    def enough(self) -> bool:
        """Whether to stop here."""
        return self._stop.should_stop() or self.value > self._enough

    def is_stopped(self) -> bool:
        """Tell how far it is, and whether it has to stop; to be asked often."""
        self._report()
        return self._stop.should_stop()

    def is_nearly_stopped(self) -> bool:
        """Say the same while there is still time for a bound, and remember."""
        if self.is_stopped():
            return True
        self.is_short = self._stop.remaining < _ROOM * self._seconds
        return self.is_short

    def add(self, form: Form, shifts: NDArray[np.float64], start: NDArray[np.float64]) -> None:
        """Take the bound of a form for about these shifts, and about a point."""
        begin = self._stop.elapsed
        certain = form.certain_shifts(shifts)
        if certain is not None:
            point = relaxed_point(
                form.matrix,
                certain,
                form.members,
                form.counts,
                form.sizes,
                np.clip(start, 0.0, 1.0),
                _POINT_STEPS,
                self._stop.should_stop,
            )
            self.value = max(self.value, form.bound(certain, point))
            self.shifts, self.point = certain, point
        self.count += 1
        self._seconds = self._stop.elapsed - begin
        self._report()

    def run(self, form: Form) -> None:
        """Solve the relaxation of a form by a barrier method, unless it is stopped."""
        barrier = Barrier(form.lifted(), form.sizes, form.typical)
        for _ in range(_MOST_STAGES):
            centre = barrier.centre(self.is_stopped)
            start = form.uniform if self.point is None else self.point
            self.add(form, barrier.shifts, start if centre is None else centre)
            left = (form.size + 1) * barrier.mu * form.scale
            if centre is None or self.enough or left <= self._close * abs(self.value):
                return
            barrier.mu *= _FALL

    def _report(self) -> None:
        known = Standing(self._lowest, math.inf, self.value, None, 1)
        message = "tightening a bound"
        self._stop.report(self.count, None, message, standing=lambda: known, unit="stage")
