"""EvoPress: one parent, offspring that differ by a few swaps, and the best of them survives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.validation import as_count
from qubo_prune.pruning.objective import Objective
from qubo_prune.pruning.searches.base import Record, Search, SearchEndedError, require_feasible

__all__ = ["EvoPress", "Sampled"]

_TRIES = 50
"""Mutations drawn for each offspring before fewer are accepted: near the end few are new."""


@runtime_checkable
class Sampled(Protocol):
    """An objective that can be measured on some of its samples."""

    num_samples: int

    def subset(self, samples: Sequence[int]) -> Objective:
        """Return the objective on these samples alone, by index."""
        ...


@dataclass(frozen=True)
class EvoPress(Search):
    """The (1 + lambda) evolutionary search of EvoPress, from its formulas.

    The parent is the best of `initial` random removals. In each generation it has `offspring`
    different children of min(U(1,3), U(1,3)) swaps, each swap within one group (kind). Stages with
    ever more samples, drawn afresh, let fewer of them survive; in the last one the parent competes
    too.

    Where the objective cannot be measured on some of its samples (`Sampled`), or the stages say so,
    there is one stage on all samples; removals known already are then not measured again, which
    makes the search better than the official one, not worse.

    Parameters
    ----------
    generations : int, optional
        k (n - k) / 1.5 by default, n blocks of which k go, of the largest group.
    offspring : int
        Lambda.
    initial : int
        How many random removals the first parent is the best of.
    start : tuple of int, optional
        The first parent instead.
    stages : tuple of (float, int)
        For each stage the share of the samples and how many survive; the last one leaves 1. The
        default is the official 2,048 and 32,768 of 131,072 tokens.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> from qubo_prune.pruning import FunctionObjective
    >>> objective = FunctionObjective(lambda removed: sum((i - 4.0) ** 2 for i in removed), 10)
    >>> search = EvoPress.small(start=(0, 8, 9))
    >>> result = search.run(objective, Problem(np.zeros((10, 10)), remove=3), max_measurements=60)
    >>> result.best.removed
    (3, 4, 5)
    """

    generations: int | None = None
    offspring: int = 32
    initial: int = 64
    start: tuple[int, ...] | None = None
    stages: tuple[tuple[float, int], ...] = ((1 / 64, 2), (1 / 4, 1))

    name: ClassVar[str] = "evopress"
    summary: ClassVar[str] = "Let the best of a few mutations of the best removal survive."
    citation: ClassVar[str] = "Sieberling et al. 2024, arXiv:2410.14649"

    def __post_init__(self) -> None:
        for what in ("generations", "offspring", "initial"):
            count = getattr(self, what)
            if count is not None and as_count(count, what) < 1:
                raise InputError(f"{what} must be at least 1, not {count}; give 1 or more.")
        shares = [share for share, _ in self.stages]
        survivors = [count for _, count in self.stages]
        if (
            not self.stages
            or not all(0 < share <= 1 for share in shares)
            or survivors[-1] != 1
            or any(later > earlier for earlier, later in pairwise(survivors))
        ):
            raise InputError(
                "stages must be pairs of a share of the samples above 0, up to 1, and a number of "
                f"survivors that falls to 1, not {self.stages}; use e.g. ((0.1, 2), (1.0, 1))."
            )

    @classmethod
    def small(cls, *, start: tuple[int, ...] | None = None) -> EvoPress:
        """Return the (1 + 8) search on all samples: few measurements, each worth the most.

        It starts from one random removal unless `start` is given.
        """
        return cls(offspring=8, initial=1, start=start, stages=((1.0, 1),))

    def _search(self, record: Record, problem: Problem) -> None:
        groups = [group.indices for group in problem.groups]
        if not groups:
            record.measure([tuple(problem.fixed_removed.tolist())])
            return
        stages = _Stages(record, self.stages)
        if self.start is not None:
            require_feasible(problem, self.start, "start")
        parent = tuple(sorted(self.start or self._first(problem, stages, record.rng)))
        try:
            stages.know(parent)
            for _ in range(self._num_generations(problem)):
                if record.num_known >= problem.num_states:
                    break
                parent = stages.survivor(self._children(parent, groups, record.rng), parent)
        except SearchEndedError:
            stages.finish(parent)
            raise
        stages.finish(parent)

    def _first(
        self, problem: Problem, stages: _Stages, rng: np.random.Generator
    ) -> tuple[int, ...]:
        drawn = [_random_removal(problem, rng) for _ in range(self.initial)]
        return stages.best(list(dict.fromkeys(drawn)))

    def _num_generations(self, problem: Problem) -> int:
        if self.generations is not None:
            return self.generations
        products = [group.count * (len(group.indices) - group.count) for group in problem.groups]
        return max(1, int(max(products) / 1.5))

    def _children(
        self,
        parent: tuple[int, ...],
        groups: Sequence[NDArray[np.int64]],
        rng: np.random.Generator,
    ) -> list[tuple[int, ...]]:
        children: dict[tuple[int, ...], None] = {}
        for _ in range(_TRIES * self.offspring):
            child = _mutated(parent, groups, rng)
            if child != parent:
                children[child] = None
            if len(children) == self.offspring:
                break
        return list(children)


class _Stages:
    """Selection on all samples at once, or on more and more of them."""

    def __init__(self, record: Record, stages: Sequence[tuple[float, int]]) -> None:
        objective = record.objective
        sampled = objective if isinstance(objective, Sampled) else None
        self._record = record
        self._sampled = sampled if min(share for share, _ in stages) < 1 else None
        self._stages = stages
        if self._sampled is not None:
            record.reserve(1.0)

    def know(self, parent: tuple[int, ...]) -> None:
        """Make sure that the parent's value is known where selection needs it."""
        if self._sampled is None:
            self._record.measure([parent])

    def best(self, removals: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the best of some removals on the samples of the first stage."""
        values = self._values(self._stages[0][0], removals)
        return removals[int(np.argmin(values))]

    def survivor(
        self, children: Sequence[tuple[int, ...]], parent: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Return who survives a generation; of equals the parent."""
        if self._sampled is None:
            everybody = [parent, *children]
            return everybody[int(np.argmin(self._values(1.0, everybody)))]
        left = list(children)
        for number, (share, survivors) in enumerate(self._stages, start=1):
            if number == len(self._stages):
                left.insert(0, parent)
            order = np.argsort(self._values(share, left), kind="stable")
            left = [left[i] for i in order[:survivors]]
        return left[0]

    def finish(self, parent: tuple[int, ...]) -> None:
        """Measure the last parent on all samples, for which one measurement was kept."""
        if self._sampled is not None:
            self._record.reserve(0.0)
            self._record.measure([parent])

    def _values(self, share: float, removals: Sequence[tuple[int, ...]]) -> list[float]:
        total = 1 if self._sampled is None else self._sampled.num_samples
        count = max(1, round(share * total))
        if self._sampled is None or count == total:
            return self._record.measure(removals)
        chosen = np.sort(self._record.rng.permutation(total)[:count])
        return self._record.measure_on(
            self._sampled.subset(chosen.tolist()), count / total, removals
        )


def _mutated(
    parent: tuple[int, ...], groups: Sequence[NDArray[np.int64]], rng: np.random.Generator
) -> tuple[int, ...]:
    """Return the parent after min(U(1,3), U(1,3)) swaps, each within a group."""
    removed = np.array(parent, np.int64)
    for _ in range(int(rng.integers(1, 4, size=2).min())):
        group = groups[int(rng.integers(len(groups)))]
        inside = np.isin(group, removed)
        leaves, enters = rng.choice(group[inside]), rng.choice(group[~inside])
        removed = np.append(removed[removed != leaves], enters)
    return tuple(np.sort(removed).tolist())


def _random_removal(problem: Problem, rng: np.random.Generator) -> tuple[int, ...]:
    parts = [problem.fixed_removed]
    parts += [rng.choice(group.indices, group.count, replace=False) for group in problem.groups]
    return tuple(np.sort(np.concatenate(parts)).tolist())
