"""The Gurobi model of a problem, and its runs with larger and larger pools."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import gurobipy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import RawResult
from qubo_prune.backends.common.tolerances import (
    TIED,
    budget_row,
    energy_margin,
    proven_result,
    scale_of,
)
from qubo_prune.backends.gurobi.licence import FREE_LICENCE_VARIABLES
from qubo_prune.core.errors import BackendError, BackendUnavailableError, InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.problem.reduced import ReducedProblem
from qubo_prune.core.stopping import Standing, Stop
from qubo_prune.encodings.penalty import penalty_facts, penalty_qubo
from qubo_prune.encodings.weights import safe_penalty
from qubo_prune.search.threads import run_workers

_TOLERANCE = 1e-9
"""Gurobi's tightest tolerances, absolute, for an objective whose entries are of order 1."""

_LOG = logging.getLogger("qubo_prune.gurobi")
_SIZE_LIMIT_EXCEEDED = 10010
_MAX_SEED = 2_000_000_000
_INFINITE = 1e100
_TRUSTED = ("OPTIMAL", "TIME_LIMIT", "INTERRUPTED")
"""Ends of a run whose bound holds."""


def search(
    problem: Problem,
    num_states: int,
    stop: Stop,
    seed: int,
    warm_start: NDArray[np.bool_] | None,
    *,
    threads: int,
    max_ties: int,
    penalised: bool,
    penalty: ArrayLike | None,
) -> RawResult:
    """Find and prove the `num_states` lowest states; the options are those of `Gurobi`, whose
    formulation ``qubo`` is `penalised`.
    """
    reduced = problem.reduced()
    form = _make_form(problem, reduced, num_states, penalised, penalty)
    margin = energy_margin(problem, reduced, form.matrix, _TOLERANCE, len(form.matrix))
    most = min(num_states + max_ties, form.num_solutions)
    size = min(num_states + 1, most)
    states = np.zeros((0, problem.num_blocks), np.bool_)
    if warm_start is not None:
        states = warm_start[np.argsort(problem.energies(warm_start), kind="stable")]
    with _environment() as env:
        _check_size(env, len(reduced.variables))
        pool = _PoolSearch(env, problem, reduced, form, threads, seed)
        with pool.model:
            while True:
                found, bound = pool.run(size, states[:size], stop)
                states = np.unique(np.concatenate([found, states]), axis=0)
                states = states[np.argsort(problem.energies(states), kind="stable")]
                result = proven_result(
                    problem,
                    states,
                    bound,
                    margin,
                    num_evaluated=pool.nodes,
                    native_status=f"{pool.status}, {pool.nodes} nodes, pool of {size}",
                    proof={
                        "solver": pool.solver,
                        "nodes": pool.nodes,
                        "margin": margin,
                        "pool": size,
                    },
                    statistics=pool.statistics(),
                )
                # Where few states reach a budget, the list ends before it is full.
                settled = result.num_complete >= num_states or result.lower_bound == np.inf
                if settled or pool.status != "OPTIMAL":
                    return result
                if size == most:
                    return replace(result, native_status=f"{result.native_status}, {TIED}")
                size = min(2 * size, most)


class _Form(NamedTuple):
    """An objective ``offset + y'Qy``, how many solutions it has, and the penalties in it; None if
    the counts are constraints.
    """

    matrix: NDArray[np.float64]
    offset: float
    num_solutions: int
    penalty: dict[str, float | int | str] | None


def _make_form(
    problem: Problem,
    reduced: ReducedProblem,
    num_states: int,
    penalised: bool,
    penalty: ArrayLike | None,
) -> _Form:
    """Return what Gurobi is given."""
    if not penalised:
        return _Form(reduced.matrix, reduced.offset, problem.num_states, None)
    penalties = safe_penalty(problem, num_states) if penalty is None else penalty
    qubo = penalty_qubo(problem, penalties)
    return _Form(qubo.matrix, qubo.offset, 2 ** len(qubo.matrix), penalty_facts(qubo.penalties))


class _PoolSearch:
    """A model and what its runs have cost so far."""

    def __init__(
        self,
        env: Any,
        problem: Problem,
        reduced: ReducedProblem,
        form: _Form,
        threads: int,
        seed: int,
    ) -> None:
        self.solver = "Gurobi " + ".".join(map(str, gurobipy.gurobi.version()))
        self.nodes = 0
        self._infeasible = 0
        self.status = "not started"
        self._problem = problem
        self._reduced = reduced
        status = gurobipy.GRB.Status
        self._names = {getattr(status, name): name for name in dir(status) if name.isupper()}
        self._figures = np.array([np.inf, -np.inf])
        self._penalty = form.penalty
        self._offset = form.offset
        self._scale = scale_of(form.matrix)
        self.model = gurobipy.Model(env=env)
        n = len(reduced.variables)
        self._x = list(self.model.addVars(n, vtype="B").values())
        # Term by term: gurobipy's matrix products would need scipy.
        rows, columns = np.tril_indices(n)
        values = np.where(rows == columns, 1.0, 2.0) * (form.matrix / self._scale)[rows, columns]
        used = np.flatnonzero(values)
        objective = gurobipy.QuadExpr()
        objective.addTerms(
            values[used].tolist(),
            [self._x[i] for i in rows[used].tolist()],
            [self._x[i] for i in columns[used].tolist()],
        )
        self.model.setObjective(objective)
        counts = reduced.counts.tolist() if form.penalty is None else []
        for group, count in enumerate(counts):
            members = np.flatnonzero(reduced.group_of == group).tolist()
            self.model.addConstr(gurobipy.quicksum(self._x[i] for i in members) == count)
        row = budget_row(reduced, _TOLERANCE)
        if row is not None:
            weight = gurobipy.LinExpr(row.coefficients.tolist(), self._x)
            self.model.addConstr(weight >= row.at_least)
        parameters = {
            "PoolSearchMode": 2,
            "MIPGap": 0.0,
            "MIPGapAbs": 0.0,
            "FeasibilityTol": _TOLERANCE,
            "IntFeasTol": _TOLERANCE,
            "OptimalityTol": _TOLERANCE,
            "PreQLinearize": 0,
            "Threads": threads,
            "Seed": seed % _MAX_SEED,
        }
        if _LOG.isEnabledFor(logging.DEBUG):
            # What Gurobi says comes by the callback, and nothing of it to stdout.
            parameters |= {"LogToConsole": 0, "OutputFlag": 1}
        for name, value in parameters.items():
            self.model.setParam(name, value)

    def run(
        self, size: int, starts: NDArray[np.bool_], stop: Stop
    ) -> tuple[NDArray[np.bool_], float]:
        """Look for the `size` lowest states; return those found and a bound on the energies of all
        others.
        """
        model = self.model
        self.status = "not started"
        if stop.should_stop(self.nodes):
            return self._states(), -np.inf
        model.setParam("PoolSolutions", size)
        if np.isfinite(stop.remaining):
            # A little longer than ours, so that it is our clock that has run out in any case.
            model.setParam("TimeLimit", stop.remaining + 0.01)
        model.NumStart = len(starts)
        model.update()
        for number, state in enumerate(starts):
            model.setParam("StartNumber", number)
            model.setAttr("Start", self._x, state[self._reduced.variables].astype(float).tolist())
        before = self.nodes
        ended = False

        def abort() -> None:
            nonlocal ended
            ended = True
            model.terminate()

        def watch(_model: Any, where: int) -> None:
            if ended:  # before Gurobi had started, it did not hear of it
                model.terminate()
            self._listen(where, before)

        def poll() -> None:
            _keep_ctrl_c()
            if stop.should_stop(self.nodes):
                abort()
            stop.report(self.nodes, message="proving", standing=standing)

        def standing() -> Standing:
            best, bound = (self._figures * self._scale + self._offset).tolist()
            return Standing(best, np.inf, bound, None, size)

        run_workers(lambda _: model.optimize(watch), 1, poll, abort)
        self.nodes = max(self.nodes, before + int(model.NodeCount))
        self.status = self._names.get(model.Status, str(model.Status))
        if self.status == "INTERRUPTED" and stop.reason is None:
            stop.cancel()  # by Gurobi's own handler of Ctrl-C
        stop.should_stop(self.nodes)
        if self.status in {"INFEASIBLE", "INF_OR_UNBD", "UNBOUNDED"}:
            raise BackendError(
                f"Gurobi says {self.status} of a problem with {self._problem.num_states} feasible"
                " states."
            )
        return self._states(), self._bound(size)

    def statistics(self) -> dict[str, float | int | str]:
        """Return what is worth telling of the penalty form, or of a budget; nothing otherwise."""
        if self._penalty is None:
            return {"infeasible_in_pool": self._infeasible} if self._infeasible else {}
        return {"formulation": "qubo", **self._penalty, "infeasible_in_pool": self._infeasible}

    def _listen(self, where: int, before: int) -> None:
        """Take down, in a callback, what Gurobi has found, `before` nodes after the first start."""
        about = gurobipy.GRB.Callback
        if where == about.MIP:
            self.nodes = max(self.nodes, before + int(self.model.cbGet(about.MIP_NODCNT)))
            figures = [self.model.cbGet(about.MIP_OBJBST), self.model.cbGet(about.MIP_OBJBND)]
            known = np.abs(figures) < _INFINITE
            self._figures = np.where(known, figures, [np.inf, -np.inf])
        elif where == about.MESSAGE:
            line = self.model.cbGet(about.MSG_STRING).rstrip()
            if line:
                _LOG.debug("%s", line)

    def _states(self) -> NDArray[np.bool_]:
        """Return the pool, distinct and feasible."""
        found = np.zeros((0, len(self._x)), np.bool_)
        if self.status != "not started" and self.model.SolCount:
            rows = []
            for number in range(self.model.SolCount):
                self.model.setParam("SolutionNumber", number)
                rows.append(self.model.getAttr("PoolNX", self._x))
            found = np.array(rows) > 0.5
        states = np.unique(self._reduced.expand(found), axis=0)
        feasible = self._problem.is_feasible(states)
        self._infeasible = int(np.count_nonzero(~feasible))
        return states[feasible]

    def _bound(self, size: int) -> float:
        """Return Gurobi's bound on the energy of the states that are not in its pool."""
        if self.status not in _TRUSTED:
            return -np.inf
        if self.status == "OPTIMAL" and self.model.SolCount < size:
            return np.inf  # there are no others, though PoolObjBound may not say so
        bound = float(self.model.PoolObjBound)
        if self.model.SolCount >= size:  # what did not fit was dropped
            self.model.setParam("SolutionNumber", self.model.SolCount - 1)
            bound = min(bound, float(self.model.PoolNObjVal))
        if abs(bound) >= _INFINITE:
            return bound * np.inf
        return bound * self._scale + self._offset


@contextmanager
def _environment() -> Iterator[Any]:
    try:
        env = gurobipy.Env(params={"OutputFlag": 0})  # or the licence is announced on stdout
    except gurobipy.GurobiError as error:
        raise BackendUnavailableError(
            f"backend 'gurobi' cannot run here: Gurobi refuses its licence ({error})."
        ) from error
    with env:
        yield env


def _check_size(env: Any, num_variables: int) -> None:
    """Refuse a problem too large for the licence; asked of Gurobi itself, with an empty problem of
    that size.
    """
    if num_variables <= FREE_LICENCE_VARIABLES:
        return
    with gurobipy.Model(env=env) as model:
        x = model.addVars(num_variables, vtype="B")
        model.setObjective(x[0] * x[1])
        try:
            model.optimize()
        except gurobipy.GurobiError as error:
            if error.errno != _SIZE_LIMIT_EXCEEDED:
                raise
            raise InputError(
                f"Gurobi's size-limited licence takes at most {FREE_LICENCE_VARIABLES} blocks to"
                f" choose from, not {num_variables}; keep or force more of them, restrict them with"
                " only, or install a full licence."
            ) from error


def _keep_ctrl_c() -> None:
    """Put Python's handler of Ctrl-C back: Gurobi installs its own when it starts, which prints and
    does not tell us.
    """
    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGINT)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
