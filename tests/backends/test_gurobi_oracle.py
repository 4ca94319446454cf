"""An outside judge: Gurobi's solution pool finds the same lowest states as the default backend.

Gurobi shares no code, no formulation and no idea of a bound with branch and bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import Problem, Status, solve
from qubo_prune.testing.harness import ranked

gp = pytest.importorskip("gurobipy", reason="gurobipy is not installed")

SECONDS = 60.0
"""A safeguard only: every instance below takes Gurobi a few seconds at most."""


def _licensed() -> bool:
    try:
        with gp.Env(params={"OutputFlag": 0}):
            return True
    except gp.GurobiError:
        return False


pytestmark = pytest.mark.skipif(not _licensed(), reason="gurobipy has no licence")


def wishart(n: int, samples: int, seed: int) -> NDArray[np.float64]:
    a = np.random.default_rng(seed).normal(size=(samples, n))
    return a.T @ a / samples


def autoregressive(n: int, correlation: float, samples: int, seed: int) -> NDArray[np.float64]:
    """Neighbouring blocks alike, scales of the blocks unlike: a Hessian as real ones look."""
    rng = np.random.default_rng(seed)
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    root = np.linalg.cholesky(correlation**distance)
    a = rng.normal(size=(samples, n)) @ root.T * np.exp(0.7 * rng.normal(size=n))
    return a.T @ a / samples


def low_rank_plus_diagonal(n: int, rank: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(n, rank))
    return v @ v.T / rank + np.diag(rng.uniform(0.2, 3.0, n))


def cluster(n: int, density: float, seed: int) -> NDArray[np.float64]:
    """Minus the adjacency of a random graph: the densest subgraph on M vertices, with masses of
    ties.
    """
    edges = np.tril(np.random.default_rng(seed).random((n, n)) < density, -1).astype(float)
    return -(edges + edges.T)


def indefinite(n: int, seed: int) -> NDArray[np.float64]:
    a = np.random.default_rng(seed).normal(size=(n, n))
    return (a + a.T) / 2


def minus_diagonal(hessian: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Push most eigenvalues below zero without changing the couplings."""
    return hessian - np.diag(np.random.default_rng(seed).uniform(0.5, 2.5, len(hessian)))


def kinds(n: int, count: int) -> list[str]:
    return ["abc"[i % count] for i in range(n)]


def gradient(n: int) -> NDArray[np.float64]:
    return 1e-4 * np.random.default_rng(0).normal(size=n)


def block(remove: Any, **arguments: Any) -> Problem:
    return Problem.load("bytelm-40-block", remove, **arguments)


def branch(remove: Any, **arguments: Any) -> Problem:
    return Problem.load("bytelm-40-branch", remove, **arguments)


INSTANCES: dict[str, tuple[Callable[[], Problem], int]] = {
    "real blocks": (lambda: block(12), 20),
    "real blocks, gradient": (lambda: block(20, gradient=gradient(40), beta=1.0), 50),
    "real branches, M low": (lambda: branch(8), 50),
    "real branches, M high": (lambda: branch(72), 50),
    "real branches, keep and force": (
        lambda: branch(12, keep=[0, 1], force=[3, 10, 23]),
        20,
    ),
    "real branches, per kind": (lambda: branch({"attention": 5, "mlp": 3}), 30),
    "real branches, per kind, keep and force": (
        lambda: branch({"attention": 30, "mlp": 8}, keep=[0], force=[2, 3]),
        20,
    ),
    "real branches, one kind, gradient": (
        lambda: branch(15, only="mlp", gradient=gradient(80), beta=-1.0),
        30,
    ),
    "Wishart p=2N": (lambda: Problem(wishart(40, 80, 2), 6), 20),
    "Wishart p=2N, per kind": (
        lambda: Problem(wishart(32, 64, 11), {"a": 4, "b": 8}, kinds=kinds(32, 2)),
        40,
    ),
    "Wishart p=10N": (lambda: Problem(wishart(32, 320, 2), 24), 20),
    "Wishart, huge": (
        lambda: Problem(1e10 * wishart(28, 40, 9), 20, keep=[3], force=[5, 6]),
        20,
    ),
    "AR(1)": (lambda: Problem(autoregressive(64, 0.9, 640, 3), 10), 20),
    "AR(1), more samples": (lambda: Problem(autoregressive(50, 0.7, 250, 3), 15), 20),
    "low rank plus diagonal": (lambda: Problem(low_rank_plus_diagonal(48, 3, 4), 14), 30),
    "low rank plus diagonal, M high": (
        lambda: Problem(low_rank_plus_diagonal(60, 2, 4), 50),
        30,
    ),
    "k-cluster, sparse": (lambda: Problem(cluster(32, 0.2, 5), 6), 20),
    "k-cluster, dense": (lambda: Problem(cluster(26, 0.5, 5), 6), 30),
    "indefinite": (lambda: Problem(indefinite(26, 6), 9), 20),
    "indefinite, Wishart minus diagonal": (
        lambda: Problem(minus_diagonal(wishart(26, 104, 12), 12), 18),
        20,
    ),
    "indefinite, AR(1) minus diagonal": (
        lambda: Problem(minus_diagonal(autoregressive(36, 0.8, 144, 12), 12), 9),
        20,
    ),
    "indefinite, per kind and force": (
        lambda: Problem(
            minus_diagonal(autoregressive(40, 0.8, 160, 7), 7),
            {"a": 4, "b": 3},
            kinds=["abb"[i % 3] for i in range(40)],
            force=[0, 3],
        ),
        20,
    ),
}


@pytest.mark.parametrize("name", INSTANCES)
def test_agrees_with_the_solution_pool(name: str) -> None:
    make, num_states = INSTANCES[name]
    problem = make()
    assert 24 <= problem.num_blocks <= 80
    spectrum = solve(problem, num_states=num_states)
    judge = solve(problem, num_states=num_states, backend="gurobi", time_limit=SECONDS)
    assert spectrum.status is judge.status is Status.PROVEN, "choose what Gurobi finishes"
    assert ranked(judge) == ranked(spectrum)
    assert judge.ties_truncated == spectrum.ties_truncated
    # What Gurobi says about the states that it left out does not contradict the proof.
    assert spectrum.energies[-1] <= judge.lower_bound <= spectrum.lower_bound


def test_the_instances_cover_distinct_and_tied_spectra() -> None:
    truncated = [
        solve(make(), num_states=num_states).ties_truncated
        for make, num_states in INSTANCES.values()
    ]
    assert any(truncated)
    assert not all(truncated)
