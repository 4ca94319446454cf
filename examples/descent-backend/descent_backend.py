"""Swap descent from random states, as a backend of qubo-prune."""

from dataclasses import dataclass

import numpy as np

from qubo_prune import Backend, Capability, RawResult


@dataclass(frozen=True)
class Descent(Backend):
    """Draw random feasible states and improve each by the best swap until none helps."""

    starts: int = 50

    name = "descent"
    summary = "swap descent from random states"
    capabilities = Capability.SEEDED | Capability.NATIVE_CONSTRAINT | Capability.CANCEL

    def run(self, problem, num_states, stop, seed, warm_start=None):
        """Return the local minima; see `Backend.run`."""
        reduced = problem.reduced()
        matrix, diagonal = reduced.matrix, np.diagonal(reduced.matrix)
        random = np.random.default_rng(seed)
        found = {}
        evaluated = 0
        for start in range(self.starts):
            if start and stop.should_stop(evaluated):
                break
            y = np.zeros(len(matrix), bool)
            for group, count in enumerate(reduced.counts):
                members = np.flatnonzero(reduced.group_of == group)
                y[random.choice(members, count, replace=False)] = True
            while not stop.should_stop(evaluated):
                field = diagonal + 2.0 * (matrix @ y) - 2.0 * diagonal * y
                # Removing j instead of i changes the energy by field[j] - field[i] - 2 Q_ij.
                change = field[None, :] - field[:, None] - 2.0 * matrix
                allowed = y[:, None] & ~y[None, :]
                allowed &= reduced.group_of[:, None] == reduced.group_of[None, :]
                evaluated += int(allowed.sum())
                i, j = np.unravel_index(np.where(allowed, change, np.inf).argmin(), change.shape)
                if not change[i, j] < -1e-12 * abs(diagonal).max():
                    break
                y[i], y[j] = False, True
            found[y.tobytes()] = y
            stop.report(evaluated, (start + 1) / self.starts)
        return RawResult(reduced.expand(np.array(list(found.values()))), num_evaluated=evaluated)
