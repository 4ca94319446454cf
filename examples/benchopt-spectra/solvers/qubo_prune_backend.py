"""Any backend of qubo-prune, or one named as path.py:Name."""

import numpy as np
from benchopt import BaseSolver

from qubo_prune import Problem, get_backend, solve


class Solver(BaseSolver):
    """One call of `solve`; samplers are shown bare, without the repair that is their default."""

    name = "qubo-prune"
    requirements = ["pip::qubo-prune"]
    sampling_strategy = "run_once"
    parameters = {"backend": ["branch-and-bound", "tabu", "ocean-annealing"]}

    def set_objective(self, h, J, M, num_states):
        """Take the model; x = (1 + s) / 2 makes it a matrix again, up to a constant."""
        couplings = J + J.T
        matrix = 2.0 * couplings + np.diag(2.0 * (h - couplings.sum(axis=1)))
        self.problem = Problem(matrix, M)
        self.num_states = num_states
        bare = {"repair": False} if "repair" in get_backend(self.backend).options() else {}
        self.solver = get_backend(self.backend, **bare)

    def warm_up(self):
        """Compile."""
        self.run(None)

    def run(self, _):
        """Solve once."""
        self.spectrum = solve(self.problem, num_states=self.num_states, backend=self.solver)

    def get_result(self):
        """Return the states."""
        return {"spins": np.where(self.spectrum.states, 1.0, -1.0)}
