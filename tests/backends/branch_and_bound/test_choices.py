"""Many small choices: what is relaxed for them, when, and that it decides nothing about the
answer.
"""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem, Status, Stop, solve
from qubo_prune.backends.branch_and_bound import choices, search, search_at_once
from qubo_prune.backends.branch_and_bound.arrays import make_tables
from qubo_prune.backends.branch_and_bound.choices import (
    choice_tables,
    choices_after,
    relaxed_and_ordered,
)
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables
from qubo_prune.backends.branch_and_bound.race import Cut
from qubo_prune.search.kernels.pool import pack
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import FAMILIES, SEEDS, random_hessian


def never() -> bool:
    return False


def choice_problem(matrix: NDArray[Any], sizes: list[int], counts: list[int]) -> Problem:
    """One group after the other, their members in turns."""
    kinds = [f"g{group}" for group, size in enumerate(sizes) for _ in range(size)]
    shuffled = np.random.default_rng(len(kinds)).permutation(kinds).tolist()
    return Problem(
        matrix, {f"g{group}": count for group, count in enumerate(counts)}, kinds=shuffled
    )


def colouring(num_vertices: int) -> Problem:
    """Vertices in three classes, so that distances within the classes are small, as in the cliques
    of QPLIB; blocks in any order.
    """
    place = np.repeat(np.arange(num_vertices), 3)
    colour = np.tile(np.arange(3), num_vertices)
    order = np.random.default_rng(0).permutation(len(place))
    place, colour = place[order], colour[order]
    matrix = np.abs(place[:, None] - place) * (colour[:, None] == colour)
    kinds = [f"v{vertex}" for vertex in place]
    return Problem(matrix.astype(float), dict.fromkeys(kinds, 1), kinds=kinds)


def tables_of(problem: Problem) -> Tables:
    return make_tables(problem, 40, 512, never)


@st.composite
def choice_problems(draw: st.DrawFn) -> Problem:
    """Up to six groups of one, or all but one, and some of others."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6).filter(lambda s: sum(s) < 15))
    counts = [
        draw(st.sampled_from(sorted({1, size - 1} | ({2} if size > 2 else set()))))
        for size in sizes
    ]
    rng = np.random.default_rng(draw(SEEDS))
    matrix = random_hessian(draw(st.sampled_from(FAMILIES)), sum(sizes), rng)
    return choice_problem(matrix, sizes, counts)


@settings(max_examples=20)
@given(problem=choice_problems(), num_states=st.integers(1, 200), threads=st.integers(1, 2))
def test_choices_change_no_state(problem: Problem, num_states: int, threads: int) -> None:
    with (
        mock.patch.object(search_at_once, "choices_after", return_value=0.0),
        mock.patch.object(choices, "_LITTLE", -math.inf),
        mock.patch.object(choices, "tree_size", return_value=0.0),
        mock.patch.object(search, "_FIRST_BUDGET", 2),
        mock.patch.object(search, "_LOWEST_FIRST_AFTER", 0),
    ):
        spectrum = solve(problem, num_states=num_states, options={"threads": threads})
    assert ranked(spectrum) == brute_force(problem)[:num_states]
    assert spectrum.status is Status.PROVEN


@settings(max_examples=20)
@given(problem=choice_problems())
def test_the_tables_are_those_of_the_problem_in_another_order(problem: Problem) -> None:
    if not problem.groups:
        return
    tables = tables_of(problem)
    chosen = relaxed_and_ordered(problem, tables, never)
    assert chosen is not None
    reduced = problem.reduced()
    order = np.searchsorted(reduced.variables, chosen.block_of)
    assert sorted(order.tolist()) == list(range(len(order)))
    np.testing.assert_array_equal(chosen.matrix, reduced.matrix[np.ix_(order, order)])
    np.testing.assert_array_equal(chosen.group_of, reduced.group_of[order])
    np.testing.assert_array_equal(chosen.block_of[chosen.by_block], reduced.variables)
    np.testing.assert_array_equal(
        chosen.outside == 0.0, np.eye(len(chosen.counts))[chosen.group_of].T
    )
    assert (chosen.relaxed <= chosen.matrix).all()
    np.testing.assert_array_equal(np.diagonal(chosen.relaxed), np.diagonal(chosen.matrix))
    assert chosen.epsilon >= tables.epsilon


def test_a_clique_is_proven_by_its_relaxed_entries() -> None:
    problem = colouring(18)
    runs = {}
    for after in (0.0, math.inf):
        with mock.patch.object(search_at_once, "choices_after", return_value=after):
            runs[after] = solve(problem, num_states=1, options={"threads": 1}, max_evaluations=3000)
    chosen, without = runs[0.0], runs[math.inf]
    # Three classes of six neighbours each: |i - j| over the ordered pairs of each.
    assert chosen.energies[0] == without.energies[0] == 3 * 2 * sum(k * (6 - k) for k in range(6))
    assert chosen.status is Status.PROVEN
    assert chosen.num_evaluated < 1000
    assert chosen.proof is not None
    assert chosen.proof["order"] == "decisive"
    assert 5 * chosen.num_evaluated < 4 * without.num_evaluated


@pytest.mark.parametrize(
    ("sizes", "counts", "many"),
    [
        ([3] * 5, [1] * 5, True),
        ([3] * 5, [2] * 5, True),
        ([3] * 4, [1] * 4, False),
        ([3] * 5 + [15], [1] * 5 + [4], False),
        ([3] * 5 + [14], [1] * 5 + [4], True),
        ([4] * 5, [2] * 5, False),
    ],
)
def test_what_counts_as_many_choices(sizes: list[int], counts: list[int], many: bool) -> None:
    tables = tables_of(choice_problem(np.eye(sum(sizes)), sizes, counts))
    assert math.isfinite(choices_after(tables)) == many


def test_nothing_is_made_where_little_is_left_or_time_is_up() -> None:
    problem = colouring(9)
    tables = tables_of(problem)
    best = solve(problem, num_states=2).states[1:]
    cut = Cut(problem.energies(best), pack(best)[0])
    assert choice_tables(problem, tables, cut, 10**9, never) is None
    stop = Stop()
    stop.cancel()
    assert choice_tables(problem, tables, cut, 0, stop.should_stop) is None
    assert relaxed_and_ordered(problem, tables, stop.should_stop) is None
    assert choice_tables(problem, tables, cut, 0, never) is not None
