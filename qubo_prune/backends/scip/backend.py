"""SCIP: an open exact solver, made to collect the K lowest states in one search tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Availability, Backend, Capability, RawResult
from qubo_prune.backends.common.libraries import library_availability
from qubo_prune.backends.common.preparation import load_energies
from qubo_prune.core.errors import InputError
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

MAX_BLOCKS = 500
"""Blocks to choose from up to which the product of every pair can be a variable."""


@dataclass(frozen=True)
class Scip(Backend):
    """The K lowest states by SCIP, in one search.

    The products of variables are linearised, ``w_ij = y_i y_j``, with the McCormick inequalities
    that the sign of Q_ij asks for and the group equalities multiplied by each variable (Adams and
    Sherali 1986). A constraint handler takes down every solution that SCIP finds and rejects it, so
    that the search goes on below the K-th energy so far until nothing is left; it runs on one
    thread.

    What SCIP proves is proven in floating point: states count as proven only if they lie below its
    bound by more than its tolerances can account for.

    Parameters
    ----------
    max_ties : int
        How many states beyond the K-th are collected at most to settle a tie at the end of the
        list. With more, the tied ones stay unproven.
    """

    max_ties: int = 10_000

    name: ClassVar[str] = "scip"
    summary: ClassVar[str] = "SCIP, open source, collecting the K lowest states in one search"
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
        as_count(self.max_ties, "max_ties", least=1)

    @classmethod
    def availability(cls) -> Availability:
        """Say whether pyscipopt, which brings SCIP, is installed."""
        return library_availability("pyscipopt", "pyscipopt", "scip")

    def prepare(self) -> None:
        """Import pyscipopt and load the kernel that computes energies."""
        import pyscipopt  # noqa: F401

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
        from qubo_prune.backends.scip.search import search

        num_free = sum(len(group.indices) for group in problem.groups)
        if num_free > MAX_BLOCKS:
            raise InputError(
                f"backend 'scip' takes at most {MAX_BLOCKS} blocks to choose from, not {num_free},"
                " since the product of every pair becomes a variable; keep or force more of them,"
                " or restrict them with only."
            )
        return search(problem, num_states, self.max_ties, stop, seed, warm_start)
