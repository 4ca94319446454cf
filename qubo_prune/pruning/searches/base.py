"""What every search shares: a budget of measurements, a memory of them, and a result."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.core.text import format_blocks, format_count
from qubo_prune.core.validation import as_count
from qubo_prune.pruning.objective import Measurement, Objective

__all__ = ["Search", "SearchResult"]


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search measured, and the best of it.

    Attributes
    ----------
    name : str
        Of the search.
    measurements : tuple of Measurement
        All of them, in the order in which they were made.
    costs : tuple of float
        What each took, in measurements on all samples: the share of the samples that it used.
    best : Measurement or None
        The lowest one, on all samples, of a removal that satisfies the constraint; None where the
        search was stopped before there was one.
    stop_reason : StopReason
        Why the search ended.
    other_passes : int
        Passes over all samples that measured something other than the objective.
    """

    name: str
    measurements: tuple[Measurement, ...]
    costs: tuple[float, ...]
    best: Measurement | None
    stop_reason: StopReason
    other_passes: int = 0

    @property
    def num_measurements(self) -> int:
        """How many measurements were made."""
        return len(self.measurements)

    @property
    def cost(self) -> float:
        """What they took in all, in measurements on all samples."""
        return math.fsum(self.costs)

    def best_after(self, problem: Problem) -> NDArray[np.float64]:
        """Return the lowest value known after each measurement; inf before there is any.

        Parameters
        ----------
        problem : Problem
            Says which removals count. So do only measurements on all samples.
        """
        values = [
            each.value
            if cost == 1.0 and problem.is_feasible(problem.state(each.removed))[0]
            else math.inf
            for each, cost in zip(self.measurements, self.costs, strict=True)
        ]
        return np.minimum.accumulate(np.array(values, np.float64))


class SearchEndedError(Exception):
    """The budget or the time is spent; what was found is in the record."""


class Record:
    """Measures for a search, remembers what it measured, and ends it in time.

    A removal that was measured on all samples is not measured again: its value is known to the
    last bit.
    """

    def __init__(
        self,
        objective: Objective,
        problem: Problem,
        budget: float,
        stop: Stop,
        seed: int,
        on_measurement: Callable[[Measurement], None] | None,
    ) -> None:
        self.objective = objective
        self.rng = np.random.default_rng(seed)
        self._problem = problem
        self._budget = budget
        self._stop = stop
        self._on_measurement = on_measurement
        self._known: dict[tuple[int, ...], Measurement] = {}
        self.measurements: list[Measurement] = []
        self.costs: list[float] = []
        self.best: Measurement | None = None
        self.other_passes = 0
        self._reserved = 0.0

    def reserve(self, cost: float) -> None:
        """Keep a part of the budget back, in place of what was kept before."""
        self._reserved = cost

    @property
    def left(self) -> float:
        """How many measurements on all samples may still be made."""
        return self._budget - self._reserved - math.fsum(self.costs)

    @property
    def num_known(self) -> int:
        """How many removals were measured on all samples."""
        return len(self._known)

    def value(self, removed: tuple[int, ...]) -> float:
        """Return the value of a removal that was measured on all samples."""
        return self._known[removed].value

    def measure(self, removals: Sequence[tuple[int, ...]]) -> list[float]:
        """Return the values of removals on all samples.

        Raises
        ------
        SearchEndedError
            If not all could be measured; those that could are in the record.
        """
        new = [each for each in dict.fromkeys(removals) if each not in self._known]
        affordable = new[: max(0, math.floor(min(self.left, len(new)) + 1e-9))]
        self._run(self.objective, affordable, 1.0)
        if any(each not in self._known for each in new):
            raise SearchEndedError
        return [self._known[each].value for each in removals]

    def measure_on(
        self, part: Objective, share: float, removals: Sequence[tuple[int, ...]]
    ) -> list[float]:
        """Return the values of removals on the samples of `part`, a share of all."""
        if share * len(removals) > self.left + 1e-9:
            raise SearchEndedError
        values = {each.removed: each.value for each in self._run(part, removals, share)}
        if len(values) < len(set(removals)):
            raise SearchEndedError
        return [values[each] for each in removals]

    def _run(
        self, objective: Objective, removals: Sequence[tuple[int, ...]], cost: float
    ) -> list[Measurement]:
        made = []
        for each in objective.measure(removals, self._stop) if removals else ():
            made.append(each)
            self.measurements.append(each)
            self.costs.append(cost)
            if cost == 1.0:
                self._known[each.removed] = each
                self._improve(each)
            if self._on_measurement is not None:
                self._on_measurement(each)
            spent = math.fsum(self.costs) / self._budget if math.isfinite(self._budget) else None
            self._stop.report(len(self.measurements), spent, "measuring", unit="removal")
        return made

    def _improve(self, measured: Measurement) -> None:
        if self.best is not None and (self.best.value, self.best.removed) <= (
            measured.value,
            measured.removed,
        ):
            return
        if self._problem.is_feasible(self._problem.state(measured.removed))[0]:
            self.best = measured


class Search(ABC):
    """Base of the searches: frozen options, no state of their own.

    Attributes
    ----------
    name : str
        What the search is called.
    summary : str
        What it does, in a sentence.
    citation : str
        Where it comes from.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    citation: ClassVar[str]

    def run(
        self,
        objective: Objective,
        problem: Problem,
        *,
        seed: int = 0,
        max_measurements: int | None = None,
        stop: Stop | None = None,
        on_measurement: Callable[[Measurement], None] | None = None,
    ) -> SearchResult:
        """Search for a removal that the objective likes.

        Parameters
        ----------
        objective : Objective
            What is measured.
        problem : Problem
            Says how many blocks to remove, of which kinds, and what to keep; its Hessian is not
            looked at.
        seed : int
            Of every random choice; the same seed measures the same removals.
        max_measurements : int, optional
            Budget; a measurement on a share of the samples takes that share of one.
        stop : Stop, optional
            Time limit, cancellation and progress.
        on_measurement : callable, optional
            Called with every `Measurement` as soon as it is made.

        Raises
        ------
        InputError
            If the objective and the problem differ in the number of blocks, or the options do not
            fit the problem.
        """
        if objective.num_blocks != problem.num_blocks:
            raise InputError(
                f"the objective has {objective.num_blocks} blocks and the problem "
                f"{problem.num_blocks}; both must be of the same model."
            )
        if problem.budget is not None:
            raise InputError(
                f"the search {self.name!r} knows counts only, but the problem has"
                f" at_least={problem.at_least!r}; leave it out, or use select, which takes it."
            )
        budget = math.inf if max_measurements is None else _positive(max_measurements)
        seed = as_count(seed, "seed")
        if seed < 0:
            raise InputError(f"seed must be at least 0, not {seed}; choose another one.")
        stop = stop or Stop()
        if stop.max_evaluations is not None:
            budget = min(budget, stop.max_evaluations)
        record = Record(objective, problem, budget, stop, seed, on_measurement)
        reason = StopReason.COMPLETED
        try:
            self._search(record, problem)
        except SearchEndedError:
            reason = stop.reason or StopReason.EVALUATION_LIMIT
        return SearchResult(
            name=self.name,
            measurements=tuple(record.measurements),
            costs=tuple(record.costs),
            best=record.best,
            stop_reason=reason,
            other_passes=record.other_passes,
        )

    @abstractmethod
    def _search(self, record: Record, problem: Problem) -> None:
        """Measure until done; a `SearchEndedError` of the record may pass."""


def require_feasible(problem: Problem, removed: tuple[int, ...], what: str) -> None:
    """Refuse a removal that does not satisfy the constraint."""
    if not problem.is_feasible(problem.state(removed))[0]:
        raise InputError(
            f"{what} removes the blocks {format_blocks(removed)}, which the problem does not "
            "allow; give one with the counts asked for that respects keep and force."
        )


def _positive(count: int) -> int:
    number = as_count(count, "max_measurements")
    if number < 1:
        raise InputError(
            f"max_measurements must be at least 1, not {format_count(number)}; "
            "leave it out for no limit."
        )
    return number
