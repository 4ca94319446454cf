"""What the swap heuristics and the warm start of the exact engines share: a pool of the best
states, filled by lanes in rounds.

A *lane* is one of a fixed number of independent pieces of work. Threads take the lanes as they
come, and what the lanes found is merged in their order, so the states do not depend on the number
of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qubo_prune.search.arrays import (
    group_order,
    make_landscape,
    make_pool,
    make_walker,
    priced,
    states_of,
)
from qubo_prune.search.budget_price import price_of
from qubo_prune.search.kernels.landscape import (
    Landscape,
    greedy_state,
    start_fields,
    start_word,
)
from qubo_prune.search.kernels.lifting import lift
from qubo_prune.search.kernels.swap_pool import SwapPool, Walker, clear, expand, merge, put
from qubo_prune.search.kernels.tabu import tabu_walk
from qubo_prune.search.threads import run_workers

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

TENURE = 4
"""Steps for which a variable that left stays out at least: short, so that a walk looks closely at
where it is; restarts take it elsewhere.
"""

LANE_STATES = 32
"""States that one lane reports of a round where completion finds those around them."""
_SOURCES = 64
"""States that are expanded at a time, at least."""
_COMPLETION_BYTES = 1 << 28
"""Memory for the pools of a completion, which have to hold as many states as the result."""
_NO_BUDGET = 1 << 62
_PRICES = (1.0, 1.0, 1.25, 0.8, 1.6, 0.6, 2.5, 0.3)
"""At the best price light and heavy states cost the same; lanes that pay more stay above the budget
and those that pay less come from below.
"""
_STEPS_PER_VARIABLE = 5
_OPERATIONS_PER_WALK = 2e7


def default_steps(num_variables: int) -> int:
    """Return how many swaps a walk makes: enough to get somewhere, and many short walks rather than
    few long ones where swaps are dear.
    """
    return int(min(_STEPS_PER_VARIABLE * num_variables, _OPERATIONS_PER_WALK / num_variables))


@dataclass(frozen=True, eq=False)
class Lane:
    """What one piece of work owns.

    Attributes
    ----------
    index : int
        Its number, which with the seed decides its random choices.
    walker : Walker
        Its state.
    pool : SwapPool
        What it found since the last merge.
    random : (1,) uint64
        State of its random numbers.
    landscape : Landscape
        What it walks: the objective, with a budget at a price of weight that not all lanes share.
    evaluated : (1,) int64
        Number of states whose energy it computed.
    """

    index: int
    walker: Walker
    pool: SwapPool
    random: NDArray[np.uint64]
    landscape: Landscape
    evaluated: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))


class SwapSearch:
    """The best states of a problem met so far, and lanes that look for better ones.

    Parameters
    ----------
    problem : Problem
        With at least one group.
    capacity : int
        Number of states to keep.
    lanes : int
        Number of pieces that the work of a round is divided into; the states found depend on it.
    seed : int
        Seed of every random choice.
    stop : Stop
        Watched while the lanes run.
    threads : int
        Threads at work; the states found do not depend on it.
    expanders : int
        Number of lanes that take part in completion, fewer where memory is short.
    counted : bool
        Whether evaluations count against the limit of `stop` and are reported; not those of an
        engine's warm start, which counts its own.
    lane_states : int
        Most states that a lane reports of a round; without completion, as many as are kept.

    Attributes
    ----------
    landscape : Landscape
        The objective.
    greedy_state : (n,) bool
        The state that takes the cheapest variable until every count is met, lifted until it reaches
        the budget if there is one; it is in the pool from the start, so there is always a result.
    lanes : list of Lane
        The pieces of work.
    lane_budget : int
        Most states that a lane may evaluate in the current round.
    halt : (1,) bool
        True once everything has to stop.
    message : str
        What progress reports say.
    weighed : bool
        Whether there is a budget that not every state with the right counts reaches.
    """

    def __init__(
        self,
        problem: Problem,
        capacity: int,
        lanes: int,
        seed: int,
        stop: Stop,
        threads: int = 1,
        expanders: int = 1,
        counted: bool = True,
        lane_states: int = LANE_STATES,
    ) -> None:
        self._problem = problem
        self._reduced = problem.reduced()
        self._stop = stop
        self._counted = counted
        self._threads = threads
        self.halt = np.zeros(1, np.bool_)
        self.lane_budget = _NO_BUDGET
        self._order = group_order(self._reduced)
        self.landscape = make_landscape(self._reduced, seed)
        n = self.num_variables
        self.weighed = len(self.landscape.weights) > 0
        self._pool = make_pool(capacity, n, weighed=self.weighed)
        landscapes = self._landscapes(lanes)
        streams = np.random.default_rng(seed).integers(0, 2**64, size=lanes, dtype=np.uint64)
        self.lanes = [
            Lane(
                i,
                make_walker(n, weighed=self.weighed),
                make_pool(min(capacity, lane_states), n, weighed=self.weighed),
                streams[i : i + 1],
                landscapes[i],
            )
            for i in range(lanes)
        ]
        room = _COMPLETION_BYTES // sum(array.nbytes for array in self._pool)
        expanders = min(expanders, room, lanes)
        self._expanders = [
            replace(lane, pool=make_pool(capacity, n, weighed=self.weighed))
            for lane in self.lanes[: expanders if expanders > 1 else 0]
        ]
        self.message = ""
        self.greedy_state = np.zeros(n, np.bool_)
        greedy_state(landscapes[0], self.greedy_state)
        if self.weighed:
            walker = self.lanes[0].walker
            walker.y[:] = self.greedy_state
            lift(self.landscape, walker)
            self.greedy_state[:] = walker.y
        self.offer(self.greedy_state[None])

    @property
    def num_variables(self) -> int:
        """Number of free variables, n."""
        return len(self._order)

    @property
    def known(self) -> NDArray[np.uint64]:
        """Hash set of the states that lanes need not report; does not change while they run."""
        return self._pool.table

    @property
    def num_evaluated(self) -> int:
        """Number of states whose energy was computed."""
        return sum(int(lane.evaluated[0]) for lane in self.lanes)

    @property
    def stopped(self) -> bool:
        """Whether the search has to stop; to be asked between rounds, so that a limit on
        evaluations acts at the same place every time.
        """
        self.halt[0] = self.halt[0] or self._stop.should_stop(
            self.num_evaluated if self._counted else 0
        )
        return bool(self.halt[0])

    @property
    def has_all_states(self) -> bool:
        """Whether no state is left to be found."""
        return int(self._pool.size[0]) == self._problem.num_states

    def variables_of(self, states: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Turn feasible states (K, N) into those of walkers, (K, n)."""
        return np.ascontiguousarray(states[:, self._reduced.variables[self._order]])

    def offer(self, rows: NDArray[np.bool_]) -> None:
        """Put states of walkers, (K, n), into the pool."""
        walker = self.lanes[0].walker
        for row in rows:
            start_word(self.landscape, row, walker.word)
            energy = start_fields(self.landscape, row, walker.fields)
            put(self._pool, energy, walker.word, self.landscape.tolerance)

    def run(self, work: Callable[[Lane], object]) -> int:
        """Call `work` for every lane, whose pool takes states better than the worst one kept;
        return how many new states were kept.
        """
        return self._run(work, self.lanes)

    def complete(self) -> int:
        """Expand the swap neighbourhoods of the lowest states until those of all states kept are;
        return how many new states were kept.
        """
        words, energies = self._pool.words[:0], self._pool.energies[:0]
        entered = 0

        def expand_in(pool: SwapPool, lane: Lane, step: int) -> int:
            return expand(
                self.landscape,
                pool,
                self.known,
                lane.walker,
                words[lane.index :: step].copy(),
                energies[lane.index :: step].copy(),
                lane.evaluated,
                self.halt,
            )

        def expand_all() -> None:
            nonlocal entered
            entered += expand_in(self._pool, self.lanes[0], 1)

        def expand_part(lane: Lane) -> None:
            expand_in(lane.pool, lane, len(self._expanders))

        while not self.stopped:
            words, energies = self._take_sources()
            if not len(words):
                break
            # As long as there is room for every neighbour, lanes would collect the same ones.
            if self._expanders and self._pool.cut[0] < np.inf:
                entered += self._run(expand_part, self._expanders)
            else:
                self._in_threads([expand_all])
        return entered

    def walk(self, lane: Lane, steps: int, tenure: int = TENURE) -> float:
        """Walk a swap tabu from the state of a lane; return the energy of the best state met, which
        is ``lane.walker.best``.

        Lanes take one, two or three times the tenure, two neighbouring ones the same.
        """
        return tabu_walk(
            lane.landscape,
            lane.pool,
            self.known,
            lane.walker,
            steps,
            tenure * (1 + lane.index // 2 % 3),
            self.lane_budget,
            lane.random,
            lane.evaluated,
            self.halt,
        )

    def states(self, *, in_order: bool = True) -> NDArray[np.bool_]:
        """Return the states kept, (K, N); `in_order` lowest first."""
        return states_of(self._pool, self._problem, self._reduced, in_order=in_order)

    def _landscapes(self, lanes: int) -> list[Landscape]:
        """Return what each lane walks: without a budget all the same."""
        if not self.weighed:
            return [self.landscape] * lanes
        price = price_of(self._reduced)
        return [priced(self.landscape, price * _PRICES[i % len(_PRICES)]) for i in range(lanes)]

    def _run(self, work: Callable[[Lane], object], lanes: Sequence[Lane]) -> int:
        # A lane knows what it may evaluate beforehand: what the others do in the meantime depends
        # on the number of threads.
        limit = self._stop.max_evaluations
        if self._counted and limit is not None:
            self.lane_budget = -(-max(0, limit - self.num_evaluated) // len(lanes))
        for lane in lanes:
            clear(lane.pool, self._pool.cut[0])
        self._in_threads([partial(work, lane) for lane in lanes])
        return sum(
            merge(
                self._pool,
                lane.pool,
                np.argsort(lane.pool.energies[: lane.pool.size[0]], kind="stable"),
                self.landscape.tolerance,
            )
            for lane in lanes
        )

    def _take_sources(self) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """Return the lowest states that were not expanded yet, with their energies, and mark them
        as expanded.
        """
        pool = self._pool
        pending = np.flatnonzero(pool.words[: pool.size[0], -1] == 0)
        order = pending[np.argsort(pool.energies[pending], kind="stable")]
        order = order[: max(_SOURCES, len(pool.energies) // 4)]
        words, energies = pool.words[order], pool.energies[order]
        pool.words[order, -1] = 1
        return words, energies

    def _in_threads(self, tasks: Sequence[Callable[[], object]]) -> None:
        waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        for task in tasks:
            waiting.put(task)

        def do_tasks(_index: int) -> None:
            with suppress(Empty):
                while not self.halt[0]:
                    waiting.get_nowait()()

        def poll() -> None:
            if self._stop.should_stop():
                abort()
            if self._counted:
                self._stop.report(self.num_evaluated, None, self.message)

        def abort() -> None:
            self.halt[0] = True

        run_workers(do_tasks, min(self._threads, len(tasks)), poll, abort)
