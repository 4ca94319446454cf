"""The conformance kit: what every backend must do, for the authors of backends.

`check_backend` runs every check that a backend's capabilities ask for. In a test suite, make each
check a test of its own::

    import pytest
    from qubo_prune.testing import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_conformance(check):
        check(MySolver())
"""

from __future__ import annotations

from qubo_prune.testing.conformance import CHECKS, check_backend, select_checks
from qubo_prune.testing.harness import Check, ConformanceError
from qubo_prune.testing.problems import brute_force, hard_problem

__all__ = [
    "CHECKS",
    "Check",
    "ConformanceError",
    "brute_force",
    "check_backend",
    "hard_problem",
    "select_checks",
]
