"""Rounds of all lanes of a swap search, until nothing new is found."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import RawResult
from qubo_prune.backends.common.phases import Phases
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.search.starting_states import with_margin
from qubo_prune.search.swap_search import LANE_STATES, Lane, SwapSearch
from qubo_prune.search.threads import num_threads


class Work(Protocol):
    """What a heuristic does in a round."""

    def work(self, number: int, lane: Lane) -> None:
        """Do the part of a lane in a round."""

    def after_round(self) -> None:
        """Prepare for the next round."""


class Heuristic(Protocol):
    """The fields of `SwapHeuristic`, which documents them, and what its walks do."""

    @property
    def threads(self) -> int | None: ...  # noqa: D102
    @property
    def walks(self) -> int: ...  # noqa: D102
    @property
    def rounds(self) -> int: ...  # noqa: D102
    @property
    def patience(self) -> int: ...  # noqa: D102
    @property
    def completion(self) -> bool: ...  # noqa: D102

    def make_work(self, search: SwapSearch, known: NDArray[np.bool_]) -> Work:
        """Return what walks do."""


def search_in_rounds(
    heuristic: Heuristic,
    problem: Problem,
    num_states: int,
    stop: Stop,
    seed: int,
    warm_start: NDArray[np.bool_] | None,
) -> RawResult:
    """Run rounds of all walks until a limit is reached or some in a row bring nothing new."""
    capacity = with_margin(num_states, problem)
    search = SwapSearch(
        problem,
        capacity,
        heuristic.walks,
        seed,
        stop,
        threads=num_threads(heuristic.threads),
        expanders=heuristic.walks,
        lane_states=LANE_STATES if heuristic.completion else capacity,
    )
    known = np.zeros((0, search.num_variables), np.bool_)
    if warm_start is not None:
        known = search.variables_of(warm_start)
        search.offer(known)
    work = heuristic.make_work(search, known)
    clock = Phases("search", "completion")
    number = quiet = 0
    reason = ""
    while not reason:
        search.message = f"round {number + 1}"
        entered = search.run(partial(work.work, number))
        work.after_round()
        stop.offer(search.num_evaluated, search.states)
        if heuristic.completion:
            clock.begin("completion")
            entered += search.complete()
            stop.offer(search.num_evaluated, search.states)
            clock.begin("search")
        number += 1
        quiet = 0 if entered else quiet + 1
        if search.stopped:
            reason = "stopped"
        elif search.has_all_states:
            reason = "all states found"
        elif quiet == heuristic.patience:
            reason = f"nothing new in the last {quiet}"
        elif number == heuristic.rounds:
            reason = "no more allowed"
    return RawResult(
        states=search.states(in_order=False),  # `solve` sorts them
        num_evaluated=search.num_evaluated,
        native_status=f"{number} round{'s' if number > 1 else ''}, {reason}",
        timings=clock.timings(),
    )
