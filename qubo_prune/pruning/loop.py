"""The measured loop: energy proposes, the model answers, the energy is corrected, the solver
proves.

It works on any `Objective` and knows nothing of models. First every block is removed alone; the sum
of these *singles* is by far the best cheap prediction of a removal. A quadratic surrogate
(`qubo_prune.pruning.surrogate`) starts from them and learns from each removal measured how blocks
act together. Its lowest unmeasured state, which `solve` proves, is measured next; now and then the
lowest of a quadratic drawn from the posterior is, so that the loop does not stall (Thompson
sampling). Only the seed and the measured values decide what is proposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.core.text import format_blocks, format_count
from qubo_prune.core.validation import as_count, as_finite_float, as_gradient
from qubo_prune.pruning.objective import Measurement, Objective
from qubo_prune.pruning.surrogate import Posterior, Prior
from qubo_prune.solving.solve import solve

__all__ = ["LoopResult", "LoopSettings", "Trial", "search_removals"]

_LONGEST_SOLVE = 60.0
"""Seconds after which a proposal need not be the proven lowest: the best found is measured."""


@dataclass(frozen=True)
class LoopSettings:
    """How the loop believes and explores; the defaults were chosen by `benchmarks.selection`.

    Standard deviations are in *units*: the value of a good removal, divided by the number of
    blocks that it removes.

    Parameters
    ----------
    batch_size : int
        How many removals are proposed, and measured, at a time.
    draws : float
        Share of the proposals that come from a draw from the posterior instead of its mean.
    singles : float
        Largest share of the measurements that go to single blocks.
    single_deviation, pair_deviation : float
        Of the weight of a block and of a pair of blocks around what is expected.
    trend_deviation : float
        Of the amounts of the singles and of the energy, around 1 and around 0.
    misfit : float
        What no quadratic can say of a removal.
    ceiling : float
        Removals so many units worse than the best teach nothing more; values are cut off there,
        and removals that diverged count as if they were at it.
    patience : float
        The search ends where no removal is expected to gain more than this part of the standard
        error of the best; 0 for never.
    """

    batch_size: int = 1
    draws: float = 0.1
    singles: float = 0.75
    single_deviation: float = 1.0
    pair_deviation: float = 0.25
    trend_deviation: float = 0.3
    misfit: float = 0.3
    ceiling: float = 6.0
    patience: float = 0.01

    def __post_init__(self) -> None:
        if as_count(self.batch_size, "batch_size") < 1:
            raise InputError(f"batch_size must be at least 1, not {self.batch_size}; give more.")
        for name in ("single_deviation", "pair_deviation", "misfit", "ceiling"):
            if as_finite_float(getattr(self, name), name) <= 0:
                raise InputError(
                    f"{name} must be more than 0, not {getattr(self, name)}; "
                    "leave it out for the default."
                )
        for name in ("draws", "singles", "trend_deviation", "patience"):
            if not 0 <= as_finite_float(getattr(self, name), name) <= 1:
                raise InputError(
                    f"{name} must be between 0 and 1, not {getattr(self, name)}; "
                    "leave it out for the default."
                )


@dataclass(frozen=True, eq=False)
class Trial:
    """One measurement of the loop.

    Attributes
    ----------
    measurement : Measurement
        What was found.
    proposed_by : str
        Who proposed the removal: ``single``, ``surrogate``, ``draw`` or the names of proposals.
    predicted : float or None
        What the surrogate expected, where there was one.
    """

    measurement: Measurement
    proposed_by: str
    predicted: float | None = None

    @property
    def removed(self) -> tuple[int, ...]:
        """Ascending indices of the removed blocks."""
        return self.measurement.removed


@dataclass(frozen=True, eq=False)
class LoopResult:
    """What the loop did and what it learned.

    Attributes
    ----------
    trials : tuple of Trial
        Every measurement in the order of proposal, singles too.
    ranked : tuple of Trial
        Those that solve the problem, best first; diverged ones last.
    surrogate : (N, N) float64 or None
        The corrected quadratic: the energy that it gives a state is the prediction of its value.
        None where not even a prior came to be.
    stop_reason : StopReason
        Why it ended.
    """

    trials: tuple[Trial, ...]
    ranked: tuple[Trial, ...]
    surrogate: NDArray[np.float64] | None
    stop_reason: StopReason


def search_removals(
    objective: Objective,
    problem: Problem,
    *,
    evaluations: int = 100,
    seed: int = 0,
    proposals: Mapping[str, Iterable[Sequence[int]]] | None = None,
    ranking: ArrayLike | None = None,
    settings: LoopSettings | None = None,
    stop: Stop | None = None,
) -> LoopResult:
    """Search the removal with the lowest objective, by measurements and exact solves in turn.

    Parameters
    ----------
    objective : Objective
        What is measured.
    problem : Problem
        How many blocks go, of which kinds, and which stay. Its energy is one more trend of the
        surrogate; a matrix of zeros for none.
    evaluations : int
        How many measurements may be made, singles included.
    seed : int
        Of the draws.
    proposals : mapping, optional
        Removals that are measured in any case, by who proposes them.
    ranking : (N,) array_like of float, optional
        Scores per block, lower where removal is thought to hurt less: tells which blocks are
        measured alone where the evaluations do not suffice for all.
    settings : LoopSettings, optional
        How to believe and explore.
    stop : Stop, optional
        Ends the search early; what was measured is kept.

    Returns
    -------
    LoopResult

    Raises
    ------
    InputError
        If an argument is out of range or a proposal does not solve the problem.

    Examples
    --------
    >>> from qubo_prune.pruning.objective import FunctionObjective
    >>> damage = [5.0, 1.0, 2.0, 1.5, 3.0, 9.0]
    >>> def loss(removed):
    ...     together = 4.0 if {1, 3} <= set(removed) else 0.0
    ...     return sum(damage[block] for block in removed) + together
    >>> problem = Problem(np.zeros((6, 6)), remove=2)
    >>> found = search_removals(FunctionObjective(loss, 6), problem, evaluations=10)
    >>> best = found.ranked[0]
    >>> best.removed, best.measurement.value, best.proposed_by
    ((1, 2), 3.0, 'surrogate')
    """
    loop = _Loop(
        objective,
        problem,
        evaluations=_at_least_one(evaluations, "evaluations"),
        seed=seed,
        settings=settings or LoopSettings(),
        stop=stop or Stop(),
    )
    brought = {
        name: [_as_removal(problem, each, name) for each in removals]
        for name, removals in (proposals or {}).items()
    }
    order = None if ranking is None else as_gradient(ranking, problem.num_blocks, "ranking")
    return loop.run(brought, order)


class _Loop:
    """The state of a search."""

    def __init__(
        self,
        objective: Objective,
        problem: Problem,
        *,
        evaluations: int,
        seed: int,
        settings: LoopSettings,
        stop: Stop,
    ) -> None:
        if objective.num_blocks != problem.num_blocks:
            raise InputError(
                f"the problem has {problem.num_blocks} blocks, but the objective measures "
                f"{objective.num_blocks}; give the Hessian of the same model and granularity."
            )
        self.problem = problem
        self.settings = settings
        self.trials: dict[tuple[int, ...], Trial] = {}
        self._objective = objective
        self._evaluations = evaluations
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._stop = stop
        self._forced = tuple(problem.fixed_removed.tolist())

    def run(
        self, brought: Mapping[str, Sequence[tuple[int, ...]]], ranking: NDArray[np.float64] | None
    ) -> LoopResult:
        """Measure what is brought, then singles, then what the surrogate proposes."""
        proposers: dict[tuple[int, ...], dict[str, None]] = {}
        for name, removals in brought.items():
            for removed in removals:
                proposers.setdefault(removed, {})[name] = None
        self._measure([(each, ", ".join(names), None) for each, names in proposers.items()])
        self._measure_singles(ranking)
        posterior = None
        while self._left() and not self._stop.should_stop():
            posterior = self._posterior()
            batch = self._proposals(posterior, min(self._left(), self.settings.batch_size))
            if not batch or self._stop.should_stop():
                break
            self._measure(batch)
        if self.trials:
            posterior = self._posterior()
        ranked = [
            trial
            for trial in self.trials.values()
            if len(trial.removed) == self.problem.num_removed
            and self.problem.is_feasible(self.problem.state(trial.removed))[0]
        ]
        ranked.sort(key=lambda trial: (trial.measurement.value, trial.removed))
        return LoopResult(
            trials=tuple(self.trials.values()),
            ranked=tuple(ranked),
            surrogate=None if posterior is None else posterior.matrix,
            stop_reason=self._stop.reason or StopReason.COMPLETED,
        )

    def _left(self) -> int:
        return self._evaluations - len(self.trials)

    def _measure(self, batch: Sequence[tuple[tuple[int, ...], str, float | None]]) -> None:
        """Measure proposals, as many as are left, and note them in the order of the batch."""
        wanted = {
            removed: (name, predicted)
            for removed, name, predicted in batch
            if removed not in self.trials
        }
        wanted = dict(list(wanted.items())[: self._left()])
        found: dict[tuple[int, ...], Measurement] = {}
        before = len(self.trials)
        for measurement in self._objective.measure(list(wanted), self._stop):
            found[measurement.removed] = measurement
            done = before + len(found)
            self._stop.report(done, done / self._evaluations, self._message(found, wanted))
        for removed, (name, predicted) in wanted.items():
            if removed in found:
                self.trials[removed] = Trial(found[removed], name, predicted)

    def _message(
        self,
        found: Mapping[tuple[int, ...], Measurement],
        wanted: Mapping[tuple[int, ...], tuple[str, float | None]],
    ) -> str:
        count = self.problem.num_removed
        known = [trial.measurement for trial in self.trials.values()] + list(found.values())
        best = min(
            (each for each in known if len(each.removed) == count),
            key=lambda each: each.value,
            default=None,
        )
        if best is None:
            return f"measuring {len(wanted)} single blocks"
        predicted = [value for _, value in wanted.values() if value is not None]
        expected = f", expecting {min(predicted):.4g}" if predicted else ""
        return f"best {best.value:.4g} ± {best.standard_error:.2g}{expected}"

    # Singles

    def _measure_singles(self, ranking: NDArray[np.float64] | None) -> None:
        """Measure the removal of each free block alone, beside those that go in any case."""
        free = [int(block) for group in self.problem.groups for block in group.indices]
        if not free or self.problem.num_removed - len(self._forced) == 0:
            return
        most = int(self._left() * self.settings.singles)
        if len(free) > most and self.problem.num_removed > len(self._forced) + 1:
            if ranking is None:
                return  # a sum of singles needs all of them, or a word on the others
            free = sorted(free, key=lambda block: (ranking[block], block))[:most]
        singles = [tuple(sorted((*self._forced, block))) for block in sorted(free)]
        reference = [self._forced] if self._forced else []
        self._measure([(removed, "single", None) for removed in (*reference, *singles)])

    def _singles(self) -> tuple[float, dict[int, float]]:
        """Return the value without the forced blocks, and what each single block adds to it."""
        base = 0.0
        if self._forced:
            known = self.trials.get(self._forced)
            base = 0.0 if known is None else known.measurement.value
        singles = {}
        for removed, trial in self.trials.items():
            added = set(removed) - set(self._forced)
            if len(removed) == len(self._forced) + 1 and len(added) == 1:
                singles[added.pop()] = trial.measurement.value - base
        return base, singles

    # Belief

    def _posterior(self) -> Posterior:
        """Condition the surrogate on everything measured of this problem."""
        problem, settings = self.problem, self.settings
        count = problem.num_removed
        base, singles = self._singles()
        known = [t.measurement for t in self.trials.values() if self._solves(t.removed)]
        values = np.array([each.value for each in known], np.float64)
        finite = values[np.isfinite(values)]
        added = np.array(sorted(v for v in singles.values() if math.isfinite(v)), np.float64)
        best, unit = _scale(base, added, finite, count, len(self._forced))
        ceiling = best + settings.ceiling * unit
        values = np.where(np.isfinite(values), np.minimum(values, ceiling), ceiling)
        highest = 3 * max(best - base, unit) + 4 * unit
        diagonal = np.full(problem.num_blocks, highest if singles else unit)
        for block, value in singles.items():
            diagonal[block] = min(value, highest) if math.isfinite(value) else highest
        diagonal[list(self._forced)] = base / max(len(self._forced), 1)
        blocks = np.eye(problem.num_blocks)
        trends = [np.diag(diagonal), blocks * unit]
        amounts, variances = [1.0, 0.3], [settings.trend_deviation**2, 1.0]
        energy = self._energy_trend(unit * count)
        if energy is not None:
            trends.append(energy)
            amounts.append(0.0)
            variances.append(settings.trend_deviation**2)
        spread = np.full_like(problem.hessian, (settings.pair_deviation * unit) ** 2)
        np.fill_diagonal(spread, (settings.single_deviation * unit) ** 2)
        prior = Prior(np.array(trends), np.array(amounts), np.array(variances), spread)
        noise = np.full(len(known), (settings.misfit * unit) ** 2)
        for row, each in enumerate(known):
            # Values of the same samples have their noise in common; others do not.
            if not len(each.values) and math.isfinite(each.standard_error):
                noise[row] += each.standard_error**2
        states = np.array([problem.state(each.removed) for each in known], np.bool_)
        return prior.condition(states, values, noise)

    def _energy_trend(self, size: float) -> NDArray[np.float64] | None:
        """Return the energy, linear terms on the diagonal, scaled to the size of the objective."""
        energy = self.problem.hessian + np.diag(self.problem.linear)
        if not energy.any():
            return None
        typical = float(np.abs(np.diagonal(energy)).mean()) * self.problem.num_removed
        return energy * (size / typical) if typical > 0 else None

    def _solves(self, removed: tuple[int, ...]) -> bool:
        return len(removed) == self.problem.num_removed and bool(
            self.problem.is_feasible(self.problem.state(removed))[0]
        )

    # Proposals

    def _proposals(
        self, posterior: Posterior, count: int
    ) -> list[tuple[tuple[int, ...], str, float | None]]:
        """Return what to measure next; nothing where all is measured or no gain is expected."""
        batch: list[tuple[tuple[int, ...], str, float | None]] = []
        taken = set(self.trials)
        mean = posterior.matrix
        for position in range(count):
            by = "surrogate"
            matrix = mean
            if len(posterior.values) > 1 and self._random.random() < self.settings.draws:
                by, matrix = "draw", posterior.sample(self._random)
            removed = self._lowest(matrix, taken)
            if removed is None:
                break
            if position == 0 and by == "surrogate" and self._is_hopeless(posterior, removed):
                break
            taken.add(removed)
            state = self.problem.state(removed)
            batch.append((removed, by, float(state @ mean @ state)))
        return batch

    def _lowest(
        self, matrix: NDArray[np.float64], taken: set[tuple[int, ...]]
    ) -> tuple[int, ...] | None:
        """Return the lowest state of a quadratic that is not taken, proven where time allows."""
        problem = _with_matrix(self.problem, matrix)
        num_states = 4
        while True:
            num_states = min(num_states, problem.num_states)
            limit = min(_LONGEST_SOLVE, max(self._stop.remaining, 1e-3))
            spectrum = solve(problem, num_states=num_states, time_limit=limit)
            if spectrum.stop_reason is StopReason.INTERRUPTED:
                self._stop.cancel()
            if self._stop.should_stop():
                return None
            for index in range(len(spectrum)):
                removed = tuple(spectrum.removed(index))
                if removed not in taken:
                    return removed
            if num_states >= problem.num_states or len(spectrum) < num_states:
                return None
            num_states *= 4

    def _is_hopeless(self, posterior: Posterior, removed: tuple[int, ...]) -> bool:
        """Tell whether the likeliest improvement is small beside the noise of the best."""
        finite = [
            t.measurement
            for t in self.trials.values()
            if self._solves(t.removed) and not t.measurement.diverged
        ]
        if not finite or self.settings.patience == 0:
            return False
        best = min(finite, key=lambda each: each.value)
        noise = best.standard_error
        if not math.isfinite(noise):
            return False
        [mean], [deviation] = posterior.predict(self.problem.state(removed)[np.newaxis])
        return expected_gain(best.value - mean, deviation) < self.settings.patience * noise


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
    if deviation <= 0:
        return max(0.0, ahead)
    score = ahead / deviation
    density = math.exp(-0.5 * score * score) / math.sqrt(2 * math.pi)
    return ahead * 0.5 * math.erfc(-score / math.sqrt(2)) + deviation * density


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


def _with_matrix(problem: Problem, matrix: NDArray[np.float64]) -> Problem:
    """Return the problem with another energy."""
    return Problem(
        matrix,
        problem.remove,
        kinds=problem.kinds,
        names=problem.names,
        keep=problem.keep,
        force=problem.force,
        only=problem.only,
        symmetrize=True,
    )


def _as_removal(problem: Problem, removed: Sequence[int], name: str) -> tuple[int, ...]:
    blocks = tuple(np.flatnonzero(problem.state(removed)).tolist())
    if not problem.is_feasible(problem.state(blocks))[0]:
        raise InputError(
            f"{name} proposes to remove the {len(blocks)} blocks {format_blocks(blocks)}, which is "
            f"none of the {format_count(problem.num_states)} removals asked for; leave it out, or "
            "change --remove, --keep, --force or --only."
        )
    return blocks


def _at_least_one(value: int, what: str) -> int:
    if (count := as_count(value, what)) < 1:
        raise InputError(f"{what} must be at least 1, not {count}; give more.")
    return count
