"""The scores of several criteria, side by side, and what each would remove."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import write_atomically
from qubo_prune.core.problem.problem import Problem
from qubo_prune.pruning.criteria.base import Criterion
from qubo_prune.pruning.criteria.evidence import Evidence, StoppedError

__all__ = ["ScoreTable", "score_table"]


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores per block and criterion; the lowest go first.

    Attributes
    ----------
    names, kinds : tuple of str
        Of the blocks.
    criteria : tuple of Criterion
        Those that were finished.
    scores : (C, N) float64
        One row per criterion; inf where a single removal diverged.
    remove : int, mapping or None
        How many blocks were asked for.
    removals : tuple of tuple of int or None
        What each criterion would remove; None where it cannot, or none was asked for.
    refusals : tuple of str or None
        Why it cannot.
    complete : bool
        Whether all criteria asked for were finished.
    at_least : float, str or None
        What the removed blocks were to weigh, if anything.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    scores: NDArray[np.float64]
    remove: int | Mapping[str, int] | None
    removals: tuple[tuple[int, ...] | None, ...]
    refusals: tuple[str | None, ...]
    complete: bool = True
    at_least: float | str | None = None

    def ranks(self) -> NDArray[np.int64]:
        """Return the place of each block in the order of each criterion, (C, N); 0 goes first."""
        order = np.argsort(self.scores, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(self.scores.shape[1])[np.newaxis], axis=1)
        return ranks.astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it; a score that is not finite is null."""
        rows = zip(self.criteria, self.scores, self.removals, self.refusals, strict=True)
        return {
            "names": list(self.names),
            "kinds": list(self.kinds),
            "remove": self.remove,
            **({} if self.at_least is None else {"at_least": self.at_least}),
            "complete": self.complete,
            "criteria": [
                {
                    "name": criterion.name,
                    "summary": criterion.summary,
                    "citation": criterion.citation,
                    "scores": [value if math.isfinite(value) else None for value in row.tolist()],
                    "removed": None if removed is None else list(removed),
                    "refused": refusal,
                }
                for criterion, row, removed, refusal in rows
            ],
        }

    def to_csv(self) -> str:
        """Return a line per block: index, name, kind and a column for each criterion."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["block", "name", "kind", *(each.name for each in self.criteria)])
        for block, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            writer.writerow([block, name, kind, *map(repr, self.scores[:, block].tolist())])
        return stream.getvalue()

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `to_csv` to a file; an existing one is replaced."""
        text = self.to_csv()
        write_atomically({Path(path): lambda stream: stream.write(text.encode())})

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)


def score_table(
    criteria: Sequence[Criterion],
    evidence: Evidence,
    *,
    names: Sequence[str],
    kinds: Sequence[str],
    problem: Problem | None = None,
    on_criterion: Callable[[Criterion], None] | None = None,
) -> ScoreTable:
    """Compute the scores of criteria, those that need least first.

    Parameters
    ----------
    criteria : sequence of Criterion
        Which; the table keeps their order.
    evidence : Evidence
        What they look at. Where it is stopped, the table holds what was finished by then.
    names, kinds : sequence of str
        Of the blocks.
    problem : Problem, optional
        What to remove; with it the table says what each criterion would.
    on_criterion : callable, optional
        Called with each criterion before its scores are computed.

    Examples
    --------
    >>> from qubo_prune.pruning.criteria import get_criterion
    >>> evidence = Evidence(3, singles={"loss": [0.3, 0.1, 0.2]})
    >>> table = score_table(
    ...     [get_criterion("single-loss"), get_criterion("last")],
    ...     evidence,
    ...     names=["a", "b", "c"],
    ...     kinds=["layer"] * 3,
    ...     problem=Problem(np.zeros((3, 3)), remove=1),
    ... )
    >>> table.removals
    ((1,), (2,))
    """
    found: dict[int, tuple[NDArray[np.float64], tuple[int, ...] | None, str | None]] = {}
    cheapest_first = sorted(range(len(criteria)), key=lambda index: criteria[index].cost)
    try:
        for index in cheapest_first:
            if on_criterion is not None:
                on_criterion(criteria[index])
            scores = criteria[index].scores(evidence)
            found[index] = scores, *_removal(criteria[index], problem, evidence)
    except StoppedError:
        pass
    kept = sorted(found)
    return ScoreTable(
        names=tuple(names),
        kinds=tuple(kinds),
        criteria=tuple(criteria[index] for index in kept),
        scores=np.array([found[index][0] for index in kept]).reshape(len(kept), len(names)),
        remove=None if problem is None else problem.remove,
        removals=tuple(found[index][1] for index in kept),
        refusals=tuple(found[index][2] for index in kept),
        complete=len(kept) == len(criteria),
        at_least=None if problem is None else problem.at_least,
    )


def _removal(
    criterion: Criterion, problem: Problem | None, evidence: Evidence
) -> tuple[tuple[int, ...] | None, str | None]:
    if problem is None:
        return None, None
    try:
        return criterion.removal(problem, evidence), None
    except InputError as error:
        return None, str(error)
