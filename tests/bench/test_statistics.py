"""What figures of many runs say."""

from __future__ import annotations

import numpy as np
import pytest

from qubo_prune import Problem, solve
from qubo_prune.bench import recall, shifted_geometric_mean


def test_tiny_times_do_not_dominate_a_mean() -> None:
    assert shifted_geometric_mean([2.5]) == pytest.approx(2.5)
    assert shifted_geometric_mean([1e-9, 3.0]) == pytest.approx(1.0)
    assert shifted_geometric_mean([1.0, 8.0], shift=0.0) == pytest.approx(8**0.5)


def test_recall_takes_a_tie_for_the_state_it_ties_with() -> None:
    problem = Problem(np.eye(6), 2)
    reference = solve(problem, num_states=3)
    others = solve(problem, num_states=10)[5:8]
    assert recall(others, reference, 3) == 1.0
    lowest = solve(Problem(np.diag(np.arange(6.0)), 2), num_states=9)
    assert recall(lowest[:2], lowest, 4) == 0.5
    assert recall(lowest[2:], lowest, 4) == pytest.approx(0.5)
