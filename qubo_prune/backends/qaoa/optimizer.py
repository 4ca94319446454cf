"""Angles of low expected energy: layer after layer, from several starts, by BFGS with exact
gradients.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from qubo_prune.backends.qaoa.angles import Angles
from qubo_prune.backends.qaoa.limits import MAX_AMPLITUDES
from qubo_prune.backends.qaoa.mixers import check_mixer
from qubo_prune.backends.qaoa.simulator import Simulator, Vector
from qubo_prune.backends.qaoa.subspace import Subspace
from qubo_prune.core.stopping import Stop
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem

_SLOPE_TOLERANCE = 1e-4
_RAMP = 0.6
_RANDOM_GAMMA = 1.5
_RANDOM_BETA = 0.25 * np.pi
_PERTURBATION = 0.2


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """The run has to end."""


@dataclass(frozen=True)
class Optimum:
    """The best angles found.

    Attributes
    ----------
    x : (2p,) float64
        In the units of `Simulator`; of fewer layers if the run was stopped, all zero if all
        energies are equal.
    num_evaluations : int
        Evaluations of the expected energy with its gradient.
    """

    x: Vector
    num_evaluations: int


def optimize(
    simulator: Simulator, p: int, starts: int, random: np.random.Generator, stop: Stop
) -> Optimum:
    """Return angles of p layers, or of fewer if `stop` ends it.

    One layer is optimised from a linear ramp and from random angles. The best angles of each depth
    are interpolated to one layer more (Zhou et al. 2020, INTERP), and optimised from there and from
    perturbations of them.
    """
    return _Search(simulator, p, starts, random, stop).run()


class _Search:
    """Works in the units of `Simulator`."""

    def __init__(
        self, simulator: Simulator, p: int, starts: int, random: np.random.Generator, stop: Stop
    ) -> None:
        self._simulator = simulator
        self._p = p
        self._starts = starts
        self._random = random
        self._stop = stop
        self._num_evaluations = 0
        self._done = 0.0
        self._best: tuple[float, Vector] = (0.0, np.zeros(0))  # no layer: the mean

    def run(self) -> Optimum:
        if self._simulator.is_flat:
            return Optimum(np.zeros(2 * self._p), 0)
        with suppress(_Stopped):
            for depth in range(1, self._p + 1):
                self._deepen(depth)
        return Optimum(self._best[1], self._num_evaluations)

    def _deepen(self, depth: int) -> None:
        value, x = self._best
        first = interpolated(x) if depth > 1 else np.full(2, _RAMP / 2)
        self._best = (
            value,
            np.pad(x.reshape(2, -1), ((0, 0), (0, 1))).ravel(),
        )  # a layer that does nothing
        for start in range(self._starts):
            begin = first
            if start and depth == 1:
                begin = self._random.random(2) * [_RANDOM_GAMMA, _RANDOM_BETA]
            elif start:
                begin = first + self._random.normal(scale=_PERTURBATION, size=2 * depth)
            minimize(
                self._evaluate, begin, jac=True, method="BFGS", options={"gtol": _SLOPE_TOLERANCE}
            )
            self._done += depth / self._starts

    def _evaluate(self, x: Vector) -> tuple[float, Vector]:
        self._poll()
        value, slopes = self._simulator.gradient(x, self._poll)
        self._num_evaluations += 1
        if value < self._best[0]:
            self._best = value, x
        self._stop.report(
            self._num_evaluations,
            self._done / (self._p * (self._p + 1) / 2),
            f"p = {len(x) // 2}, {-self._best[0]:.3f} standard deviations below the mean",
        )
        return value, slopes

    def _poll(self) -> None:
        if self._stop.should_stop(self._num_evaluations):
            raise _Stopped


def interpolated(x: Vector) -> Vector:
    """Return the angles (2p,) of p layers as a start for p + 1 layers (Zhou et al. 2020).

    Examples
    --------
    >>> interpolated(np.array([0.2, 0.4, 0.4, 0.2])).round(3)
    array([0.2, 0.3, 0.4, 0.4, 0.3, 0.2])
    """
    rows = x.reshape(2, -1)
    p = rows.shape[1]
    weights = np.arange(p + 1) / p
    padded = np.pad(rows, ((0, 0), (1, 1)))
    deeper: Vector = weights * padded[:, :-1] + (1.0 - weights) * padded[:, 1:]
    return deeper.ravel()


def optimize_angles(
    problem: Problem,
    p: int = 3,
    *,
    mixer: str = "ring",
    starts: int = 4,
    seed: int = 0,
    stop: Stop | None = None,
    max_amplitudes: int = MAX_AMPLITUDES,
) -> Angles:
    """Return angles of low expected energy, found by simulation.

    Parameters
    ----------
    problem : Problem
        Of at most `max_amplitudes` feasible states.
    p : int
        Number of layers.
    mixer : str
        ``ring`` or ``complete``.
    starts : int
        Starts of the optimiser at each depth 1 ... p.
    seed : int
        Seed of the random starts.
    stop : Stop, optional
        Limits, cancellation and progress; counts evaluations of the circuit with its gradient.
    max_amplitudes : int
        Limit on the number of feasible states.

    Returns
    -------
    Angles
        Of fewer layers if it was stopped; all zero if all energies are equal.

    Raises
    ------
    InputError
        If an argument is out of range or there are too many states.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> from qubo_prune.backends.qaoa import simulate
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], remove=2)
    >>> angles = optimize_angles(problem, p=2)
    >>> simulate(problem, angles).ground_state_probability > 0.9
    True
    """
    random, _ = np.random.default_rng(as_count(seed, "seed", least=0)).spawn(2)
    simulator = Simulator(Subspace(problem, max_amplitudes), check_mixer(mixer))
    optimum = optimize(
        simulator,
        as_count(p, "p", least=0),
        as_count(starts, "starts", least=1),
        random,
        stop or Stop(),
    )
    return simulator.angles(optimum.x)
