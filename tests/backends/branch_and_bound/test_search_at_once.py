"""A search that is stopped, or takes long: the lowest states come first, walks go on, and what is
put off is not lost.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import Problem, Status, Stop, solve
from qubo_prune.backends.branch_and_bound import race, search, search_at_once
from qubo_prune.backends.branch_and_bound.arrays import energy_quantum, next_energy
from qubo_prune.backends.branch_and_bound.kernels.tables import Shared, Tables
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.search.starting_states import GoodStates
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import problems, symmetric


def graph(n: int, remove: int, seed: int = 0) -> Problem:
    """The densest subgraph of a random graph: few different energies."""
    edges = np.tril(np.random.default_rng(seed).random((n, n)) < 0.4, -1).astype(float)
    return Problem(-symmetric(edges), remove)


def wishart(n: int, remove: int, seed: int = 0) -> Problem:
    """A problem without ties, whose bounds leave a gap."""
    a = np.random.default_rng(seed).normal(size=(n, n))
    return Problem(a.T @ a / n, remove)


@settings(max_examples=60)
@given(
    problem=problems(),
    num_states=st.integers(1, 300),
    threads=st.integers(1, 3),
    bundle=st.integers(1, 8),
    room=st.sampled_from([0, 100, 1 << 30]),
)
def test_what_is_put_off_is_not_lost(
    problem: Problem, num_states: int, threads: int, bundle: int, room: int
) -> None:
    """Tiny bundles, tiny turns, little memory, and a pause after every turn."""
    with (
        mock.patch.object(search, "_BUNDLE", bundle),
        mock.patch.object(search, "_MOST_BYTES", room),
        mock.patch.object(search, "_FIRST_BUDGET", 2),
        mock.patch.object(search_at_once, "_WALK_AFTER", 1),
        mock.patch.object(race, "RACE_AFTER", 0.1),
    ):
        spectrum = solve(problem, num_states=num_states, options={"threads": threads})
    assert ranked(spectrum) == brute_force(problem)[:num_states]
    assert spectrum.status is Status.PROVEN


@settings(max_examples=60)
@given(
    problem=problems(),
    num_states=st.integers(1, 60),
    evaluations=st.integers(1, 40),
    bundle=st.integers(1, 8),
)
def test_a_stopped_search_claims_no_more_than_it_knows(
    problem: Problem, num_states: int, evaluations: int, bundle: int
) -> None:
    expected = brute_force(problem)
    with (
        mock.patch.object(search, "_BUNDLE", bundle),
        mock.patch.object(search, "_FIRST_BUDGET", 2),
        mock.patch.object(search, "_LOWEST_FIRST_AFTER", 0),
        mock.patch.object(search_at_once, "_WALK_AFTER", 1),
        mock.patch("qubo_prune.search.threads._POLL_SECONDS", 1e-4),
    ):
        spectrum = solve(
            problem, num_states=num_states, max_evaluations=evaluations, options={"threads": 1}
        )
    proven = spectrum.num_proven
    assert ranked(spectrum)[:proven] == expected[:proven]
    assert spectrum.lower_bound is not None
    others = [energy for energy, _ in expected[proven:]]
    assert all(energy >= spectrum.lower_bound for energy in others)


def stopped(problem: Problem, num_states: int, nodes: int) -> Spectrum:
    return solve(problem, num_states=num_states, max_evaluations=nodes, options={"threads": 1})


@pytest.mark.parametrize("problem", [graph(56, 22), wishart(50, 18)])
def test_the_lowest_states_are_proven_first(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search for many states proves the first ones after not much more than a search for one of
    them takes; one that goes for all at once has none of them by then.
    """
    monkeypatch.setattr(race, "RACE_AFTER", np.inf)
    monkeypatch.setattr(search, "_LOWEST_FIRST_AFTER", 0)
    alone = solve(problem, num_states=1, options={"threads": 1})
    whole = solve(problem, num_states=300, options={"threads": 1})
    nodes = 3 * alone.num_evaluated
    assert whole.num_evaluated > nodes
    with mock.patch("qubo_prune.search.threads._POLL_SECONDS", 1e-3):
        assert stopped(problem, 300, nodes).num_proven >= 1
        with mock.patch.object(search.Frontier, "_next_level", return_value=np.inf):
            assert stopped(problem, 300, nodes).num_proven == 0
    # Nothing is visited twice for it.
    with mock.patch.object(search.Frontier, "_next_level", return_value=np.inf):
        plain = solve(problem, num_states=300, options={"threads": 1})
    assert whole.num_evaluated < 1.1 * plain.num_evaluated


def test_ties_of_the_next_state_are_not_looked_for() -> None:
    """Of the state after the last one only the energy is wanted; a search that knows the others
    below it drops nodes a quantum earlier.
    """
    problem = graph(44, 11)
    found = solve(problem, num_states=60, options={"threads": 1})
    gaps = np.flatnonzero(np.diff(found.energies)) + 1
    assert len(gaps)
    for count in map(int, gaps):
        alone = solve(problem, num_states=count, options={"threads": 1})
        with mock.patch.object(
            search_at_once, "Shared", lambda last, _, stop: Shared(last, np.empty(0), stop)
        ):
            whole = solve(problem, num_states=count, options={"threads": 1})
        for each in (alone, whole):
            assert (each.states == found.states[:count]).all()
            assert each.status is Status.PROVEN
            assert not each.ties_truncated
            assert each.lower_bound == found.energies[count]
        assert alone.num_evaluated < 0.9 * whole.num_evaluated


def test_finer_tables_of_a_long_tree_are_given_up_when_time_is_up() -> None:
    """They are made early, by the thread that otherwise looks at the clock."""
    stops = []

    def made(tables: Tables, _problem: Problem, _cut: race.Cut, should_stop: Any) -> Tables:
        stops.append(should_stop())
        should_stop.__self__.cancel()
        stops.append(should_stop())
        return tables

    with (
        mock.patch.object(race, "RACE_AFTER", 0.01),
        mock.patch.object(search_at_once, "is_long", return_value=True),
        mock.patch.object(search_at_once, "refined", made),
    ):
        spectrum = solve(wishart(50, 18), num_states=1, options={"threads": 1})
    assert stops == [False, True]
    assert spectrum.status is not Status.PROVEN


def test_memory_for_nodes_put_off_is_limited() -> None:
    problem = wishart(40, 16)
    limit = 20_000
    largest = 0
    add = search.Frontier._add

    def watch(self: search.Frontier, *args: object, **kwargs: object) -> None:
        nonlocal largest
        add(self, *args, **kwargs)  # type: ignore[arg-type]
        largest = max(largest, self._bytes)

    with (
        mock.patch.object(search, "_MOST_BYTES", limit),
        mock.patch.object(search, "_BUNDLE", 8),
        mock.patch.object(search.Frontier, "_add", watch),
    ):
        spectrum = solve(problem, num_states=500, options={"threads": 1})
    assert spectrum.status is Status.PROVEN
    # A turn begun below the limit may add a bundle and the nodes along one path.
    assert largest <= limit + (2 * 8 + 2 * 40 + 2) * 40 * 9 + 1000


@given(
    count=st.integers(-(10**6), 10**6),
    part=st.floats(-0.999, 0.0),
    quantum=st.sampled_from([1.0, 2.0, 0.5, 3.0, 7.0, 3 * 2.0**-40]),
)
def test_the_next_energy_is_a_multiple_and_not_too_high(
    count: int, part: float, quantum: float
) -> None:
    bound = (count + part) * quantum
    found = next_energy(bound, quantum)
    exact = -(-Fraction(bound) // Fraction(quantum))  # the lowest multiple at or above it
    assert Fraction(found) == exact * Fraction(quantum)
    assert next_energy(bound, 0.0) == bound
    assert next_energy(-np.inf, quantum) == -np.inf


@given(
    count=st.integers(-(10**12), 10**12),
    part=st.floats(-0.999, 0.0),
    tenths=st.integers(1, 40),
    decimals=st.sampled_from([10.0, 100.0, 1e6]),
)
def test_the_next_decimal_energy_is_not_too_high(
    count: int, part: float, tenths: int, decimals: float
) -> None:
    quantum = tenths / decimals
    bound = (count + part) * quantum
    found = next_energy(bound, quantum, decimals)
    exact = -(-Fraction(bound) // Fraction(tenths, int(decimals))) * tenths
    assert found <= float(Fraction(exact, int(decimals)))
    assert found >= bound - 1e-9 * abs(bound) - quantum * 1e-6


def test_a_partial_bound_of_a_graph_is_an_energy() -> None:
    problem = graph(60, 20)
    with mock.patch("qubo_prune.search.threads._POLL_SECONDS", 1e-3):
        spectrum = stopped(problem, 100, 1)
    assert spectrum.status is Status.PARTIAL
    assert spectrum.lower_bound is not None
    assert energy_quantum(problem) == 2.0
    assert spectrum.lower_bound % 2.0 == 0.0


def test_walks_go_on_and_find_more() -> None:
    problem = wishart(60, 25)
    good = GoodStates(problem, 200, 3, Stop())
    assert not good.walk_on(10**9)  # before the first round there is nothing to go on from
    good.walk()
    first = problem.energies(good.states())
    assert not good.walk_on(10)  # no round fits
    assert not good.walk_on(10**12, -1.0)
    while good.walk_on(10**8):
        pass
    then = problem.energies(good.states())
    assert (then <= first).all()
    assert (then < first).any()
    assert then.tolist() == sorted(then)
    again = GoodStates(problem, 200, 3, Stop(), threads=2)
    again.walk()
    again.walk_on(10**8)
    assert (again.states() == good.states()).all()


def test_walks_end_when_nothing_is_left_or_they_have_to() -> None:
    problem = wishart(6, 2)
    good = GoodStates(problem, 100, 0, Stop())
    assert good.walk()
    assert not good.walk_on(10**12)
    assert len(good.states()) == problem.num_states
    stop = Stop()
    stop.cancel()
    one = GoodStates(problem, 3, 0, stop)
    one.walk()
    assert not one.walk_on(10**12)
    assert len(one.states()) >= 1


def test_better_states_lower_the_cut_of_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad start costs time; walks that go on find what it missed."""
    problem = graph(50, 20)
    monkeypatch.setattr("qubo_prune.search.tabu_walks.default_steps", lambda _n: 1)
    monkeypatch.setattr(search_at_once, "_WALK_AFTER", 100)
    nodes = []
    for evaluations in (0.0, 1e3):
        monkeypatch.setattr(search_at_once, "_EVALUATIONS", evaluations)
        spectrum = solve(problem, num_states=50, options={"threads": 1})
        nodes.append((spectrum.num_evaluated, spectrum.energies.tolist()))
    assert nodes[0][1] == nodes[1][1]
    assert nodes[1][0] <= nodes[0][0]


def test_a_long_tree_is_worth_better_states_before_orders_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = graph(50, 20)
    monkeypatch.setattr("qubo_prune.search.tabu_walks.default_steps", lambda _n: 1)
    monkeypatch.setattr(search_at_once, "_WALK_AFTER", np.inf)
    monkeypatch.setattr(search_at_once, "_EVALUATIONS", 1e-6)
    monkeypatch.setattr(search_at_once, "MORE_WALKS", 10**9)
    monkeypatch.setattr(race, "RACE_AFTER", 0.05)
    nodes = []
    for long in (False, True):
        monkeypatch.setattr(search_at_once, "is_long", lambda _n, _expected, long=long: long)
        spectrum = solve(problem, num_states=50, options={"threads": 1})
        nodes.append((spectrum.num_evaluated, spectrum.energies.tolist()))
    assert nodes[0][1] == nodes[1][1]
    assert nodes[1][0] < nodes[0][0]


def test_a_limited_search_returns_what_a_tabu_would_find() -> None:
    """The walks go on before shifts that take all the time."""
    problem = wishart(400, 200)
    stopped_early = solve(problem, num_states=5, time_limit=4.0, options={"threads": 1})
    once = GoodStates(problem, 5, 0, Stop())
    once.walk()
    assert stopped_early.energies[0] <= problem.energies(once.states())[0]
    assert stopped_early.timings["warm_start"] < 2.5


@pytest.mark.parametrize(("remove", "walks"), [(3, False), (37, False), (4, True)])
def test_no_walks_where_all_states_are_looked_at_anyway(remove: int, walks: bool) -> None:
    problem = wishart(40, remove)
    with (
        mock.patch.object(search_at_once, "_WALK_AFTER", 1),
        mock.patch.object(search, "_FIRST_BUDGET", 2),
        mock.patch.object(GoodStates, "walk_on", return_value=False) as walk_on,
    ):
        spectrum = solve(problem, num_states=5, options={"threads": 1})
    assert spectrum.status is Status.PROVEN
    assert walk_on.called == walks
