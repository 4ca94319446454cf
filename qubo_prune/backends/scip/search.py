"""The SCIP model of a problem, and its run."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyscipopt
from numpy.typing import NDArray

from qubo_prune.backends.base import RawResult
from qubo_prune.backends.common.phases import Phases
from qubo_prune.backends.common.tolerances import (
    TIED,
    budget_row,
    energy_margin,
    proven_result,
    scale_of,
)
from qubo_prune.backends.scip.collector import Collector, LowestStates, NodeCounter
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.problem.reduced import ReducedProblem
from qubo_prune.core.stopping import Standing, Stop
from qubo_prune.search.threads import run_workers

_TOLERANCE = 1e-7
"""Tighter ones would have to be tightened below what SCIP's LP solver can do, which complains about
it on stderr.
"""

_LOG = logging.getLogger("qubo_prune.scip")

_LAST = -9_999_999
"""Priority of a constraint handler that comes after all others."""

_MAX_SEED = 2**31
_FIRST_SLICE = 0.5


def search(
    problem: Problem,
    num_states: int,
    max_ties: int,
    stop: Stop,
    seed: int,
    warm_start: NDArray[np.bool_] | None,
) -> RawResult:
    """Collect and prove the `num_states` lowest states."""
    clock = Phases("preparation", "search")
    reduced = problem.reduced()
    n = len(reduced.variables)
    scale = scale_of(reduced.matrix)
    margin = energy_margin(problem, reduced, reduced.matrix, _TOLERANCE, n * (n + 1) // 2)
    lowest = LowestStates(reduced, scale, num_states, max_ties, margin / scale)
    if warm_start is not None:
        for state in warm_start[:, reduced.variables]:
            lowest.add(state)
    model = pyscipopt.Model()
    model.hideOutput()
    variables = _build(model, reduced, scale, stop)
    counter = NodeCounter()
    status, bound = "not started", -np.inf
    clock.begin("search")
    if not stop.should_stop():
        collector = Collector(variables, lowest)
        model.includeConshdlr(
            collector,
            "qubo_prune",
            "takes down solutions and rejects them",
            chckpriority=_LAST,
            enfopriority=_LAST,
            eagerfreq=-1,
            needscons=False,
        )
        model.includeEventhdlr(counter, "qubo_prune_nodes", "counts nodes")
        collector.lower_limit()
        _set_parameters(model, stop, seed)

        def standing() -> Standing:
            found = lowest.objectives()
            figures = [found.min(initial=np.inf), lowest.limit, counter.bound]
            best, last, bound = (np.array(figures) * scale + reduced.offset).tolist()
            proven = min(num_states, int(np.count_nonzero(found < counter.bound)))
            return Standing(best, last, bound, proven, num_states)

        with _own_log(model) as say:
            started = _run(model, counter, stop, say, standing)
        if collector.error is not None:
            raise collector.error
        if started:  # before that, SCIP has no figures, and asking for them is a crash
            status = model.getStatus()
            counter.nodes = int(model.getNTotalNodes())
            stop.should_stop(counter.nodes)
            # Every solution was rejected, so SCIP finds the problem infeasible in the end.
            bound = lowest.limit
            if status not in ("infeasible", "optimal"):
                dual = float(model.getDualbound())
                bound = min(bound, dual if abs(dual) < model.infinity() else dual * np.inf)
    return proven_result(
        problem,
        reduced.expand(lowest.states()),
        bound * scale + reduced.offset,
        margin,
        num_evaluated=counter.nodes,
        native_status=f"{status}, {counter.nodes} nodes" + (f", {TIED}" if lowest.tied else ""),
        timings=clock.timings(),
        proof={
            "solver": f"SCIP {model.version()}",
            "nodes": counter.nodes,
            "margin": margin,
        },
    )


def _build(model: pyscipopt.Model, reduced: ReducedProblem, scale: float, stop: Stop) -> list[Any]:
    """Write the problem down and return the variables of its blocks; leaves off where `stop` says
    so.
    """
    matrix = reduced.matrix / scale
    n = len(matrix)
    y = [model.addVar(vtype="B", obj=float(matrix[i, i])) for i in range(n)]
    members = [np.flatnonzero(reduced.group_of == g).tolist() for g in range(reduced.num_groups)]
    for group, count in zip(members, reduced.counts.tolist(), strict=True):
        model.addCons(pyscipopt.quicksum(y[i] for i in group) == count)
    row = budget_row(reduced, _TOLERANCE)
    if row is not None:
        weights = zip(row.coefficients.tolist(), y, strict=True)
        model.addCons(pyscipopt.quicksum(w * each for w, each in weights) >= row.at_least)
    products: dict[tuple[int, int], Any] = {}
    for i in range(n):
        stop.report(0, None, "writing down the products")
        if stop.should_stop():
            return y
        for j in range(i):
            coefficient = 2.0 * float(matrix[i, j])
            w = model.addVar(ub=1.0, obj=coefficient)
            products[i, j] = products[j, i] = w
            if coefficient > 0:
                model.addCons(w >= y[i] + y[j] - 1)
            elif coefficient < 0:
                model.addCons(w <= y[i])
                model.addCons(w <= y[j])
    for i in range(n):
        if stop.should_stop():
            return y
        for group, count in zip(members, reduced.counts.tolist(), strict=True):
            others = [j for j in group if j != i]
            left = count - (len(others) < len(group))
            model.addCons(pyscipopt.quicksum(products[i, j] for j in others) == left * y[i])
    return y


def _set_parameters(model: pyscipopt.Model, stop: Stop, seed: int) -> None:
    parameters: dict[str, Any] = {
        "limits/gap": 0.0,
        "limits/absgap": 0.0,
        "numerics/feastol": _TOLERANCE,
        "numerics/dualfeastol": _TOLERANCE,
        "randomization/randomseedshift": seed % _MAX_SEED,
        # What drops solutions that are no better than others, or like others, would drop states.
        "misc/allowstrongdualreds": False,
        "misc/allowweakdualreds": False,
        "misc/usesymmetry": 0,
        "presolving/maxrestarts": 0,
        "misc/catchctrlc": False,
    }
    # The formulation is as tight as presolving and cuts would make it; without them it is several
    # times faster.
    model.setPresolve(pyscipopt.SCIP_PARAMSETTING.OFF)
    model.setSeparating(pyscipopt.SCIP_PARAMSETTING.OFF)
    if stop.max_evaluations is not None:
        parameters["limits/totalnodes"] = stop.max_evaluations
    model.setParams(parameters)


def _run(
    model: pyscipopt.Model,
    counter: NodeCounter,
    stop: Stop,
    say: Callable[[], None],
    standing: Callable[[], Standing],
) -> bool:
    """Solve in another thread, so that this one can watch the limits and Ctrl-C; return whether it
    came to that.

    SCIP looks whether it is interrupted between relaxations only, and one may take minutes; but it
    hands a time limit down to its LP solver. So it is given a little time, then as much again, and
    so on: it stops after at most twice the time it was to stop at.
    """
    elapsed = 0.0
    started = ended = False

    def work(_: int) -> None:
        nonlocal elapsed, started
        while not (ended or stop.should_stop(counter.nodes)):
            # A little longer than our own limit, so that it is our clock that has run out in any
            # case.
            elapsed += min(max(_FIRST_SLICE, elapsed), stop.remaining + 0.01)
            model.setParam("limits/time", elapsed)
            started = True
            model.optimizeNogil()
            if model.getStatus() != "timelimit":
                return

    def poll() -> None:
        if stop.should_stop(counter.nodes):
            abort()
        say()
        stop.report(counter.nodes, message="proving", standing=standing)

    def abort() -> None:
        nonlocal ended
        ended = True
        model.interruptSolve()

    run_workers(work, 1, poll, abort)
    return started


@contextmanager
def _own_log(model: pyscipopt.Model) -> Iterator[Callable[[], None]]:
    """Let SCIP write its log into a file, of which the function that is handed out logs what is
    new; does nothing unless somebody listens.
    """
    if not _LOG.isEnabledFor(logging.DEBUG):
        yield lambda: None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scip.log")
        model.setLogfile(str(path))
        with path.open() as log:

            def say() -> None:
                for line in log:
                    if line.strip():
                        _LOG.debug("%s", line.rstrip())

            try:
                yield say
            finally:
                model.setLogfile(None)
                say()
