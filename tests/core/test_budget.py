"""Budgets: what the removed blocks have to weigh, in exact arithmetic, and where it is refused."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune.backends.common.problem_bytes import decode_problem, encode_problem
from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.budget import make_budget
from qubo_prune.core.problem.problem import Problem
from qubo_prune.solving.proof.statement import Statement
from qubo_prune.solving.solve import solve

TENTHS = st.integers(0, 400).map(lambda tenths: tenths / 10)


@given(st.lists(TENTHS, min_size=1, max_size=7), st.data())
def test_a_state_reaches_a_budget_as_its_decimals_do(
    weights: list[float], data: st.DataObject
) -> None:
    wanted = data.draw(st.integers(0, round(10 * sum(weights)))) / 10
    budget = make_budget(wanted, weights, len(weights))
    assert budget is not None
    exact = [Fraction(str(weight)) for weight in weights]
    for bits in itertools.product([False, True], repeat=len(weights)):
        weight = sum(w for w, bit in zip(exact, bits, strict=True) if bit)
        assert budget.allows(np.array([bits]))[0] == (weight >= Fraction(str(wanted)))


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=6), st.floats(0, 1))
def test_whatever_is_allowed_reaches_the_budget_in_truth(weights: list[float], part: float) -> None:
    wanted = part * sum(weights)
    budget = make_budget(wanted, weights, len(weights))
    assert budget is not None
    assert budget.weights.sum() < 2**53
    for bits in itertools.product([False, True], repeat=len(weights)):
        if budget.allows(np.array([bits]))[0]:
            weight = sum((Fraction(repr(w)) for w, b in zip(weights, bits, strict=True) if b), 0)
            assert weight >= Fraction(repr(wanted))


def test_a_share_is_one_of_the_sum_of_all_weights() -> None:
    problem = Problem(np.eye(4), 2, parameter_counts=[10, 20, 30, 40], at_least="50%", keep=[3])
    assert problem.budget is not None
    assert problem.budget.at_least == 50
    assert problem.is_feasible([[0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1]]).tolist() == [
        *(True, False, False),
    ]


def test_what_is_left_of_a_budget_is_asked_of_the_free_blocks() -> None:
    problem = Problem(np.eye(5), 3, weights=[1, 2, 3, 4, 5], at_least=9, force=[4], keep=[0])
    reduced = problem.reduced()
    assert reduced.budget is not None
    assert (reduced.budget.weights.tolist(), reduced.budget.at_least) == ([2, 3, 4], 4)
    rows = np.array(list(itertools.product([0, 1], repeat=3)), np.bool_)
    rows = rows[rows.sum(axis=1) == 2]
    allowed = problem.is_feasible(reduced.expand(rows))
    assert (reduced.budget.allows(rows) == allowed).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at_least": 5}, "at_least=5 needs to know what each block weighs"),
        ({"weights": [1, 2, 3]}, "weights are given, but no at_least"),
        ({"weights": [1, 2], "at_least": 1}, "one entry per block, 3, not 2"),
        ({"weights": [1, -2, 3], "at_least": 1}, "must be at least 0, not -2"),
        ({"weights": [1, float("nan"), 3], "at_least": 1}, "an entry of weights must be"),
        ({"weights": [1, 2, 3], "at_least": -1}, "at_least must be at least 0, not -1"),
        ({"weights": [1, 2, 3], "at_least": "120%"}, "a share up to '100%', not '120%'"),
        (
            {"weights": [1, 2, 3], "at_least": 6},
            "at_least is 6, but the heaviest 2 blocks that may be removed weigh 5",
        ),
    ],
)
def test_budgets_that_mean_nothing_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Problem(np.eye(3), 2, **arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_another_count_is_checked_against_the_same_budget() -> None:
    problem = Problem(np.eye(3), 2, weights=[1, 2, 3], at_least=4)
    assert problem.with_remove(3).budget is problem.budget
    with pytest.raises(InputError, match="the heaviest 1 block that may be removed"):
        problem.with_remove(1)


def test_workers_and_certificates_are_told_the_budget() -> None:
    problem = Problem(np.eye(3), 2, weights=[0.1, 0.2, 0.3], at_least=0.4)
    there, _ = decode_problem(encode_problem(problem, {}))
    assert Statement.of(there) == Statement.of(problem)
    assert Statement.of(problem).at_least == 4
    assert Statement.of(problem).weights == (1, 2, 3)
    assert Statement.of(problem).differences(Statement.of(Problem(np.eye(3), 2))) == [
        *("weights", "at_least"),
    ]


def test_a_backend_that_sees_no_budget_is_not_asked() -> None:
    problem = Problem(np.eye(3), 2, weights=[1, 2, 3], at_least=4)
    with pytest.raises(InputError, match="backend 'qaoa' takes no budget"):
        solve(problem, backend="qaoa")
