"""What may be left out between free variables: it never changes an answer, and makes trees smaller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem, Status, solve
from qubo_prune.backends.branch_and_bound import (
    arrays,
    coordinator,
    prove,
    race,
    refining,
    search,
    subtrees,
)
from qubo_prune.backends.branch_and_bound.arrays import (
    make_root,
    make_tables,
    make_workspace,
    without_products,
)
from qubo_prune.backends.branch_and_bound.kernels.explore import branch
from qubo_prune.backends.branch_and_bound.kernels.points import anchor, begin_node
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables, Workspace
from qubo_prune.backends.branch_and_bound.products import product_multipliers
from qubo_prune.backends.branch_and_bound.relaxation import diagonal_shifts
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import all_states, problems, symmetric


def never() -> bool:
    return False


def graph(n: int, remove: int | dict[str, int], **arguments: Any) -> Problem:
    """The densest subgraph of a random graph."""
    edges = np.tril(np.random.default_rng(n).random((n, n)) < 0.4, -1).astype(float)
    return Problem(-symmetric(edges), remove, **arguments)


def tables_of(problem: Problem) -> Tables:
    return without_products(make_tables(problem, 40, 512, never), problem, never)


@contextmanager
def from_the_root() -> Iterator[None]:
    """Let every search have relaxed entries from the root on."""

    def made(problem: Problem, *arguments: Any, **options: Any) -> Tables:
        return without_products(make_tables(problem, *arguments, **options), problem, never)

    with (
        mock.patch.object(prove, "make_tables", made),
        mock.patch.object(prove, "is_shallow", return_value=False),
    ):
        yield


@settings(max_examples=60)
@given(problem=problems(), questions=st.integers(0, 40))
def test_multipliers_are_not_negative(problem: Problem, questions: int) -> None:
    if not problem.groups:
        return
    reduced = problem.reduced()
    answers = iter([False] * questions)
    shifts = diagonal_shifts(reduced.matrix, reduced.group_of, len(reduced.matrix), never)[0]
    found = product_multipliers(
        reduced.matrix, reduced.group_of, reduced.counts, shifts, lambda: next(answers, True)
    )
    assert np.isfinite(found).all()
    assert (found >= 0.0).all()
    assert (found == found.T).all()
    assert not np.diagonal(found).any()
    assert (reduced.matrix - found <= reduced.matrix).all()


@settings(max_examples=80)
@given(problem=problems(), num_states=st.integers(1, 300), threads=st.integers(1, 2))
def test_relaxed_entries_change_no_state(problem: Problem, num_states: int, threads: int) -> None:
    expected = brute_force(problem)
    with from_the_root():
        spectrum = solve(problem, num_states=num_states, options={"threads": threads})
    assert ranked(spectrum) == expected[:num_states]
    assert spectrum.status is Status.PROVEN


@settings(max_examples=40)
@given(problem=problems(), max_nodes=st.integers(1, 8))
def test_no_state_lies_below_a_bound(problem: Problem, max_nodes: int) -> None:
    """In rational numbers, at the root and wherever a search is stopped."""
    if not problem.groups:
        return
    terms = np.array([[Fraction(v) for v in row] for row in problem.hessian.tolist()])
    linear = [Fraction(v) for v in problem.linear.tolist()]
    exact = []
    for state in all_states(problem):
        at = np.flatnonzero(state)
        exact.append(terms[np.ix_(at, at)].sum() + sum(linear[i] for i in at))
    with from_the_root():
        spectrum = solve(problem, num_states=1, max_evaluations=max_nodes, options={"threads": 1})
    assert spectrum.proof is not None
    if "root_bound" in spectrum.proof:
        root, epsilon = (Fraction(float(spectrum.proof[key])) for key in ("root_bound", "epsilon"))
        assert root - epsilon <= min(exact)
    if spectrum.status is not Status.PROVEN:
        listed = {tuple(state) for state in spectrum.states}
        others = [
            energy
            for state, energy in zip(all_states(problem), exact, strict=True)
            if tuple(state) not in listed
        ]
        if np.isfinite(spectrum.lower_bound):
            assert Fraction(float(spectrum.lower_bound)) <= min(others)


def expected_at(tables: Tables, work: Workspace, level: int) -> tuple[float, NDArray[np.float64]]:
    """Energy and fields of a node from their definition."""
    fixed, x = work.fixed[level] < 2, work.x[level]
    entries = np.where(fixed[:, None] | fixed, tables.matrix, tables.relaxed)
    return float(tables.offset + x @ entries @ x), 2.0 * entries @ x


@pytest.mark.parametrize("seed", range(4))
def test_what_is_decided_meets_others_with_its_own_entries(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = ["attention", "mlp"] * 10
    requests: list[tuple[Any, dict[str, Any]]] = [
        (7, {}),
        ({"attention": 3, "mlp": 4}, {"kinds": kinds}),
    ]
    remove, arguments = requests[seed % 2]
    tables = tables_of(graph(20, remove, **arguments))
    assert tables.is_relaxed
    assert (tables.relaxed <= tables.matrix).all()
    work = make_workspace(tables, 1, 20)
    root = make_root(tables)
    work.fixed[0], work.x[0] = root.fixed[0], root.x[0]
    anchor(tables, work, 0)
    assert begin_node(tables, work, 0)
    level = 0
    while work.first[level] < 18:
        branch(work, level, int(rng.random() < 0.4))
        level += 1
        # As by reduced costs, one that is not the next one is decided too.
        later = np.flatnonzero(work.fixed[level] == 2)[1:]
        if len(later) > 6:
            work.fixed[level, rng.choice(later)] = int(rng.random() < 0.3)
        if not begin_node(tables, work, level):
            break
        energy, fields = expected_at(tables, work, level)
        free = work.fixed[level] == 2
        np.testing.assert_allclose(work.energy[level], energy, rtol=0, atol=1e-12)
        np.testing.assert_allclose(work.fields[level, free], fields[free], rtol=0, atol=1e-12)
        anchor(tables, work, level)
        np.testing.assert_allclose(work.energy[level], energy, rtol=0, atol=1e-12)
        np.testing.assert_allclose(work.fields[level, free], fields[free], rtol=0, atol=1e-12)
    assert level > 2


def test_a_graph_needs_far_fewer_nodes() -> None:
    problem = graph(44, 11)
    with (  # in the order of the file, both times
        mock.patch.object(race, "RACE_AFTER", np.inf),
        mock.patch.object(arrays, "first_order", return_value="diagonal"),
    ):
        plain = solve(problem, num_states=1, options={"threads": 1})
        with from_the_root():
            relaxed = solve(problem, num_states=1, options={"threads": 1})
    assert plain.energies[0] == relaxed.energies[0]
    assert relaxed.num_evaluated < 0.4 * plain.num_evaluated
    assert plain.proof is not None
    assert relaxed.proof is not None
    lowest = float(plain.energies[0])
    assert float(plain.proof["root_bound"]) < float(relaxed.proof["root_bound"]) <= lowest


@pytest.mark.parametrize("pays", [True, False])
def test_they_are_used_where_a_sample_says_that_they_pay(pays: bool) -> None:
    problem = graph(30, 10)
    tables = make_tables(problem, 40, 512, never)
    cut = race.Cut(np.full(1, np.inf), tables.base_word)
    estimates = [6e4, 1e6, 5e5 if pays else 9e5]  # the first one is off
    with mock.patch.object(refining, "tree_size", side_effect=estimates) as size:
        found = refining.refined(tables, problem, cut, never)
    assert [call.args[3] for call in size.call_args_list] == [64, 128, 128]
    assert found.is_relaxed == pays
    assert found.stride <= tables.stride
    assert found.epsilon >= tables.epsilon
    assert refining.refined(tables, problem, cut, lambda: True) is tables
    with (
        mock.patch.object(refining, "tree_size", return_value=23 * 30**2),
        mock.patch.object(refining, "without_products", side_effect=AssertionError),
    ):
        assert not refining.refined(tables, problem, cut, never).is_relaxed


@pytest.mark.parametrize("options", [{}, {"checkpoint": "proof.checkpoint"}])
def test_a_search_goes_on_with_them(options: dict[str, str], tmp_path: Any) -> None:
    problem = graph(40, 10)
    expected = solve(problem, num_states=20, options={"threads": 1})
    given_options = {name: str(tmp_path / value) for name, value in options.items()}
    with (
        mock.patch.object(search, "REFINE_AFTER", 0),
        mock.patch.object(coordinator, "REFINE_AFTER", 0),
        mock.patch.object(coordinator, "_FIRST_SECONDS", 0.0),
        mock.patch.object(subtrees, "_BUDGET", 20),
        mock.patch.object(refining, "without_products", wraps=without_products) as made,
        mock.patch.object(search, "_FIRST_BUDGET", 20),
        mock.patch.object(search, "_LOWEST_FIRST_AFTER", 0),
        mock.patch.object(refining, "_WORTH", 0),
        mock.patch.object(refining, "_MARGIN", 1e-9),
    ):
        found = solve(problem, num_states=20, options={"threads": 1, **given_options})
    assert made.call_count == 1
    assert (found.states == expected.states).all()
    assert found.status is Status.PROVEN
    assert (found.energies == expected.energies).all()
    if not options:  # tasks begin anew at each node
        assert found.num_evaluated < expected.num_evaluated


def test_the_race_compares_like_with_like() -> None:
    problem = graph(30, 10)
    with (
        mock.patch.object(arrays, "first_order", return_value="diagonal"),
        mock.patch.object(race, "first_order", return_value="diagonal"),
        mock.patch.object(race, "tree_size", side_effect=[1e9, 1.0]) as size,
    ):
        tables = make_tables(problem, 40, 512, never)
        cut = race.Cut(np.full(1, np.inf), tables.base_word)
        contest = race.Race(problem, tables)
        contest.at_hand = tables_of(problem)
        winner = contest.winner(cut, mock.Mock(should_stop=never), 1)
    assert winner is not None
    assert winner.is_relaxed
    assert size.call_args_list[0].args[0] is contest.at_hand
