"""The peers of an exact search: Gurobi's solution pool for K states, SCIP for one; both with the native constraint."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from qubo_prune import Problem


@dataclass(frozen=True)
class PeerResult:
    """How a peer ended: seconds, whether it proved its answer, and the energies it found (ascending, recomputed)."""

    seconds: float
    proven: bool
    energies: tuple[float, ...]


def _rescaled(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Objective matrix and linear term with entries of order 1: solvers work to absolute tolerances."""
    scale = 1.0 / max(np.abs(problem.hessian).max(), np.abs(problem.linear).max())
    return problem.hessian * scale, problem.linear * scale


def gurobi(problem: Problem, num_states: int, time_limit: float, threads: int) -> PeerResult:
    """Run PoolSearchMode=2 with MIPGap=0: the K best, proven. The free licence allows 200 variables."""
    import gurobipy

    hessian, linear = _rescaled(problem)
    with gurobipy.Env(params={"OutputFlag": 0}) as env, gurobipy.Model(env=env) as model:
        x = model.addMVar(problem.num_blocks, vtype="B")
        model.setObjective(x @ hessian @ x + linear @ x)
        for group in problem.groups:
            model.addConstr(x[group.indices.tolist()].sum() == group.count)
        for blocks, value in ((problem.fixed_removed, 1), (problem.fixed_kept, 0)):
            if len(blocks):
                model.addConstr(x[blocks.tolist()] == value)
        model.Params.PoolSearchMode = 2
        model.Params.PoolSolutions = num_states
        model.Params.MIPGap = 0
        model.Params.MIPGapAbs = 0
        model.Params.TimeLimit = time_limit
        model.Params.Threads = threads
        begin = time.perf_counter()
        model.optimize()
        seconds = time.perf_counter() - begin
        states = []
        for k in range(model.SolCount):
            model.Params.SolutionNumber = k
            states.append(np.asarray(x.Xn) > 0.5)
        proven = model.Status == gurobipy.GRB.OPTIMAL
    energies = problem.energies(np.array(states)) if states else np.zeros(0)
    return PeerResult(seconds, proven, tuple(np.sort(energies).tolist()))


def scip(problem: Problem, time_limit: float) -> PeerResult:
    """Minimise over an epigraph variable, as SCIP wants quadratic objectives; one state."""
    import pyscipopt

    hessian, linear = _rescaled(problem)
    model = pyscipopt.Model()
    model.hideOutput()
    n = problem.num_blocks
    x = [model.addVar(vtype="B") for _ in range(n)]
    objective = model.addVar(lb=None)
    quadratic = pyscipopt.quicksum(
        2.0 * hessian[i, j] * x[i] * x[j] for i in range(n) for j in range(i) if hessian[i, j]
    )
    own = pyscipopt.quicksum((hessian[i, i] + linear[i]) * x[i] for i in range(n))
    model.addCons(quadratic + own <= objective)
    for group in problem.groups:
        model.addCons(pyscipopt.quicksum(x[i] for i in group.indices.tolist()) == group.count)
    for i in problem.fixed_removed.tolist():
        model.addCons(x[i] == 1)
    for i in problem.fixed_kept.tolist():
        model.addCons(x[i] == 0)
    model.setObjective(objective)
    model.setParam("limits/time", time_limit)
    model.setParam("limits/gap", 0.0)
    begin = time.perf_counter()
    model.optimize()
    seconds = time.perf_counter() - begin
    proven = model.getStatus() == "optimal"
    if not model.getNSols():
        return PeerResult(seconds, proven, ())
    state = np.array([model.getVal(v) > 0.5 for v in x])
    return PeerResult(seconds, proven, tuple(problem.energies(state).tolist()))
