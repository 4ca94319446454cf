"""The tabu search beside a proof that has a time limit: it is the one of the backend, takes its share
and no more, and neither it nor the proof loses anything.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem, Status, Stop, solve
from qubo_prune.backends.branch_and_bound import search, search_at_once, walks
from qubo_prune.backends.branch_and_bound.arrays import make_tables
from qubo_prune.backends.branch_and_bound.search_at_once import SearchAtOnce
from qubo_prune.backends.branch_and_bound.subtrees import Job
from qubo_prune.backends.branch_and_bound.walks import Walks
from qubo_prune.core.stopping import Standing
from qubo_prune.search.kernels.pool import pack
from qubo_prune.search.starting_states import GoodStates
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import problems, problems_with_budgets, symmetric


class Clock(Stop):
    """A stop whose time is set by hand."""

    now = 0.0

    @property
    def elapsed(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def wishart(n: int, remove: int, seed: int = 0) -> Problem:
    """A problem without ties, whose bounds leave a gap."""
    a = np.random.default_rng(seed).normal(size=(n, n))
    return Problem(a.T @ a / n, remove)


def graph(n: int, remove: int, seed: int = 0) -> Problem:
    """A random graph: few different energies."""
    edges = np.tril(np.random.default_rng(seed).random((n, n)) < 0.4, -1).astype(float)
    return Problem(-symmetric(edges), remove)


def lowest(problem: Problem, states: NDArray[np.bool_], count: int) -> list[float]:
    return sorted(problem.energies(states).tolist())[:count]


@pytest.mark.parametrize("problem", [wishart(60, 25), graph(40, 12)])
@pytest.mark.parametrize("warm", [False, True])
def test_walked_to_its_end_it_is_the_tabu_backend(problem: Problem, warm: bool) -> None:
    given = solve(problem.with_remove(problem.num_removed), backend="random", seed=5).states
    warm_start = given[:3] if warm else None
    whole = GoodStates(problem, 40, 3, Stop(), warm_start, whole=True)
    while not whole.has_ended:
        whole.walk()
    alone = solve(problem, num_states=40, backend="tabu", seed=3, warm_start=warm_start)
    assert lowest(problem, whole.states(), 40) == alone.energies.tolist()


def make(problem: Problem, limit: float | None) -> tuple[Walks, Clock]:
    clock = Clock(time_limit=limit)
    return Walks(problem, 5, 0, clock, None, 1), clock


def test_a_share_of_the_time_and_no_more() -> None:
    beside, clock = make(wishart(30, 12), 64.0)
    rounds: list[float] = []
    idle = False

    def walk(self: GoodStates) -> bool:
        rounds.append(clock.now)
        clock.now += 2.0
        self._idle_rounds = 5 if idle else 0
        return True

    with mock.patch.object(GoodStates, "walk", walk):
        beside.start(1)
        assert not len(beside.states())  # that was another search
        rounds.clear()
        clock.now = 8.0
        assert not beside.due  # an eighth of the limit is the proof's alone
        clock.now = 8.1
        assert beside.due
        assert beside.catch_up()
        assert rounds == pytest.approx([8.1, 10.1, 12.1, 14.1, 16.1])
        assert clock.now == pytest.approx(18.1)  # 10 of them are theirs
        assert not beside.due
        clock.now = 21.9
        assert not beside.due  # it lags behind by less than a turn
        clock.now = 22.1
        assert beside.due
        beside.unfinishable = True
        beside.catch_up()
        assert clock.now == pytest.approx(64.1, abs=0.1)  # fifteen sixteenths, or up to the limit
        idle = True
        clock.now = 200.0
        assert not beside.catch_up()


def test_nothing_is_due_without_a_limit_or_after_the_end() -> None:
    beside, clock = make(wishart(30, 12), None)
    beside.start(1)
    clock.now = 1e9
    assert not beside.due
    assert not beside.catch_up()
    beside, clock = make(wishart(6, 2), 10.0)
    beside.start(1)
    clock.now = 9.0
    assert beside.due
    assert beside.catch_up()
    assert len(beside.states()) == 15
    assert not beside.due


def test_a_large_problem_begins_with_it() -> None:
    beside, clock = make(wishart(210, 5), 10.0)
    good = beside.start(1)
    assert (good.states(in_order=False) == beside.states()).all()
    clock.now = 1.0
    assert beside.due  # from the first moment on
    with mock.patch.object(GoodStates, "walk", side_effect=lambda: clock.wait(0.5)):
        for now, expected in ((2.0, False), (2.6, True)):
            clock.now = now
            beside.catch_up_while_preparing()
            assert beside.unfinishable is expected
    for limit, evaluations in ((None, 1), (10.0, 0)):  # nothing to be shared
        beside, clock = make(wishart(210, 5), limit)
        beside.start(evaluations)
        assert not len(beside.states())
        clock.now = 9.0
        assert not beside.due


def test_a_limit_too_short_for_shifts_is_left_to_them() -> None:
    problem = wishart(210, 105)
    beside, clock = make(problem, 0.1)
    with mock.patch.object(GoodStates, "walk", side_effect=lambda: clock.wait(0.03)) as walk:
        beside.start(1)
    assert walk.call_count == 4  # up to the limit
    spectrum = solve(problem, num_states=20, time_limit=0.1, options={"threads": 1})
    assert len(spectrum) == 20
    assert spectrum.timings["preparation"] == 0.0


@settings(max_examples=40)
@given(
    problem=st.one_of(problems(), problems_with_budgets()),
    num_states=st.integers(1, 100),
    threads=st.integers(1, 3),
    large=st.booleans(),
)
def test_pauses_lose_nothing(problem: Problem, num_states: int, threads: int, large: bool) -> None:
    """The walks are due all the time until they end."""
    with (
        mock.patch.object(walks, "_ALONE", 0.0),
        mock.patch.object(walks, "_TURN", 0.0),
        mock.patch.object(walks, "_LARGE", 0 if large else 200),
        mock.patch.object(search, "_FIRST_BUDGET", 2),
        mock.patch.object(search, "_LOWEST_FIRST_AFTER", 0),
        mock.patch("qubo_prune.search.threads._POLL_SECONDS", 1e-5),
    ):
        spectrum = solve(
            problem, num_states=num_states, time_limit=60.0, options={"threads": threads}
        )
    expected = brute_force(problem)
    if (budget := problem.budget) is not None:
        reaches = (budget.weights @ problem.state(list(removed)) for _, removed in expected)
        expected = [
            entry
            for entry, weight in zip(expected, reaches, strict=True)
            if weight >= budget.at_least
        ]
    assert ranked(spectrum) == expected[:num_states]
    assert spectrum.status is Status.PROVEN


@pytest.mark.parametrize("problem", [wishart(90, 45), wishart(230, 115)])
def test_an_unfinished_proof_returns_what_they_found(problem: Problem) -> None:
    seen: list[Walks] = []
    start = Walks.start

    def remember(self: Walks, evaluations: int) -> GoodStates:
        seen.append(self)
        return start(self, evaluations)

    with mock.patch.object(Walks, "start", remember):
        spectrum = solve(problem, num_states=30, time_limit=0.8, options={"threads": 1})
    assert spectrum.status is not Status.PROVEN
    states = seen[0].states()
    assert len(states) >= 30
    assert (spectrum.energies <= lowest(problem, states, 30)).all()
    spectrum.check(problem)


def test_a_tree_out_of_reach_leaves_more_time_to_them() -> None:
    """Half of 64 s brought 1,000 nodes: 10,000 are out of reach, 1,000 are not."""
    problem = wishart(30, 12)
    beside, clock = make(problem, 64.0)
    good = beside.start(1)
    states = good.states()
    tables = make_tables(problem, 40, 512, lambda: False)
    job = Job(problem, 5, 40, 512, tables.block_of)
    known = Standing(np.inf, np.inf, -np.inf, 0, 5)
    at_once = SearchAtOnce(
        job,
        tables,
        1,
        good,
        beside,
        problem.energies(states),
        pack(states[-1:])[0],
        clock,
        known,
    )
    at_once._workspaces[0].nodes[0] = 1000
    for now, size, expected in ((30.0, 1e4, True), (40.0, 1e3, True), (61.0, 1e3, False)):
        clock.now = now
        with (
            mock.patch.object(search_at_once, "tree_size", return_value=size),
            mock.patch.object(Walks, "catch_up", return_value=True),
        ):
            at_once._catch_up()
        assert beside.unfinishable is expected  # it is not asked again at 40
    # Its states lower the cut.
    assert at_once._shared.threshold[0] == problem.energies(states)[4]
    # The sample of the tree takes but a moment, and what is not done by then is too large.
    clock.now = 20.0

    def look(*arguments: object) -> float:
        clock.now += 3.0
        return 1.0

    with mock.patch.object(search_at_once, "tree_size", look):
        assert not at_once._may_be_finished()
