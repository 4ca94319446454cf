"""What is believed of an objective after measurements: singles first, then what pairs do.

Deviations are in units: the value of a good removal, divided by the number of blocks it removes;
times the factor that makes the measurements likeliest (the evidence of a Gaussian process).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.problem import Problem
from qubo_prune.pruning.hints import Hint
from qubo_prune.pruning.loop_settings import LoopSettings
from qubo_prune.pruning.objective import Measurement
from qubo_prune.pruning.surrogate import Posterior, Prior

__all__ = ["SCALES", "believe", "solves"]

SCALES = (1.0, 0.7, 1.4, 2.0, 2.8)
"""Factors of all deviations, of which the measurements choose one: where few blocks go, what they
do together is large beside what each does alone. Doubling it takes a nat of evidence."""


def believe(
    problem: Problem,
    measured: Mapping[tuple[int, ...], Measurement],
    settings: LoopSettings,
    hints: Sequence[Hint] = (),
) -> Posterior:
    """Condition the surrogate on everything measured of a problem.

    Parameters
    ----------
    problem : Problem
        How many blocks go, of which kinds, and which stay.
    measured : mapping
        Single blocks, beside those that go in any case, and removals of the problem.
    settings : LoopSettings
        How much may deviate from what is expected.
    hints : sequence of Hint
        What pairs may do together.

    Returns
    -------
    Posterior

    Examples
    --------
    >>> problem = Problem(np.zeros((3, 3)), remove=2)
    >>> values = {(0,): 1.0, (1,): 2.0, (2,): 4.0, (0, 1): 5.0}
    >>> measured = {removed: Measurement.known(removed, value) for removed, value in values.items()}
    >>> believed = believe(problem, measured, LoopSettings())
    >>> means, deviations = believed.predict(np.array([[1, 1, 0], [0, 1, 1]], np.bool_))
    >>> means.round(1), deviations.round(1)
    (array([5., 8.]), array([1. , 2.1]))
    """
    # Where any count may go, the fewest: they set the scale alone, which the evidence corrects.
    count, forced = max(problem.num_removed, 1), tuple(problem.fixed_removed.tolist())
    base, singles = _singles(measured, forced)
    known = [each for each in measured.values() if solves(problem, each.removed)]
    values = np.array([each.value for each in known], np.float64)
    finite = values[np.isfinite(values)]
    added = np.array(sorted(v for v in singles.values() if math.isfinite(v)), np.float64)
    best, unit = _scale(base, added, finite, count, len(forced))
    ceiling = best + settings.ceiling * unit
    values = np.where(np.isfinite(values), np.minimum(values, ceiling), ceiling)
    highest = 3 * max(best - base, unit) + 4 * unit
    diagonal = np.full(problem.num_blocks, highest if singles else unit)
    for block, value in singles.items():
        diagonal[block] = min(value, highest) if math.isfinite(value) else highest
    diagonal[list(forced)] = base / max(len(forced), 1)
    common = _trends(problem, diagonal, unit, settings, hints)
    states = np.array([problem.state(each.removed) for each in known], np.bool_)
    # Values of the same samples have their noise in common; others do not.
    noise = np.array(
        [0.0 if len(each.values) else each.standard_error**2 for each in known], np.float64
    )
    noise[~np.isfinite(noise)] = 0.0
    alike = _alike(problem, settings.reach) * settings.pair_deviation * unit
    alike *= math.sqrt(settings.kinship / 2)
    spread = np.full_like(
        problem.hessian, settings.pair_deviation**2 * (1 - settings.kinship) * unit**2
    )
    np.fill_diagonal(spread, (settings.single_deviation * unit) ** 2)
    best_evidence, likeliest = -math.inf, None
    for scale in SCALES:
        prior = Prior(*common, spread * scale**2, alike * scale)
        believed = prior.condition(states, values, noise + (settings.misfit * scale * unit) ** 2)
        evidence = believed.log_evidence - 2 * math.log(scale) ** 2
        if likeliest is None or evidence > best_evidence:
            best_evidence, likeliest = evidence, believed
    assert likeliest is not None  # noqa: S101 - there is a scale
    return likeliest


def solves(problem: Problem, removed: tuple[int, ...]) -> bool:
    """Tell whether a removal is one that the problem asks for."""
    return bool(problem.is_feasible(problem.state(removed))[0])


def _trends(
    problem: Problem,
    diagonal: NDArray[np.float64],
    unit: float,
    settings: LoopSettings,
    hints: Sequence[Hint],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what the objective may resemble, how much of each is expected, and the variances."""
    found = [
        (np.diag(diagonal), 1.0, settings.trend_deviation),
        (np.eye(problem.num_blocks) * unit, 0.3, 1.0),
    ]
    energy = _energy_trend(problem, unit * problem.num_removed)
    if energy is not None:
        found.append((energy, 0.0, settings.trend_deviation))
    # A quadratic form has every pair twice.
    found += [(hint.products * (unit / 2), hint.amount, hint.deviation) for hint in hints]
    trends, amounts, deviations = zip(*found, strict=True)
    return np.array(trends), np.array(amounts), np.array(deviations) ** 2


def _singles(
    measured: Mapping[tuple[int, ...], Measurement], forced: tuple[int, ...]
) -> tuple[float, dict[int, float]]:
    """Return the value without the forced blocks, and what each single block adds to it."""
    base = 0.0
    if forced:
        known = measured.get(forced)
        base = 0.0 if known is None else known.value
    singles = {}
    for removed, measurement in measured.items():
        added = set(removed) - set(forced)
        if len(removed) == len(forced) + 1 and len(added) == 1:
            singles[added.pop()] = measurement.value - base
    return base, singles


def _alike(problem: Problem, reach: float) -> NDArray[np.float64]:
    """Return how alike blocks are thought to act, by how many layers they are apart."""
    kinds = len(set(problem.kinds or ("block",)))  # the branches of a layer follow each other
    layers = np.arange(problem.num_blocks) // kinds
    apart = np.subtract.outer(layers, layers) / reach
    alike: NDArray[np.float64] = np.exp(-(apart**2) / 2)
    return alike


def _energy_trend(problem: Problem, size: float) -> NDArray[np.float64] | None:
    """Return the energy, linear terms on the diagonal, scaled to the size of the objective."""
    energy = problem.hessian + np.diag(problem.linear)
    if not energy.any():
        return None
    typical = float(np.abs(np.diagonal(energy)).mean()) * problem.num_removed
    return energy * (size / typical) if typical > 0 else None


def _scale(
    base: float,
    singles: NDArray[np.float64],
    values: NDArray[np.float64],
    count: int,
    num_forced: int,
) -> tuple[float, float]:
    """Return the value of the best removal, or a guess at it, and the unit of all deviations."""
    chosen = singles[: max(count - num_forced, 1)]
    guess = base + float(chosen.sum())
    best = float(values.min()) if len(values) else 1.3 * guess
    sizes = [abs(best - base), abs(guess - base), float(np.abs(chosen).sum())]
    unit = max(sizes) / max(count - num_forced, 1)
    if unit == 0 and len(values):
        unit = float(values.max() - values.min())
    return best, unit if unit > 0 and math.isfinite(unit) else 1.0
