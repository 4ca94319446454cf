"""Runs of local quantum annealing in the place of a sampler: many starts at once, one level after
the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.lqa.kernels.product_state import descend_angles
from qubo_prune.backends.lqa.levels import Levels
from qubo_prune.core.problem.problem import Problem
from qubo_prune.encodings.penalty import to_ising
from qubo_prune.search.threads import num_threads, run_workers


class Descent(Protocol):
    """The fields of `LocalQuantumAnnealing` that runs need, which documents them."""

    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def step_size(self) -> float: ...  # noqa: D102
    @property
    def momentum(self) -> float: ...  # noqa: D102
    @property
    def gamma(self) -> float: ...  # noqa: D102
    @property
    def spread(self) -> float: ...  # noqa: D102
    @property
    def levels(self) -> int: ...  # noqa: D102
    @property
    def threads(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Glass:
    """An Ising model in units of its own, and which of its states count.

    Attributes
    ----------
    fields : (n,) float64
        h.
    couplings : (n, n) float64
        J, symmetric with a zero diagonal.
    group_of : (n,) int64
        Group of each spin.
    counts : (num_groups,) int64
        How many spins of each group are up.
    """

    fields: NDArray[np.float64]
    couplings: NDArray[np.float64]
    group_of: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, problem: Problem, penalties: NDArray[np.float64]) -> Glass:
        """Return the penalty form, scaled so that the fields that random spins feel are 1, root
        mean square: one step size suits all.
        """
        ising = to_ising(problem, penalties)
        fields, couplings = ising.h, ising.couplings + ising.couplings.T
        for norm in (_largest, _typical):  # the first, so that no square overflows or vanishes
            scale = norm(fields, couplings) or 1.0
            fields, couplings = fields / scale, couplings / scale
        reduced = problem.reduced()
        return cls(fields, np.ascontiguousarray(couplings), reduced.group_of, reduced.counts)

    def energies(self, up: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the energies of spins (B, n), in an order of additions of their own."""
        spins = np.where(up, 1.0, -1.0)
        local = self.fields + 0.5 * np.einsum("bj,ji->bi", spins, self.couplings)
        return np.asarray((local * spins).sum(axis=1))

    def is_feasible(self, up: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of the spins (B, n) have the right counts."""
        right = np.ones(len(up), np.bool_)
        for group, count in enumerate(self.counts):
            right &= up[:, self.group_of == group].sum(axis=1) == count
        return right


def _largest(fields: NDArray[np.float64], couplings: NDArray[np.float64]) -> float:
    return float(max(np.abs(fields).max(), np.abs(couplings).max()))


def _typical(fields: NDArray[np.float64], couplings: NDArray[np.float64]) -> float:
    return float(np.sqrt((fields**2 + (couplings**2).sum(axis=1)).mean()))


class Annealer:
    """Local quantum annealing as a sampler of one run, whose calls take turns with the levels.

    Parameters
    ----------
    descent : LocalQuantumAnnealing
        Its options.
    """

    def __init__(self, descent: Descent) -> None:
        self._descent = descent
        self._levels: Levels | None = None
        self.num_lifted = 0

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What may be passed to `sample`."""
        return {"num_reads": [], "seed": [], "num_states": [], "interrupt_function": []}

    def sample(self, glass: Glass, /, **parameters: Any) -> NDArray[np.float64]:
        """Return spins of shape (num_reads, n); where it is interrupted, as they are by then."""
        if self._levels is None:
            self._levels = Levels(self._descent.levels, parameters["num_states"])
        level, steepness = self._levels.aim()
        random = np.random.default_rng(parameters["seed"])
        spread = self._descent.spread
        weights = random.uniform(-spread, spread, (parameters["num_reads"], len(glass.fields)))
        self._descend(glass, weights, level, steepness, parameters["interrupt_function"])
        up = weights > 0.0
        self._levels.learn(glass.energies(up), up, glass.is_feasible(up))
        self.num_lifted += len(up) if np.isfinite(level) else 0
        return np.where(up, 1.0, -1.0)

    def _descend(
        self,
        glass: Glass,
        weights: NDArray[np.float64],
        level: float,
        steepness: float,
        interrupt_function: Callable[[], bool],
    ) -> None:
        """Move every row of `weights`, on all threads."""
        descent = self._descent
        halt = np.zeros(1, np.bool_)
        workers = min(num_threads(descent.threads), len(weights))

        def work(worker: int) -> None:
            for row in range(worker, len(weights), workers):
                descend_angles(
                    glass.fields,
                    glass.couplings,
                    weights[row],
                    descent.steps,
                    descent.step_size,
                    descent.momentum,
                    descent.gamma,
                    level,
                    steepness,
                    halt,
                )

        def poll() -> None:
            halt[0] |= interrupt_function()

        def abort() -> None:
            halt[0] = True

        run_workers(work, workers, poll, abort)


@cache
def load_kernels() -> None:
    """Load the kernel, once per process."""
    halt = np.ones(1, np.bool_)
    row = np.zeros(1)
    descend_angles(row, np.zeros((1, 1)), row.copy(), 1, 1.0, 0.0, 1.0, 0.0, 1.0, halt)
