"""The solver of examples/my-solver: annealing by swaps, in more and more walks."""

import sys
from pathlib import Path

from benchopt import BaseSolver

sys.path.append(str(Path(__file__).resolve().parents[2] / "my-solver"))
from my_solver import anneal


class Solver(BaseSolver):
    """A function of an Ising model."""

    name = "my-annealing"
    sampling_strategy = "iteration"
    parameters = {"keep": [False, True]}

    def set_objective(self, h, J, M, num_states):
        """Take the model."""
        self.model = h, J, M

    def run(self, n_iter):
        """Walk `n_iter` times."""
        self.spins = anneal(
            *self.model, num_reads=max(1, n_iter), seed=0, hot=0.2, cold=0.05, keep=self.keep
        )

    def get_result(self):
        """Return the states."""
        return {"spins": self.spins}
