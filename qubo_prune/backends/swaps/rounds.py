"""Rounds of all lanes of a swap search, until nothing new is found."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from qubo_prune.backends.base import RawResult

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.search.swap_search import Lane, SwapSearch


class Work(Protocol):
    """What a heuristic does in a round."""

    def work(self, number: int, lane: Lane) -> None:
        """Do the part of a lane in a round."""

    def after_round(self) -> None:
        """Prepare for the next round."""


def with_margin(num_states: int, problem: Problem) -> int:
    """Return how many states to keep for a result of `num_states`: some more, since energies of
    walks are rounded.
    """
    return min(num_states + max(16, num_states // 8), problem.num_states)


def search_in_rounds(
    search: SwapSearch, work: Work, rounds: int, patience: int, completion: bool
) -> RawResult:
    """Run rounds of all lanes until a limit is reached or some rounds in a row bring nothing new.

    Parameters
    ----------
    search : SwapSearch
        What is searched.
    work : Work
        What lanes do.
    rounds : int
        Most rounds.
    patience : int
        Rounds in a row without a new state after which the search ends.
    completion : bool
        Whether the neighbourhoods of the states kept are expanded in each round.
    """
    begin = time.perf_counter()
    completing = 0.0
    number = quiet = 0
    reason = ""
    while not reason:
        search.message = f"round {number + 1}"
        entered = search.run(partial(work.work, number))
        work.after_round()
        if completion:
            completing -= time.perf_counter()
            entered += search.complete()
            completing += time.perf_counter()
        number += 1
        quiet = 0 if entered else quiet + 1
        if search.stopped:
            reason = "stopped"
        elif search.has_all_states:
            reason = "all states found"
        elif quiet == patience:
            reason = f"nothing new in the last {quiet}"
        elif number == rounds:
            reason = "no more allowed"
    return RawResult(
        states=search.states(),
        num_evaluated=search.num_evaluated,
        native_status=f"{number} round{'s' if number > 1 else ''}, {reason}",
        timings={
            "search": time.perf_counter() - begin - completing,
            "completion": completing,
        },
    )
