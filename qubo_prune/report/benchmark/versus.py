"""Two solvers, or one solver before and after, on the tasks that both were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from qubo_prune.bench.results import Run
from qubo_prune.bench.statistics_pairs import PairedTest, paired_test, sign_test
from qubo_prune.bench.statistics_profiles import RESOLUTION, median_time
from qubo_prune.core.errors import InputError
from qubo_prune.report.benchmark.comparison import Task, task_of

__all__ = ["Versus", "versus"]

RECALLS = ("recall_20", "recall_100", "recall_1000")
TIMES = ("seconds_to_ground_state", "seconds_to_recall_100", "seconds_to_proof")

_Cells = Mapping[tuple[Task, float | None], Sequence[Run]]


class Versus(NamedTuple):
    """A paired test of one measure.

    Attributes
    ----------
    measure : str
        Its name.
    first, second : float or None
        Mean of the recall, over tasks and seeds, None for times.
    test : PairedTest
        Wins are of the first; bare recall is higher, or it is sooner there.
    """

    measure: str
    first: float | None
    second: float | None
    test: PairedTest


def versus(first: Sequence[Run], second: Sequence[Run]) -> list[Versus]:
    """Compare two lists of runs, paired by task and time limit.

    Raises
    ------
    InputError
        If they have no task in common, or one of them claimed what is not true.
    """
    for runs in (first, second):
        for run in runs:
            if run.violations:
                raise InputError(
                    f"{run.backend} claimed what is not true on {run.instance}"
                    f" ({run.violations[0].kind}), so nothing of it is compared; see bench report."
                )
    cells = _cells(first), _cells(second)
    common = [cell for cell in cells[0] if cell in cells[1]]
    if not common:
        raise InputError(
            f"{len(cells[0])} and {len(cells[1])} tasks have none in common; run both on the same"
            " ones, with the same number of states and time limit."
        )
    return [
        *_recalls(common, *cells),
        *_times(common, *cells),
    ]


def _cells(runs: Sequence[Run]) -> dict[tuple[Task, float | None], list[Run]]:
    found: dict[tuple[Task, float | None], list[Run]] = {}
    for run in runs:
        found.setdefault((task_of(run), run.time_limit), []).append(run)
    return found


def _recalls(
    common: Sequence[tuple[Task, float | None]], first: _Cells, second: _Cells
) -> list[Versus]:
    found = []
    for name in RECALLS:
        pairs = [
            (_mean(first[cell], name), _mean(second[cell], name))
            for cell in common
            if any(each.measure(name) is not None for each in (*first[cell], *second[cell]))
        ]
        if pairs:
            wins = sum(a > b for a, b in pairs)
            losses = sum(a < b for a, b in pairs)
            test = sign_test(wins, losses, ties=len(pairs) - wins - losses)
            first_mean, second_mean = (fmean(each) for each in zip(*pairs, strict=True))
            found.append(Versus(name, first_mean, second_mean, test))
    return found


def _mean(runs: Sequence[Run], name: str) -> float:
    """Return the mean over seeds; what failed has found nothing."""
    return fmean(each.measure(name) or 0.0 for each in runs)


def _times(
    common: Sequence[tuple[Task, float | None]], first: _Cells, second: _Cells
) -> list[Versus]:
    found = []
    for name in TIMES:
        times = [
            {str(cell): median_time([run.measure(name) for run in cells[cell]]) for cell in common}
            for cells in (first, second)
        ]
        if any(value is not None for each in times for value in each.values()):
            test = paired_test(times[0], times[1], smallest=RESOLUTION)
            found.append(Versus(name, None, None, test))
    return found
