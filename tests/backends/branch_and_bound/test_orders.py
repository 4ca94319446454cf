"""The order of branching: what it is, how two of them are compared, and that it decides nothing
about the answer.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import Problem, Status, Stop, solve
from qubo_prune.backends.branch_and_bound import orders, race, search
from qubo_prune.backends.branch_and_bound.arrays import make_tables
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables
from qubo_prune.backends.branch_and_bound.orders import (
    by_decisiveness,
    by_diagonal,
    first_order,
)
from qubo_prune.search.kernels.pool import pack
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import problems, symmetric


def graph(n: int, remove: int, seed: int = 0, loop: float = 0.125) -> Problem:
    """The densest subgraph of a random graph: integers, and a diagonal of 0 but for the last vertex,
    so that it has an order, which says nothing; with no loop the diagonal has none.
    """
    edges = np.tril(np.random.default_rng(seed).random((n, n)) < 0.4, -1).astype(float)
    edges[-1, -1] = -loop
    return Problem(-symmetric(edges), remove)


def tables_and_cut(problem: Problem) -> tuple[Tables, race.Cut]:
    """Tables of the first order, and the cut of a search for the lowest state: the second one."""
    best = solve(problem, num_states=2).states[1:]
    cut = race.Cut(problem.energies(best), pack(best)[0])
    return make_tables(problem, 40, 512, lambda: False), cut


def estimates(switches: bool) -> mock.Mock:
    """Estimates of the order at hand and of the other one."""
    return mock.Mock(side_effect=[1e9, 1.0 if switches else 1e9] * 3)


@settings(max_examples=60)
@given(
    problem=problems(),
    num_states=st.integers(1, 300),
    threads=st.integers(1, 3),
    switches=st.booleans(),
)
def test_a_race_changes_no_state(
    problem: Problem, num_states: int, threads: int, switches: bool
) -> None:
    expected = brute_force(problem)
    with (
        mock.patch.object(race, "RACE_AFTER", 0.01),
        mock.patch.object(search, "_FIRST_BUDGET", 2),
        mock.patch.object(search, "_LOWEST_FIRST_AFTER", 0),
        mock.patch.object(race, "tree_size", estimates(switches)),
    ):
        spectrum = solve(problem, num_states=num_states, options={"threads": threads})
    assert ranked(spectrum) == expected[:num_states]
    assert spectrum.status is Status.PROVEN


def test_a_hard_graph_is_decided_in_the_better_order() -> None:
    problem = graph(48, 24)
    nodes = {}
    for race_after in (0.25, np.inf):
        with (
            mock.patch.object(race, "RACE_AFTER", race_after),
            mock.patch.object(race, "_WORTH", 0),
        ):
            spectrum = solve(problem, num_states=5, options={"threads": 1})
        assert spectrum.proof is not None
        nodes[spectrum.proof["order"]] = spectrum.num_evaluated
    assert nodes["decisive"] < 0.8 * nodes["diagonal"]


def test_a_stop_during_the_race_keeps_what_was_found() -> None:
    problem = graph(48, 24)
    tables, cut = tables_and_cut(problem)
    stop = Stop()
    stop.cancel()
    assert race.tree_size(tables, cut, stop.should_stop, 32) > 0
    with mock.patch.object(race, "tree_size", estimates(switches=True)):
        assert race.Race(problem, tables).winner(cut, stop, 1) is None
    with mock.patch.object(race, "tree_size", estimates(switches=True)):
        assert race.Race(problem, tables).winner(cut, Stop(), 1) is not None


def test_a_better_cut_is_looked_at_again() -> None:
    problem = graph(48, 24)
    tables, cut = tables_and_cut(problem)
    lower = cut._replace(energy=cut.energy - 1.0)
    told = []

    def better(expected: float) -> race.Cut:
        told.append(expected)
        return lower

    contest = race.Race(problem, tables)
    with mock.patch.object(race, "tree_size", mock.Mock(side_effect=[1e9, 2e4, 1e3])) as size:
        assert contest.winner(cut, Stop(), 1, better) is not None
    assert told == [1e9]
    assert [call.args[1] for call in size.call_args_list] == [cut, lower, lower]
    assert contest.expected == 1e3


def test_orders_are_compared_twice_at_most() -> None:
    problem = graph(48, 24)
    tables, cut = tables_and_cut(problem)
    contest = race.Race(problem, tables)
    seen = []
    with mock.patch.object(race, "tree_size", estimates(switches=False)) as size:
        while contest.after < np.inf:
            seen.append(contest.after)
            assert contest.winner(cut, Stop(), int(contest.after)) is None
    assert seen == [48**2, 64 * 48**2]
    widths = [call.args[3] for call in size.call_args_list]
    assert widths == [32, 32, 256, 256]
    taken_up = race.Race(problem, tables)
    taken_up.skip(20 * 48**2)
    assert taken_up.after == seen[1]


def test_a_small_tree_is_not_worth_the_other_tables() -> None:
    problem = graph(48, 24)
    tables, cut = tables_and_cut(problem)
    small = mock.Mock(return_value=3.9 * 48**2)
    with (
        mock.patch.object(race, "tree_size", small),
        mock.patch.object(race, "other_tables", side_effect=AssertionError),
    ):
        assert race.Race(problem, tables).winner(cut, Stop(), 48**2) is None


@pytest.mark.parametrize(("promised", "wins"), [(5.9e4, True), (6.1e4, False)])
def test_two_thirds_of_what_is_left_have_to_be_promised(promised: float, wins: bool) -> None:
    problem = graph(48, 24)
    tables, cut = tables_and_cut(problem)
    with mock.patch.object(race, "tree_size", mock.Mock(side_effect=[1e5, promised])):
        winner = race.Race(problem, tables).winner(cut, Stop(), 10_000)
    assert (winner is not None) == wins


def test_a_flat_diagonal_has_no_say() -> None:
    """A graph is decided by decisiveness from the start, and there is no race with the file's
    order, but an estimate.
    """
    problem = graph(48, 24, loop=0.0)
    tables, cut = tables_and_cut(problem)
    contest = race.Race(problem, tables)
    assert (contest.order, contest.other_order) == ("decisive", "diagonal")
    reduced = problem.reduced()
    shift = tables.shifts[0][np.argsort(tables.block_of)]
    assert tables.block_of.tolist() == by_decisiveness(reduced, shift).tolist()
    with mock.patch.object(race, "tree_size", estimates(switches=True)):
        assert contest.winner(cut, Stop(), 1) is None
    assert (contest.after, contest.expected) == (np.inf, 1e9)
    assert contest.other(lambda: False).block_of.tolist() == [*range(48)]
    numbers = np.diag([1.0] * 4 + [2.0] * 4) + 0.5
    groups = np.arange(8) // 4
    assert first_order(numbers, groups) == "decisive"
    assert first_order(numbers, groups % 1) == "diagonal"
    with mock.patch.object(orders, "_LARGEST", 7):
        assert first_order(numbers, groups) == "diagonal"


def test_little_is_left_of_a_small_tree() -> None:
    """Then the tables of the other order are not even made."""
    problem = graph(48, 24)
    tables, cut = tables_and_cut(problem)
    with (
        mock.patch.object(race, "tree_size", mock.Mock(return_value=14_000.0)),
        mock.patch.object(race, "other_tables", side_effect=AssertionError),
    ):
        assert race.Race(problem, tables).winner(cut, Stop(), 10_000) is None


def test_the_shift_of_the_root_does_not_depend_on_the_order() -> None:
    problem = graph(30, 12)
    tables = make_tables(problem, 40, 512, lambda: False)
    other = race.other_tables(problem, tables, lambda: False)
    by_block = [each.shifts[0][np.argsort(each.block_of)] for each in (tables, other)]
    assert by_block[0].tolist() == by_block[1].tolist()
    assert other.block_of.tolist() != tables.block_of.tolist()
    ones = np.ones((30, 30)) / 30
    for row, depth in enumerate(range(0, 30, other.stride)):
        free = 30 - depth
        p = np.eye(free) - ones[depth:, depth:] * 30 / free
        q = other.matrix[depth:, depth:] - np.diag(other.shifts[row, depth:])
        assert np.linalg.eigvalsh(p @ q @ p)[0] > -1e-12


def test_found_states_survive_a_change_of_order() -> None:
    """What the first order found is in the answer, also where the second one is stopped."""
    problem = graph(40, 20)
    with (
        mock.patch.object(race, "RACE_AFTER", 0.05),
        mock.patch.object(race, "tree_size", estimates(switches=True)),
    ):
        spectrum = solve(problem, num_states=2000, max_evaluations=1, options={"threads": 1})
    assert len(spectrum) == 2000
    spectrum.check(problem)


@pytest.mark.parametrize("seed", range(3))
def test_an_estimate_without_sampling_is_the_number_of_nodes(seed: int) -> None:
    problem = graph(26, 9, seed)
    tables, cut = tables_and_cut(problem)
    halt = np.zeros(1, np.bool_)
    exact = race._tree_size(tables, cut, halt, 10_000)
    with mock.patch.object(race, "RACE_AFTER", np.inf):
        spectrum = solve(problem, num_states=1, options={"threads": 1})
    # Up to the steps that the search takes at the root, from where its nodes go on.
    assert exact == pytest.approx(spectrum.num_evaluated, rel=0.1)
    sampled = []
    for stream in range(200):
        with mock.patch.object(race, "_SEED", stream):
            sampled.append(race._tree_size(tables, cut, halt, 12))
    # More than enough is not counted to the end.
    assert exact / 3 < race._tree_size(tables, cut, halt, 10_000, exact / 3) < exact
    error = np.std(sampled) / np.sqrt(len(sampled))
    assert abs(np.mean(sampled) - exact) < 4 * error + 1e-9 * exact


def test_decisiveness_is_what_its_formula_says() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(12, 12))
    problem = Problem(symmetric(np.tril(a)), {"a": 2, "b": 4}, kinds=["a", "b", "b"] * 4)
    reduced = problem.reduced()
    shift = rng.normal(size=12)
    q, group = reduced.matrix, reduced.group_of
    same = (group[:, None] == group).astype(float)
    p = np.eye(12) - same / same.sum(axis=1)
    x = np.where(group == 0, 2 / 4, 4 / 8)
    rates = np.diagonal(q) + 2 * (q - np.diag(np.diagonal(q))) @ x
    scores = np.empty(12)
    for j in range(12):
        ranked_rates = np.sort(rates[group == group[j]])
        r = reduced.counts[group[j]]
        cut = (ranked_rates[r - 1] + ranked_rates[r]) / 2
        scores[j] = abs(rates[j] - cut) + 2 * ((p @ q @ p)[j, j] - shift[j])
    assert by_decisiveness(reduced, shift).tolist() == np.argsort(-scores).tolist()


def test_a_group_with_one_choice_is_decided_as_a_whole() -> None:
    a = np.random.default_rng(1).normal(size=(20, 20))
    kinds = ["a", "b", "c", "d"] * 5
    problem = Problem(symmetric(np.tril(a)), {"a": 1, "b": 4, "c": 2, "d": 1}, kinds=kinds)
    reduced = problem.reduced()
    order = by_decisiveness(reduced, np.zeros(20))
    assert sorted(order) == [*range(20)]
    spread = {
        kind: np.ptp([at for at, block in enumerate(order) if kinds[block] == kind])
        for kind in "abcd"
    }
    assert spread["a"] == spread["b"] == spread["d"] == 4
    assert spread["c"] > 4


def test_ties_are_decided_in_the_order_of_the_file() -> None:
    reduced = Problem(np.ones((6, 6)), 3).reduced()
    assert by_diagonal(reduced).tolist() == [*range(6)]
    assert by_decisiveness(reduced, np.zeros(6)).tolist() == [*range(6)]
