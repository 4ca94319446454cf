"""Keep the K lowest solutions of a SCIP search, and let it go on until no other can be as low."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
import pyscipopt
from numpy.typing import NDArray

from qubo_prune.core.problem.reduced import ReducedProblem


class LowestStates:
    """The K lowest states met, and up to which objective others are still wanted.

    Parameters
    ----------
    reduced : ReducedProblem
        What is solved.
    scale : float
        What the objective is divided by.
    num_states : int
        K.
    max_ties : int
        How many more states within the margin of the K-th are kept.
    margin : float
        What may lie between two objectives that count as equal.

    Attributes
    ----------
    limit : float
        Objective up to which all states are wanted; only falls.
    tied : bool
        Whether more states tie with the K-th than are to be kept.
    """

    def __init__(
        self,
        reduced: ReducedProblem,
        scale: float,
        num_states: int,
        max_ties: int,
        margin: float,
    ) -> None:
        self.limit = np.inf
        self.tied = False
        self._matrix = reduced.matrix / scale
        self._group_of = reduced.group_of
        self._counts = reduced.counts
        self._budget = reduced.budget
        self._num_states = num_states
        self._most = num_states + max_ties
        self._margin = margin
        self._found: dict[bytes, float] = {}
        self._lowest: list[
            float
        ] = []  # the K lowest objectives, negated: a heap with the K-th on top

    def add(self, y: NDArray[np.bool_]) -> None:
        """Take a state of the free variables; one that is not feasible is left out."""
        key = y.tobytes()
        counts = np.bincount(self._group_of[y], minlength=len(self._counts))
        if key in self._found or (counts != self._counts).any():
            return
        if self._budget is not None and not self._budget.allows(y[None])[0]:
            return
        objective = float(y @ self._matrix @ y)
        if objective > self.limit:
            return
        self._found[key] = objective
        if len(self._lowest) < self._num_states:
            heapq.heappush(self._lowest, -objective)
        else:
            heapq.heappushpop(self._lowest, -objective)
        if len(self._lowest) == self._num_states:
            # The bound that SCIP then proves is the limit less the margin, which is still above the
            # K-th.
            self.limit = min(self.limit, 2.0 * self._margin - self._lowest[0])
            self._forget()

    def _forget(self) -> None:
        """Drop what lies above the limit; where too many states tie with the K-th, look for no more
        of these.
        """
        if len(self._found) <= self._most:
            return
        last = -self._lowest[0]
        self._found = {key: e for key, e in self._found.items() if e <= max(self.limit, last)}
        self.tied = len(self._found) > self._most
        if self.tied:
            self.limit = min(self.limit, last - 2.0 * self._margin)

    def objectives(self) -> NDArray[np.float64]:
        """Return the objectives of the states kept, which another thread may ask for."""
        return np.array([*self._found.values()], dtype=np.float64)

    def states(self) -> NDArray[np.bool_]:
        """Return the states kept, shape (K', n)."""
        rows = [np.frombuffer(key, np.bool_) for key in self._found]
        return np.array(rows).reshape(len(rows), len(self._matrix))


class Collector(pyscipopt.Conshdlr):  # type: ignore[misc]
    """A constraint that every solution violates, once it has been taken down.

    It comes after all other constraints. Where the relaxation has a solution that satisfies these,
    the subtree is split, until each solution has a node of its own.
    """

    def __init__(self, variables: list[Any], lowest: LowestStates) -> None:
        self.error: BaseException | None = None
        self._variables = variables
        self._lowest = lowest
        self._limit = np.inf

    def take(self, solution: Any) -> None:
        """Take down a solution (None: that of the relaxation), and lower the limit of the search
        accordingly.
        """
        values = [self.model.getSolVal(solution, variable) for variable in self._variables]
        self._lowest.add(np.array(values) > 0.5)
        self.lower_limit()

    def lower_limit(self) -> None:
        """Tell SCIP the objective limit."""
        if self._lowest.limit < self._limit:
            self._limit = self._lowest.limit
            self.model.setObjlimit(self._limit)

    def conscheck(
        self,
        _constraints: Any,
        solution: Any,
        _integrality: Any,
        _rows: Any,
        _reason: Any,
        _completely: Any,
    ) -> dict[str, Any]:
        """Reject a solution that SCIP has found."""
        self._guarded(lambda: self.take(solution))
        return {"result": pyscipopt.SCIP_RESULT.INFEASIBLE}

    def consenfolp(self, *_arguments: Any) -> dict[str, Any]:
        """Reject the solution of a relaxation."""
        return {"result": self._guarded(self._split) or pyscipopt.SCIP_RESULT.INFEASIBLE}

    def consenfops(self, *_arguments: Any) -> dict[str, Any]:
        """Reject a solution where no relaxation was solved."""
        return {"result": self._guarded(self._split) or pyscipopt.SCIP_RESULT.INFEASIBLE}

    def conslock(self, _constraint: Any, locktype: Any, positive: int, negative: int) -> None:
        """Say that moving any variable either way may violate this constraint, so that presolving
        fixes none for its objective.
        """
        both = positive + negative
        for variable in self._variables:
            self.model.addVarLocksType(variable, locktype, both, both)

    def _split(self) -> Any:
        self.take(None)
        candidates, *_ = self.model.getPseudoBranchCands()
        if not candidates:
            return pyscipopt.SCIP_RESULT.CUTOFF
        # The side on which the block stays has another solution, the side on which it goes fewer.
        removed = (each for each in candidates if self.model.getSolVal(None, each) > 0.5)
        self.model.branchVar(next(removed, candidates[0]))
        return pyscipopt.SCIP_RESULT.BRANCHED

    def _guarded(self, action: Callable[[], Any]) -> Any:
        """Run an action; an exception would be printed and lost in SCIP."""
        try:
            return action()
        except BaseException as error:  # noqa: BLE001 - raised again by the search
            self.error = self.error or error
            self.model.interruptSolve()
            return None


class NodeCounter(pyscipopt.Eventhdlr):  # type: ignore[misc]
    """Counts nodes, and takes down the bound, where another thread may read them."""

    def __init__(self) -> None:
        self.nodes = 0
        self.bound = -np.inf

    def eventinit(self) -> None:
        """Ask for an event after each node."""
        self.model.catchEvent(pyscipopt.SCIP_EVENTTYPE.NODESOLVED, self)

    def eventexec(self, _event: Any) -> None:
        """Read SCIP's own count."""
        self.nodes = int(self.model.getNTotalNodes())
        bound = float(self.model.getDualbound())
        self.bound = bound if abs(bound) < self.model.infinity() else -np.inf
