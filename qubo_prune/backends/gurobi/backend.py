"""Gurobi: the commercial mixed-integer solver, with its solution pool for the K lowest states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import Availability, Backend, Capability, RawResult
from qubo_prune.backends.common.preparation import load_energies
from qubo_prune.backends.gurobi.licence import gurobi_availability
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count
from qubo_prune.search.threads import num_threads

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

FORMULATIONS = ("native", "qubo")


@dataclass(frozen=True)
class Gurobi(Backend):
    """The K lowest states from Gurobi's solution pool (``PoolSearchMode=2``), with one linear
    equality for each group and an inequality for a budget.

    The gap is set to 0 and the tolerances to their minimum, 1e-9. What Gurobi proves is proven in
    floating point: states count as proven only if they lie below its bound by more than the
    tolerances can account for. States nearer to each other than that are ties to Gurobi. Where the
    K-th state ties with others, a larger pool is asked for, twice as large each time, until it
    holds them all.

    Parameters
    ----------
    threads : int, optional
        Number of threads; all available cores by default.
    max_ties : int
        How many states beyond the K-th are collected at most to settle a tie at the end of the
        list. With more, the tied ones stay unproven, and which of them are listed depends on the
        number of threads.
    formulation : str
        ``native``, or ``qubo`` to give Gurobi the penalty form that samplers get, for comparison:
        without any constraint. Infeasible states then take places in the pool, and the numbers are
        larger, and the margin with them.
    penalty : float or sequence of float, optional
        Of ``formulation="qubo"``, one for all groups or one for each; `safe_penalty` by default.
        What is proven holds with any.

    Notes
    -----
    Products of variables are not linearised (``PreQLinearize=0``): the auxiliary variables of
    Gurobi's default make its pool search many times slower once few states are left, up to never
    ending on nine blocks.
    """

    threads: int | None = None
    max_ties: int = 10_000
    formulation: str = "native"
    penalty: ArrayLike | None = None

    name: ClassVar[str] = "gurobi"
    summary: ClassVar[str] = "Gurobi's solution pool, with the counts as constraints"
    capabilities: ClassVar[Capability] = (
        Capability.EXACT
        | Capability.PROVES
        | Capability.WARM_START
        | Capability.SEEDED
        | Capability.NATIVE_CONSTRAINT
        | Capability.LIMITED
        | Capability.BUDGET
    )

    def __post_init__(self) -> None:
        num_threads(self.threads)
        as_count(self.max_ties, "max_ties", least=1)
        if self.formulation not in FORMULATIONS:
            raise InputError(
                f"formulation must be one of {', '.join(FORMULATIONS)}, not"
                f" {format_value(self.formulation)}."
            )
        if self.penalty is not None and self.formulation != "qubo":
            raise InputError(
                f"penalty goes with formulation='qubo', not {self.formulation!r}; leave one of them"
                " out."
            )
        if self.formulation == "qubo":
            self.__dict__["capabilities"] = type(self).capabilities & ~Capability.BUDGET

    @classmethod
    def availability(cls) -> Availability:
        """Say whether gurobipy is installed and which licence it would use, without asking a
        licence server.
        """
        return gurobi_availability()

    def prepare(self) -> None:
        """Import gurobipy and load the kernel that computes energies."""
        import gurobipy  # noqa: F401

        load_energies()

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Find and prove the `num_states` lowest states; see `Backend.run`."""
        from qubo_prune.backends.gurobi.search import search

        return search(
            problem,
            num_states,
            stop,
            seed,
            warm_start,
            threads=num_threads(self.threads),
            max_ties=self.max_ties,
            penalised=self.formulation == "qubo",
            penalty=self.penalty,
        )
