"""An outside judge: Gurobi's solution pool finds the same lowest states as the default backend.

Gurobi shares no code, no formulation and no idea of a bound with this package. The objective goes in as ``x'Hx + l'x`` over all N binary
variables with one linear equality per group, and everything it returns is judged by `Problem.energies`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import Problem, Status, solve

gp = pytest.importorskip("gurobipy", reason="gurobipy is not installed")
pytest.importorskip("scipy", reason="gurobipy multiplies matrices with scipy")

TOLERANCE = 1e-9
"""Of the largest entry of the Hessian; far below the gaps that matter, far above float64 rounding."""

SECONDS = 60.0
"""A safeguard only: every instance below takes Gurobi a few seconds at most."""


def _licensed() -> bool:
    try:
        with _environment() as env, gp.Model(env=env) as model:
            x = model.addVar(vtype=gp.GRB.BINARY)
            model.setObjective(x * x)
            model.optimize()
            return bool(model.Status == gp.GRB.OPTIMAL)
    except gp.GurobiError:
        return False


def _environment() -> Any:
    env = gp.Env(empty=True)
    env.setParam("OutputFlag", 0)  # before the start, or the licence is announced
    env.start()
    return env


pytestmark = pytest.mark.skipif(not _licensed(), reason="gurobipy has no licence")


class Pool(NamedTuple):
    """What Gurobi found: distinct states by ascending energy, and its bound on all the others."""

    states: NDArray[np.bool_]
    energies: NDArray[np.float64]
    outside: float


def gurobi_pool(problem: Problem, num_states: int) -> Pool:
    """Return the `num_states` best solutions, proven by Gurobi to be the best."""
    # Gurobi's tolerances are absolute, so the entries must not be tiny.
    scale = float(np.abs(problem.hessian).max())
    with _environment() as env, gp.Model(env=env) as model:
        x = model.addMVar(problem.num_blocks, vtype=gp.GRB.BINARY)
        model.setObjective(x @ (problem.hessian / scale) @ x + (problem.linear / scale) @ x)
        for group in problem.groups:
            model.addConstr(x[group.indices].sum() == group.count)
        for blocks, value in ((problem.fixed_removed, 1.0), (problem.fixed_kept, 0.0)):
            if blocks.size:
                x[blocks].LB = value
                x[blocks].UB = value
        parameters = {
            "PoolSearchMode": 2,
            "PoolSolutions": num_states,
            "MIPGap": 0.0,
            "MIPGapAbs": 0.0,
            "FeasibilityTol": 1e-9,
            "IntFeasTol": 1e-9,
            "OptimalityTol": 1e-9,
            "Threads": 2,
            "TimeLimit": SECONDS,
        }
        for name, value in parameters.items():
            model.setParam(name, value)
        model.optimize()
        assert model.Status == gp.GRB.OPTIMAL, "choose an instance that Gurobi finishes"
        found = []
        for k in range(model.SolCount):
            model.setParam("SolutionNumber", k)
            values = np.asarray(x.PoolNX)
            assert np.abs(values - values.round()).max() <= 1e-6
            found.append(values > 0.5)
        outside = float(model.PoolObjBound) * scale
    states = np.array(found)
    assert problem.is_feasible(states).all()
    assert len(np.unique(states, axis=0)) == len(states)
    energies = problem.energies(states)
    order = np.argsort(energies, kind="stable")
    return Pool(states[order], energies[order], outside)


def as_set(states: NDArray[np.bool_]) -> set[tuple[int, ...]]:
    return {tuple(np.flatnonzero(state).tolist()) for state in states}


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
    """Minus the adjacency of a random graph: the densest subgraph on M vertices, with masses of ties."""
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
    assert spectrum.status is Status.PROVEN
    pool = gurobi_pool(problem, num_states)
    assert len(pool.energies) == len(spectrum) == num_states
    tolerance = TOLERANCE * float(np.abs(problem.hessian).max())
    np.testing.assert_allclose(spectrum.energies, pool.energies, rtol=0.0, atol=tolerance)
    # Which states these are is determined up to what ties with the cut; the order, where gaps are clear, by the energies.
    cut = spectrum.lower_bound - 2.0 * tolerance
    ours, theirs = spectrum.energies < cut, pool.energies < cut
    assert as_set(spectrum.states[ours]) == as_set(pool.states[theirs])
    assert spectrum.ties_truncated or ours.any()
    # What Gurobi says about the states that it left out does not contradict the proof, nor the other way round.
    assert pool.outside >= spectrum.energies[-1] - 1e-6 * abs(spectrum.energies[-1])
    assert spectrum.lower_bound >= pool.outside - 1e-6 * abs(pool.outside)


def test_the_instances_cover_distinct_and_tied_spectra() -> None:
    truncated = [
        solve(make(), num_states=num_states).ties_truncated
        for make, num_states in INSTANCES.values()
    ]
    assert any(truncated)
    assert not all(truncated)
