"""The measured loop: energy proposes, the model answers, the energy is corrected, the solver
proves.

It works on any `Objective` and knows nothing of models. First every block is removed alone; the sum
of these *singles* is by far the best cheap prediction of a removal. A quadratic surrogate
(`qubo_prune.pruning.surrogate`) starts from them, and from hints at what pairs do, where there are
any (`qubo_prune.pruning.hints`), and learns from each removal measured how blocks act together. Of
its lowest unmeasured states, which `solve` proves, the one that is expected to gain most is
measured next; now and then the lowest of a quadratic drawn from the posterior is, so that the loop
does not stall (Thompson sampling). Only the seed and the measured values decide what is proposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.core.text import format_blocks, format_count
from qubo_prune.core.validation import as_count, as_gradient
from qubo_prune.pruning.belief import believe, solves
from qubo_prune.pruning.hints import Hint
from qubo_prune.pruning.loop_settings import LoopSettings
from qubo_prune.pruning.objective import Measurement, Objective
from qubo_prune.pruning.proposals import Proposal, propose
from qubo_prune.pruning.surrogate import Posterior

__all__ = ["LoopResult", "LoopSettings", "Trial", "search_removals"]


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
    hints: Iterable[Hint] = (),
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
    hints : iterable of Hint
        What pairs may do together; how much of it there is is read off the measurements.
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
        hints=list(hints),
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
        hints: Sequence[Hint],
        stop: Stop,
    ) -> None:
        if objective.num_blocks != problem.num_blocks:
            raise InputError(
                f"the problem has {problem.num_blocks} blocks, but the objective measures "
                f"{objective.num_blocks}; give the Hessian of the same model and granularity."
            )
        for hint in hints:
            if len(hint.products) != problem.num_blocks:
                raise InputError(
                    f"the problem has {problem.num_blocks} blocks, but a hint tells of "
                    f"{len(hint.products)}; give that of the same model and granularity."
                )
        self.problem = problem
        self.settings = settings
        self._hints = hints
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
        self._measure([Proposal(each, ", ".join(names)) for each, names in proposers.items()])
        self._measure_singles(ranking)
        posterior = None
        while self._left() and not self._stop.should_stop():
            posterior = self._posterior()
            batch = self._proposals(posterior)
            if not batch or self._stop.should_stop():
                break
            self._measure(batch)
        if self.trials:
            # What is handed out follows the measurements closer than what proposes the next.
            posterior = self._posterior(misfit=self.settings.misfit / 10)
        ranked = [trial for trial in self.trials.values() if solves(self.problem, trial.removed)]
        ranked.sort(key=lambda trial: (trial.measurement.value, trial.removed))
        return LoopResult(
            trials=tuple(self.trials.values()),
            ranked=tuple(ranked),
            surrogate=None if posterior is None else posterior.matrix,
            stop_reason=self._stop.reason or StopReason.COMPLETED,
        )

    def _left(self) -> int:
        return self._evaluations - len(self.trials)

    def _measure(self, batch: Sequence[Proposal]) -> None:
        """Measure proposals, as many as are left, and note them in the order of the batch."""
        wanted = {each.removed: each for each in batch if each.removed not in self.trials}
        wanted = dict(list(wanted.items())[: self._left()])
        found: dict[tuple[int, ...], Measurement] = {}
        before = len(self.trials)
        for measurement in self._objective.measure(list(wanted), self._stop):
            found[measurement.removed] = measurement
            done = before + len(found)
            message = self._message(found, wanted)
            self._stop.report(done, done / self._evaluations, message, unit="removal")
        for removed, each in wanted.items():
            if removed in found:
                self.trials[removed] = Trial(found[removed], each.proposed_by, each.predicted)

    def _message(
        self,
        found: Mapping[tuple[int, ...], Measurement],
        wanted: Mapping[tuple[int, ...], Proposal],
    ) -> str:
        known = [trial.measurement for trial in self.trials.values()] + list(found.values())
        best = min(
            (each for each in known if solves(self.problem, each.removed)),
            key=lambda each: each.value,
            default=None,
        )
        if best is None:
            return f"measuring {len(wanted)} single blocks"
        predicted = [each.predicted for each in wanted.values() if each.predicted is not None]
        expected = f", expecting {min(predicted):.4g}" if predicted else ""
        return f"best {best.value:.4g} ± {best.standard_error:.2g}{expected}"

    # Singles

    def _measure_singles(self, ranking: NDArray[np.float64] | None) -> None:
        """Measure the removal of each free block alone, beside those that go in any case."""
        free = [int(block) for group in self.problem.groups for block in group.indices]
        count = self.problem.num_removed - len(self._forced)
        if self.problem.remove is None:
            count = max(count, 1)
        if not free or count == 0:
            return
        most = int(self._left() * self.settings.singles)
        if ranking is not None and count > 1:
            share = math.ceil(self.settings.shortlist * len(free))
            wanted = max(min(share, self.settings.singles_each * count), math.ceil(1.5 * count))
            free = sorted(free, key=lambda block: (ranking[block], block))[: min(wanted, most)]
        elif len(free) > most and count > 1:
            return  # a sum of singles needs all of them, or a word on the others
        singles = [tuple(sorted((*self._forced, block))) for block in sorted(free)]
        reference = [self._forced] if self._forced else []
        self._measure([Proposal(removed, "single") for removed in (*reference, *singles)])

    # Belief

    def _posterior(self, misfit: float | None = None) -> Posterior:
        settings = self.settings if misfit is None else replace(self.settings, misfit=misfit)
        measured = {removed: trial.measurement for removed, trial in self.trials.items()}
        return believe(self.problem, measured, settings, self._hints)

    def _proposals(self, posterior: Posterior) -> list[Proposal]:
        """Return what to measure next; nothing where all is measured or no gain is expected."""
        best = self._best()
        batch = propose(
            self.problem,
            posterior,
            math.inf if best is None else best.value,
            self.trials,
            min(self._left(), self.settings.batch_size),
            settings=self.settings,
            random=self._random,
            stop=self._stop,
        )
        if batch and batch[0].proposed_by == "surrogate" and self._is_hopeless(batch[0], best):
            return []
        return batch

    def _best(self) -> Measurement | None:
        """Return the lowest value so far of a removal that is asked for."""
        finite = [
            trial.measurement
            for trial in self.trials.values()
            if solves(self.problem, trial.removed) and not trial.measurement.diverged
        ]
        return min(finite, key=lambda each: each.value, default=None)

    def _is_hopeless(self, proposal: Proposal, best: Measurement | None) -> bool:
        """Tell whether the likeliest improvement is small beside the noise of the best."""
        if best is None or not math.isfinite(best.standard_error):
            return False
        return proposal.gain < self.settings.patience * best.standard_error


def _as_removal(problem: Problem, removed: Sequence[int], name: str) -> tuple[int, ...]:
    blocks = tuple(np.flatnonzero(problem.state(removed)).tolist())
    if not problem.is_feasible(problem.state(blocks))[0]:
        raise InputError(
            f"{name} proposes to remove the {len(blocks)} blocks {format_blocks(blocks)}, which is "
            f"none of the {format_count(problem.num_states)} removals asked for; leave it out, or "
            "change --remove, --budget, --keep, --force or --only."
        )
    return blocks


def _at_least_one(value: int, what: str) -> int:
    if (count := as_count(value, what)) < 1:
        raise InputError(f"{what} must be at least 1, not {count}; give more.")
    return count
