"""What qubo-prune asks of a backend, and what this one is for."""

import pytest
from descent_backend import Descent

from qubo_prune import Problem, solve
from qubo_prune.testing import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check):
    check(Descent(starts=5))


def test_it_finds_the_ground_state():
    problem = Problem.load("bytelm-40-block", remove=8)
    exact = solve(problem, num_states=1)
    found = solve(problem, num_states=1, backend="descent")
    assert found.removed(0) == exact.removed(0)
