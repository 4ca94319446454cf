"""A proof by the threads of this process, which share all they have: the search of the tree, with
pauses to look at what it would gain from another order, or from better states.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.arrays import make_root, make_workspace
from qubo_prune.backends.branch_and_bound.choices import choice_tables, choices_after
from qubo_prune.backends.branch_and_bound.kernels.cut import lower_cut
from qubo_prune.backends.branch_and_bound.kernels.tables import Shared, Tables, Workspace
from qubo_prune.backends.branch_and_bound.orders import DECISIVE
from qubo_prune.backends.branch_and_bound.race import Cut, Race, tree_size
from qubo_prune.backends.branch_and_bound.refining import is_long, refined
from qubo_prune.backends.branch_and_bound.search import (
    REFINE_AFTER,
    Frontier,
    Refinement,
    advanced,
    pool_energies,
    search,
)
from qubo_prune.backends.branch_and_bound.shared_search import Bounds, Found
from qubo_prune.backends.branch_and_bound.subtrees import Job
from qubo_prune.backends.branch_and_bound.walks import Walks
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.stopping import Standing, Stop
from qubo_prune.search.kernels.pool import pack, unpack
from qubo_prune.search.starting_states import GoodStates

_EVALUATIONS = 0.0025
"""States that walks evaluate for each node times n^2: one or two hundredths of the time."""
_LARGEST_SIDE = 1000
"""Variables above which shifts are cheap, and not worth more walks."""
_WALK_AFTER = 1000
"""Walks go on after this many nodes, and whenever twice as many are visited."""
MORE_WALKS = 100
"""So many times longer they go on where the tree is long by estimate. They mostly end by themselves
before, and estimates and choices that rest on a bad state are bad.
"""
_RARELY = 10
"""States of walks are sorted at most once in so many times what it takes."""
_LOOK, _LOOK_WIDTH = 1 / 32, 16
"""Part of the time left that a look at the size of the tree takes at most, and its sample."""


def fair_evaluations(num_variables: int, num_nodes: int) -> int:
    """Return how many states walks may evaluate before a search and while it visits so many nodes.

    A node takes about n^2 steps, and the shifts before the first one as long as n^2 nodes.
    """
    side = min(num_variables, _LARGEST_SIDE)
    return int(_EVALUATIONS * num_variables**2 * (side**2 + num_nodes))


def is_shallow(problem: Problem) -> bool:
    """Tell whether three or fewer blocks of one group are to be removed or kept: then looking at
    all states, cubic in N, takes less than good shifts, or than more walks.
    """
    group = problem.groups[0]
    return len(problem.groups) == 1 and min(group.count, len(group.indices) - group.count) <= 3


class SearchAtOnce:
    """One search; `run` it once.

    Parameters
    ----------
    job, tables
        What is to be proven.
    threads : int
        How many search.
    good : GoodStates
        The states to start from; found in the meantime, better ones lower the cut.
    walks : Walks
        What goes on in a share of the time where that is limited.
    energies : ndarray of float64, shape (s,)
        Those of the states to start from.
    cut_word : ndarray of uint64, shape (W,)
        A state at or after the last wanted one, packed.
    stop : Stop
        When to end.
    known : Standing
        What is known before; ``known.last`` is the energy of that state, inf if there is none.
    """

    def __init__(
        self,
        job: Job,
        tables: Tables,
        threads: int,
        good: GoodStates,
        walks: Walks,
        energies: NDArray[np.float64],
        cut_word: NDArray[np.uint64],
        stop: Stop,
        known: Standing,
    ) -> None:
        self._job = job
        self._tables = tables
        self._good = good
        self._walks = walks
        self._taken = -math.inf, 0.0
        self._asked = 0.0
        self._stop = stop
        self._known = known
        before = np.full(1, _last_but_one(energies, job.num_states))
        self._shared = Shared(np.full(1, known.last), before, np.zeros(1, np.bool_))
        self._workspaces = [
            make_workspace(tables, job.num_states, job.problem.num_blocks) for _ in range(threads)
        ]
        self._given_up = [np.zeros((0, len(cut_word)), np.uint64)]
        self._good_energies = energies
        self._frontier = self._new_frontier(self._shared.threshold, cut_word)
        self._race = Race(job.problem, tables)
        self._order = self._race.order
        self._open_before = -math.inf

    def run(self) -> Found:
        """Search until nothing is open or `stop` says so."""
        refine, n = Refinement(self._refined), len(self._tables.matrix)
        walk_after = math.inf if is_shallow(self._job.problem) else _WALK_AFTER
        choose_after = choices_after(self._tables)
        while True:
            self._tables = search(
                self._tables,
                self._workspaces,
                self._shared,
                self._frontier,
                self._stop,
                refine,
                self._known,
                min(self._race.after, walk_after, choose_after),
                lambda: self._walks.due,
            )
            nodes = self._num_nodes()
            if self._frontier.is_done or self._stop.should_stop(nodes):
                return self._found()
            self._shared.stop[0] = False
            if self._walks.due:
                self._catch_up()
            if nodes >= walk_after:
                self._walk()
                walk_after = 2 * nodes
            winner, order = None, self._order
            if nodes >= choose_after:
                choose_after = math.inf
                winner, order = self._chosen(nodes), DECISIVE
            is_compared = winner is None and nodes >= self._race.after
            if is_compared:
                self._race.at_hand = self._tables
                winner = self._race.winner(self._cut, self._stop, nodes, self._better)
                order = self._race.other_order
            if winner is not None:
                self._begin_again(winner, order)
                refine = Refinement(self._refined)
            if is_compared and self._is_early(nodes) and is_long(n, self._race.expected):
                self._tables = self._made_finer(self._tables, self._stop.should_stop)
                refine = Refinement(lambda tables: tables)

    def _is_early(self, num_nodes: int) -> bool:
        """Tell whether finer tables are not yet made for the number of nodes."""
        return num_nodes <= REFINE_AFTER * len(self._tables.matrix) ** 2

    def _refined(self, tables: Tables) -> Tables:
        """Return finer tables, made by a worker while others search."""
        # A pause is no reason to give them up.
        return self._made_finer(tables, lambda: bool(self._shared.stop[0]) and not self._walks.due)

    def _made_finer(self, tables: Tables, should_stop: Callable[[], bool]) -> Tables:
        return refined(tables, self._job.problem, self._cut, should_stop)

    def _chosen(self, num_nodes: int) -> Tables | None:
        """Return tables for many choices, the last ones, if they promise fewer nodes."""
        chosen = choice_tables(
            self._job.problem,
            self._tables,
            self._cut,
            num_nodes,
            self._stop.should_stop,
        )
        if chosen is not None:
            self._race.close()
        return chosen

    @property
    def _cut(self) -> Cut:
        """What is known of the last wanted state by now."""
        return Cut(*self._frontier.cut, self._shared.before)

    def _walk(self, times: int = 1) -> bool:
        """Look for better states, so many times in proportion to the nodes visited; return whether
        the cut may be lower.
        """
        evaluations = times * fair_evaluations(len(self._tables.matrix), self._num_nodes())
        if not self._good.walk_on(evaluations) or self._stop.should_stop():
            return False  # what was found is in the answer all the same
        self._take(self._good.states(in_order=False))
        return True

    def _better(self, expected: float) -> Cut | None:
        """Return a lower cut, sought longer, if a tree of so many nodes is worth it."""
        is_worth = is_long(len(self._tables.matrix), expected)
        return self._cut if is_worth and self._walk(MORE_WALKS) else None

    def _catch_up(self) -> None:
        """Let the walks have their share of the time, a larger one where the tree will not be
        finished in time.
        """
        if self._stop.elapsed > 2 * self._asked:
            self._asked = self._stop.elapsed
            self._walks.unfinishable = not self._may_be_finished()
        found = self._walks.catch_up()
        when, cost = self._taken
        begin = self._stop.elapsed
        if found and begin - when > _RARELY * cost:
            states = np.concatenate([self._good.states(in_order=False), self._walks.states()])
            self._take(unpack(np.unique(pack(states), axis=0), self._job.problem.num_blocks))
            self._taken = begin, self._stop.elapsed - begin

    def _may_be_finished(self) -> bool:
        """Whether the tree is small enough, by estimate, for the time that is left."""
        nodes, seconds = self._num_nodes(), self._walks.seconds_beside
        left = self._stop.remaining
        end = self._stop.elapsed + _LOOK * left
        most = nodes + left * nodes / max(seconds, 1e-9)
        size = tree_size(
            self._tables,
            self._cut,
            lambda: self._stop.should_stop() or self._stop.elapsed > end,
            _LOOK_WIDTH,
            most,
        )
        return size <= most and self._stop.elapsed <= end

    def _take(self, states: NDArray[np.bool_]) -> None:
        """Lower the cut where these states do."""
        self._stop.offer(self._num_nodes(), states.copy)
        energies = self._job.problem.energies(states)
        order = lexicographic_order(states, energies)[: self._job.num_states]
        states, self._good_energies = states[order], energies[order]
        best = float(self._good_energies.min(initial=self._known.best))
        self._known = self._known._replace(best=best)
        if len(states) == self._job.num_states:
            last = float(self._good_energies[-1])
            lower_cut(*self._frontier.cut, last, pack(states[-1:])[0])
            self._shared.threshold[0] = min(self._shared.threshold[0], last)
        before = _last_but_one(self._good_energies, self._job.num_states)
        self._shared.before[0] = min(self._shared.before[0], before)

    def _begin_again(self, tables: Tables, order: str) -> None:
        """Begin again in another order."""
        self._open_before = self._frontier.lowest_bound()
        # Nobody who watches is told less than what the first order has proven.
        bound = self._open_before - float(self._tables.epsilon)
        found = pool_energies(self._workspaces)
        self._known = advanced(self._known, found, self._known.last, bound)
        self._tables, self._order = tables, order
        self._given_up = [_take_pool(each) for each in self._workspaces]
        self._frontier = self._new_frontier(*self._frontier.cut)

    def _new_frontier(
        self, cut_energy: NDArray[np.float64], cut_word: NDArray[np.uint64]
    ) -> Frontier:
        return Frontier(make_root(self._tables), cut_energy, cut_word, self._energies)

    def _energies(self) -> NDArray[np.float64]:
        """Return the energies of the states that are known, some of them twice."""
        return np.concatenate([self._good_energies, pool_energies(self._workspaces)])

    def _num_nodes(self) -> int:
        return sum(int(each.nodes[0]) for each in self._workspaces)

    def _found(self) -> Found:
        # A tie of the last wanted state is not looked for again where one is known.
        words = [each.pool_words[: each.pool_size[0]] for each in self._workspaces]
        words += [*self._given_up, pack(self._good.states(in_order=False))]
        return Found(
            # What the first order left open is no lower than it was.
            bounds=Bounds(
                max(self._frontier.lowest_bound(), self._open_before), self._frontier.root_bound
            ),
            words=np.concatenate(words),
            num_nodes=self._num_nodes(),
            epsilon=float(self._tables.epsilon),
            order=self._order,
        )


def _last_but_one(energies: NDArray[np.float64], num_states: int) -> float:
    """Return the energy of the last but one of so many states, in order; inf if there is none."""
    is_there = 2 <= num_states <= len(energies) + 1
    return float(energies[num_states - 2]) if is_there else math.inf


def _take_pool(workspace: Workspace) -> NDArray[np.uint64]:
    """Empty a worker's pool; return its states, packed."""
    words = workspace.pool_words[: workspace.pool_size[0]].copy()
    workspace.pool_size[0] = 0
    return words
